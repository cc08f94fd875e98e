"""Negative controls: strategies that must lose. If one of them earns money, the simulation flatters."""

from collections.abc import Iterator

from pm_sim import (
    NONE,
    Buy,
    Context,
    Fill,
    Intent,
    MarketState,
    Portfolio,
    Sell,
    Side,
    Strategy,
    SzE6,
    TopOfBook,
    param,
    shares,
)


class RoundTrip(Strategy):
    """Buy at the ask, and sell at the bid of the same book as soon as it is bought.

    Without latency both fills are on one book: every trip costs the spread and two fees.
    """

    size_e6 = param(shares("10"), help="shares of each trip")

    def on_top_of_book(
        self, ctx: Context, event: TopOfBook, market_state: MarketState, portfolio: Portfolio
    ) -> Iterator[Intent] | None:
        """Begin a trip, or end one whose sale found no bid. What is too little to be sold is added to."""
        if not event.has_both or ctx.open_orders():
            return None
        held = portfolio.held(event.token)
        if held >= market_state.facts.market.min_size_e6:
            return iter([Sell(event.token, event.bid_px_e6, held)])
        return iter([Buy(event.token, event.ask_px_e6, self.size_e6)])

    def on_fill(self, ctx: Context, fill: Fill, portfolio: Portfolio) -> Iterator[Intent]:
        """Sell what was bought."""
        state = ctx.market_state(fill.token)
        if fill.side is Side.BUY and state is not None and not ctx.open_orders():
            held = portfolio.held(fill.token)
            if held >= state.facts.market.min_size_e6 and state.top.bid_px_e6 != NONE:
                yield Sell(fill.token, state.top.bid_px_e6, held)


class RandomTaker(Strategy):
    """Now and then buy at the ask, or sell at the bid what is held: no idea, all of the costs."""

    size_e6 = param(shares("10"), help="shares of each order")
    one_in = param(8, low=1, help="acts on one top of so many")

    def on_top_of_book(
        self, ctx: Context, event: TopOfBook, market_state: MarketState, portfolio: Portfolio
    ) -> Iterator[Intent] | None:
        """Draw, and act."""
        if not event.has_both or ctx.random.randrange(self.one_in):
            return None
        return self._act(ctx, event, portfolio.held(event.token))

    def _act(self, ctx: Context, event: TopOfBook, held: SzE6) -> Iterator[Intent]:
        if held and ctx.random.randrange(2):
            yield Sell(event.token, event.bid_px_e6, held)
        else:
            yield Buy(event.token, event.ask_px_e6, self.size_e6)
