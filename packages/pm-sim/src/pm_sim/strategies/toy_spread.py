"""The toy of the predecessors: it quotes both sides of every wide book, and remembers nothing."""

from collections.abc import Iterator

from pm_sim import (
    Buy,
    Context,
    Intent,
    MarketState,
    Portfolio,
    Sell,
    Strategy,
    Tif,
    TopOfBook,
    Urgency,
    param,
    px,
    shares,
)

# An attribute of an enum is slow to find on Python 3.11, and this is asked for on every top.
GTC, IOC, MAKER, TAKER = Tif.GTC, Tif.IOC, Urgency.MAKER, Urgency.TAKER


class ToySpread(Strategy):
    """Buy at the bid and sell at the ask, on every top whose spread is wide enough.

    As a maker it never fills, unless a queue model is asked for. As a taker it crosses the spread.
    """

    size_e6 = param(shares("1"), help="shares of each order")
    min_spread_e6 = param(px("0.05"), help="least distance of bid and ask, dollars")
    urgency = param(
        "maker",
        choices=("maker", "taker"),
        help="maker: quote at bid and ask; taker: buy at the ask, sell at the bid",
    )

    def on_top_of_book(
        self, ctx: Context, event: TopOfBook, market_state: MarketState, portfolio: Portfolio
    ) -> Iterator[Intent] | None:
        """Quote, or say nothing."""
        if not event.has_both or event.ask_px_e6 - event.bid_px_e6 < self.min_spread_e6:
            return None
        return self._quotes(ctx.strategy_id, event)

    def _quotes(self, tag: str, event: TopOfBook) -> Iterator[Intent]:
        token, size, bid, ask = event.token, self.size_e6, event.bid_px_e6, event.ask_px_e6
        if self.urgency == "maker":
            yield Buy(token, bid, size, GTC, MAKER, tag)
            yield Sell(token, ask, size, GTC, MAKER, tag)
        else:
            yield Buy(token, ask, size, IOC, TAKER, tag)
            yield Sell(token, bid, size, IOC, TAKER, tag)
