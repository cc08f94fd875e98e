"""A strategy to start from: it buys when the bid is much larger than the ask, and sells at a gain.

    pm-sim lint FILE
    pm-sim @last --strategy FILE --param edge=0.02 --print-pnl

It knows what its hooks are handed, and nothing else: no clock, no files, no network. Then the same events
give the same result each time. Prices, sizes and cash are integers, in millionths: px("0.01") is 10000.
"""

from collections.abc import Generator

from pm_sim import (
    Buy,
    Context,
    Fill,
    Hook,
    Intent,
    MarketState,
    Portfolio,
    PxE6,
    Sell,
    Side,
    Strategy,
    SzE6,
    Timer,
    TopOfBook,
    param,
    px,
    shares,
)

NS_PER_S = 1_000_000_000


class Start(Strategy):
    """Say here what it bets on, and when it should lose."""

    # Set with --param NAME=VALUE, or a TOML file; a value is read as the default was written.
    size = param(shares("10"), help="shares of each order")
    edge = param(px("0.02"), help="gain at which it sells")
    times = param(3, low=1, help="how much larger the bid must be")
    patience_s = param(60, low=1, help="seconds after which it sells at any price")

    def on_start(self, ctx: Context) -> None:
        """Make the state here: each lens has a strategy of its own."""
        self._cost: dict[int, int] = {}  # price paid by token

    # With a `sees_token(self, facts)` that returns true for some tokens only, it is shown no others: faster.

    def on_top_of_book(
        self, ctx: Context, event: TopOfBook, market_state: MarketState, portfolio: Portfolio
    ) -> Hook:
        """Decide on each top; return None where there is nothing to do, which is fastest."""
        if not event.has_both:
            return None
        if event.token in self._cost:
            gain = event.bid_px_e6 - self._cost[event.token]
            held = portfolio.held(event.token)
            return (
                self._sell(ctx, event.token, event.bid_px_e6, held) if gain >= self.edge else None
            )
        if event.bid_sz_e6 < self.times * event.ask_sz_e6 or ctx.open_orders():
            return None
        # An intent is yielded, never sent: what comes back of `yield` is the number of the order.
        return iter([Buy(event.token, event.ask_px_e6, self.size)])

    def on_fill(
        self, ctx: Context, fill: Fill, portfolio: Portfolio
    ) -> Generator[Intent, None, None]:
        """Take a fill; it comes after the latency, at the price that was there by then."""
        if fill.side is Side.BUY:
            self._cost[fill.token] = fill.px_e6
            yield Timer(ctx.now_ns + self.patience_s * NS_PER_S, str(fill.token))
        elif not portfolio.held(fill.token):
            self._cost.pop(fill.token, None)

    def on_timer(self, ctx: Context, timer: Timer, portfolio: Portfolio) -> Hook:
        """Give up on what has not come to a gain."""
        token = int(timer.tag)
        state = ctx.market_state(token)
        if state is None or not state.top.has_both:
            return None
        return self._sell(ctx, token, state.top.bid_px_e6, portfolio.held(token))

    def _sell(self, ctx: Context, token: int, px_e6: PxE6, held: SzE6) -> Hook:
        # What is offered already cannot be offered again.
        is_offered = any(order.token == token for order in ctx.open_orders())
        if not held or is_offered:
            return None
        return iter([Sell(token, px_e6, held)])
