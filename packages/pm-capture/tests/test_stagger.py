"""Changes one at a time, as timelines."""

from collections.abc import Callable
from typing import Any

from pm_capture.policies.stagger import Stagger


def test_the_first_comes_at_once_and_the_others_after_gaps(play: Callable[..., Any]) -> None:
    machine: Stagger[str] = Stagger(gap_ns=25)
    script = [(100, lambda now: machine.begun("abc", now))]
    assert play(machine, script, until=1000) == [(100, "a"), (125, "b"), (150, "c")]
    assert (machine.pending, machine.deadline()) == (0, None)


def test_what_is_added_meanwhile_waits_its_turn(play: Callable[..., Any]) -> None:
    machine: Stagger[str] = Stagger(gap_ns=25)
    script = [
        (100, lambda now: machine.begun("ab", now)),
        (110, lambda now: machine.begun("c", now)),
    ]
    assert play(machine, script, until=1000) == [(100, "a"), (125, "b"), (150, "c")]


def test_without_a_gap_all_come_in_order(play: Callable[..., Any]) -> None:
    machine: Stagger[str] = Stagger(gap_ns=0)
    assert machine.deadline_reached(5) == []
    machine.begun("abc", 7)
    seen = []
    while machine.deadline() is not None:
        seen += machine.deadline_reached(7)
    assert seen == ["a", "b", "c"]
