"""Stop signals: the first asks the run to end and be sealed, the second ends the process at once.

Plain `signal.signal` on every platform: Windows has no loop.add_signal_handler, and a handler of the
loop would not run while the loop is busy sealing, which is when somebody sends the second one.
"""

import os
import signal
from collections.abc import Callable
from types import FrameType

EXIT_BASE = 128


class StopSignals:
    """Handlers of SIGINT, SIGTERM and, unless it is ignored as under nohup, SIGHUP."""

    def __init__(self, stop: Callable[[signal.Signals], None]) -> None:
        """`stop` is called from a signal handler, between any two bytecodes of the main thread."""
        self._stop = stop
        self._came = False
        numbers = [
            getattr(signal, name)
            for name in ("SIGINT", "SIGTERM", "SIGBREAK", "SIGHUP")
            if hasattr(signal, name)
        ]
        # A shell starts background jobs with SIGINT ignored, but a SIGINT sent to a capture is meant.
        self._before = {
            number: signal.signal(number, self._handle)
            for number in numbers
            if number.name != "SIGHUP" or signal.getsignal(number) is not signal.SIG_IGN
        }

    def restore(self) -> None:
        """Put the handlers of before back."""
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def _handle(self, number: int, _: FrameType | None) -> None:
        if self._came:
            # Unsealed, but not torn: every frame was handed to the kernel when it arrived.
            os._exit(EXIT_BASE + number)
        self._came = True
        self._stop(signal.Signals(number))
