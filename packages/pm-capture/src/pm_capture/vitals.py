"""What a run observes of the process and the machine between two heartbeats, and the guards that judge it.

The shell calls in with what its timers and threads bring; what comes back are actions.
"""

from dataclasses import dataclass

from pm_capture.actions import Action, Note
from pm_capture.collector import Pauses
from pm_capture.disk_watch import DiskFigures
from pm_capture.policies.backpressure import Backpressure
from pm_capture.policies.clock_step import ClockStep
from pm_capture.policies.disk_guard import DiskGuard
from pm_frames.histogram import LogHistogram

NS_PER_MS = 1e6
# The timer that shows the lateness of the loop.
TICK_NS = 100_000_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Guards:
    """Limits of a run; 0 or less disables a guard."""

    free_bytes_min: int = 0
    backpressure_ns: int = 0
    disk_interval_seconds: float = 10.0
    coverage_interval_ns: int = 0


class Vitals:
    """Figures of one run."""

    def __init__(self, guards: Guards) -> None:
        self.disk_guard = DiskGuard(free_bytes_min=guards.free_bytes_min)
        self.backpressure_ns_p99 = 0
        self._backpressure = Backpressure(fatal_ns=guards.backpressure_ns)
        self._clock_step = ClockStep()
        self._lag_ns = LogHistogram()
        self._disk: DiskFigures | None = None
        self._disk_fresh = False
        self._tick_work_ns = 0
        self._metrics_errors = 0
        self._metrics_failing = False

    def ticked(self, late_ns: int, clocks: tuple[int, int, int]) -> list[Action]:
        """Take the lateness of the timer and a reading of both clocks.

        The ticks that a stall swallowed would have been late too, each by one interval less: they count,
        or a percentile would call a stall of a minute one late tick among many.
        """
        for late in range(late_ns, -1, -TICK_NS):
            self._lag_ns.record(late)
        return self._clock_step.read(*clocks)

    def disk_measured(self, figures: DiskFigures) -> list[Action]:
        """Take a measurement of the disk."""
        self._disk = figures
        self._disk_fresh = True
        return self.disk_guard.measured(figures.free_bytes)

    def beaten(
        self, *, ingest_ns_p99: int, backpressure_ns_p99: int, reads: int, metrics_errors: int
    ) -> list[Action]:
        """Judge the interval that ends with a heartbeat."""
        self.backpressure_ns_p99 = backpressure_ns_p99
        actions = self._backpressure.heartbeat(ingest_ns_p99, reads)
        failing = metrics_errors > self._metrics_errors
        if failing and not self._metrics_failing:
            actions.append(Note("metrics_writer_error", {"errors_total": metrics_errors}))
        self._metrics_errors = metrics_errors
        self._metrics_failing = failing
        return actions

    def tick_done(self, work_ns: int) -> None:
        """Take how long a heartbeat took; the next one tells it."""
        self._tick_work_ns = work_ns

    def told(self, pauses: Pauses) -> dict[str, object]:
        """Return the keys of the global record, and begin a new interval."""
        disk, fresh = self._disk, self._disk_fresh
        lag_ns, self._lag_ns, self._disk_fresh = self._lag_ns, LogHistogram(), False
        return {
            "loop_lag_ms_max_last_interval": lag_ns.max / NS_PER_MS,
            "loop_lag_ns": lag_ns.to_dict(),
            "hb_tick_work_ns": self._tick_work_ns,
            "gc_pauses_count": pauses.number,
            "gc_pauses_ns_total": pauses.total_ns,
            "gc_pauses_ns_max": pauses.max_ns,
            "clock_steps_total": self._clock_step.steps,
            "disk_total_bytes": None if disk is None else disk.total_bytes,
            "disk_used_bytes": None if disk is None else disk.used_bytes,
            "disk_free_bytes": None if disk is None else disk.free_bytes,
            "disk_check_ns": None if disk is None else disk.check_ns,
            "disk_check_performed": fresh,
        }
