"""Sides of a whole book as the venue may write them."""

from __future__ import annotations

from random import Random

import pytest
from bundles import T0, Maker, book, change, compact, price_change, subscribed
from hypothesis import given
from hypothesis import strategies as st

from pm_frames.events import Kind
from pm_replay.book import L2, Levels, Side, differing
from pm_replay.e6 import Prices, Sizes
from pm_replay.messages import Level
from pm_replay.pipeline import Request
from pm_replay.telling import Options


@pytest.mark.parametrize(
    ("texts", "levels", "invalid"),
    [
        ([("0.10", "1"), (".2", "2.")], {100_000: 1_000_000, 200_000: 2_000_000}, 0),
        ([("1e-1", "3"), ("0.1", "4")], {100_000: 4_000_000}, 0),
        ([("0.5", "x"), ("0.5", "3")], {500_000: 3_000_000}, 1),  # hidden by the level that follows
        ([("0.5", "3"), ("0.5", "x")], {500_000: 3_000_000}, 1),
        ([("x", "3"), ("0.5", "1")], {500_000: 1_000_000}, 1),
        ([("x", "3"), ("y", "4"), ("0.5", "1")], {500_000: 1_000_000}, 2),
        ([("0.5", "3"), ("0.5", "0")], {}, 0),
        ([("0.5", "0.0000004")], {}, 0),
        ([("0.5", "0.0000005")], {500_000: 1}, 0),
        ([("0.5", "9" * 30)], {}, 1),
        ([("0.5", "0." + "3" * 61)], {500_000: 333_333}, 0),
        ([("0", "1"), ("-0.5", "1"), ("1.1", "1")], {}, 3),
    ],
)
def test_what_is_invalid_is_counted_whatever_stands_beside_it(
    texts: list[tuple[str, str]], levels: dict[int, int], invalid: int
) -> None:
    side = Side([Level(*each) for each in texts], Prices(), Sizes())
    assert (side.levels, side.invalid) == (levels, invalid)


@pytest.mark.parametrize("deep", [False, True])
def test_the_best_is_right_after_every_change_of_a_fine_grid(
    make_bundle: Maker, deep: bool
) -> None:
    random = Random(7)
    grid = [f"0.{n:03d}" for n in range(480, 520)]
    held: dict[str, dict[str, int]] = {"BUY": {}, "SELL": {}}
    frames = [(0, T0 + 10, compact(book("1", {}, {})))]
    wanted: list[tuple[int, ...]] = [(-1, -1)]
    for n in range(1500):
        side = random.choice(("BUY", "SELL"))
        mine = held[side]
        gone = bool(mine) and random.random() < 0.55
        # The best goes more often than the others, so that the next one has to be found.
        best = max if side == "BUY" else min
        price = random.choice([*mine, *[best(mine)] * 4]) if gone else random.choice(grid)
        if gone:
            del mine[price]
        else:
            mine[price] = n + 1
        size = "0" if gone else str(n + 1)
        frames.append((0, T0 + 20 + n, compact(price_change(change("1", price, size, side)))))
        bid, ask = max(held["BUY"], default=None), min(held["SELL"], default=None)
        wanted.append(tuple(-1 if each is None else int(each[2:]) * 1000 for each in (bid, ask)))
    made = make_bundle(frames, subscribed("1"))
    request = Request(options=Options(depth=deep))
    tops = [each for each in made.events(request) if each.kind == Kind.TOB]
    assert [(each.bid_px_e6, each.ask_px_e6) for each in tops] == wanted


def test_sizes_are_compared_by_value_not_by_text() -> None:
    def side(*levels: tuple[str, str]) -> Levels:
        return Side([Level(*each) for each in levels], Prices(), Sizes()).levels

    assert differing(side(("0.1", "5")), side(("0.1", "5"))) == 0
    assert differing(side(("0.1", "5"), ("0.2", "7.50")), side(("0.1", "5.0"), ("0.2", "7.5"))) == 0
    assert differing(side(("0.1", "5")), side(("0.1", "5.000001"))) == 1
    assert differing(side(("0.1", "5"), ("0.2", "1")), side(("0.1", "5"), ("0.3", "1"))) == 2


BOOK_STEPS = st.lists(
    st.tuples(st.booleans(), st.integers(1, 6), st.sampled_from([0, 1, 2_500_000, 1_000_000])),
    max_size=40,
)


@given(BOOK_STEPS)
def test_the_top_is_that_of_a_naive_book(steps: list[tuple[bool, int, int]]) -> None:
    book_ = L2()
    bids: dict[int, int] = {}
    asks: dict[int, int] = {}
    for is_bid, price, size in steps:
        (book_.set_bid if is_bid else book_.set_ask)(price, size)
        side = bids if is_bid else asks
        if size:
            side[price] = size
        else:
            side.pop(price, None)
        assert (book_.bids, book_.asks) == (bids, asks)
        bid, ask = max(bids, default=-1), min(asks, default=-1)
        top = (book_.bid, book_.bid_size, book_.ask, book_.ask_size)
        assert top == (bid, bids.get(bid, 0), ask, asks.get(ask, 0))
