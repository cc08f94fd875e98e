"""Sides of a whole book as the venue may write them."""

from __future__ import annotations

import pytest

from pm_replay.book import Side
from pm_replay.e6 import Prices, Sizes
from pm_replay.messages import Level


@pytest.mark.parametrize(
    ("given", "levels", "invalid"),
    [
        ([("0.10", "1"), (".2", "2.")], {100_000: 1_000_000, 200_000: 2_000_000}, 0),
        ([("1e-1", "3"), ("0.1", "4")], {100_000: 4_000_000}, 0),
        ([("0.5", "x"), ("0.5", "3")], {500_000: 3_000_000}, 1),  # hidden by the level that follows
        ([("0.5", "3"), ("0.5", "x")], {500_000: 3_000_000}, 1),
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
    given: list[tuple[str, str]], levels: dict[int, int], invalid: int
) -> None:
    side = Side([Level(*each) for each in given], Prices(), Sizes())
    assert (side.levels, side.invalid) == (levels, invalid)
