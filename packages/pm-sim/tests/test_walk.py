"""What a purchase costs at most, against every way in which it can be filled."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from pm_sim.fees import Dearer, FlatBps, VenueSchedule
from pm_sim.fixed import PxE6, SzE6, cost_up
from pm_sim.orders import Side
from pm_sim.walk import buy_at_most_e6

FILLS = st.lists(
    st.tuples(st.integers(1, 999), st.integers(1, 500)),
    min_size=1,
    max_size=60,
    unique_by=lambda fill: fill[0],
)
RATES = st.integers(0, 100).map(lambda rate: Fraction(rate, 1_000))


@given(FILLS, st.integers(0, 300), RATES, st.integers(0, 300), st.sampled_from([0, 1, 333]))
def test_no_row_of_fills_costs_more_than_at_most(
    fills: list[tuple[int, int]], above: int, rate: Fraction, bps: int, slipped: int
) -> None:
    fees = Dearer(FlatBps(bps), VenueSchedule(rate, 1))
    limit = PxE6(min(999, max(px for px, _ in fills) + above + 1) * 1_000)
    paid = 0
    for px, hundredths in fills:
        price, size = PxE6(min(limit, px * 1_000 + slipped)), SzE6(hundredths * 10_000)
        paid += cost_up(price, size) + fees.fee(Side.BUY, price, size)
    total = SzE6(sum(hundredths for _, hundredths in fills) * 10_000)
    assert paid <= buy_at_most_e6(fees, limit, total, tick_e6=1_000)


def test_the_fee_is_dearest_in_the_middle_and_not_at_the_limit() -> None:
    fees = VenueSchedule(Fraction(7, 100), 1)
    filled = 500_000 * 10 + fees.fee(Side.BUY, PxE6(500_000), SzE6(10_000_000))
    most = buy_at_most_e6(fees, PxE6(500_000), SzE6(10_000_000), tick_e6=500_000)
    assert filled <= most <= filled + 2 * 22
    at_limit = buy_at_most_e6(fees, PxE6(900_000), SzE6(10_000_000), tick_e6=10_000)
    # 0.07 x 10 x 0.25, whatever the limit, and 22 for each of 91 levels.
    assert at_limit == 9_000_000 + 175_000 + 22 * 91


def test_every_fill_may_be_rounded_up() -> None:
    # A hundredth of a share on each of two levels: the fee of each is the least there is.
    fees = VenueSchedule(Fraction(1, 1_000), 1)
    size = SzE6(10_000)
    paid = sum(
        cost_up(PxE6(px), size) + fees.fee(Side.BUY, PxE6(px), size) for px in (1_000, 2_000)
    )
    assert paid == 10 + 20 + 2 * 10
    assert (
        paid <= buy_at_most_e6(fees, PxE6(2_000), SzE6(20_000), tick_e6=1_000) == 40 + 10 + 22 * 3
    )
