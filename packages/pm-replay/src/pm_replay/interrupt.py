"""SIGINT ends a replay between two frames, never inside one: a stream that was stopped is whole up to its END."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupts:
    """What SIGINT does: while `busy` it is noted, else (and the second time) it is a KeyboardInterrupt."""

    def __init__(self) -> None:
        self.busy = False
        self._asked = False

    def __call__(self, number: int, frame: FrameType | None) -> None:
        """Be the handler of the signal."""
        again, self._asked = self._asked, True
        if again or not self.busy:
            raise KeyboardInterrupt

    def between(self) -> None:
        """Say that nothing is half done; raises KeyboardInterrupt for a signal that came meanwhile."""
        self.busy = False
        if self._asked:
            raise KeyboardInterrupt

    @contextmanager
    def deferred(self) -> Iterator[None]:
        """Be busy here, and raise KeyboardInterrupt at the end for a signal that came meanwhile."""
        self.busy = True
        yield
        self.between()

    @contextmanager
    def installed(self) -> Iterator[None]:
        """Handle SIGINT here, unless it is ignored or somebody else's."""
        ours = threading.current_thread() is threading.main_thread()
        if not ours or signal.getsignal(signal.SIGINT) is not signal.default_int_handler:
            yield
            return
        signal.signal(signal.SIGINT, self)
        try:
            yield
        finally:
            signal.signal(signal.SIGINT, signal.default_int_handler)
