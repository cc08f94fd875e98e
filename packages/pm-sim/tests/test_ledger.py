"""The laws of the ledger: nothing appears, nothing is lost, and doubt is never mixed with what is sure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_sim.fixed import ONE, CashE6, PxE6, SzE6
from pm_sim.ledger import CASH, NS_PER_DAY, RESERVED, Ledger, LedgerError

DEPOSIT = CashE6(1_000_000_000)
PRICES = st.integers(1, 1_000_000).map(PxE6)
SIZES = st.integers(1, 50_000_000).map(SzE6)
FEES = st.integers(0, 100_000).map(CashE6)
Step = tuple[str, int, PxE6, SzE6, CashE6, bool]
STEPS = st.lists(
    st.tuples(
        st.sampled_from(["buy", "sell", "merge", "convert", "settle", "arrive"]),
        st.integers(0, 3),
        PRICES,
        SIZES,
        FEES,
        st.booleans(),
    ),
    max_size=40,
)


def buy(
    ledger: Ledger, token: int, px: PxE6, size: SzE6, fee: CashE6, at: int, *, tainted: bool = False
) -> bool:
    if not ledger.reserve_cash(CashE6(-(-px * size // ONE) + fee), at):
        return False
    ledger.bought(token, px, size, fee, at, tainted=tainted)
    return True


def played(steps: list[Step]) -> Ledger:
    """Return a ledger after those of the steps that were possible."""
    ledger = Ledger(DEPOSIT)
    for at, (kind, token, px, size, fee, tainted) in enumerate(steps):
        match kind:
            case "buy":
                buy(ledger, token, px, size, fee, at, tainted=tainted)
            case "sell":
                have = SzE6(min(size, ledger.holding(token).free_e6))
                if have and px * have // ONE >= fee and ledger.offer_shares(token, have):
                    ledger.sold(token, px, have, fee, at, tainted=tainted)
            case "merge":
                ledger.merge(
                    (token, token ^ 1), size, pays_e6=CashE6(size), at_ns=at, due_ns=at + 3
                )
            case "convert":
                ledger.convert((1, 3), (0, 2), size, at_ns=at, due_ns=at + 2)
            case "settle":
                ledger.settle(token, px, at)
            case "arrive":
                ledger.arrive(at)
    return ledger


@given(STEPS)
def test_the_cash_identity_holds_after_every_step(steps: list[Step]) -> None:
    for length in range(len(steps) + 1):
        totals = played(steps[:length]).totals({})
        assert (
            totals.cash_e6 + totals.reserved_e6 + totals.in_transit_e6 + totals.cost_basis_e6
            == totals.deposits_e6 + totals.realized_pnl_e6 - totals.fees_paid_e6
        )


@given(STEPS, st.dictionaries(st.integers(0, 3), PRICES))
def test_clean_and_tainted_are_the_total(steps: list[Step], marks: dict[int, PxE6]) -> None:
    totals = played(steps).totals(marks)
    assert totals.clean_pnl_e6 + totals.tainted_pnl_e6 == totals.total_pnl_e6
    sure = [(*step[:5], False) for step in steps]
    assert played(sure).totals(marks).tainted_pnl_e6 == 0


@given(STEPS)
def test_a_flat_book_leaves_no_residue_and_its_profit_is_the_change_of_cash(
    steps: list[Step],
) -> None:
    ledger = played(steps)
    for token in range(4):
        ledger.settle(token, PxE6(0), len(steps))
    ledger.arrive(len(steps) + 10)
    totals = ledger.totals({})
    assert totals.cost_basis_e6 == totals.in_transit_e6 == totals.unrealized_pnl_e6 == 0
    assert totals.total_pnl_e6 == totals.cash_e6 - DEPOSIT
    assert ledger.positions_e6() == {}


def test_the_residue_of_the_predecessor_does_not_remain() -> None:
    ledger = Ledger(DEPOSIT)
    for size in (333_333, 333_333, 333_334):
        assert buy(ledger, 1, PxE6(400_001), SzE6(size), CashE6(0), 1)
    assert ledger.offer_shares(1, SzE6(1_000_000))
    for size in (700_001, 299_999):
        ledger.sold(1, PxE6(600_000), SzE6(size), CashE6(0), 2, tainted=False)
    totals = ledger.totals({})
    assert totals.cost_basis_e6 == 0
    assert totals.realized_pnl_e6 == ledger.cash_e6 - DEPOSIT


def test_a_position_without_a_mark_is_worth_nothing() -> None:
    ledger = Ledger(DEPOSIT)
    assert buy(ledger, 1, PxE6(500_000), SzE6(10_000_000), CashE6(0), 1)
    assert ledger.totals({}).total_pnl_e6 == -5_000_000
    assert ledger.totals({1: None}).total_pnl_e6 == -5_000_000
    assert ledger.totals({1: PxE6(480_000)}).total_pnl_e6 == -200_000


def test_cash_and_shares_are_spent_once() -> None:
    ledger = Ledger(CashE6(1_000_000))
    assert ledger.reserve_cash(CashE6(700_000), 0)
    assert not ledger.reserve_cash(CashE6(300_001), 0)
    ledger.release_cash(CashE6(700_000), 0)
    assert buy(ledger, 7, PxE6(100_000), SzE6(2_000_000), CashE6(0), 1)
    assert ledger.offer_shares(7, SzE6(1_500_000))
    assert not ledger.offer_shares(7, SzE6(500_001))
    assert not ledger.merge((7, 8), SzE6(1), pays_e6=CashE6(1), at_ns=2, due_ns=3)
    with pytest.raises(LedgerError, match="offered"):
        ledger.settle(7, ONE, 2)
    ledger.withdraw_shares(7, SzE6(1_500_000))
    assert ledger.settle(7, ONE, 2) == 2_000_000


def test_what_cannot_be_is_refused() -> None:
    with pytest.raises(LedgerError, match="overdraws"):
        Ledger(CashE6(10)).bought(1, ONE, SzE6(1_000_000), CashE6(0), 0, tainted=False)
    with pytest.raises(LedgerError, match="offered"):
        Ledger(CashE6(10)).sold(1, ONE, SzE6(1), CashE6(0), 0, tainted=False)
    with pytest.raises(ValueError, match="deposit"):
        Ledger(CashE6(-1))
    with pytest.raises(ValueError, match="payout"):
        Ledger(CashE6(1)).settle(1, PxE6(1_000_001), 0)


def test_a_merge_pays_when_it_arrives() -> None:
    ledger = Ledger(DEPOSIT)
    assert buy(ledger, 1, PxE6(400_000), SzE6(5_000_000), CashE6(0), 0)
    assert buy(ledger, 2, PxE6(550_000), SzE6(5_000_000), CashE6(0), 0)
    assert ledger.merge((1, 2), SzE6(5_000_000), pays_e6=CashE6(5_000_000), at_ns=1, due_ns=9)
    assert ledger.next_arrival_ns() == 9
    ledger.arrive(8)
    assert ledger.totals({}).realized_pnl_e6 == 0
    ledger.arrive(9)
    assert ledger.totals({}).realized_pnl_e6 == 250_000
    assert ledger.next_arrival_ns() is None


def test_converting_two_of_three_no_gives_a_dollar_and_the_third_yes() -> None:
    ledger = Ledger(DEPOSIT)
    no_a, no_b, yes_c = 1, 3, 4
    assert buy(ledger, no_a, PxE6(700_000), SzE6(10_000_000), CashE6(0), 0)
    assert buy(ledger, no_b, PxE6(600_000), SzE6(10_000_000), CashE6(0), 0)
    assert ledger.convert((no_a, no_b), (yes_c,), SzE6(10_000_000), at_ns=1, due_ns=2)
    assert ledger.positions_e6() == {yes_c: 10_000_000}
    assert ledger.holding(yes_c).cost_e6 == 3_000_000
    ledger.arrive(2)
    assert ledger.totals({}).realized_pnl_e6 == 0
    assert ledger.settle(yes_c, ONE, 3) == 10_000_000
    assert ledger.totals({}).total_pnl_e6 == 7_000_000


def test_doubt_lasts_until_the_position_is_flat() -> None:
    ledger = Ledger(DEPOSIT)
    assert buy(ledger, 1, PxE6(500_000), SzE6(10_000_000), CashE6(1), 0, tainted=True)
    assert buy(ledger, 1, PxE6(500_000), SzE6(10_000_000), CashE6(2), 1)
    assert ledger.offer_shares(1, SzE6(20_000_000))
    ledger.sold(1, PxE6(600_000), SzE6(20_000_000), CashE6(4), 2, tainted=False)
    assert ledger.totals({}).tainted_pnl_e6 == 2_000_000 - 7
    assert buy(ledger, 1, PxE6(500_000), SzE6(10_000_000), CashE6(8), 3)
    assert ledger.settle(1, ONE, 4) == 10_000_000
    totals = ledger.totals({})
    assert totals.tainted_pnl_e6 == 2_000_000 - 7
    assert totals.clean_pnl_e6 == 5_000_000 - 8


def test_capital_is_counted_by_the_time_that_it_is_tied_up() -> None:
    ledger = Ledger(DEPOSIT)
    assert ledger.reserve_cash(CashE6(3_000_000), 0)
    ledger.release_cash(CashE6(3_000_000), 2 * NS_PER_DAY)
    assert ledger.capital_days_e6(9 * NS_PER_DAY) == 6_000_000
    assert buy(ledger, 1, PxE6(500_000), SzE6(2_000_000), CashE6(0), 10 * NS_PER_DAY)
    assert ledger.capital_days_e6(13 * NS_PER_DAY) == 9_000_000
    assert ledger.balances[RESERVED] == 0
    assert ledger.balances[CASH] == ledger.cash_e6 == DEPOSIT - 1_000_000
