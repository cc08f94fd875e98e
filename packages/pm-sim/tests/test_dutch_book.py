"""Sets that are bought whole, sets that are not, and what an incomplete purchase costs."""

import json
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from random import Random
from typing import Any

import pytest
from set_streams import SetStream, fair
from simulated import only, simulate

from pm_frames.continuity import State
from pm_frames.events import Settled
from pm_sim import Fill, Merge, PxE6, Reject, RejectReason, SetKind, Side, SzE6, shares
from pm_sim.engine import Engine
from pm_sim.ledger import Totals
from pm_sim.settings import CENTRAL, WORST
from pm_sim.strategies.dutch_book import DutchBook

CASH = 1_000_000_000
# Bid and ask of five markets: the asks sum to 0.95, the bids to 0.90.
CHEAP = [({18: 50}, {19: 50}) for _ in range(5)]
# The bids sum to 1.05, so that the asks of NO sum to 3.95.
DEAR = [({21: 50}, {22: 50}) for _ in range(5)]
FREE: dict[str, Any] = {"fees_enabled": False}


def book(**values: Any) -> Callable[[], DutchBook]:
    return lambda: DutchBook(**{"least_bids": 800_000, "slippage_ticks": 0, **values})


def ran(engine: Engine) -> DutchBook:
    strategy = only(engine).runs[0].strategy
    assert isinstance(strategy, DutchBook)
    assert only(engine).runs[0].first_error is None
    return strategy


def totals(engine: Engine) -> Totals:
    return only(engine).totals()


def venue_fee(px_e6: int, size: int, rate: str = "0.04") -> int:
    """The schedule of venue.md 4, on its own: C x rate x p(1 - p), up to five decimals of a dollar."""
    p = Fraction(px_e6, 1_000_000)
    fee = size * Fraction(rate) * p * (1 - p) * 100_000
    return -(-fee.numerator // fee.denominator) * 10


@pytest.mark.parametrize("depth", [True, False])
@pytest.mark.parametrize("seed", range(4))
def test_a_planted_set_is_found_among_fair_ones_and_paid_exactly(seed: int, depth: bool) -> None:
    random = Random(seed)
    stream = SetStream(depth=depth).event_of(5)
    for _ in range(30):
        for number, (bids, asks) in enumerate(fair(random, 5)):
            stream.both(number, bids, asks)
    # Each ask is a cent dearer than that of CHEAP in one market: 0.93 in all.
    planted = [(18, 19), (17, 18), (19, 20), (16, 17), (18, 19)]
    for number, (bid, ask) in enumerate(planted):
        stream.both(number, {bid: 50}, {ask: 40 + number})
    for _ in range(30):
        for number, (bids, asks) in enumerate(fair(random, 5)):
            stream.both(number, bids, asks)
    stream.resolved(winner=4, number=2)
    for number in (0, 1, 3, 4):
        stream.resolved(winner=2 * number + 1, number=number)
    engine = simulate(stream.end(), book())
    strategy, after = ran(engine), totals(engine)
    cost = sum(ask * 10_000 * 10 for _, ask in planted)
    fees = sum(venue_fee(ask * 10_000, 10) for _, ask in planted)
    assert (strategy.complete, strategy.unwound) == (1, 0)
    assert after.fees_paid_e6 == fees
    assert after.cash_e6 == CASH + 10_000_000 - cost - fees
    assert (after.cost_basis_e6, after.reserved_e6, after.in_transit_e6) == (0, 0, 0)
    assert only(engine).fills.count == 5


def test_all_no_is_converted_and_paid_when_that_is_done() -> None:
    stream = SetStream().event_of(5, **FREE)
    for number, (bids, asks) in enumerate(DEAR):
        stream.both(number, bids, asks)
    engine = simulate(stream.end(later=60_000_000_000), book(), fee_bps=0)
    # Five NO at 0.79 cost 3.95, and pay 4.
    assert (ran(engine).complete, totals(engine).cash_e6) == (1, CASH + 10 * 50_000)
    assert only(engine).ledger.positions_e6() == {}
    early = simulate(_events(DEAR).end(later=59_000_000_000), book(), fee_bps=0)
    assert totals(early).cash_e6 == CASH - 39_500_000
    assert totals(early).in_transit_e6 == 39_500_000


def _events(books: list[Any], count: int | None = None, **facts: Any) -> SetStream:
    stream = SetStream().event_of(count or len(books), **{**FREE, **facts})
    for number, (bids, asks) in enumerate(books):
        stream.both(number, bids, asks)
    return stream


def test_without_fees_the_cheap_set_is_bought() -> None:
    engine = simulate(_events(CHEAP).end(), book(), fee_bps=0)
    assert (ran(engine).complete, totals(engine).cash_e6) == (1, CASH - 9_500_000)


@pytest.mark.parametrize(
    ("facts", "values"),
    [
        ({"neg_risk_augmented": True}, {}),
        ({"neg_risk": False}, {}),
        ({"question": "Will another candidate win?"}, {}),
        ({"min_size_e6": 11_000_000}, {}),
        ({"listed": False}, {}),
        ({}, {"least_bids": 910_000}),
        ({}, {"kinds": "pair"}),
        ({}, {"kinds": "all_no"}),
        ({}, {"min_profit": 50_000}),
        ({}, {"safety_margin": 30_000}),
        ({}, {"slippage_ticks": 6}),
        ({}, {"fee_bps": 500}),
        ({}, {"max_leg_risk": 0}),
        ({}, {"size": 4_990_000}),
        ({"fees_enabled": True, "fee_schedule": {"rate": "0.07", "exponent": "1"}}, {}),
    ],
)
def test_what_is_not_sure_enough_is_left_alone(
    facts: dict[str, Any], values: dict[str, Any]
) -> None:
    engine = simulate(_events(CHEAP, **facts).end(), book(**values), fee_bps=0)
    assert only(engine).intents.count == 0
    assert ran(engine).complete == 0


def test_a_set_that_speaks_of_another_is_bought_if_that_is_allowed() -> None:
    stream = _events(CHEAP, question="Will another candidate win?")
    assert ran(simulate(stream.end(), book(allow_other=True), fee_bps=0)).complete == 1


def test_a_set_with_a_market_that_was_never_told_is_left_alone() -> None:
    engine = simulate(_events(CHEAP[:4], 5).end(), book(least_bids=0), fee_bps=0)
    assert only(engine).intents.count == 0


@pytest.mark.parametrize("late_ms", [5_001, 4_000])
def test_old_legs_and_legs_far_apart_are_not_compared(late_ms: int) -> None:
    stream = _events(CHEAP[:4], 5)
    stream.now += late_ms * 1_000_000
    stream.both(4, *CHEAP[4])
    data = stream.end()
    assert ran(simulate(data, book(), fee_bps=0)).complete == (late_ms == 4_000)
    assert ran(simulate(data, book(max_skew_ms=3_999), fee_bps=0)).complete == 0
    assert ran(simulate(data, book(max_age_ms=3_999), fee_bps=0)).complete == 0


@pytest.mark.parametrize("settled", [Settled.UNSETTLED, Settled.UNSTATED])
def test_one_leg_that_is_not_settled_is_enough(settled: Settled) -> None:
    stream = _events(CHEAP[:4], 5).both(4, *CHEAP[4], settled=settled)
    assert only(simulate(stream.end(), book(), fee_bps=0)).intents.count == 0


def test_one_leg_that_is_not_live_is_enough() -> None:
    stream = _events(CHEAP[:4], 5)
    stream.status(0, State.RECONNECTING)
    stream.both(4, *CHEAP[4])
    assert only(simulate(stream.end(), book(), fee_bps=0)).intents.count == 0


def test_changed_rules_end_the_interest_in_a_set() -> None:
    stream = _events(CHEAP[:4], 5)
    facts = {"neg_risk": True, "neg_risk_market_id": "0xset", "event_markets": 5, **FREE}
    stream.market(4, question="Something new?", **facts)
    stream.both(4, *CHEAP[4])
    assert only(simulate(stream.end(), book(), fee_bps=0)).intents.count == 0


# -- pairs ----------------------------------------------------------------------------------------


def artefacts() -> dict[str, SetStream]:
    """Every way in which a pair of one market seems to cost less than a dollar (venue.md 1.7)."""
    apart = SetStream().event_of(1, **FREE).both(0, {46: 50}, {47: 50})
    # NO has moved with YES, but is told later: the asks of two instants sum to 0.97.
    apart.one(1, {56: 50}, {57: 50}).one(0, {42: 50}, {43: 50})
    stale = SetStream().event_of(1, **FREE).both(0, {46: 50}, {47: 50}).one(0, {39: 50}, {40: 50})
    crossed = SetStream().event_of(1, **FREE).both(0, {50: 50}, {46: 50})
    middle = SetStream().event_of(1, **FREE)
    middle.both(0, {46: 50}, {47: 50}, no=({46: 50}, {49: 50}), settled=Settled.UNSETTLED)
    split = SetStream().event_of(1, **FREE)
    split.both(0, {44: 50}, {45: 50}, no=({44: 50}, {45: 50}), is_split=True)
    other = SetStream().event_of(1, **FREE)
    other.both(0, {44: 50}, {45: 50}, no=({44: 50}, {45: 50}))
    return {"apart": apart, "stale": stale, "crossed": crossed, "middle": middle, "split": split,
            "not mirrored": other}  # fmt: skip


@pytest.mark.parametrize("name", sorted(artefacts()))
@pytest.mark.parametrize("lens", [WORST, CENTRAL])
def test_artefacts_of_one_book_seen_twice_yield_no_fill(name: str, lens: str) -> None:
    stream = artefacts()[name]
    engine = simulate(stream.end(), book(), lenses=(lens,), fee_bps=0)
    assert (only(engine).intents.count, only(engine).fills.count) == (0, 0)


@pytest.mark.parametrize("name", sorted(artefacts()))
def test_who_does_not_look_at_the_mirror_is_refused_by_the_venue(name: str) -> None:
    stream = artefacts()[name]
    engine = simulate(stream.end(later=60_000_000_000), book(must_mirror=False), fee_bps=0)
    asked = name == "not mirrored"
    assert (only(engine).intents.count, only(engine).fills.count) == (2 * asked, 0)
    assert only(engine).rejects[RejectReason.CROSSED_BOOK] == 2 * asked
    assert totals(engine).cash_e6 == CASH


# -- leg risk ---------------------------------------------------------------------------------------


def test_a_leg_that_is_missed_has_the_others_sold_back_and_costed() -> None:
    stream = _events(CHEAP)
    # While the orders are under way, one ask goes; the bids of the others fall by a cent.
    stream.both(2, {18: 50}, {30: 50})
    for number in (0, 1, 3, 4):
        stream.both(number, {17: 50}, {19: 50})
    stream.now += 1_000_000_000
    engine = simulate(stream.end(), book(), latency_ns=20_000_000, fee_bps=0)
    strategy = ran(engine)
    # Four legs of ten at 0.19, back at 0.17.
    assert (strategy.complete, strategy.unwound, strategy.unwound_e6) == (0, 1, 4 * 10 * 20_000)
    assert totals(engine).cash_e6 == CASH - strategy.unwound_e6
    assert (only(engine).ledger.positions_e6(), strategy.kept) == ({}, {})
    assert only(engine).rejects[RejectReason.FOK_UNFILLED] == 1


def test_a_leg_is_sold_back_a_tick_below_the_bid_that_was_seen() -> None:
    stream = _events(CHEAP)
    stream.both(2, {18: 50}, {30: 50})
    # The orders arrive after 20 ms, the sales after 40: in between the bids fall by a cent.
    stream.now += 20_000_000
    for number in (0, 1, 3, 4):
        stream.both(number, {17: 50}, {19: 50})
    engine = simulate(stream.end(later=10**8), book(), latency_ns=20_000_000, fee_bps=0)
    assert (ran(engine).unwound, ran(engine).unwound_e6) == (1, 4 * 10 * 20_000)
    assert only(engine).rejects[RejectReason.NO_MATCH] == 0


@pytest.mark.parametrize(("rate", "about"), [("0.04", 116_000), ("0.07", 95_000)])
def test_who_slips_as_far_as_is_allowed_has_the_least_profit_still(rate: str, about: int) -> None:
    """R411: every leg becomes a tick dearer on the way, and its fee with it; the promise holds."""
    bought = 0
    facts: dict[str, Any] = {"fees_enabled": True, "fee_schedule": {"rate": rate, "exponent": "1"}}
    for least in range(about, about + 12_000, 250):
        stream = _events([({15: 50}, {16: 50}) for _ in range(5)], **facts)
        for number in range(5):
            stream.both(number, {15: 50}, {17: 50})
        data = stream.end(later=10**9)
        given = {"min_profit": least, "slippage_ticks": 1, "least_bids": 0}
        engine = simulate(data, book(**given), latency_ns=20_000_000, fee_bps=0)
        if ran(engine).complete:
            bought += 1
            assert totals(engine).cash_e6 + 10 * 1_000_000 - CASH >= 10 * given["min_profit"]
    assert 0 < bought < 48


def test_the_size_is_the_one_that_leaves_most() -> None:
    # Ten leave 0.05 each. Ten more leave nothing, but would have to leave 0.02 each.
    stream = _events([({18: 50}, {19: 10, 20: 40}) for _ in range(5)])
    engine = simulate(stream.end(), book(size=20_000_000), fee_bps=0)
    assert set(only(engine).ledger.positions_e6().values()) == {10_000_000}


@pytest.mark.parametrize(("cash_e6", "complete"), [(9_500_000, 0), (9_600_000, 1)])
def test_nothing_is_begun_that_cannot_be_paid(cash_e6: int, complete: int) -> None:
    engine = simulate(_events(CHEAP).end(), book(), fee_bps=0, cash_e6=cash_e6)
    assert ran(engine).complete == complete
    assert only(engine).intents.count == 5 * complete


def test_fees_of_both_ways_are_part_of_what_an_incomplete_set_costs() -> None:
    stream = _events(CHEAP, fees_enabled=True)
    stream.both(2, {18: 50}, {30: 50})
    stream.now += 1_000_000_000
    engine = simulate(stream.end(), book(min_profit=0), latency_ns=20_000_000)
    strategy = ran(engine)
    lost = 4 * (10 * 10_000 + venue_fee(190_000, 10) + venue_fee(180_000, 10))
    assert (strategy.unwound, strategy.unwound_e6) == (1, lost)
    assert totals(engine).cash_e6 == CASH - lost


def test_what_nobody_takes_back_is_tried_again_and_then_kept() -> None:
    stream = _events(CHEAP)
    stream.both(2, {18: 50}, {30: 50})
    stream.both(0, {}, {19: 50})
    stream.now += 10_000_000_000
    data = stream.end()
    engine = simulate(data, book(unwinds_max=3), latency_ns=10_000_000, fee_bps=0)
    strategy = ran(engine)
    assert (strategy.unwound, strategy.kept) == (1, {0: 10_000_000})
    assert only(engine).rejects[RejectReason.NO_MATCH] == 3
    assert only(engine).ledger.positions_e6() == {0: 10_000_000}


def test_a_purchase_whose_every_leg_is_missed_costs_nothing() -> None:
    stream = _events(CHEAP)
    for number in range(5):
        stream.both(number, {18: 50}, {30: 50})
    engine = simulate(stream.end(later=10**9), book(), latency_ns=20_000_000, fee_bps=0)
    assert (ran(engine).complete, ran(engine).unwound, totals(engine).cash_e6) == (0, 0, CASH)


def test_the_allocator_may_cut_a_purchase_and_what_was_sent_is_unwound() -> None:
    from pm_sim.allocator import Limits

    engine = simulate(
        _events(CHEAP).end(later=10**9), book(), fee_bps=0, limits=Limits(intents_per_strategy=3)
    )
    strategy = ran(engine)
    assert (strategy.complete, strategy.unwound, strategy.unwound_e6) == (0, 1, 3 * 10 * 10_000)
    assert only(engine).ledger.positions_e6() == {}


def test_no_more_is_held_of_a_set_than_is_allowed() -> None:
    stream = _events(CHEAP)
    for _ in range(6):
        for number in range(5):
            stream.both(number, {18: 100}, {19: 100})
    engine = simulate(stream.end(), book(max_sets=26_000_000), fee_bps=0)
    assert ran(engine).complete == 3
    assert set(only(engine).ledger.positions_e6().values()) == {26_000_000}


# -- as a generator ---------------------------------------------------------------------------------


class Told:
    """A context of which only the time is looked at."""

    now_ns = 5

    def __getattr__(self, name: str) -> Any:
        raise AssertionError(name)


def test_fills_and_rejects_as_a_generator() -> None:
    from pm_sim.set_views import OutcomeSet
    from pm_sim.strategies.dutch_book import _Attempt
    from pm_sim.views import EMPTY_PORTFOLIO

    ctx: Any = Told()
    strategy = DutchBook()
    strategy.on_start(ctx)
    pair = OutcomeSet(SetKind.PAIR, "m", (0, 1), 1_000_000, False)  # type: ignore[arg-type]
    attempt = _Attempt(pair, shares("10"), "1-2", {1: 0, 2: 1})
    strategy._attempts[pair.key] = attempt
    strategy._by_order = {1: attempt, 2: attempt}
    fill = Fill(1, 1, "d", 0, Side.BUY, PxE6(450_000), SzE6(4_000_000), 0, False, 5, 1, State.LIVE, 0, 0, 0)  # type: ignore[arg-type] # fmt: skip
    assert list(strategy.on_fill(ctx, fill, EMPTY_PORTFOLIO)) == []
    rest = fill._replace(size_e6=SzE6(6_000_000))
    assert list(strategy.on_fill(ctx, rest, EMPTY_PORTFOLIO)) == []
    other = fill._replace(order_id=2, token=1, size_e6=SzE6(10_000_000))
    assert list(strategy.on_fill(ctx, other, EMPTY_PORTFOLIO)) == [
        Merge(0, SzE6(10_000_000), "1-2")
    ]
    stray = Reject(0, "d", 0, RejectReason.NOT_HELD, SzE6(1), 5)
    assert list(strategy.on_reject(ctx, stray, EMPTY_PORTFOLIO)) == []
    assert strategy.complete == 1


def test_sales_that_the_allocator_never_lets_through_end_after_as_many_attempts() -> None:
    from types import SimpleNamespace

    from pm_sim.intents import Sell, Timer
    from pm_sim.set_views import OutcomeSet
    from pm_sim.strategies.dutch_book import _Attempt
    from pm_sim.views import EMPTY_PORTFOLIO

    market = SimpleNamespace(tick_e6=10_000)
    state = SimpleNamespace(
        facts=SimpleNamespace(market=market), top=SimpleNamespace(bid_px_e6=400_000)
    )
    ctx: Any = SimpleNamespace(now_ns=5, market_state=lambda token: state)
    strategy = DutchBook(unwinds_max=2)
    strategy.on_start(ctx)
    pair = OutcomeSet(SetKind.PAIR, "m", (0, 1), 1_000_000, False)  # type: ignore[arg-type]
    strategy._attempts[pair.key] = _Attempt(pair, shares("10"), "1-2", held={0: 10}, paid_e6=4)
    timer = Timer(9, "pair m")
    for yields in ([Sell, Timer], [Sell, Timer], [], []):
        # Every sale is answered with None.
        told = list(strategy.on_timer(ctx, timer, EMPTY_PORTFOLIO))
        assert [type(one) for one in told] == yields
    assert (strategy.unwound, strategy.unwound_e6, strategy.kept) == (1, 4, {0: 10})


# -- as a command -----------------------------------------------------------------------------------


def test_the_command_finds_it_too_and_both_lenses_are_paid_exactly(tmp_path: Path) -> None:
    stream = _events([({18: 20}, {19: 20}) for _ in range(5)], fees_enabled=True)
    stream.resolved(winner=4, number=2)
    path = tmp_path / "set.pmev"
    path.write_bytes(stream.end())
    done = subprocess.run(
        [
            sys.executable, "-m", "pm_sim", str(path), "--strategy", "dutch_book",
            "--param", "least_bids=0.9", "--param", "slippage_ticks=0", "--param", "size=20",
            "--param", "min_profit=0.01", "--order-latency-ms", "0", "--fee-bps", "200",
        ],
        capture_output=True, timeout=120, check=True,
    )  # fmt: skip
    lenses = json.loads(done.stdout)["lenses"]
    # Half of what is displayed can be had in the worst lens; of 2 % and the venue's fee the venue's is dearer.
    for lens, size in (("worst", 10), ("central", 20)):
        pnl = lenses[lens]["pnl"]
        fees = 5 * venue_fee(190_000, size)
        assert (lenses[lens]["fills"], pnl["fees_paid_e6"]) == (5, fees)
        assert pnl["cash_e6"] == CASH - 5 * 190_000 * size + 1_000_000 * size - fees
        assert pnl["positions_e6"] == {f"t{token}": size * 1_000_000 for token in (0, 2, 6, 8)}
