"""Disk guard: a run ends while there is still room to end it well.

    ROOM ──below twice the limit──► WARNED ──below the limit──► LOW (GiveUp, once)
      ▲                                │
      └──── a tenth above that again ──┘

The shell measures, off the event loop; this decides. Free means free to this user.
"""

from pm_capture.actions import Action, GiveUp, Note
from pm_capture.reasons import FatalReason

WARN_FACTOR = 2


class DiskGuard:
    """Judge measurements of free bytes; a non-positive limit disables the machine."""

    def __init__(self, *, free_bytes_min: int) -> None:
        self._free_bytes_min = free_bytes_min
        self._low = False
        self.warned = False

    def measured(self, free_bytes: int) -> list[Action]:
        """Judge one measurement."""
        limit = self._free_bytes_min
        if limit <= 0 or self._low:
            return []
        if free_bytes < limit:
            self._low = True
            words = f"{free_bytes} bytes are free, min_free_disk_gb demands {limit}"
            return [GiveUp(FatalReason.LOW_DISK, words)]
        warn_bytes = limit * WARN_FACTOR
        if not self.warned and free_bytes < warn_bytes:
            self.warned = True
            fields = {"disk_free_bytes": free_bytes, "fatal_below_bytes": limit}
            return [Note("disk_warning", fields)]
        if self.warned and free_bytes > warn_bytes + warn_bytes // 10:
            self.warned = False
        return []
