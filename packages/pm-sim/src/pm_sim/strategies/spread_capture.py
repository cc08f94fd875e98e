"""Quote both sides inside a wide spread, within limits on inventory and on the rate of orders."""

from collections.abc import Generator, Iterable
from dataclasses import dataclass, field

from pm_sim import (
    ONE,
    Buy,
    Cancel,
    Context,
    Hook,
    Intent,
    MarketState,
    Merge,
    OpenOrder,
    Portfolio,
    PxE6,
    Reject,
    RejectReason,
    Sell,
    Side,
    State,
    StateChange,
    Strategy,
    SzE6,
    Tif,
    Timer,
    TopOfBook,
    Urgency,
    param,
    px,
    shares,
)

NS_PER_MS = 1_000_000
NS_PER_S = 1_000_000_000
Steps = Generator[Intent, int | None, None]


class Bucket:
    """So many at once, and so many a second; time is that of the events."""

    def __init__(self, capacity: int, refill_per_sec: int) -> None:
        """Begin full."""
        self._full = capacity * NS_PER_S
        self._refill_per_sec = refill_per_sec
        self._level = self._full  # in billionths: one a second is one a nanosecond of them
        self._at_ns: int | None = None

    def take(self, now_ns: int) -> bool:
        """Take one, if there is one."""
        since = 0 if self._at_ns is None else max(0, now_ns - self._at_ns)
        self._at_ns = now_ns
        self._level = min(self._full, self._level + since * self._refill_per_sec)
        if self._level < NS_PER_S:
            return False
        self._level -= NS_PER_S
        return True


@dataclass(frozen=True)
class _Quote:
    order_id: int
    px_e6: int  # of the first token, also where the order is for the other
    placed_ns: int


@dataclass
class _Desk:
    """What is known of one market."""

    mid2_e6: int | None = None  # bid and ask together: twice the middle
    seen_ns: int = 0
    requoted_ns: int | None = None
    quotes: dict[Side, _Quote] = field(default_factory=dict)
    replaced_ns: dict[Side, int] = field(default_factory=dict)
    cancelling: set[int] = field(default_factory=set)
    has_timer: bool = False


class SpreadCapture(Strategy):
    """Post-only quotes `edge` from the middle, one tick inside the best prices at least.

    Only the first token of a market is looked at: the other shows the same book. What is not held is not
    sold: the other token is bought at one minus the price, and pairs are merged. Makers do not fill without
    `--queue conservative`.
    """

    tick_size = param(
        px("0.01"), help="dollars; the tick to quote by where that of the market is finer"
    )
    size = param(shares("10"), help="shares of each quote")
    edge = param(px("0.02"), help="dollars from the middle to a quote")
    staleness_threshold_ms = param(2_000, low=1, help="ms; no quotes on an older top")
    max_mid_jump = param(px("0.03"), help="dollars; a middle that moves more takes the quotes away")
    min_requote_interval_ms = param(300, low=0, help="ms between two changes of a market's quotes")
    min_quote_lifetime_ms = param(0, low=0, help="ms; a younger quote is not replaced")
    max_inventory = param(shares("100"), help="largest difference of YES and NO held, shares")
    rebalance_ratio = param(
        px("0.5"), help="part of max_inventory beyond which one side alone is quoted"
    )
    rate_capacity = param(5, low=1, help="orders that may be sent at once")
    rate_refill_per_sec = param(1, low=0, help="orders a second after that")
    min_change_ticks = param(1, low=1, help="a quote that is fewer ticks from its price stays")
    min_side_replace_interval_ms = param(200, low=0, help="ms between two quotes of one side")
    cancel_rate_capacity = param(5, low=1, help="cancels that may be sent at once")
    cancel_rate_refill_per_sec = param(2, low=0, help="cancels a second after that")

    def on_start(self, ctx: Context) -> None:
        """Begin with nothing quoted."""
        self._desks: dict[int, _Desk] = {}
        self._orders = Bucket(self.rate_capacity, self.rate_refill_per_sec)
        self._cancels = Bucket(self.cancel_rate_capacity, self.cancel_rate_refill_per_sec)

    # -- when -------------------------------------------------------------------------------------

    def on_top_of_book(
        self, ctx: Context, event: TopOfBook, market_state: MarketState, portfolio: Portfolio
    ) -> Hook:
        """Requote where it is time to."""
        market = market_state.facts.market
        if market.tokens[0] != event.token or not market.is_open:
            return None
        desk = self._desks.setdefault(event.token, _Desk())
        before, desk.seen_ns = desk.mid2_e6, event.ts_recv_ns
        desk.mid2_e6 = event.bid_px_e6 + event.ask_px_e6 if event.has_both else None
        jumped = (
            before is not None
            and desk.mid2_e6 is not None
            and abs(desk.mid2_e6 - before) > 2 * self.max_mid_jump
        )
        if jumped or not event.has_both or market_state.state is not State.LIVE:
            return self._withdraw(ctx, desk, event.token)
        if not _passed(desk.requoted_ns, self.min_requote_interval_ms, ctx.now_ns):
            return None
        return self._requote(ctx, desk, market_state, portfolio)

    def on_state(self, ctx: Context, change: StateChange, portfolio: Portfolio) -> Hook:
        """Take the quotes away when the book is lost."""
        desk = self._desks.get(change.token)
        if desk is None or change.state is State.LIVE:
            return None
        desk.mid2_e6 = None
        return self._withdraw(ctx, desk, change.token)

    def on_timer(self, ctx: Context, timer: Timer, portfolio: Portfolio) -> Steps:
        """Take the quotes away when nothing has been told for too long, and look again when it may be."""
        token = int(timer.tag)
        desk = self._desks[token]
        desk.has_timer = False
        if ctx.now_ns >= desk.seen_ns + self.staleness_threshold_ms * NS_PER_MS:
            yield from self._withdraw(ctx, desk, token)
        if self._live(ctx, token):
            yield from self._watch(ctx, desk, token)

    def on_reject(self, ctx: Context, reject: Reject, portfolio: Portfolio) -> None:
        """Forget a quote that did not live; a cancel that came too early is sent again."""
        for desk in self._desks.values():
            desk.cancelling.discard(reject.order_id)
            if reject.reason is not RejectReason.UNKNOWN_ORDER:
                gone = [at for at, one in desk.quotes.items() if one.order_id == reject.order_id]
                for side in gone:
                    del desk.quotes[side]

    # -- what -------------------------------------------------------------------------------------

    def prices(self, top: TopOfBook, tick_e6: int) -> dict[Side, int]:
        """Return the price of each side: none where the spread is too narrow."""
        tick = max(int(self.tick_size), tick_e6)
        if top.ask_px_e6 - top.bid_px_e6 < max(2 * self.edge, 2 * tick):
            return {}
        mid2 = top.bid_px_e6 + top.ask_px_e6
        # Away from the middle to the tick, then no nearer to the other side than a tick inside of it.
        bid = (mid2 - 2 * self.edge) // (2 * tick) * tick
        ask = -(-(mid2 + 2 * self.edge) // (2 * tick)) * tick
        bid = min(max(bid, top.bid_px_e6 + tick), top.ask_px_e6 - tick)
        ask = max(min(ask, top.ask_px_e6 - tick), top.bid_px_e6 + tick)
        return {Side.BUY: bid, Side.SELL: ask} if bid < ask else {}

    def sides(self, net_e6: int) -> set[Side]:
        """Return the sides that the inventory allows: beyond the ratio only the one that reduces it."""
        sides = set()
        turn = self.max_inventory * self.rebalance_ratio // ONE
        for side, signed in ((Side.BUY, net_e6), (Side.SELL, -net_e6)):
            if signed <= turn and signed + self.size <= self.max_inventory:
                sides.add(side)
        return sides

    def _requote(
        self, ctx: Context, desk: _Desk, state: MarketState, portfolio: Portfolio
    ) -> Steps:
        token, other, now = state.top.token, state.facts.complement, ctx.now_ns
        tokens = (token,) if other is None else (token, other)
        live = self._live(ctx, token)
        desk.quotes = {side: one for side, one in desk.quotes.items() if one.order_id in live}
        desk.cancelling &= live.keys()
        held, against = portfolio.held(token), 0 if other is None else portfolio.held(other)
        yield from self._merge(portfolio, tokens, live.values())
        prices = self.prices(state.top, state.facts.market.tick_e6)
        net = held - against
        allowed = self.sides(net)
        acted = False
        for side in Side:
            px_e6 = prices.get(side) if side in allowed else None
            # A quote that is cancelled can fill until the cancel arrives: it takes up room as long as it lives.
            out = sum(one.left_e6 for one in live.values() if _direction(one, token) is side)
            has_room = (net if side is Side.BUY else -net) + out + self.size <= self.max_inventory
            done = yield from self._side(
                ctx, desk, side, px_e6, state, portfolio, has_room=has_room
            )
            acted = acted or done
        tracked = {one.order_id for one in desk.quotes.values()}
        for order_id, order in live.items():
            if order.is_resting and order_id not in tracked:
                yield from self._cancel(ctx, desk, order_id)
        if acted:
            desk.requoted_ns = now
            yield from self._watch(ctx, desk, token)

    def _side(
        self,
        ctx: Context,
        desk: _Desk,
        side: Side,
        px_e6: int | None,
        state: MarketState,
        portfolio: Portfolio,
        *,
        has_room: bool,
    ) -> Generator[Intent, int | None, bool]:
        """Place, replace or take away the quote of a side; say whether anything was sent."""
        quote, now = desk.quotes.get(side), ctx.now_ns
        if quote is not None:
            tick = max(int(self.tick_size), state.facts.market.tick_e6)
            stays = px_e6 is not None and abs(px_e6 - quote.px_e6) < self.min_change_ticks * tick
            young = not _passed(quote.placed_ns, self.min_quote_lifetime_ms, now)
            if stays or (young and px_e6 is not None):
                return False
            if px_e6 is not None and not self._may_replace(desk, side, now):
                return False
            if not (yield from self._cancel(ctx, desk, quote.order_id)):
                return False
            del desk.quotes[side]
        if px_e6 is None:
            return quote is not None
        if not has_room or not self._may_replace(desk, side, now):
            return quote is not None
        intent = self._intent(side, px_e6, state, portfolio)
        if intent is None or not self._orders.take(now):
            return quote is not None
        order_id = yield intent
        desk.replaced_ns[side] = now
        if order_id is not None:
            desk.quotes[side] = _Quote(order_id, px_e6, now)
        return True

    def _may_replace(self, desk: _Desk, side: Side, now_ns: int) -> bool:
        return _passed(desk.replaced_ns.get(side), self.min_side_replace_interval_ms, now_ns)

    def _intent(
        self, side: Side, px_e6: int, state: MarketState, portfolio: Portfolio
    ) -> Buy | Sell | None:
        """Sell what is held of one of the two tokens, or buy the other."""
        token, other, size = state.top.token, state.facts.complement, SzE6(int(self.size))
        own, opposite = (token, other) if side is Side.BUY else (other, token)
        # To buy YES at p is to sell NO at 1 - p, and the other way round.
        if opposite is not None and portfolio.held(opposite) >= size:
            at = px_e6 if opposite == token else ONE - px_e6
            return Sell(opposite, PxE6(at), size, Tif.GTC, Urgency.MAKER)
        if own is None:
            return None
        at = px_e6 if own == token else ONE - px_e6
        return Buy(own, PxE6(at), size, Tif.GTC, Urgency.MAKER)

    def _merge(
        self, portfolio: Portfolio, tokens: tuple[int, ...], live: Iterable[OpenOrder]
    ) -> Steps:
        """Merge what is held of both and not offered."""
        free = {token: int(portfolio.held(token)) for token in tokens}
        for order in live:
            if order.side is Side.SELL:
                free[order.token] -= order.left_e6
        pairs = min(free.values())
        if len(tokens) == 2 and pairs > 0:
            yield Merge(tokens[0], SzE6(pairs))

    def _cancel(
        self, ctx: Context, desk: _Desk, order_id: int
    ) -> Generator[Intent, int | None, bool]:
        if order_id in desk.cancelling:
            return True
        if not self._cancels.take(ctx.now_ns):
            return False
        desk.cancelling.add(order_id)
        yield Cancel(order_id)
        return True

    def _withdraw(self, ctx: Context, desk: _Desk, token: int) -> Steps:
        """Cancel all orders; those that the rate does not let through are tried again at the next timer."""
        desk.quotes.clear()
        live = self._live(ctx, token)
        desk.cancelling &= live.keys()
        left = False
        for order_id in live:
            left |= not (yield from self._cancel(ctx, desk, order_id))
        if left:
            yield from self._watch(ctx, desk, token)

    def _live(self, ctx: Context, token: int) -> dict[int, OpenOrder]:
        tokens = {token, ctx.facts(token).complement}
        return {one.order_id: one for one in ctx.open_orders() if one.token in tokens}

    def _watch(self, ctx: Context, desk: _Desk, token: int) -> Steps:
        """Have a timer at which the top will be stale, or soon if it is."""
        if not desk.has_timer:
            desk.has_timer = True
            due = desk.seen_ns + self.staleness_threshold_ms * NS_PER_MS
            yield Timer(due if due > ctx.now_ns else ctx.now_ns + NS_PER_S, str(token))


def _direction(order: OpenOrder, token: int) -> Side:
    """Return what an order comes to for the first token: to sell the other one is to buy it."""
    if order.token == token:
        return order.side
    return Side.SELL if order.side is Side.BUY else Side.BUY


def _passed(since_ns: int | None, ms: int, now_ns: int) -> bool:
    return since_ns is None or now_ns - since_ns >= ms * NS_PER_MS
