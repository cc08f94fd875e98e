"""Progress on a terminal: one line that is written over, and gone at the end."""

from collections.abc import Callable
from typing import Final, TextIO

SHOWN_EVERY_SECONDS: Final = 0.2


class Progress:
    """Shows how much of `total` bytes has been read; nothing is shown in the first moment."""

    def __init__(self, total: int, out: TextIO, *, clock: Callable[[], float]) -> None:
        self._total = total
        self._out = out
        self._clock = clock
        self._begun = self._shown = clock()
        self._done = 0
        self._width = 0

    def tell(self, size: int) -> None:
        """Count bytes; show the line when it is time."""
        self._done += size
        now = self._clock()
        if now - self._shown < SHOWN_EVERY_SECONDS:
            return
        self._shown = now
        done = min(self._done, self._total)
        share = 100 * done // self._total if self._total else 100
        rate = done / (now - self._begun) / 1e6
        self._write(f"pm-verify: {share:3d} %, {done / 1e6:,.0f} MB, {rate:,.0f} MB/s")

    def say(self, text: str) -> None:
        """Show a text of the caller's own when it is time."""
        now = self._clock()
        if now - self._shown >= SHOWN_EVERY_SECONDS:
            self._shown = now
            self._write(text)

    def end(self) -> None:
        """Take the line away."""
        if self._width:
            self._write("")
            self._width = 0

    def _write(self, text: str) -> None:
        self._out.write(f"\r{text:<{self._width}}" + ("\r" if not text else ""))
        self._out.flush()
        self._width = len(text)
