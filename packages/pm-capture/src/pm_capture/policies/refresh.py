"""Refresh: when a cycle begins, and that never two are under way.

    IDLE ──due──► UNDER WAY (Discover) ──ended──► IDLE
                   └─due again─► Skip, and the cadence goes on

The cadence counts from the beginning of a cycle. How long it is may change with every end: the churn
guard makes it longer.

Reading the whole venue takes minutes, so most cycles read only what is recent. What those cannot find
(markets that started earlier and qualify only now) is found by a whole sweep now and then.
"""

from pm_capture.refresh_actions import Discover, Skip, Sweep


class Refresh:
    """Begin a cycle every `interval_ns`; a non-positive interval never begins one."""

    def __init__(
        self, *, interval_ns: int, timeout_ns: int, whole_interval_ns: int, whole_timeout_ns: int
    ) -> None:
        """Sweep the whole venue every `whole_interval_ns`; non-positive: only what is recent."""
        self.interval_ns = interval_ns
        self._timeout_ns = timeout_ns
        self._whole_interval_ns = whole_interval_ns
        self._whole_timeout_ns = whole_timeout_ns
        self._due: int | None = None
        self._began = 0
        self._whole_at = 0
        self.under_way = False
        self.skipped = 0

    def started(self, now: int) -> None:
        """Begin to count; the universe of this moment has just been read whole."""
        self._whole_at = now
        if self.interval_ns > 0:
            self._due = now + self.interval_ns

    def elapsed_ns(self, now: int) -> int:
        """How long the cycle that began last has been going on."""
        return now - self._began

    def ended(self, now: int, interval_ns: int) -> None:
        """Take note that the cycle is over; `interval_ns` counts from its beginning."""
        self.under_way = False
        self.interval_ns = interval_ns
        if self._due is not None and self._began + interval_ns > now:
            self._due = self._began + interval_ns

    def stopped(self) -> None:
        """Begin nothing any more."""
        self._due = None

    def deadline(self) -> int | None:
        return self._due

    def deadline_reached(self, now: int) -> list[Discover | Skip]:
        if self._due is None or now < self._due:
            return []
        # After a stall one cycle is enough: the cadence starts again from now.
        self._due = now + self.interval_ns
        if self.under_way:
            self.skipped += 1
            return [Skip()]
        self.under_way = True
        self._began = now
        if 0 < self._whole_interval_ns <= now - self._whole_at:
            self._whole_at = now
            return [Discover(Sweep.WHOLE, self._whole_timeout_ns)]
        return [Discover(Sweep.RECENT, self._timeout_ns)]
