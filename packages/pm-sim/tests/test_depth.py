"""Displayed size is had once."""

from collections.abc import Callable
from typing import Any

import pytest

from pm_frames.events import Settled
from pm_sim.exchange import QueueModel, Terms
from pm_sim.fees import FlatBps
from pm_sim.fixed import PxE6, SzE6
from pm_sim.orders import Fill, Order, Side, Tif, Urgency

YES, NO = 0, 1
QUEUE = Terms(fees=lambda market: FlatBps(0), queue=QueueModel.CONSERVATIVE)
NewScene = Callable[..., Any]


def had(outcomes: list[Any]) -> int:
    """Return the hundredths that were filled."""
    return sum(one.size_e6 for one in outcomes if isinstance(one, Fill)) // 10_000


@pytest.mark.parametrize("levels", [True, False])
def test_a_level_that_is_away_in_the_middle_of_a_batch_is_not_new(
    new_scene: NewScene, levels: bool
) -> None:
    scene = new_scene()
    scene.book(YES, {40: 1000}, {50: 1000}, levels=levels)
    assert had(scene.order(YES, Side.BUY, 50, 1000)) == 1000
    scene.book(YES, {40: 1000}, {52: 1000}, levels=levels, settled=Settled.UNSETTLED)
    scene.book(YES, {40: 1000}, {50: 1000}, levels=levels)
    assert had(scene.order(YES, Side.BUY, 50, 1000)) == 0


def test_the_other_view_of_a_book_is_no_restatement(new_scene: NewScene) -> None:
    scene = new_scene(depth={"forget_on_restatement": True})
    scene.book(NO, {50: 800}, {60: 1000})
    scene.book(YES, {40: 1000}, {50: 1000})
    assert had(scene.order(YES, Side.BUY, 50, 1000)) == 1000
    scene.give(NO, 1000)
    scene.book(NO, {50: 1000}, {60: 1000})  # the same message as that of YES, only later
    assert had(scene.order(NO, Side.SELL, 50, 1000)) == 0


def test_one_trade_fills_both_views_together_once_and_the_best_price_first(
    new_scene: NewScene,
) -> None:
    scene = new_scene(QUEUE)
    scene.book(YES, {30: 100}, {60: 1000})
    scene.book(NO, {40: 1000}, {70: 100})
    scene.give(NO, 2000)
    scene.order(YES, Side.BUY, 45, 500, tif=Tif.GTC)
    scene.order(YES, Side.BUY, 47, 500, tif=Tif.GTC)
    scene.order(NO, Side.SELL, 55, 500, tif=Tif.GTC)
    fills = scene.trade(YES, 40, 700, bought=False)
    assert [(one.px_e6, one.size_e6) for one in fills] == [
        (470_000, 5_000_000),
        (450_000, 2_000_000),
    ]
    assert had(scene.trade(YES, 40, 700, bought=False)) == 700
    assert had(scene.trade(YES, 40, 700, bought=False)) == 100


@pytest.mark.parametrize(
    ("side", "px", "known"),
    [
        (Side.BUY, 40, False), (Side.BUY, 45, True), (Side.BUY, 46, True),
        (Side.SELL, 60, False), (Side.SELL, 55, True), (Side.SELL, 54, True),
    ],
)  # fmt: skip
def test_with_tops_alone_the_queue_behind_the_best_is_not_known(
    new_scene: NewScene, side: Side, px: int, known: bool
) -> None:
    scene = new_scene(QUEUE)
    scene.book(YES, {45: 100}, {55: 100}, levels=False)
    scene.give(YES, 1000)
    scene.order(YES, side, px, 500, tif=Tif.GTC)
    bought = side is Side.SELL
    assert had(scene.trade(YES, px, 10_000, bought=bought)) == (500 if known else 0)
    through = px + 1 if bought else px - 1
    assert had(scene.trade(YES, through, 10_000, bought=bought)) == (0 if known else 500)


def test_the_share_is_of_what_is_displayed_and_not_of_what_is_left(new_scene: NewScene) -> None:
    scene = new_scene(depth={"share_bps": 5_000})
    scene.book(YES, {40: 1000}, {50: 2000})
    assert had(scene.order(YES, Side.BUY, 50, 600)) == 600
    assert had(scene.order(YES, Side.BUY, 50, 600)) == 400


def test_of_several_taken_levels_each_is_forgotten_when_it_has_gone_itself(
    new_scene: NewScene,
) -> None:
    scene = new_scene()
    scene.give(YES, 5000)
    steps = [(40, 50), (38, 52), (39, 51)]  # taken behind and before what was taken first
    for bid, ask in steps:
        scene.book(YES, {bid: 1000}, {ask: 1000}, levels=False)
        assert had(scene.order(YES, Side.BUY, ask, 1000)) == 1000
        assert had(scene.order(YES, Side.SELL, bid, 1000)) == 1000
    # What is worse than the nearest of them says something.
    bid_gate, ask_gate = scene.depth.nearest[YES]
    taken = scene.depth.taken[YES]
    assert bid_gate == max(px for side, px in taken if side == 0) - 1
    assert ask_gate == min(px for side, px in taken if side == 1) + 1


def test_slippage_is_rounded_up(
    new_scene: NewScene,
) -> None:
    fine = new_scene(
        Terms(fees=lambda market: FlatBps(0), slippage_bps=7), tick_size_e6=100, min_size_e6=10_000
    )
    fine.book(YES, {40: 1000}, {50: 1000})
    fine.books.levels[YES][1][500_100] = fine.books.levels[YES][1].pop(500_000)
    [fill] = [one for one in fine.order(YES, Side.BUY, 60, 500) if isinstance(one, Fill)]
    assert fill.px_e6 == 500_100 + 351  # 350.07


def test_what_brings_less_than_the_smallest_fee_is_not_sold(new_scene: NewScene) -> None:
    scene = new_scene(tick_size_e6=100, min_size_e6=10_000)
    scene.give(YES, 1000)
    scene.book(YES, {40: 1000}, {50: 1000})
    scene.books.levels[YES][0].clear()
    scene.books.levels[YES][0][900] = 10_000_000
    scene.orders += 1
    cheap = Order(
        scene.orders, "s", 1, YES, Side.SELL, PxE6(100), SzE6(10_000), Tif.IOC, Urgency.TAKER,
        "", scene.now, scene.now,
    )  # fmt: skip
    assert scene.submit(cheap) is None
    assert [one.reason.value for one in scene.venue.arrived(cheap, scene.now)] == ["no_match"]
    assert scene.ledger.positions_e6() == {YES: 10_000_000}


def test_the_gate_is_the_nearest_of_all_that_was_taken(new_scene: NewScene) -> None:
    scene = new_scene()
    scene.give(NO, 1000)
    scene.book(YES, {40: 1000}, {50: 1000}, levels=False)
    scene.book(NO, {48: 1000}, {60: 1000}, levels=False)
    assert had(scene.order(YES, Side.BUY, 50, 1000)) == 1000
    assert had(scene.order(NO, Side.SELL, 48, 1000)) == 1000  # a YES ask at 0.52
    assert scene.depth.nearest[YES] == (-2, 500_001)
    assert scene.depth.nearest[NO] == (499_999, 1_000_001)
