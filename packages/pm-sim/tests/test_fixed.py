"""Every rounding is against the trader, and by less than a millionth."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from pm_sim.fixed import CashE6, PxE6, SzE6, cost_up, proceeds_down
from pm_sim.ledger import Ledger

PRICES, SIZES = st.integers(1, 10**6), st.integers(1, 10**12)


@given(PRICES, SIZES)
def test_buying_is_rounded_up_and_selling_down(px: int, size: int) -> None:
    exact = Fraction(px * size, 10**6)
    assert 0 <= cost_up(PxE6(px), SzE6(size)) - exact < 1
    assert 0 <= exact - proceeds_down(PxE6(px), SzE6(size)) < 1


def holding(cost_e6: int, *, tainted: bool = False, token: int = 0) -> Ledger:
    """Three shares that cost so much; what three do not divide is the fee."""
    ledger = Ledger(CashE6(10**9))
    assert ledger.reserve_cash(CashE6(cost_e6), 0)
    ledger.bought(
        token, PxE6(cost_e6 // 3), SzE6(3_000_000), CashE6(cost_e6 % 3), 0, tainted=tainted
    )
    return ledger


def test_the_cost_of_a_part_is_rounded_up_and_the_last_takes_what_is_left() -> None:
    ledger = Ledger(CashE6(10**9))
    ledger.reserve_cash(CashE6(4), 0)
    ledger.bought(0, PxE6(4), SzE6(1_000_000), CashE6(0), 0, tainted=False)
    realised = []
    for size in (300_000, 300_000, 400_000):
        before = ledger.balances["realised"]
        ledger.offer_shares(0, SzE6(size))
        ledger.sold(0, PxE6(0), SzE6(size), CashE6(0), 0, tainted=False)
        realised.append(ledger.balances["realised"] - before)
    assert realised == [2, 1, 1]


def test_doubt_goes_with_a_conversion_and_a_loss_under_way() -> None:
    ledger = holding(3_600_000, tainted=True)
    assert ledger.convert([0], [1], SzE6(3_000_000), at_ns=0, due_ns=5)
    assert ledger.holding(1).is_tainted
    ledger.arrive(5)
    assert ledger.holding(1).free_e6 == 3_000_000
    totals = ledger.totals({1: None})
    assert (totals.clean_pnl_e6, totals.tainted_pnl_e6) == (0, -3_600_000)
    ledger = holding(3_600_000, tainted=True)
    assert ledger.merge([0], SzE6(3_000_000), pays_e6=CashE6(3_000_000), at_ns=0, due_ns=5)
    under_way = ledger.totals({})
    assert (under_way.clean_pnl_e6, under_way.tainted_pnl_e6) == (0, -600_000)
    ledger.arrive(5)
    assert ledger.totals({})[-3:] == under_way[-3:]
