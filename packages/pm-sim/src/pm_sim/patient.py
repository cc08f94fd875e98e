"""Reading a pipe without being at its mercy: what waits for bytes is asked from time to time whether to go on.

A thread reads, a bounded queue hands over; the queue waits when it is full, so nothing is ever dropped. This
is the way that works on pipes of every platform.
"""

from collections.abc import Callable
from queue import Empty, Queue
from threading import Thread
from typing import Final

from pm_frames.events.event_reader import READ_BYTES, Source

CHUNKS_MAX: Final = 16
TICK_S: Final = 0.1


class PatientSource:
    """A source of bytes that ends when the other one does, or when `idle` says no."""

    def __init__(self, source: Source, idle: Callable[[], bool], *, tick_s: float = TICK_S) -> None:
        """`idle` is called whenever nothing came for a tick; False gives up. `source` must be unbuffered."""
        self._source = source
        self._idle = idle
        self._tick_s = tick_s
        self._chunks: Queue[bytes | OSError] = Queue(CHUNKS_MAX)
        self._left = b""
        self._is_over = False
        Thread(target=self._pump, name="pm-sim-reader", daemon=True).start()

    def read(self, size: int, /) -> bytes:
        """Return some bytes, none at the end or after giving up. Raises what reading raises."""
        while not self._left and not self._is_over:
            try:
                chunk = self._chunks.get(timeout=self._tick_s)
            except Empty:
                self._is_over = not self._idle()
                continue
            if isinstance(chunk, OSError):
                raise chunk
            self._left, self._is_over = chunk, not chunk
        data, self._left = self._left[:size], self._left[size:]
        return data

    def _pump(self) -> None:
        chunk: bytes | None = b"-"
        while chunk:
            try:
                chunk = self._source.read(READ_BYTES)
            except (OSError, ValueError) as error:  # ValueError: closed by the one who gave up
                self._chunks.put(error if isinstance(error, OSError) else b"")
                return
            self._chunks.put(chunk or b"")
