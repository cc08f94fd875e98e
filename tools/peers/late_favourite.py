"""Buy the favourite of a market of two once, shortly before its end, and hold it until it pays.

The rules are those of the JSON strategies of resolvedkit 0.1.0 with `side` favorite and no exit; what it spends in
dollars is an order for shares here: as many as the dollars buy at the limit.
"""

from collections.abc import Generator

from pm_sim import (
    NONE,
    ONE,
    Buy,
    Context,
    Fill,
    Intent,
    MarketState,
    Portfolio,
    PxE6,
    Reject,
    Strategy,
    SzE6,
    Tif,
    TopOfBook,
    param,
    px,
    usd,
)

NS_PER_S = 1_000_000_000
CENT_E6 = 10_000  # sizes have two decimals


class LateFavourite(Strategy):
    """It loses where the favourite does, and to the spread and the fee where it is priced right."""

    seconds = param(
        120, low=1, help="seconds before the end of a market at which it begins to look"
    )
    min_price = param(px("0.6"), help="lowest ask that it buys at")
    max_price = param(px("0.9"), help="highest ask that it buys at")
    slippage = param(px("0.02"), help="how far above the ask the limit is")
    dollars = param(usd("250"), help="what an order spends at its limit, without fees")

    def on_start(self, ctx: Context) -> None:
        """Begin without orders."""
        self._entered: set[str] = set()  # markets of which it has bought
        self._waiting: dict[int, str] = {}  # market by order that has not been answered

    def on_top_of_book(
        self, ctx: Context, event: TopOfBook, market_state: MarketState, portfolio: Portfolio
    ) -> Generator[Intent, int | None, None]:
        """Look at a market when a message has told both of its books."""
        facts = market_state.facts.market
        if not event.batch_end or len(facts.tokens) != 2 or facts.end_ns is None:
            return
        if not 0 < facts.end_ns - event.ts_event_ns <= self.seconds * NS_PER_S:
            return
        if facts.market_id in self._entered or facts.market_id in self._waiting.values():
            return
        first, second = (ctx.market_state(token) for token in facts.tokens)
        if first is None or second is None:
            return
        favourite = (first if _twice_mid(first.top) >= _twice_mid(second.top) else second).top
        ask = favourite.ask_px_e6
        if not self.min_price <= ask <= self.max_price:
            return
        limit = min(ask + self.slippage, ONE - facts.tick_e6)
        size = self.dollars * ONE // limit // CENT_E6 * CENT_E6
        order_id = yield Buy(favourite.token, PxE6(limit), SzE6(size), Tif.IOC)
        if order_id is not None:
            self._waiting[order_id] = facts.market_id

    def on_fill(self, ctx: Context, fill: Fill, portfolio: Portfolio) -> None:
        """Take what there is: a market is bought once, in part or whole."""
        if fill.order_id in self._waiting:
            self._entered.add(self._waiting.pop(fill.order_id))

    def on_reject(self, ctx: Context, reject: Reject, portfolio: Portfolio) -> None:
        """Look again if nothing was had."""
        self._waiting.pop(reject.order_id, None)


def _twice_mid(top: TopOfBook) -> int:
    """Return bid plus ask, where a side that is not there counts as its bound."""
    return max(top.bid_px_e6, 0) + (ONE if top.ask_px_e6 == NONE else top.ask_px_e6)
