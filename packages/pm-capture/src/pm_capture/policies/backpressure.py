"""Backpressure: frames that wait long for the disk, heartbeat after heartbeat, mean that it is stuck.

    FLOWING ──slow heartbeat──► SLOW 1 ──slow──► SLOW 2 ──slow──► STALLED (GiveUp, once)
       ▲                          │                │
       └── a heartbeat that is not slow, or had no reads ──┘

There is no queue between socket and file, so the wait is the time from the stamp of a read to the end of
its append; a heartbeat is slow when the 99th percentile of these is above the limit.
"""

from pm_capture.actions import Action, GiveUp
from pm_capture.reasons import FatalReason

BEATS = 3


class Backpressure:
    """Judge the waits of each heartbeat; a non-positive limit disables the machine."""

    def __init__(self, *, fatal_ns: int, beats: int = BEATS) -> None:
        self._fatal_ns = fatal_ns
        self._beats = beats
        self.slow_beats = 0

    def heartbeat(self, ingest_ns_p99: int, reads: int) -> list[Action]:
        """Judge one interval by its 99th percentile and the number of reads behind it."""
        if self._fatal_ns <= 0 or self.slow_beats >= self._beats:
            return []
        if not reads or ingest_ns_p99 <= self._fatal_ns:
            self.slow_beats = 0
            return []
        self.slow_beats += 1
        if self.slow_beats < self._beats:
            return []
        words = (
            f"p99 from stamp to written was above {self._fatal_ns} ns in {self._beats} heartbeats in a "
            f"row, {ingest_ns_p99} ns in the last"
        )
        return [GiveUp(FatalReason.BACKPRESSURE_STALL, words)]
