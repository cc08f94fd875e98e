"""What can be believed of a book: nothing after a break, nothing that is crossed."""

from typing import Any

import pytest
from simulated import Script, only, script, simulate
from streams import CENT, MS, NO, SHARE, T0, YES, Stream

from pm_frames.continuity import State
from pm_frames.events import CorruptEvents, Kind, Settled
from pm_sim import Buy, PxE6, Sell, SzE6
from pm_sim.engine import Engine
from pm_sim.exchange import Taint
from pm_sim.mask import Mask


def buy(px: int, size: int = 10, token: int = YES) -> Buy:
    return Buy(token, PxE6(px * CENT), SzE6(size * SHARE))


def reasons(data: bytes, plan: dict[int, list[Any]], **more: Any) -> list[str]:
    """Return what an order came to: the reason of a rejection, or `fill`."""
    told = script(simulate(data, lambda: Script(plan), **more)).told
    return [one.reason.value if hasattr(one, "reason") else "fill" for one in told]


def test_after_a_change_of_tick_nothing_fills_until_the_book_is_told_anew() -> None:
    data = Stream().market().book(YES, {40: 50}, {50: 50}).book(NO, {40: 50}, {60: 50})
    data.event(Kind.TICK_SIZE, YES, bid_px_e6=CENT, ask_px_e6=CENT)
    data.book(NO, {40: 50}, {60: 50}).book(YES, {40: 50}, {50: 50}).book(NO, {40: 50}, {60: 50})
    assert reasons(data.end(), {4: [buy(50)], 5: [buy(50)]}) == ["not_live", "fill"]


def test_a_book_said_to_be_live_again_is_awaited() -> None:
    data = Stream().market().book(YES, {40: 50}, {50: 50}).book(NO, {40: 50}, {60: 50})
    data.status(YES, State.RECONNECTING).status(YES, State.LIVE, State.RECONNECTING)
    data.book(NO, {40: 50}, {60: 50}).book(YES, {40: 50}, {50: 50})
    assert reasons(data.end(), {5: [buy(50)], 6: [buy(50)]}) == ["not_live", "fill"]


def test_a_profile_that_tells_no_breaks_fills_nothing() -> None:
    data = Stream(profile="book-only").market().book(YES, {40: 50}, {50: 50}).end()
    assert reasons(data, {1: [buy(50)]}) == ["not_live"]
    assert reasons(data, {1: [buy(50)]}, taint=Taint.LABEL) == ["fill"]


CROSSED = [
    ({40: 50}, {50: 50}, {60: 50}, {45: 50}),  # both asks together cost less than a dollar
    ({40: 50}, {50: 50}, {65: 50}, {70: 50}),  # both bids bring more
    ({50: 50}, {50: 50}, {50: 50}, {50: 50}),
    ({55: 50}, {50: 50}, {45: 50}, {50: 50}),
]


@pytest.mark.parametrize(("bids", "asks", "no_bids", "no_asks"), CROSSED)
def test_a_book_that_cannot_be_fills_nothing(
    bids: dict[int, int], asks: dict[int, int], no_bids: dict[int, int], no_asks: dict[int, int]
) -> None:
    data = Stream().market().book(YES, bids, asks).book(NO, no_bids, no_asks).end()
    assert reasons(data, {2: [buy(55)]}) == ["crossed_book"]
    labelled = simulate(data, lambda: Script({2: [buy(55)]}), taint=Taint.LABEL)
    assert [one.is_tainted for one in script(labelled).told] == [True]


def test_two_views_that_agree_are_not_crossed() -> None:
    data = Stream().market().mirrored({49: 50}, {50: 50}).end()
    assert reasons(data, {2: [buy(50), buy(51, token=NO)]}) == ["fill", "fill"]
    alone = Stream().market().book(YES, {}, {50: 50}).book(NO, {50: 50}, {}).end()
    assert reasons(alone, {2: [buy(50)]}) == ["fill"]


def worth(stream: Stream, plan: dict[int, list[Any]] | None = None, **more: Any) -> Engine:
    plan = plan or {1: [buy(50)]}
    return simulate(stream.end(), lambda: Script(plan), **more)


def ending(*states: State) -> Stream:
    data = Stream().market().book(YES, {40: 50}, {50: 50}).book(NO, {40: 50}, {60: 50})
    before = State.LIVE
    for state in states:
        data.status(YES, state, before)
        before = state
    return data


@pytest.mark.parametrize(
    ("states", "pays"),
    [
        ((), 4), ((State.ENDED,), 4), ((State.UNKNOWN,), 0), ((State.RECONNECTING, State.ENDED), 0),
        ((State.RECONNECTING, State.LIVE), 0), ((State.PLANNED_CHANGE,), 0),
        ((State.RECONNECTING, State.LIVE, State.ENDED), 0),
    ],
)  # fmt: skip
def test_only_a_book_that_was_live_to_the_end_gives_a_mark(
    states: tuple[State, ...], pays: int
) -> None:
    engine = worth(ending(*states))
    assert only(engine).totals().unrealized_pnl_e6 == (pays - 5) * SHARE


def test_the_middle_of_a_batch_a_mask_and_a_crossed_book_give_no_mark() -> None:
    middle = ending().book(YES, {45: 50}, {50: 50}, settled=Settled.UNSETTLED)
    assert only(worth(middle)).totals().unrealized_pnl_e6 == -5 * SHARE
    mask = Mask("x", {"t0": [(T0 + 2 * MS, T0 + 9 * MS)]})
    assert only(worth(ending(), engine={"mask": mask})).totals().unrealized_pnl_e6 == -5 * SHARE
    crossed = ending().book(YES, {70: 50}, {75: 50})
    assert only(worth(crossed)).totals().unrealized_pnl_e6 == -5 * SHARE


def test_a_run_that_ends_while_a_book_is_lost_gives_no_mark() -> None:
    lost = ending()
    lost.status(YES, State.ENDED, State.RECONNECTING)
    assert only(worth(lost)).totals().unrealized_pnl_e6 == -5 * SHARE


def test_what_a_mask_covers_is_tainted_where_it_is_filled() -> None:
    mask = Mask("x", {"t0": [(T0, T0 + 9 * MS)]})
    engine = worth(ending(), engine={"mask": mask}, taint=Taint.LABEL)
    assert [one.is_tainted for one in script(engine).told] == [True]
    assert only(engine).totals().clean_pnl_e6 == 0


def test_a_bid_that_we_have_eaten_is_no_mark() -> None:
    data = Stream().market()
    for _ in range(3):
        data.book(YES, {40: 5, 30: 50}, {50: 50})
    sale = Sell(YES, PxE6(40 * CENT), SzE6(5 * SHARE))
    engine = worth(data, {1: [buy(50)], 2: [sale]})
    assert only(engine).totals().unrealized_pnl_e6 == -SHARE  # 5 shares at 0.30


def test_missing_events_are_found() -> None:
    for kind in (Kind.TOB, Kind.TRADE):
        stream = Stream().market().book(YES, {40: 50}, {50: 50})
        stream.seq += 1
        stream.event(kind, YES, bid_px_e6=CENT, bid_sz_e6=SHARE)
        with pytest.raises(CorruptEvents, match="missing"):
            simulate(stream.end())


def test_a_book_that_is_closed_twice_before_the_end_must_be_known_between() -> None:
    data = Stream().market().mirrored({40: 50}, {50: 50})
    data.status(YES, State.PLANNED_CHANGE).status(YES, State.LIVE, State.PLANNED_CHANGE)
    data.status(YES, State.PLANNED_CHANGE).status(YES, State.ENDED, State.PLANNED_CHANGE)
    engine = simulate(data.end(), lambda: Script({1: [buy(50)]}))
    assert only(engine).marks() == {YES: None}
