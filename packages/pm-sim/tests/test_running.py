"""Whatever a strategy yields or raises, the account stays whole and the simulation tells of it."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from simulated import Script, only, script, simulate
from streams import Stream

from pm_frames.command import UsageError
from pm_sim import Buy, Convert, Intent, PxE6, Sell, Strategy, Tif, Timer, px, shares
from pm_sim.lens import StrategyFailed
from pm_sim.loading import load
from pm_sim.orders import Reject, RejectReason
from pm_sim.settings import Unheld

DEPOSIT_E6 = 1_000_000_000
BOOK = Stream().market().book(0, {40: 50}, {50: 50}).book(0, {40: 50}, {50: 50}).end()
PRICE, SIZE = px("0.5"), shares("5")


def minus(value: int) -> Any:
    return -value


@pytest.mark.parametrize("unheld", list(Unheld))
@pytest.mark.parametrize(
    ("intents", "reason"),
    [
        ([Buy(0, PRICE, minus(SIZE))], RejectReason.SIZE_DECIMALS),
        ([Buy(0, minus(PRICE), SIZE)], RejectReason.PRICE_RANGE),
        ([Buy(0, minus(PRICE), minus(SIZE))], RejectReason.PRICE_RANGE),
        # Shares less than none offered would make others free that are not held.
        ([Sell(0, px("0.4"), minus(SIZE)), Sell(0, px("0.4"), SIZE)], RejectReason.SIZE_DECIMALS),
        ([Convert((), SIZE)], RejectReason.NOT_HELD),
    ],
)
def test_nothing_is_had_of_less_than_nothing(
    intents: list[Intent], reason: RejectReason, unheld: Unheld
) -> None:
    engine = simulate(BOOK, lambda: Script({1: list(intents)}), latency_ns=1, unheld=unheld)
    lens = only(engine)
    told = script(engine).told
    assert isinstance(told[0], Reject)
    assert told[0].reason is reason
    assert lens.ledger.cash_e6 == DEPOSIT_E6 or unheld is Unheld.COMPLEMENT
    assert all(one.offered_e6 == 0 for one in lens.ledger.holdings.values())


def test_cash_that_is_not_there_cannot_be_made_for_a_moment() -> None:
    intents = [
        Buy(0, PRICE, shares("1900")),
        Buy(0, PRICE, minus(shares("1900"))),
        Buy(0, PRICE, shares("1900")),
    ]
    engine = simulate(BOOK, lambda: Script({1: intents}), latency_ns=1)
    assert [one.reason for one in script(engine).told if isinstance(one, Reject)][:2] == [
        RejectReason.SIZE_DECIMALS, RejectReason.CASH,
    ]  # fmt: skip


def test_a_sale_above_a_dollar_is_no_purchase_below_nothing() -> None:
    above = PxE6(2_000_000)
    engine = simulate(
        BOOK, lambda: Script({1: [Sell(0, above, SIZE)]}), latency_ns=1, unheld=Unheld.COMPLEMENT
    )
    assert only(engine).rejects == {RejectReason.PRICE_RANGE: 1}
    assert only(engine).ledger.cash_e6 == DEPOSIT_E6


@pytest.mark.parametrize(
    "intent",
    [Convert(5, SIZE), Convert(None, SIZE), Buy(0, PRICE, SIZE, tag="\ud800")],  # type: ignore[arg-type]
)
def test_what_is_no_intent_is_an_error_of_the_strategy(intent: Intent) -> None:
    run = only(simulate(BOOK, lambda: Script({1: [intent]}))).runs[0]
    assert (run.errors, run.is_disabled) == (1, True)
    assert str(run.first_error).startswith("on_top_of_book at seq 1: IntentError: ")


def test_a_tag_may_be_any_other_text() -> None:
    engine = simulate(BOOK, lambda: Script({1: [Buy(0, PRICE, SIZE, Tif.IOC, tag="größer")]}))
    assert only(engine).fills.count == 1


class Leaves(Strategy):
    """Ends the program, at once or by a timer."""

    def __init__(self, leave: Callable[[], None], *, later: bool) -> None:
        super().__init__()
        self._leave, self._later = leave, later

    def on_top_of_book(self, *_: Any) -> Any:
        if not self._later:
            self._leave()
        return iter([Timer(0)])

    def on_timer(self, *_: Any) -> None:
        self._leave()


def by_exit() -> None:
    raise SystemExit(0)


def by_closing() -> None:
    raise GeneratorExit


@pytest.mark.parametrize("later", [False, True])
@pytest.mark.parametrize("leave", [by_exit, by_closing])
def test_a_strategy_cannot_end_the_program(leave: Callable[[], None], later: bool) -> None:
    with pytest.raises(StrategyFailed, match="has left the simulation by"):
        simulate(BOOK, lambda: Leaves(leave, later=later))


@pytest.mark.parametrize(
    "text",
    [
        "class A(Strategy):\n    def __init__(self): raise ValueError('no')",
        "class A(Strategy): pass\nraise SystemExit",
    ],
)
def test_a_strategy_that_cannot_be_made_is_usage(tmp_path: Path, text: str) -> None:
    path = tmp_path / "a.py"
    path.write_text(f"from pm_sim import Strategy\n{text}\n")
    with pytest.raises(UsageError, match="cannot be"):
        load([str(path)])
