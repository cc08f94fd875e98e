"""The sets of one lens: which there are, whether their books can be compared, and what they cost there.

Costs are those of the lens: its share of the displayed size, less what was taken already, its fees and
its slippage. So a plan says what the fills would be if the books stayed as they are.
"""

import re
from typing import Final, Protocol

from pm_frames.continuity import State
from pm_frames.events import NONE, Settled
from pm_sim.books import Books
from pm_sim.depth import Depth
from pm_sim.exchange import Terms
from pm_sim.facts import Facts
from pm_sim.fixed import ONE, CashE6, PxE6, SzE6
from pm_sim.markets import Market
from pm_sim.orders import Side
from pm_sim.rules import SIZE_STEP_E6, refusal, taker_refusal
from pm_sim.set_views import CostPlan, Freshness, LegCost, OutcomeSet, SetKind, Unready
from pm_sim.views import TopOfBook
from pm_sim.walk import buy_at_most_e6, quote

_OTHER: Final = frozenset({"other", "others", "another", "else", "field", "none"})
_WORD: Final = re.compile(r"[a-z]+")
SIZES_MAX: Final = 16  # that are worth a plan


class World(Protocol):
    """What the sets of a lens look at."""

    facts: Facts
    terms: Terms

    @property
    def books(self) -> Books: ...

    @property
    def depth(self) -> Depth: ...


class LensSets:
    """See `Sets`."""

    def __init__(self, world: World) -> None:
        """Look at a lens."""
        self._world = world
        self._version = -1
        self._known: dict[int, tuple[OutcomeSet, ...]] = {}

    def of(self, token: int) -> tuple[OutcomeSet, ...]:
        """See `Sets`, here and below."""
        facts = self._world.facts
        if self._version != facts.version:
            self._version = facts.version
            self._known.clear()
        found = self._known.get(token)
        if found is None:
            found = self._known[token] = tuple(self._found(token))
        return found

    def unready(self, one: OutcomeSet, event: TopOfBook, freshness: Freshness) -> Unready | None:
        if not event.batch_end:
            return Unready.MID_MESSAGE
        books, markets = self._world.books, self._world.facts.markets
        tops: list[TopOfBook] = []
        for token in one.tokens:
            if token not in books.tops:
                return Unready.NO_BOOK
            tops.append(books.top(token))
            reason = self._unready_leg(markets.by_token[token], tops[-1], freshness)
            if reason is not None:
                return reason
        if one.kind is SetKind.PAIR:
            return _unready_pair(tops[0], tops[1], must_mirror=freshness.must_mirror)
        told = [top.ts_recv_ns for top in tops]
        return Unready.SKEWED if max(told) - min(told) > freshness.max_skew_ns else None

    def sizes(self, one: OutcomeSet, at_most_e6: SzE6) -> tuple[SzE6, ...]:
        most: int = at_most_e6 - at_most_e6 % SIZE_STEP_E6
        ends: set[int] = set()
        for token in one.tokens:
            total = 0
            for level in self._world.depth.reachable(token, Side.BUY, ONE):
                total += level.size_e6
                ends.add(total)
                if total >= most:
                    break
            most = min(most, total)
        sizes = sorted({most, *(end for end in ends if end < most)}, reverse=True)
        return tuple(SzE6(size) for size in sizes[:SIZES_MAX] if size)

    def plan(self, one: OutcomeSet, size_e6: SzE6, slippage_ticks: int = 0) -> CostPlan | None:
        legs: list[LegCost] = []
        for token in one.tokens:
            leg = self._leg(token, size_e6, slippage_ticks)
            if leg is None:
                return None
            legs.append(leg)
        return CostPlan(
            of=one,
            size_e6=size_e6,
            legs=tuple(legs),
            cost_e6=CashE6(sum(leg.paid_e6 + leg.fee_e6 for leg in legs)),
            at_most_e6=CashE6(sum(leg.at_most_e6 for leg in legs)),
            pays_e6=CashE6(one.pays_e6 * size_e6 // ONE),
        )

    # -- inside ---------------------------------------------------------------------------------

    def _found(self, token: int) -> list[OutcomeSet]:
        markets = self._world.facts.markets
        market = markets.by_token.get(token)
        if market is None or len(market.tokens) != 2 or not market.is_open:
            return []
        # A market of two is complete, whatever its outcomes are called.
        sets = [
            OutcomeSet(
                SetKind.PAIR, market.market_id, market.tokens, CashE6(ONE), names_other=False
            )
        ]
        members = None if market.set_id is None else markets.complete_set(market.set_id)
        if members is None or any(len(one.tokens) != 2 for one in members):
            return sets
        assert market.set_id is not None
        at = market.tokens.index(token)
        sets.append(
            OutcomeSet(
                kind=SetKind.ALL_NO if at else SetKind.ALL_YES,
                set_id=market.set_id,
                tokens=tuple(one.tokens[at] for one in members),
                pays_e6=CashE6(ONE * (len(members) - 1) if at else ONE),
                names_other=any(_names_other(one) for one in members),
            )
        )
        return sets

    def _unready_leg(self, market: Market, top: TopOfBook, freshness: Freshness) -> Unready | None:
        books = self._world.books
        if not market.is_open:
            return Unready.CLOSED
        if books.state_number(top.token) != State.LIVE:
            return Unready.NOT_LIVE
        if top.settled is not Settled.SETTLED:
            return Unready.UNSETTLED
        if not top.has_both:
            return Unready.ONE_SIDED
        if top.bid_px_e6 >= top.ask_px_e6:
            return Unready.CROSSED
        return Unready.STALE if books.now_ns - top.ts_recv_ns > freshness.max_age_ns else None

    def _leg(self, token: int, size_e6: SzE6, slippage_ticks: int) -> LegCost | None:
        world = self._world
        market = world.facts.markets.by_token[token]
        fees, slippage = world.terms.fees(market), world.terms.slippage_bps
        found = quote(world.depth, fees, token, Side.BUY, size_e6, slippage_bps=slippage)
        if found is None:
            return None
        tick = market.rules.tick_e6
        # The limit lies on the tick, and covers the slippage of the lens.
        reached = -(-max(found.last_px_e6, found.worst_px_e6) // tick) * tick
        limit = PxE6(min(reached + slippage_ticks * tick, ONE - tick))
        if limit < reached or refusal(market.rules, limit, size_e6):
            return None
        if taker_refusal(Side.BUY, limit, size_e6):
            return None
        back = quote(world.depth, fees, token, Side.SELL, size_e6, slippage_bps=slippage)
        return LegCost(
            token=token,
            limit_px_e6=limit,
            worst_px_e6=found.worst_px_e6,
            paid_e6=found.amount_e6,
            fee_e6=found.fee_e6,
            at_most_e6=buy_at_most_e6(fees, limit, size_e6, tick),
            sold_back_e6=CashE6(0 if back is None else max(0, back.amount_e6 - back.fee_e6)),
        )


def _unready_pair(first: TopOfBook, second: TopOfBook, *, must_mirror: bool) -> Unready | None:
    """Judge a pair: one instant is one stamp of the venue; without stamps, one frame."""
    if first.ts_event_ns != second.ts_event_ns:
        return Unready.OTHER_INSTANT
    same_frame = (first.shard, first.frame) == (second.shard, second.frame)
    if first.ts_event_ns == NONE and not same_frame:
        return Unready.OTHER_INSTANT
    mirrored = (
        first.bid_px_e6 + second.ask_px_e6 == ONE and first.ask_px_e6 + second.bid_px_e6 == ONE
    )
    return Unready.NOT_MIRRORED if must_mirror and not mirrored else None


def _names_other(market: Market) -> bool:
    texts = (*market.outcomes, market.question, market.slug)
    return any(not _OTHER.isdisjoint(_WORD.findall(text.lower())) for text in texts)
