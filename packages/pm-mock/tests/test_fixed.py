import pytest

from pm_mock.fixed import PRICE_TEXT, decimal_text, last_trade_text, size_text


@pytest.mark.parametrize(
    ("price_e4", "text"),
    [
        (1, "0.0001"),
        (25, "0.0025"),
        (100, "0.01"),
        (4850, "0.485"),
        (5000, "0.5"),
        (10_000, "1"),
        (0, "0"),
    ],
)
def test_prices_have_no_trailing_zeros(price_e4: int, text: str) -> None:
    assert PRICE_TEXT[price_e4] == text


@pytest.mark.parametrize(
    ("size_e6", "text"),
    [
        (112_689_000_000, "112689"),
        (37_677_020_000, "37677.02"),
        (3_769_800_000, "3769.8"),
        (1, "0.000001"),
    ],
)
def test_sizes_are_written_as_captured(size_e6: int, text: str) -> None:
    assert size_text(size_e6) == text


@pytest.mark.parametrize(
    ("price_e4", "text"),
    [(5000, "0.500"), (1400, "0.140"), (9500, "0.950"), (3680, "0.368"), (25, "0.0025")],
)
def test_last_trade_price_keeps_three_decimals(price_e4: int, text: str) -> None:
    assert last_trade_text(price_e4) == text


def test_a_midpoint_between_ticks_needs_five_places() -> None:
    assert decimal_text(58_505, 5) == "0.58505"
