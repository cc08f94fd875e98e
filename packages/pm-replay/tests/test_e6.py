from __future__ import annotations

from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_replay.e6 import BAD, NO_SIDE, Prices, Sizes, Stated, from_e6, to_e6


@given(st.decimals(min_value=0, max_value=10**9, allow_nan=False, places=9))
def test_half_up_like_decimal(value: Decimal) -> None:
    wanted = int((value * 10**6).quantize(Decimal(1), rounding=ROUND_HALF_UP))
    assert to_e6(f"{value:f}") == wanted
    assert to_e6(f"{value:e}") == wanted


@given(st.integers(min_value=0, max_value=2**63 - 1))
def test_the_shortest_text_gives_the_number_back(value: int) -> None:
    text = from_e6(value)
    assert to_e6(text) == value
    assert "." not in text or not text.endswith("0")


@pytest.mark.parametrize(
    ("text", "value"),
    [("0.0000005", 1), ("0.0000004999", 0), ("5e-1", 500_000), ("1E2", 100_000_000), (".5", 500_000),
     ("5.", 5_000_000), ("007", 7_000_000), ("0e999", 0), ("1e-999", 0)],
)  # fmt: skip
def test_accepted(text: str, value: int) -> None:
    assert to_e6(text) == value


@pytest.mark.parametrize(
    "text",
    ["", ".", "-1", "+1", "-0", "NaN", "inf", "Infinity", "1_000", " 1", "1\n", "1,5", "0x1", "true", "1e",
     "e5", "1e99999", "1e999", "٣", "1" * 65 + ".5e1"],
)  # fmt: skip
def test_not_accepted(text: str) -> None:
    with pytest.raises(ValueError, match=r"decimal|large"):
        to_e6(text)


def test_caches() -> None:
    prices, sizes, stated = Prices(), Sizes(), Stated()
    assert [prices[text] for text in ("0.5", "1", "0", "1.000001", "x", "0.50")] == [
        500_000, 1_000_000, BAD, BAD, BAD, 500_000,
    ]  # fmt: skip
    assert [sizes[text] for text in ("0", "2.5", "-1", "9223372036854.775808")] == [
        0, 2_500_000, BAD, BAD,
    ]  # fmt: skip
    assert [stated[text] for text in ("", "0", "1", "0.4", "x", "1.0")] == [
        NO_SIDE, NO_SIDE, NO_SIDE, 400_000, -2, NO_SIDE,
    ]  # fmt: skip


def test_a_cache_is_bounded() -> None:
    sizes = Sizes()
    for number in range(3 * 2**16):
        assert sizes[str(number)] == number * 10**6
    assert len(sizes) <= 2**16


def test_a_cache_keeps_no_text_that_could_be_of_any_length() -> None:
    prices, sizes, stated = Prices(), Sizes(), Stated()
    long = "9" * 1_000_000
    assert (prices[long], sizes[long], stated[long]) == (BAD, BAD, -2)
    assert len(prices) == len(sizes) == len(stated) == 0
