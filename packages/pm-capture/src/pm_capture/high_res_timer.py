"""Timers of 1 ms on Windows, whose own go off up to 15.6 ms late; other systems need nothing.

The request lasts until it is taken back or the process ends, and costs power; so it is made only while
a capture lives.
"""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any, Protocol

PERIOD_MS = 1


class Multimedia(Protocol):
    """The two calls of winmm.dll."""

    def timeBeginPeriod(self, period_ms: int, /) -> Any: ...

    def timeEndPeriod(self, period_ms: int, /) -> Any: ...


def winmm() -> Multimedia | None:
    """Return the library that sets the period of timers, None where there is none to set."""
    if sys.platform != "win32":
        return None
    import ctypes

    library: Multimedia = ctypes.WinDLL("winmm")
    return library


@contextlib.contextmanager
def high_res_timer(library: Multimedia | None) -> Iterator[bool]:
    """Ask for timers of 1 ms, and take it back at the end; yield whether that was granted.

    Without a library nothing happens. A refusal is no error: timers then go off later, stamps stay true.
    """
    granted = library is not None and library.timeBeginPeriod(PERIOD_MS) == 0
    try:
        yield granted
    finally:
        if granted and library is not None:
            library.timeEndPeriod(PERIOD_MS)
