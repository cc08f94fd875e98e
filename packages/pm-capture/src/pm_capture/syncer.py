"""The thread that makes frames durable while the event loop goes on receiving.

It also folds the running digests, so that sealing reads nothing again. The first failure ends the
thread: a sync that failed once must not be tried again.
"""

import threading
from collections.abc import Callable

INTERVAL_SECONDS = 0.2


class Syncer:
    """Call `sync` again and again until stopped; report the first failure once."""

    def __init__(
        self,
        sync: Callable[[], object],
        failed: Callable[[Exception], None],
        *,
        interval_seconds: float = INTERVAL_SECONDS,
    ) -> None:
        """`failed` is called in this thread, not in the caller's."""
        self._sync = sync
        self._failed = failed
        self._interval_seconds = interval_seconds
        self.failure: Exception | None = None  # what ended the thread; settled once `stop` returns
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="syncer", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """Return when the thread has ended; a sync under way is finished first."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def _run(self) -> None:
        while not self._stop.wait(self._interval_seconds):
            try:
                self._sync()
            except Exception as error:
                self.failure = error
                self._failed(error)
                return
