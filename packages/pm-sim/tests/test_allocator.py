"""Limits drop and count, whatever the order in which strategies were added."""

from simulated import Script, only, simulate
from streams import CENT, SHARE, YES, Stream

from pm_sim import Buy, CashE6, PxE6, SzE6
from pm_sim.allocator import Allocator, Limits, Risk
from pm_sim.strategies.toy_spread import ToySpread


def test_limits_of_numbers_hold_for_each_instant() -> None:
    allocator = Allocator(Limits(intents_per_round=3, intents_per_strategy=2))
    asked = [("a", 1), ("a", 1), ("a", 1), ("b", 1), ("b", 1), ("a", 2)]
    assert [allocator.lets_through(name, (seq, 0)) for name, seq in asked] == [
        True, True, False, True, False, True,
    ]  # fmt: skip
    assert allocator.dropped == {"intents_per_strategy": 1, "intents_per_round": 1}


def test_limits_of_money() -> None:
    allocator = Allocator(Limits(None, None, CashE6(10), CashE6(15), CashE6(20)))
    risks = [Risk(11, 0, 0), Risk(10, 6, 6), Risk(10, 5, 11), Risk(10, 5, 10), Risk()]
    assert [allocator.lets_through("a", (1, 0), one) for one in risks] == [
        False, False, False, True, True,
    ]  # fmt: skip
    assert allocator.dropped == {"order_usd": 1, "market_usd": 1, "total_usd": 1}


def test_the_order_of_the_command_line_changes_nothing() -> None:
    data = Stream().market()
    for px in range(30, 50):
        data.book(YES, {px: 50}, {px + 8: 50})
    made = [("b", ToySpread), ("a", lambda: ToySpread(size_e6=6_000_000))]
    hashes = {
        only(
            simulate(data.end() if not at else bytes(data.data), *order, limits=Limits(3, 2))
        ).intents.hexdigest()
        for at, order in enumerate((made, made[::-1]))
    }
    assert len(hashes) == 1


def test_positions_and_orders_count_against_the_limit_of_a_market() -> None:
    data = Stream().market()
    for _ in range(4):
        data.book(YES, {40: 50}, {50: 500})
    order = Buy(YES, PxE6(50 * CENT), SzE6(10 * SHARE))
    steps = {seq: [order] for seq in (1, 2, 3)}
    limits = Limits(market_usd_e6=CashE6(11 * SHARE))
    lens = only(simulate(data.end(), lambda: Script(steps), limits=limits))
    assert lens.ledger.positions_e6() == {YES: 20 * SHARE}
    assert lens.allocator.dropped == {"market_usd": 1}
