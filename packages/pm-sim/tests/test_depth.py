"""Displayed size is had once."""

from collections.abc import Callable
from typing import Any

import pytest

from pm_frames.events import Settled
from pm_sim.exchange import QueueModel, Terms
from pm_sim.fees import FlatBps
from pm_sim.orders import Fill, Side, Tif

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
