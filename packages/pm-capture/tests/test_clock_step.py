"""Clock steps as a timeline of readings."""

from typing import Any

from pm_capture.actions import Note
from pm_capture.policies.clock_step import ClockStep

MS = 1_000_000
S = 1000 * MS
HOUR = 3600 * S


def readings(machine: ClockStep, *pairs: tuple[int, int]) -> list[dict[str, Any]]:
    """Feed (monotonic, wall) pairs; return the fields of the records."""
    notes = [note for mono, wall in pairs for note in machine.read(mono - 5, wall, mono + 5)]
    assert all(isinstance(note, Note) and note.record_type == "clock_step" for note in notes)
    return [dict(note.fields) for note in notes if isinstance(note, Note)]


def test_a_jump_is_recorded_with_its_size_and_when_it_was_not_there_yet() -> None:
    machine = ClockStep()
    assert readings(machine, (S, HOUR + S), (2 * S, HOUR + 2 * S), (3 * S, 3 * S)) == [
        {
            "step_ns": -HOUR, "offset_before_ns": HOUR, "offset_after_ns": 0,
            "since_mono_ns": 2 * S + 5,
        },
    ]  # fmt: skip
    assert readings(machine, (4 * S, 4 * S), (5 * S, HOUR + 5 * S))[0]["step_ns"] == HOUR
    assert machine.steps == 2


def test_a_slew_is_no_step() -> None:
    # Half a millisecond a second, as fast as a kernel slews, for a day.
    pairs = [(at * S, at * S + at * MS // 2) for at in range(86_400)]
    assert readings(ClockStep(), *pairs) == []


def test_the_limit_itself_is_no_step() -> None:
    assert readings(ClockStep(), (S, S), (2 * S, 2 * S + 50 * MS)) == []
    assert len(readings(ClockStep(), (S, S), (2 * S, 2 * S + 50 * MS + 1))) == 1


def test_a_reading_that_took_long_tells_nothing() -> None:
    machine = ClockStep()
    machine.read(0, 0, 10)
    assert machine.read(S, 2 * S, 2 * S) == []
    assert readings(machine, (3 * S, 3 * S)) == []
