"""Rotation: when the run in force has become old or large enough for another to take its place.

    IN FORCE ──old or large──► UNDER WAY ──began──► IN FORCE, of the next run
       ▲                          └─failed──► waits, twice as long each time ──► UNDER WAY again

A rotation that fails costs nothing but the attempt: the run in force goes on, beyond its limit.
"""

from pm_capture.rotate_limits import RotateLimits

RETRY_NS = 30_000_000_000
RETRY_NS_MAX = 3_600_000_000_000


class Rotation:
    """Judge the age and the size of one run after the other; no limits never end one."""

    def __init__(self, limits: RotateLimits | None) -> None:
        self._limits = RotateLimits() if limits is None else limits
        self._began = 0
        self._retry_at: int | None = None
        self._retry_ns = RETRY_NS

    def began(self, now: int) -> None:
        """Take note that a run begins that will be, or is, in force."""
        self._began = now
        self._retry_at = None
        self._retry_ns = RETRY_NS

    def failed(self, now: int) -> int:
        """Wait before the next attempt; return for how long, in ns."""
        wait_ns, self._retry_ns = self._retry_ns, min(RETRY_NS_MAX, 2 * self._retry_ns)
        self._retry_at = now + wait_ns
        return wait_ns

    def due(self, now: int, bytes_written: int) -> str | None:
        """Return what it is time for: `age`, `size`, or nothing."""
        limits = self._limits
        if self._retry_at is not None and now < self._retry_at:
            return None
        if limits.after_ns is not None and now - self._began >= limits.after_ns:
            return "age"
        if limits.bytes_max is not None and bytes_written >= limits.bytes_max:
            return "size"
        return None
