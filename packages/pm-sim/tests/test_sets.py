"""Which sets there are, when their books can be compared, and that no plan is cheaper than its fills."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from set_streams import SetStream
from simulated import only, simulate

from pm_frames.continuity import State
from pm_frames.events import Settled
from pm_sim import (
    Buy,
    Context,
    CostPlan,
    Freshness,
    Hook,
    Intent,
    MarketState,
    OutcomeSet,
    Portfolio,
    SetKind,
    Strategy,
    SzE6,
    Tif,
    TopOfBook,
    Unready,
)
from pm_sim.engine import Engine
from pm_sim.settings import CENTRAL, WORST

LIMITS = Freshness(5_000_000_000, 1_000_000_000)
MS = 1_000_000


class Looker(Strategy):
    """Notes what the sets of a token are and why they are not ready; buys what a plan says."""

    sees_unsettled = True

    def __init__(self, token: int = 0, limits: Freshness = LIMITS) -> None:
        super().__init__()
        self.token = token
        self.limits = limits
        self.sets: tuple[OutcomeSet, ...] = ()
        self.reasons: dict[SetKind, list[Unready | None]] = {kind: [] for kind in SetKind}

    def on_top_of_book(
        self, ctx: Context, event: TopOfBook, market_state: MarketState, portfolio: Portfolio
    ) -> Hook:
        self.sets = ctx.sets.of(self.token)
        for one in self.sets:
            self.reasons[one.kind].append(ctx.sets.unready(one, event, self.limits))
        return None


def looked(stream: SetStream, token: int = 0, limits: Freshness = LIMITS) -> Looker:
    engine = simulate(stream.end(), lambda: Looker(token, limits))
    strategy = only(engine).runs[0].strategy
    assert isinstance(strategy, Looker)
    assert only(engine).runs[0].first_error is None
    return strategy


def test_a_token_is_in_its_pair_and_in_one_side_of_its_event() -> None:
    stream = SetStream().event_of(3).both(0, {30: 50}, {35: 50})
    pair, event = looked(stream).sets
    assert (pair.kind, pair.tokens, pair.pays_e6) == (SetKind.PAIR, (0, 1), 1_000_000)
    assert (event.kind, event.tokens, event.pays_e6) == (SetKind.ALL_YES, (0, 2, 4), 1_000_000)
    stream = SetStream().event_of(3).both(0, {30: 50}, {35: 50})
    _, event = looked(stream, 3).sets
    assert (event.kind, event.tokens, event.pays_e6) == (SetKind.ALL_NO, (1, 3, 5), 2_000_000)


@pytest.mark.parametrize(
    "facts",
    [{"neg_risk_augmented": True}, {"neg_risk": False}, {"neg_risk_market_id": None}],
)
def test_there_is_no_set_of_an_event_that_may_grow_or_is_none(facts: dict[str, Any]) -> None:
    stream = SetStream().event_of(3, **facts).both(0, {30: 50}, {35: 50})
    assert [one.kind for one in looked(stream).sets] == [SetKind.PAIR]


@pytest.mark.parametrize(
    ("stated", "accepts", "whole"),
    [
        ([3, 3, 3], False, True),
        ([4, 4, 4], False, False),  # one was left out, or is closed
        ([4, 4, 4], True, False),
        ([3, 3, 4], False, False),  # one was added since, and is not told
        ([2, 3, 3], False, True),  # one was added since, and is told
        ([None, None, None], False, False),
        ([3, None, 3], False, False),
        ([None, None, None], True, True),
        ([None, 4, None], True, False),
        ([0, 0, 0], False, False),  # counted something else
        ([2, 2, 2], False, False),
        ([None, 2, 2], True, False),
    ],
)
def test_a_set_has_as_many_markets_as_its_event(
    stated: list[int | None], accepts: bool, whole: bool
) -> None:
    """R409: a stream that leaves markets out makes all YES of the others look cheap."""
    stream = SetStream().event_of(3)
    for number, count in enumerate(stated):
        facts = {"neg_risk": True, "neg_risk_market_id": "0xset", "event_markets": count}
        stream.market(number, **facts)
    stream.both(0, {30: 50}, {35: 50})
    engine = simulate(stream.end(), Looker, accepts_uncounted_sets=accepts)
    [run] = only(engine).runs
    assert isinstance(run.strategy, Looker)
    assert [one.kind for one in run.strategy.sets] == [SetKind.PAIR, SetKind.ALL_YES][: 1 + whole]


def test_a_market_that_closes_ends_the_set_of_its_event() -> None:
    stream = SetStream().event_of(3).both(0, {30: 50}, {35: 50})
    stream.resolved(winner=5, number=2).both(0, {30: 50}, {35: 50})  # type: ignore[attr-defined]
    assert [one.kind for one in looked(stream).sets] == [SetKind.PAIR]
    stream = SetStream().event_of(3).both(0, {30: 50}, {35: 50})
    stream.resolved(winner=0).both(1, {30: 50}, {35: 50})  # type: ignore[attr-defined]
    assert looked(stream).sets == ()


@pytest.mark.parametrize(
    ("text", "names"),
    [("Will Ada win?", False), ("Will someone else win?", True), ("Will no OTHER win?", True),
     ("A mother of two", False)],
)  # fmt: skip
def test_the_word_other_is_seen(text: str, names: bool) -> None:
    stream = SetStream().event_of(3, question=text).both(0, {30: 50}, {35: 50})
    assert [one.names_other for one in looked(stream).sets] == [False, names]


def test_nothing_is_compared_before_the_end_of_a_message() -> None:
    stream = SetStream().event_of(1, neg_risk=False).both(0, {30: 50}, {35: 50})
    assert looked(stream).reasons[SetKind.PAIR] == [Unready.MID_MESSAGE, None]


PAIRS: list[tuple[Unready | None, Any]] = [
    (Unready.OTHER_INSTANT, lambda it: it.both(0, {30: 9}, {35: 9}).one(0, {30: 9}, {36: 9})),
    (Unready.OTHER_INSTANT, lambda it: it.both(0, {30: 9}, {35: 9}, is_split=True)),
    (Unready.NOT_MIRRORED, lambda it: it.both(0, {30: 9}, {35: 9}, no=({64: 9}, {70: 9}))),
    (Unready.CROSSED, lambda it: it.both(0, {35: 9}, {35: 9})),
    (Unready.UNSETTLED, lambda it: it.both(0, {30: 9}, {35: 9}, settled=Settled.UNSETTLED)),
    (Unready.UNSETTLED, lambda it: it.both(0, {30: 9}, {35: 9}, settled=Settled.UNSTATED)),
    (Unready.NOT_LIVE, lambda it: it.both(0, {30: 9}, {35: 9}, state=State.RECONNECTING)),
    (Unready.ONE_SIDED, lambda it: it.both(0, {}, {35: 9})),
    (Unready.NO_BOOK, lambda it: it.one(0, {30: 9}, {35: 9})),
    (None, lambda it: it.both(0, {30: 9}, {35: 9})),
]


@pytest.mark.parametrize("at", range(len(PAIRS)))
def test_why_a_pair_is_not_ready(at: int) -> None:
    reason, make = PAIRS[at]
    assert looked(make(SetStream().event_of(1))).reasons[SetKind.PAIR][-1] is reason


@pytest.mark.parametrize(
    ("wait_ms", "reason"),
    [(999, None), (1_001, Unready.SKEWED), (5_001, Unready.STALE)],
)
def test_legs_of_an_event_have_an_age_and_a_skew(wait_ms: int, reason: Unready | None) -> None:
    stream = SetStream().event_of(2).both(0, {30: 50}, {35: 50})
    stream.now += wait_ms * MS - stream.step_ns
    stream.both(1, {30: 50}, {35: 50})
    assert looked(stream).reasons[SetKind.ALL_YES][-1] is reason


# -- plans ------------------------------------------------------------------------------------------


class Buyer(Strategy):
    """Plans every set at the last top, and buys what a plan says."""

    def __init__(self, kind: SetKind, size_e6: int, ticks: int, at_seq: int) -> None:
        super().__init__()
        self.kind, self.size_e6, self.ticks, self.at_seq = kind, size_e6, ticks, at_seq
        self.plan: CostPlan | None = None
        self.sizes: tuple[SzE6, ...] = ()

    def on_top_of_book(
        self, ctx: Context, event: TopOfBook, market_state: MarketState, portfolio: Portfolio
    ) -> Iterator[Intent]:
        if event.seq != self.at_seq:
            return
        for one in ctx.sets.of(0 if self.kind is not SetKind.ALL_NO else 1):
            if one.kind is self.kind:
                self.sizes = ctx.sets.sizes(one, SzE6(self.size_e6))
                self.plan = ctx.sets.plan(one, SzE6(self.size_e6), self.ticks)
        if self.plan is not None:
            for leg in self.plan.legs:
                yield Buy(leg.token, leg.limit_px_e6, self.plan.size_e6, Tif.FOK)


LEVELS = st.lists(st.tuples(st.integers(1, 9), st.integers(6, 60)), min_size=1, max_size=4)


@st.composite
def books(draw: st.DrawFn) -> tuple[dict[int, int], dict[int, int]]:
    bid = draw(st.integers(5, 60))
    width = draw(st.integers(1, 20))
    bids = {max(1, bid - step): size for step, size in draw(LEVELS)} | {
        bid: draw(st.integers(6, 60))
    }
    asks = {min(99, bid + width + step): size for step, size in draw(LEVELS)}
    return bids, asks


def bought(
    told: list[Any], later: list[Any], kind: SetKind, size: int, ticks: int, **given_: Any
) -> tuple[Buyer, Engine]:
    stream = SetStream().event_of(3, fee_schedule={"rate": given_.pop("rate"), "exponent": "1"})
    for number, (bids, asks) in enumerate(told):
        stream.both(number, bids, asks)
    seq = stream.seq
    for number, (bids, asks) in enumerate(later):
        stream.both(number, bids, asks)
    engine = simulate(
        stream.end(later=10**9), lambda: Buyer(kind, size, ticks, seq), cash_e6=10**12, **given_
    )
    buyer = only(engine).runs[0].strategy
    assert isinstance(buyer, Buyer)
    assert only(engine).runs[0].first_error is None
    return buyer, engine


CASES: dict[str, Any] = {
    "told": st.lists(books(), min_size=3, max_size=3),
    "kind": st.sampled_from(list(SetKind)),
    "size": st.integers(500, 9_000).map(lambda hundredths: hundredths * 10_000),
    "ticks": st.integers(0, 3),
    "rate": st.sampled_from(["0", "0.03", "0.07"]),
    "lens": st.sampled_from([WORST, CENTRAL]),
    "slippage": st.sampled_from([0, 7, 150]),
}


@given(**CASES)
@settings(max_examples=60, deadline=None)
def test_on_the_books_of_the_plan_the_fills_cost_what_it_says(
    told: list[Any], kind: SetKind, size: int, ticks: int, rate: str, lens: str, slippage: int
) -> None:
    buyer, engine = bought(
        told, [], kind, size, ticks, rate=rate, lenses=(lens,), slippage_bps=slippage
    )
    plan, ledger = buyer.plan, only(engine).ledger
    spent = 10**12 - ledger.cash_e6
    if plan is None:
        assert spent == 0
        return
    assert spent == plan.cost_e6
    assert plan.cost_e6 <= plan.at_most_e6
    assert set(ledger.positions_e6()) == set(plan.of.tokens)
    assert set(ledger.positions_e6().values()) == {size}
    assert size in buyer.sizes or size <= max(buyer.sizes)


@given(later=st.lists(books(), min_size=3, max_size=3), **CASES)
@settings(max_examples=60, deadline=None)
def test_whatever_the_books_become_no_fill_costs_more_than_the_plan_says(
    told: list[Any], later: list[Any], kind: SetKind, size: int, ticks: int, rate: str, lens: str,
    slippage: int,
) -> None:  # fmt: skip
    buyer, engine = bought(
        told, later, kind, size, ticks,
        rate=rate, lenses=(lens,), slippage_bps=slippage, latency_ns=10_000_000,
    )  # fmt: skip
    ledger = only(engine).ledger
    spent = 10**12 - ledger.cash_e6
    assert spent <= (0 if buyer.plan is None else buyer.plan.at_most_e6)
    if buyer.plan is not None:
        for leg in buyer.plan.legs:
            holding = ledger.holding(leg.token)
            assert holding.cost_e6 <= leg.at_most_e6
            assert holding.held_e6 in {0, size}


def test_what_a_plan_says_by_hand() -> None:
    told = [({30: 20}, {33: 10, 35: 20}), ({30: 20}, {33: 30}), ({30: 20}, {32: 30})]
    buyer, _ = bought(told, [], SetKind.ALL_YES, 12_000_000, 1, rate="0.04", fee_bps=0)
    plan = buyer.plan
    assert plan is not None
    first = plan.legs[0]
    assert (first.worst_px_e6, first.limit_px_e6) == (350_000, 360_000)
    assert first.paid_e6 == 10 * 330_000 + 2 * 350_000
    # 10 x 0.04 x 0.33 x 0.67 and 2 x 0.04 x 0.35 x 0.65, each up to five decimals.
    assert first.fee_e6 == 88_440 + 18_200
    assert first.sold_back_e6 == 12 * 300_000 - 12 * 8_400
    assert plan.pays_e6 == 12_000_000
    assert plan.profit_e6 == 12_000_000 - plan.cost_e6
    losses = sorted(leg.paid_e6 + leg.fee_e6 - leg.sold_back_e6 for leg in plan.legs)
    assert plan.leg_risk_e6 == losses[1] + losses[2]
    assert buyer.sizes == (12_000_000, 10_000_000)


@pytest.mark.parametrize(
    ("size", "reason"),
    [(4_990_000, "minimum"), (31_000_000, "depth"), (10_005_000, "decimals")],
)
def test_there_is_no_plan_for_what_the_venue_would_refuse(size: int, reason: str) -> None:
    told = [({30: 20}, {33: 30}), ({30: 20}, {33: 30}), ({30: 20}, {32: 30})]
    buyer, _ = bought(told, [], SetKind.ALL_YES, size, 0, rate="0")
    assert buyer.plan is None, reason


def test_a_purchase_of_less_than_a_dollar_has_no_plan() -> None:
    told = [({9: 20}, {10: 30}), ({9: 20}, {33: 30}), ({30: 20}, {32: 30})]
    assert bought(told, [], SetKind.ALL_YES, 9_990_000, 0, rate="0")[0].plan is None
    assert bought(told, [], SetKind.ALL_YES, 10_000_000, 0, rate="0")[0].plan is not None
