"""What becomes of orders at the simulated venue."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_frames.continuity import State
from pm_frames.events import NONE, Settled
from pm_sim.exchange import QueueModel, Taint, Terms
from pm_sim.fees import FlatBps
from pm_sim.orders import (
    Cancelled,
    Fill,
    Outcome,
    Reject,
    Rested,
    Side,
    Tif,
    Urgency,
)

BUY, SELL = Side.BUY, Side.SELL
YES, NO = 0, 1
NewScene = Callable[..., Any]


def told(outcomes: list[Outcome]) -> list[tuple[Any, ...]]:
    """Return outcomes in short: price in cents and size in hundredths, or the reason."""
    short: list[tuple[Any, ...]] = []
    for one in outcomes:
        if isinstance(one, Fill):
            short.append(("fill", one.px_e6 / 10_000, one.size_e6 // 10_000))
        elif isinstance(one, Reject):
            short.append((one.reason.name, one.size_e6 // 10_000))
        else:
            short.append((type(one).__name__.lower(), one.size_e6 // 10_000))
    return short


def test_a_taker_walks_the_levels_up_to_its_limit(new_scene: NewScene) -> None:
    scene = new_scene()
    scene.book(YES, {40: 1000}, {50: 1000, 52: 2000, 55: 9000})
    assert told(scene.order(YES, BUY, 52, 5000)) == [
        ("fill", 50, 1000), ("fill", 52, 2000), ("NO_MATCH", 2000),
    ]  # fmt: skip
    assert scene.ledger.positions_e6() == {YES: 30_000_000}
    assert scene.ledger.cash_e6 == 1_000_000_000 - 5_000_000 - 10_400_000


def test_displayed_size_is_had_once_and_in_both_views_of_the_book(new_scene: NewScene) -> None:
    scene = new_scene()
    scene.book(YES, {40: 1000}, {50: 1000})
    scene.book(NO, {50: 1000}, {60: 1000})
    assert told(scene.order(YES, BUY, 50, 600)) == [("fill", 50, 600)]
    scene.give(NO, 1000)
    # The NO bid at 0.50 is the YES ask at 0.50: 400 are left of it.
    assert told(scene.order(NO, SELL, 50, 1000)) == [("fill", 50, 400), ("NO_MATCH", 600)]
    assert told(scene.order(YES, BUY, 50, 500)) == [("NO_MATCH", 500)]


def test_what_was_taken_is_there_again_when_the_level_is_gone_and_new(new_scene: NewScene) -> None:
    scene = new_scene()
    scene.book(YES, {40: 1000}, {50: 1000})
    scene.order(YES, BUY, 50, 1000)
    scene.book(YES, {40: 1000}, {50: 1200})
    assert told(scene.order(YES, BUY, 50, 1200)) == [("fill", 50, 200), ("NO_MATCH", 1000)]
    scene.book(YES, {40: 1000}, {51: 700})
    scene.book(YES, {40: 1000}, {50: 1000})
    assert told(scene.order(YES, BUY, 50, 1000)) == [("fill", 50, 1000)]


def test_a_lens_that_is_less_strict_believes_a_restated_size(new_scene: NewScene) -> None:
    scene = new_scene(depth={"forget_on_restatement": True})
    scene.book(YES, {40: 1000}, {50: 1000})
    scene.order(YES, BUY, 50, 1000)
    scene.book(YES, {40: 1000}, {50: 1000})
    assert told(scene.order(YES, BUY, 50, 1000)) == [("NO_MATCH", 1000)]
    scene.book(YES, {40: 1000}, {50: 1200})
    assert told(scene.order(YES, BUY, 50, 1200)) == [("fill", 50, 1200)]


def test_half_of_what_is_displayed_can_be_had_in_the_worst_lens(new_scene: NewScene) -> None:
    scene = new_scene(depth={"share_bps": 5_000})
    scene.book(YES, {}, {50: 1001})
    assert told(scene.order(YES, BUY, 50, 1000)) == [("fill", 50, 500), ("NO_MATCH", 500)]


def test_without_depth_the_top_is_all_there_is(new_scene: NewScene) -> None:
    scene = new_scene()
    scene.book(YES, {40: 1000}, {50: 1000}, levels=False)
    assert told(scene.order(YES, BUY, 60, 5000)) == [("fill", 50, 1000), ("NO_MATCH", 4000)]
    # A better ask hides the level that we emptied; when it shows again it is still empty.
    scene.book(YES, {40: 1000}, {49: 600}, levels=False)
    assert told(scene.order(YES, BUY, 60, 600)) == [("fill", 49, 600)]
    scene.book(YES, {40: 1000}, {50: 1000}, levels=False)
    assert told(scene.order(YES, BUY, 60, 600)) == [("NO_MATCH", 600)]


def test_slippage_is_paid_inside_the_limit_or_not_at_all(new_scene: NewScene) -> None:
    scene = new_scene(Terms(fees=lambda market: FlatBps(0), slippage_bps=100))
    scene.book(YES, {40: 1000}, {50: 1000})
    assert told(scene.order(YES, BUY, 50, 500)) == [("NO_MATCH", 500)]
    assert told(scene.order(YES, BUY, 51, 500)) == [("fill", 50.5, 500)]
    assert told(scene.order(YES, SELL, 39, 500)) == [("fill", 39.6, 500)]


@pytest.mark.parametrize(
    ("px", "size", "reason"),
    [(101, 500, "PRICE_RANGE"), (50, 499, "MIN_SIZE"), (50, 0, "SIZE_DECIMALS")],
)
def test_the_rules_of_the_market_come_first(
    new_scene: NewScene, px: int, size: int, reason: str
) -> None:
    scene = new_scene()
    scene.book(YES, {40: 1000}, {50: 1000})
    assert told(scene.order(YES, BUY, px, size))[0][0] == reason
    assert scene.ledger.balances["reserved"] == 0


def test_fill_or_kill_fills_whole_or_not(new_scene: NewScene) -> None:
    scene = new_scene()
    scene.book(YES, {40: 1000}, {50: 1000, 51: 500})
    assert told(scene.order(YES, BUY, 51, 1600, tif=Tif.FOK)) == [("FOK_UNFILLED", 1600)]
    assert told(scene.order(YES, BUY, 51, 1500, tif=Tif.FOK)) == [
        ("fill", 50, 1000), ("fill", 51, 500),
    ]  # fmt: skip


def test_post_only_never_takes(new_scene: NewScene) -> None:
    scene = new_scene()
    scene.book(YES, {40: 1000}, {50: 1000})
    maker = {"tif": Tif.GTC, "urgency": Urgency.MAKER}
    assert told(scene.order(YES, BUY, 50, 500, **maker)) == [("POST_ONLY_CROSSES", 500)]
    assert told(scene.order(YES, BUY, 49, 500, **maker)) == [("rested", 500)]


def test_nobody_trades_with_himself(new_scene: NewScene) -> None:
    scene = new_scene()
    scene.book(YES, {40: 1000}, {50: 1000})
    scene.give(YES, 1000)
    assert told(scene.order(YES, SELL, 45, 500, tif=Tif.GTC)) == [("rested", 500)]
    assert told(scene.order(YES, BUY, 50, 500)) == [("SELF_CROSS", 500)]


def test_an_order_waits_for_the_end_of_an_engine_batch(new_scene: NewScene) -> None:
    scene = new_scene()
    scene.book(YES, {40: 1000}, {50: 1000}, settled=Settled.UNSETTLED)
    assert told(scene.order(YES, BUY, 50, 500)) == []
    assert told(scene.book(YES, {40: 1000}, {49: 300}, settled=Settled.UNSETTLED)) == []
    assert told(scene.book(YES, {40: 1000}, {48: 200, 50: 900})) == [
        ("fill", 48, 200), ("fill", 50, 300),
    ]  # fmt: skip


def test_a_book_that_is_lost_while_an_order_waits_ends_it(new_scene: NewScene) -> None:
    scene = new_scene()
    scene.book(YES, {40: 1000}, {50: 1000}, settled=Settled.UNSETTLED)
    scene.order(YES, BUY, 50, 500)
    assert told(scene.lose(YES)) == [("NOT_LIVE", 500)]
    assert scene.ledger.balances["reserved"] == 0


def test_a_book_in_doubt_is_refused_or_labelled(new_scene: NewScene) -> None:
    scene = new_scene()
    scene.book(YES, {40: 1000}, {50: 1000})
    scene.lose(YES)
    assert told(scene.order(YES, BUY, 50, 500)) == [("NOT_LIVE", 500)]
    scene = new_scene(Terms(fees=lambda market: FlatBps(0), taint=Taint.LABEL))
    scene.book(YES, {40: 1000}, {50: 1000})
    scene.lose(YES)
    [fill] = scene.order(YES, BUY, 50, 500)
    assert isinstance(fill, Fill)
    assert (fill.is_tainted, fill.state) == (True, State.RECONNECTING)


def test_a_mask_is_hindsight_that_only_refuses(new_scene: NewScene) -> None:
    terms = Terms(fees=lambda market: FlatBps(0), masked=lambda token, at_ns: token == YES)
    scene = new_scene(terms)
    scene.book(YES, {40: 1000}, {50: 1000})
    scene.book(NO, {50: 1000}, {60: 1000})
    assert told(scene.order(YES, BUY, 50, 500)) == [("MASKED", 500)]
    assert told(scene.order(NO, BUY, 60, 500)) == [("fill", 60, 500)]


def test_the_delay_of_the_market_is_waited_out(new_scene: NewScene) -> None:
    scene = new_scene(seconds_delay="0.000000003")
    scene.book(YES, {40: 1000}, {50: 1000})
    assert told(scene.order(YES, BUY, 55, 1000)) == []
    due = scene.venue.deadline()
    assert due == scene.now + 3
    scene.book(YES, {40: 1000}, {54: 400})
    assert told(scene.venue.deadline_reached(due)) == [("fill", 54, 400), ("NO_MATCH", 600)]


def test_cash_is_finite_and_reserved(new_scene: NewScene) -> None:
    scene = new_scene(cash_e6=5_100_000)
    scene.book(YES, {40: 1000}, {50: 10_000})
    assert told(scene.order(YES, BUY, 49, 500, tif=Tif.GTC)) == [("rested", 500)]
    assert told(scene.order(YES, BUY, 50, 600)) == [("CASH", 600)]
    assert told(scene.venue.cancel(1, "s", scene.tick())) == [("cancelled", 500)]
    assert told(scene.order(YES, BUY, 50, 600)) == [("fill", 50, 600)]


def test_what_is_not_held_is_not_sold(new_scene: NewScene) -> None:
    scene = new_scene()
    scene.book(YES, {40: 1000}, {50: 1000})
    scene.give(YES, 700)
    assert told(scene.order(YES, SELL, 45, 600, tif=Tif.GTC)) == [("rested", 600)]
    assert told(scene.order(YES, SELL, 40, 500)) == [("NOT_HELD", 500)]


def test_only_what_rests_can_be_cancelled_and_only_by_its_owner(new_scene: NewScene) -> None:
    scene = new_scene()
    scene.book(YES, {40: 1000}, {50: 1000})
    scene.order(YES, BUY, 45, 500, tif=Tif.GTC)
    assert told(scene.venue.cancel(1, "other", scene.now)) == [("UNKNOWN_ORDER", 0)]
    assert [type(one) for one in scene.venue.cancel(1, "s", scene.now)] == [Cancelled]
    assert told(scene.venue.cancel(1, "s", scene.now)) == [("UNKNOWN_ORDER", 0)]


def test_a_gtd_order_expires(new_scene: NewScene) -> None:
    scene = new_scene()
    scene.book(YES, {40: 1000}, {50: 1000})
    expires = scene.now + 10
    outcomes = scene.order(YES, BUY, 45, 500, tif=Tif.GTD, expires_ns=expires)
    assert [type(one) for one in outcomes] == [Rested]
    assert scene.venue.deadline() == expires
    assert told(scene.venue.deadline_reached(expires)) == [("cancelled", 500)]
    assert scene.ledger.balances["reserved"] == 0
    assert told(scene.order(YES, BUY, 45, 500, tif=Tif.GTD, expires_ns=1)) == [("EXPIRED", 500)]


def test_a_market_that_closes_ends_its_orders(new_scene: NewScene) -> None:
    scene = new_scene()
    scene.book(YES, {40: 1000}, {50: 1000})
    scene.order(YES, BUY, 45, 500, tif=Tif.GTC)
    scene.markets.resolve(scene.market, {YES: 1_000_000})
    assert told(scene.venue.closed(scene.market, scene.tick())) == [("MARKET_CLOSED", 500)]
    assert told(scene.order(YES, BUY, 50, 500)) == [("MARKET_CLOSED", 500)]


def test_makers_do_not_fill_whatever_trades(new_scene: NewScene) -> None:
    scene = new_scene()
    scene.book(YES, {40: 1000}, {50: 1000})
    scene.order(YES, BUY, 45, 500, tif=Tif.GTC)
    assert scene.trade(YES, 30, 100_000, bought=False) == []
    assert scene.book(YES, {}, {30: 1000}) == []
    assert len(scene.venue.open_orders()) == 1


QUEUE = Terms(fees=lambda market: FlatBps(100), queue=QueueModel.CONSERVATIVE)


def test_in_the_queue_we_are_last_and_only_trades_move_it(new_scene: NewScene) -> None:
    scene = new_scene(QUEUE)
    scene.book(YES, {45: 800}, {50: 1000})
    scene.order(YES, BUY, 45, 500, tif=Tif.GTC)
    scene.book(YES, {45: 100}, {50: 1000})  # cancels ahead of us help nobody
    assert scene.trade(YES, 45, 800, bought=False) == []
    assert told(scene.trade(YES, 45, 300, bought=False)) == [("fill", 45, 300)]
    assert scene.trade(YES, 45, 900, bought=True) == []
    # The same in the view of the other token: somebody buys NO at 0.55.
    [fill] = scene.trade(NO, 55, 900, bought=True)
    assert isinstance(fill, Fill)
    assert (fill.token, fill.px_e6, fill.size_e6, fill.fee_e6) == (YES, 450_000, 2_000_000, 0)
    assert scene.venue.open_orders() == []


@pytest.mark.parametrize("doubts", [True, False])
def test_a_print_that_may_be_told_twice_counts_once_for_who_doubts(
    new_scene: NewScene, doubts: bool
) -> None:
    scene = new_scene(replace(QUEUE, doubts_prints=doubts))
    scene.book(YES, {45: 800}, {50: 1000})
    scene.order(YES, BUY, 45, 5000, tif=Tif.GTC)

    def drained(token: int, px: int, size: int, stamp_ns: int, *, bought: bool) -> int:
        return sum(
            one.size_e6 // 10_000
            for one in scene.trade(token, px, size, bought=bought, stamp_ns=stamp_ns)
            if isinstance(one, Fill)
        )

    again = 0 if doubts else 1
    assert drained(YES, 45, 900, 7, bought=False) == 100
    assert drained(YES, 45, 900, 7, bought=False) == 900 * again
    assert drained(NO, 55, 900, 7, bought=True) == 900 * again
    assert drained(NO, 55, 901, 7, bought=True) == 901
    assert drained(YES, 44, 901, 7, bought=False) == 901
    assert drained(YES, 45, 900, 8, bought=False) == 900
    assert drained(YES, 45, 10, NONE, bought=False) == 10
    assert drained(YES, 45, 10, NONE, bought=False) == 10


def test_an_order_that_rests_between_two_prints_of_a_trade_is_not_moved_by_the_second(
    new_scene: NewScene,
) -> None:
    scene = new_scene(replace(QUEUE, doubts_prints=True))
    scene.book(YES, {40: 100}, {50: 1000})
    assert scene.trade(YES, 45, 900, bought=False, stamp_ns=7) == []
    scene.order(YES, BUY, 45, 500, tif=Tif.GTC)
    assert scene.trade(NO, 55, 900, bought=True, stamp_ns=7) == []
    assert told(scene.trade(NO, 55, 900, bought=True, stamp_ns=8)) == [("fill", 45, 500)]


def test_a_trade_past_our_price_went_through_us(new_scene: NewScene) -> None:
    scene = new_scene(QUEUE)
    scene.book(YES, {45: 800}, {50: 1000})
    scene.order(YES, BUY, 45, 500, tif=Tif.GTC)
    assert told(scene.trade(YES, 44, 200, bought=False)) == [("fill", 45, 200)]


BOOKS = st.tuples(
    st.dictionaries(st.integers(1, 49), st.integers(1, 5000), max_size=5),
    st.dictionaries(st.integers(50, 99), st.integers(1, 5000), max_size=5),
)
ORDERS = st.tuples(
    st.sampled_from([BUY, SELL]),
    st.integers(1, 99),
    st.integers(500, 5000),
    st.sampled_from(list(Tif)[:1] + list(Tif)[2:]),
)


@given(BOOKS, st.lists(ORDERS, max_size=12), st.integers(0, 300), st.sampled_from([5_000, 10_000]))
def test_no_fill_passes_its_limit_or_one_or_what_is_displayed(
    new_scene: NewScene,
    book: tuple[dict[int, int], dict[int, int]],
    orders: list[tuple[Side, int, int, Tif]],
    slippage: int,
    share: int,
) -> None:
    bids, asks = book
    terms = Terms(fees=lambda market: FlatBps(100), slippage_bps=slippage)
    scene = new_scene(terms, depth={"share_bps": share})
    scene.give(YES, 20_000)
    scene.book(YES, bids, asks)
    had = {BUY: 0, SELL: 0}
    for side, px, size, tif in orders:
        for one in scene.order(YES, side, px, size, tif=tif):
            if not isinstance(one, Fill):
                continue
            had[side] += one.size_e6
            assert 0 < one.px_e6 <= 1_000_000
            if side is BUY:
                assert one.px_e6 <= px * 10_000
            else:
                assert one.px_e6 >= px * 10_000
    assert had[BUY] <= sum(asks.values()) * share
    assert had[SELL] <= sum(bids.values()) * share
    held = scene.ledger.balances["reserved"]
    assert held == 0 or any(order.side is BUY for order, _, _ in scene.venue.open_orders())
