"""What the venue refuses before it looks at the book."""

import pytest

from pm_sim.fixed import PxE6, SzE6
from pm_sim.orders import RejectReason, Side
from pm_sim.rules import MarketRules, refusal, taker_refusal

CENT = MarketRules(tick_e6=10_000, min_size_e6=5_000_000)


@pytest.mark.parametrize(
    ("px", "size", "reason"),
    [
        (500_000, 5_000_000, None),
        (10_000, 5_000_000, None),
        (990_000, 5_000_000, None),
        (0, 5_000_000, RejectReason.PRICE_RANGE),
        (9_999, 5_000_000, RejectReason.PRICE_RANGE),
        (995_000, 5_000_000, RejectReason.PRICE_RANGE),
        (1_000_000, 5_000_000, RejectReason.PRICE_RANGE),
        (505_000, 5_000_000, RejectReason.TICK),
        (500_000, 5_005_000, RejectReason.SIZE_DECIMALS),
        (500_000, 0, RejectReason.SIZE_DECIMALS),
        (500_000, 4_990_000, RejectReason.MIN_SIZE),
    ],
)
def test_price_and_size(px: int, size: int, reason: RejectReason | None) -> None:
    assert refusal(CENT, PxE6(px), SzE6(size)) is reason


def test_a_finer_tick_allows_finer_prices() -> None:
    assert refusal(MarketRules(1_000, 5_000_000), PxE6(505_000), SzE6(5_000_000)) is None


def test_a_marketable_buy_is_worth_a_dollar() -> None:
    assert taker_refusal(Side.BUY, PxE6(190_000), SzE6(5_000_000)) is RejectReason.MIN_NOTIONAL
    assert taker_refusal(Side.BUY, PxE6(200_000), SzE6(5_000_000)) is None
    assert taker_refusal(Side.SELL, PxE6(10_000), SzE6(5_000_000)) is None
