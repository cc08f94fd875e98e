"""Backpressure as a sequence of heartbeats."""

from pm_capture.actions import Action, GiveUp
from pm_capture.policies.backpressure import Backpressure
from pm_capture.reasons import FatalReason

MS = 1_000_000


def beats(machine: Backpressure, *waits_ms: int | None) -> list[tuple[int, Action]]:
    """Feed heartbeats by their p99; None is an interval without reads."""
    seen: list[tuple[int, Action]] = []
    for number, wait in enumerate(waits_ms, 1):
        reads = 0 if wait is None else 7
        seen += [(number, action) for action in machine.heartbeat((wait or 0) * MS, reads)]
    return seen


def test_the_third_slow_heartbeat_in_a_row_ends_the_run_once() -> None:
    [(number, action)] = beats(Backpressure(fatal_ns=250 * MS), 251, 900, 300, 300, 300, 300)
    assert number == 3
    assert isinstance(action, GiveUp)
    assert action.reason is FatalReason.BACKPRESSURE_STALL
    assert action.message.endswith("in 3 heartbeats in a row, 300000000 ns in the last")


def test_a_heartbeat_in_time_or_without_reads_begins_again() -> None:
    assert beats(Backpressure(fatal_ns=250 * MS), 300, 300, 250, 300, 300, None, 300, 300) == []


def test_nothing_disables_it() -> None:
    assert beats(Backpressure(fatal_ns=0), 9_000, 9_000, 9_000, 9_000) == []
