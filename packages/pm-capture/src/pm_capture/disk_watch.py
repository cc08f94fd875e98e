"""The thread that measures the disk: asking a file system can take long, and the event loop must not wait."""

import shutil
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# A file system that hangs must not keep the run from ending.
JOIN_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class DiskFigures:
    """One measurement, in bytes; `free_bytes` is what this user may still write."""

    total_bytes: int
    used_bytes: int
    free_bytes: int
    check_ns: int


class DiskWatch:
    """Measure at once, then again and again until stopped."""

    def __init__(
        self,
        path: Path,
        measured: Callable[[DiskFigures], None],
        *,
        now: Callable[[], int],
        interval_seconds: float,
    ) -> None:
        """`measured` is called in this thread; `now` reads a monotonic clock in ns."""
        self._path = path
        self._measured = measured
        self._now = now
        self._interval_seconds = interval_seconds
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="disk-watch", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Return when the thread has ended, or hangs in the file system."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join(JOIN_SECONDS)

    def _run(self) -> None:
        while not self._stop.is_set():
            began = self._now()
            try:
                total, used, free = shutil.disk_usage(self._path)
            except OSError:
                pass  # nothing is known; that shows as `disk_check_performed: false`
            else:
                self._measured(DiskFigures(total, used, free, self._now() - began))
            self._stop.wait(self._interval_seconds)
