"""Fees: the venue's examples, exactness against fractions, and who is dearer."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_sim.fees import FREE, UNKNOWN, Dearer, FlatBps, VenueSchedule, market_fees
from pm_sim.fixed import CashE6, PxE6, SzE6
from pm_sim.orders import Side

PRICES = st.integers(1, 999_999).map(PxE6)
SIZES = st.integers(1, 10**12).map(SzE6)
RATES = st.fractions(0, 1, max_denominator=10_000)


def test_the_venue_charges_1_75_for_100_crypto_shares_at_one_half() -> None:
    crypto = VenueSchedule(Fraction(7, 100), 1)
    assert crypto.fee(Side.BUY, PxE6(500_000), SzE6(100_000_000)) == 1_750_000
    assert crypto.fee(Side.SELL, PxE6(500_000), SzE6(100_000_000)) == 1_750_000


def test_flat_is_on_the_notional_and_rounds_up() -> None:
    flat = FlatBps(100)
    assert flat.fee(Side.BUY, PxE6(400_000), SzE6(10_000_000)) == 40_000
    assert flat.fee(Side.BUY, PxE6(1), SzE6(1_000_000)) == 1


@given(RATES, st.integers(0, 3), PRICES, SIZES)
def test_the_schedule_is_exact_up_to_one_quantum(
    rate: Fraction, exponent: int, px: PxE6, size: SzE6
) -> None:
    p = Fraction(px, 1_000_000)
    exact = size * rate * (p * (1 - p)) ** exponent
    fee = VenueSchedule(rate, exponent).fee(Side.BUY, px, size)
    assert exact <= fee < exact + 10
    assert fee % 10 == 0


@given(RATES, PRICES, PRICES, SIZES, st.sampled_from(Side), st.integers(0, 500))
def test_no_fill_within_the_limit_costs_more_than_the_bound(
    rate: Fraction, limit: PxE6, px: PxE6, size: SzE6, side: Side, bps: int
) -> None:
    better = PxE6(min(limit, px) if side is Side.BUY else max(limit, px))
    model = Dearer(FlatBps(bps), VenueSchedule(rate, 1))
    assert model.fee(side, better, size) <= model.fee_at_most(side, limit, size)


@given(PRICES, SIZES, st.sampled_from(Side))
def test_the_dearer_of_two_is_never_cheaper_than_either(px: PxE6, size: SzE6, side: Side) -> None:
    one, two = FlatBps(100), VenueSchedule(Fraction(7, 100), 1)
    fee = Dearer(one, two).fee(side, px, size)
    assert fee in {one.fee(side, px, size), two.fee(side, px, size)}
    assert fee >= max(one.fee(side, px, size), two.fee(side, px, size))


def test_a_schedule_is_read_from_the_facts_of_its_market() -> None:
    stated = market_fees({"fees_enabled": True, "fee_schedule": {"rate": "0.05", "exponent": 1}})
    assert stated.is_known
    assert stated.model == VenueSchedule(Fraction(1, 20), 1)
    assert market_fees({"fees_enabled": False, "fee_schedule": None}) == FREE
    assert FREE.model.fee(Side.BUY, PxE6(500_000), SzE6(10**9)) == CashE6(0)


@pytest.mark.parametrize(
    "schedule",
    [
        None,
        {},
        {"rate": "0.05"},
        {"rate": "x", "exponent": 1},
        {"rate": True, "exponent": 1},
        {"rate": "-0.01", "exponent": 1},
        {"rate": "1.5", "exponent": 1},
        {"rate": "0.05", "exponent": "0.5"},
        {"rate": "0.05", "exponent": 99},
    ],
)
def test_what_is_not_understood_is_charged_as_unknown(schedule: object) -> None:
    assert market_fees({"fee_schedule": schedule}) == UNKNOWN
    assert not UNKNOWN.is_known
    assert UNKNOWN.model.fee(Side.BUY, PxE6(500_000), SzE6(100_000_000)) == 1_750_000
