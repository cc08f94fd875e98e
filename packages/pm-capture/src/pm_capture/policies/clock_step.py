"""Clock step: the wall clock jumps, or the machine slept, and the record says when and by how much.

Order and gaps use the monotonic clock, so nothing breaks; but a reader who compares wall stamps with the
venue's must know. What is watched is the difference of the two clocks between one reading and the next: a
clock that is slewed moves it by at most half a millisecond a second, a step at once. The monotonic clock
of Linux stands still while the machine sleeps, so a sleep is a step forward.
"""

from pm_capture.actions import Action, Note

STEP_NS = 50_000_000


class ClockStep:
    """Compare readings of both clocks."""

    def __init__(self, *, step_ns: int = STEP_NS) -> None:
        self._step_ns = step_ns
        self._offset: int | None = None
        self._read_at = 0
        self.steps = 0

    def read(self, before: int, wall: int, after: int) -> list[Action]:
        """Judge a wall clock reading taken between two of the monotonic clock, in ns.

        A pair that lies too far apart (the process was not running in between) tells nothing and is
        left out; the next one is compared with the one before.
        """
        if after - before > self._step_ns // 2:
            return []
        offset = wall - (before + after) // 2
        known, self._offset = self._offset, offset
        since, self._read_at = self._read_at, after
        if known is None or abs(offset - known) <= self._step_ns:
            return []
        self.steps += 1
        fields = {
            "step_ns": offset - known,
            "offset_before_ns": known,
            "offset_after_ns": offset,
            "since_mono_ns": since,
        }
        return [Note("clock_step", fields)]
