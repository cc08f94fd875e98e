"""Confirm as timelines."""

from collections.abc import Callable

from pm_capture.actions import Note, Reconnect, Trigger
from pm_capture.policies.confirm import Confirm

S = 1_000_000_000


def new(timeout: int = 45 * S, events_min: int = 2) -> Confirm:
    machine = Confirm(timeout_ns=timeout, events_min=events_min)
    machine.subscribed(0)
    return machine


def test_enough_events_confirm_once(play: Callable[..., list[tuple[int, object]]]) -> None:
    machine = new()
    script = [(second * S, lambda now: machine.events_received(1, now)) for second in (1, 3, 5)]
    note = Note("subscribe_confirm_success", {"events_seen": 2, "elapsed_ns": 3 * S})
    assert play(machine, script, until=3600 * S) == [(3 * S, note)]
    assert machine.confirmed
    assert not machine.waiting


def test_too_few_events_fail_the_connection(play: Callable[..., list[tuple[int, object]]]) -> None:
    machine = new()
    script = [(S, lambda now: machine.events_received(1, now))]
    assert play(machine, script, until=3600 * S) == [
        (45 * S, Note("subscribe_confirm_fail", {"events_seen": 1, "deadline_mono_ns": 45 * S})),
        (45 * S, Reconnect(Trigger.CONFIRM, f"1 of 2 events in {45 * S} ns")),
    ]
    assert machine.failures == 1
    assert not machine.confirmed


def test_a_new_subscription_counts_from_nothing() -> None:
    machine = new()
    machine.events_received(1, S)
    machine.subscribed(10 * S)
    assert machine.events_received(1, 11 * S) == []
    assert machine.deadline() == 55 * S


def test_without_a_timeout_it_waits_for_ever(play: Callable[..., list[tuple[int, object]]]) -> None:
    machine = new(timeout=0)
    script = [(9000 * S, lambda now: machine.events_received(5, now))]
    note = Note("subscribe_confirm_success", {"events_seen": 5, "elapsed_ns": 9000 * S})
    assert play(machine, script, until=10000 * S) == [(9000 * S, note)]


def test_a_closed_machine_wants_nothing(play: Callable[..., list[tuple[int, object]]]) -> None:
    machine = new()
    machine.closed()
    assert play(machine, [(S, lambda now: machine.events_received(9, now))], until=99 * S) == []
