"""Data-idle as timelines."""

import dataclasses
from collections.abc import Callable

from pm_capture.actions import Reconnect, Trigger
from pm_capture.policies.data_idle import DataIdle

S = 1_000_000_000
IDLE = Reconnect(Trigger.DATA_IDLE, f"no data for an assigned token in {120 * S} ns")


def test_a_connection_without_data_is_given_up_once(
    play: Callable[..., list[tuple[int, object]]],
) -> None:
    machine = DataIdle(idle_ns=120 * S)
    machine.opened(5 * S)
    assert play(machine, [], until=3600 * S) == [(125 * S, IDLE)]


def test_data_moves_the_deadline(play: Callable[..., list[tuple[int, object]]]) -> None:
    machine = DataIdle(idle_ns=120 * S)
    machine.opened(0)
    script = [(second * S, machine.data_received) for second in (100, 219, 300)]
    since_the_data = dataclasses.replace(IDLE, since_mono_ns=300 * S)
    assert play(machine, script, until=3600 * S) == [(420 * S, since_the_data)]


def test_zero_disables(play: Callable[..., list[tuple[int, object]]]) -> None:
    machine = DataIdle(idle_ns=0)
    machine.opened(0)
    assert play(machine, [], until=10**18) == []


def test_data_of_a_closed_connection_starts_nothing() -> None:
    machine = DataIdle(idle_ns=120 * S)
    machine.opened(0)
    machine.closed()
    machine.data_received(5 * S)
    assert machine.deadline() is None
