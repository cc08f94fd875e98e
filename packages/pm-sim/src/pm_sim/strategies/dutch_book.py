"""Buy one of each outcome for less than the outcomes pay together, all or nothing."""

from collections.abc import Generator
from dataclasses import dataclass, field

from pm_sim import (
    NONE,
    ONE,
    Buy,
    Context,
    Convert,
    CostPlan,
    Fill,
    Freshness,
    Hook,
    Intent,
    MarketChange,
    MarketState,
    Merge,
    OutcomeSet,
    Portfolio,
    PxE6,
    Reject,
    Sell,
    SetKind,
    Side,
    Strategy,
    SzE6,
    Tif,
    Timer,
    TopOfBook,
    param,
    px,
    shares,
    usd,
)

NS_PER_MS = 1_000_000
UNWIND = "unwind"
Steps = Generator[Intent, int | None, None]


@dataclass
class _Attempt:
    """One purchase of a set: what was ordered, and what came of it."""

    of: OutcomeSet
    size_e6: int
    tag: str
    waiting: dict[int, int] = field(default_factory=dict)  # token by order that is not over
    held: dict[int, int] = field(default_factory=dict)  # shares by token
    paid_e6: int = 0  # fees included, less what came back
    unwinds: int = 0  # rounds of selling back


class DutchBook(Strategy):
    """Pairs of one instant, all YES, and all NO of a neg-risk set, where the asks leave enough.

    All legs are sent at once, as fill-or-kill. If one is refused, what the others bought is sold back; that loss
    is counted in `unwound_e6`. A whole set is merged or converted; all YES waits for the event to end.
    """

    size = param(shares("10"), help="shares of each leg at most")
    min_profit = param(usd("0.02"), help="dollars that one set must leave after all costs")
    safety_margin = param(
        usd("0"), help="dollars of unknown costs that are reckoned for each set besides"
    )
    fee_bps = param(0, low=0, help="least fee to plan with, basis points")
    slippage_ticks = param(
        1, low=0, help="ticks that each leg may become dearer while its order is under way"
    )
    max_age_ms = param(5_000, low=1, help="ms that the oldest top of a set may be old")
    max_skew_ms = param(5_000, low=0, help="ms that may lie between the oldest and the newest top")
    max_leg_risk = param(
        usd("5"), help="dollars that an incomplete purchase may lose by the bids of now"
    )
    max_sets = param(shares("100"), help="shares of each leg of one set, at most")
    kinds = param("all", choices=("all", "pair", "all_yes", "all_no"), help="sets to look at")
    allow_other = param(
        False, help="buy all YES also of an event with a market named other, none, …"
    )
    must_mirror = param(True, help="refuse pairs that are not one book seen from two sides")
    least_bids = param(
        px("0.9"), help="all YES: bids that sum to less show that an outcome is not told"
    )
    unwind_ticks = param(1, low=0, help="ticks below the bid at which a leg is sold back")
    unwind_retry_ms = param(1_000, low=1, help="ms to the next attempt to sell back")
    unwinds_max = param(10, low=1, help="attempts to sell back; what is left is kept")

    def on_start(self, ctx: Context) -> None:
        """Begin with nothing."""
        self.complete = 0  # sets bought whole
        self.unwound = 0  # purchases that were not
        self.unwound_e6 = 0  # what they have cost
        self.kept: dict[int, int] = {}  # shares of legs that nobody would take back
        self._told: set[int] = set()
        self._attempts: dict[tuple[SetKind, str], _Attempt] = {}
        self._by_order: dict[int, _Attempt] = {}
        self._held: dict[tuple[SetKind, str], int] = {}  # whole sets that wait for the end
        self._rules: dict[str, tuple[object, ...]] = {}
        self._changed: set[str] = set()  # markets whose rules are not those of their first telling

    # -- looking ----------------------------------------------------------------------------------

    def on_top_of_book(
        self, ctx: Context, event: TopOfBook, market_state: MarketState, portfolio: Portfolio
    ) -> Hook:
        """Look at the sets of all tokens of a message, once all of it is told."""
        self._told.add(event.token)
        if not event.batch_end:
            return None
        told, self._told = self._told, set()
        found = {one.key: one for token in sorted(told) for one in ctx.sets.of(token)}
        wanted = [one for one in found.values() if self._is_cheap(ctx, one)]
        return self._buy(ctx, event, wanted, portfolio.cash_e6) if wanted else None

    def _is_cheap(self, ctx: Context, one: OutcomeSet) -> bool:
        """Look quickly at what few sets pass: the best asks alone."""
        if self.kinds not in {"all", one.kind.value} or one.key in self._attempts:
            return False
        asks = bids = 0
        for token in one.tokens:
            state = ctx.market_state(token)
            if state is None or state.top.ask_px_e6 == NONE:
                return False
            asks += state.top.ask_px_e6
            bids += max(0, state.top.bid_px_e6)
        if one.kind is SetKind.ALL_YES:
            if one.names_other and not self.allow_other:
                return False
            if bids < self.least_bids:
                return False
        return one.pays_e6 - asks > self.min_profit + self.safety_margin

    def _buy(self, ctx: Context, event: TopOfBook, wanted: list[OutcomeSet], cash_e6: int) -> Steps:
        limits = Freshness(
            self.max_age_ms * NS_PER_MS, self.max_skew_ms * NS_PER_MS, self.must_mirror
        )
        for one in wanted:
            if any(ctx.facts(token).market.market_id in self._changed for token in one.tokens):
                continue
            if ctx.sets.unready(one, event, limits) is not None:
                continue
            states = [ctx.market_state(token) for token in one.tokens]
            # A purchase is named by the events that it was seen in.
            tag = "-".join(str(state.last_update_seq) for state in states if state)
            plan = self._best(ctx, one)
            if plan is not None and plan.at_most_e6 <= cash_e6:
                cash_e6 -= plan.at_most_e6
                yield from self._order(plan, tag)

    def _best(self, ctx: Context, one: OutcomeSet) -> CostPlan | None:
        """Return the plan that leaves most, if it leaves enough."""
        room = self.max_sets - self._held.get(one.key, 0)
        best: tuple[int, CostPlan] | None = None
        for size in ctx.sets.sizes(one, SzE6(min(self.size, room))):
            plan = ctx.sets.plan(one, size, self.slippage_ticks)
            if plan is None or plan.leg_risk_e6 > self.max_leg_risk:
                continue
            left = self._left_e6(ctx, plan)
            if left > 0 and (best is None or left > best[0]):
                best = left, plan
        return None if best is None else best[1]

    def _left_e6(self, ctx: Context, plan: CostPlan) -> int:
        """Return what a plan leaves beyond the least profit, with slippage and the safety margin."""
        cost = 0
        for leg in plan.legs:
            slipped = self.slippage_ticks * ctx.facts(leg.token).market.tick_e6
            dearer = -(-slipped * plan.size_e6 // ONE)
            flat = -(-leg.paid_e6 * self.fee_bps // 10_000)
            fee = max(leg.fee_e6, flat)
            # What is slipped is paid fees of, too: no published curve rises faster than in proportion.
            cost += leg.paid_e6 + dearer + fee + -(-fee * dearer // max(1, leg.paid_e6))
        wanted = -(-(self.min_profit + self.safety_margin) * plan.size_e6 // ONE)
        return plan.pays_e6 - cost - wanted

    # -- buying -----------------------------------------------------------------------------------

    def _order(self, plan: CostPlan, tag: str) -> Steps:
        attempt = _Attempt(plan.of, plan.size_e6, tag)
        self._attempts[plan.of.key] = attempt
        for leg in plan.legs:
            order_id = yield Buy(leg.token, leg.limit_px_e6, plan.size_e6, Tif.FOK, tag=tag)
            if order_id is None:  # the allocator: without this leg the others are in vain
                break
            attempt.waiting[order_id] = leg.token
            self._by_order[order_id] = attempt
        if not attempt.waiting:
            del self._attempts[plan.of.key]

    def on_fill(self, ctx: Context, fill: Fill, portfolio: Portfolio) -> Steps:
        """Count a leg, and go on when all are over."""
        attempt = self._by_order.get(fill.order_id)
        if attempt is None:
            return
        bought = fill.side is Side.BUY
        amount = fill.px_e6 * fill.size_e6
        held = attempt.held.get(fill.token, 0)
        attempt.held[fill.token] = held + (fill.size_e6 if bought else -fill.size_e6)
        attempt.paid_e6 += fill.fee_e6 + (-(-amount // ONE) if bought else -(amount // ONE))
        over = attempt.held[fill.token] == (attempt.size_e6 if bought else 0)
        yield from self._over(ctx, attempt, fill.order_id if over else None)

    def on_reject(self, ctx: Context, reject: Reject, portfolio: Portfolio) -> Steps:
        """Count a leg that is not had."""
        attempt = self._by_order.get(reject.order_id)
        if attempt is not None:
            yield from self._over(ctx, attempt, reject.order_id)

    def _over(self, ctx: Context, attempt: _Attempt, order_id: int | None) -> Steps:
        """Go on when the last order of a round is over: with the set, or with what must be sold back."""
        if order_id is None:
            return
        del attempt.waiting[order_id]
        del self._by_order[order_id]
        if attempt.waiting:
            return
        one, left = attempt.of, {token: size for token, size in attempt.held.items() if size}
        if not attempt.unwinds and len(left) == len(one.tokens):
            del self._attempts[one.key]
            self.complete += 1
            yield from self._realise(attempt)
        elif not left or attempt.unwinds >= self.unwinds_max:
            self._give_up(attempt)
        elif attempt.unwinds:
            at = ctx.now_ns + self.unwind_retry_ms * NS_PER_MS
            yield Timer(at, f"{one.kind.value} {one.set_id}")
        else:
            yield from self._sell_back(ctx, attempt)

    def _realise(self, attempt: _Attempt) -> Steps:
        one, size = attempt.of, SzE6(attempt.size_e6)
        if one.kind is SetKind.PAIR:
            yield Merge(one.tokens[0], size, attempt.tag)
        elif one.kind is SetKind.ALL_NO:
            yield Convert(one.tokens, size, attempt.tag)
        else:
            self._held[one.key] = self._held.get(one.key, 0) + size

    def _give_up(self, attempt: _Attempt) -> None:
        del self._attempts[attempt.of.key]
        self.unwound += attempt.unwinds > 0
        self.unwound_e6 += attempt.paid_e6
        for token, size in attempt.held.items():
            if size:
                self.kept[token] = self.kept.get(token, 0) + size

    # -- selling back -----------------------------------------------------------------------------

    def _sell_back(self, ctx: Context, attempt: _Attempt) -> Steps:
        if attempt.unwinds >= self.unwinds_max:  # the allocator has stopped every sale
            self._give_up(attempt)
            return
        attempt.unwinds += 1
        for token, size in attempt.held.items():
            state = ctx.market_state(token)
            if not size or state is None:
                continue
            tick = state.facts.market.tick_e6
            # On the tick and inside the range, wherever the bid is.
            limit = max(tick, (state.top.bid_px_e6 - self.unwind_ticks * tick) // tick * tick)
            order_id = yield Sell(token, PxE6(limit), SzE6(size), Tif.IOC, tag=UNWIND)
            if order_id is not None:
                attempt.waiting[order_id] = token
                self._by_order[order_id] = attempt
        if not attempt.waiting:
            at = ctx.now_ns + self.unwind_retry_ms * NS_PER_MS
            yield Timer(at, f"{attempt.of.kind.value} {attempt.of.set_id}")

    def on_timer(self, ctx: Context, timer: Timer, portfolio: Portfolio) -> Steps:
        """Try again to sell back."""
        kind, _, set_id = timer.tag.partition(" ")
        attempt = self._attempts.get((SetKind(kind), set_id))
        if attempt is not None and not attempt.waiting:
            yield from self._sell_back(ctx, attempt)

    # -- markets ----------------------------------------------------------------------------------

    def on_market(self, ctx: Context, change: MarketChange, portfolio: Portfolio) -> None:
        """Never buy a set again whose question has become another."""
        facts = change.facts
        rules = (facts.question, facts.outcomes, facts.tokens, facts.set_id, facts.is_augmented)
        if self._rules.setdefault(facts.market_id, rules) != rules:
            self._changed.add(facts.market_id)
