"""One line on the terminal that says how the capture goes, rewritten with every heartbeat.

Without a terminal there is none; words alone remain. A terminal that takes nothing (Ctrl-S, a dead ssh) must
not hold up the event loop: what it cannot take at once is left out, and the bundle has all of it.
"""

import contextlib
import os
import select
import sys
from collections.abc import Callable, Mapping
from typing import Any, TextIO

NS_PER_S = 1_000_000_000
UNITS = ("B", "kB", "MB", "GB", "TB")
SEPARATOR = " · "


def status_text(record: Mapping[str, Any], *, shards: int, since_mono_ns: int, width: int) -> str:
    """Return the line for a record of `metrics/global.ndjson`, at most `width` characters.

    `shards` are those with tokens, `since_mono_ns` is when the capture began. What does not fit is left out
    from the end.
    """
    elapsed_s = (record["hb_mono_ns"] - since_mono_ns) // NS_PER_S
    gaps = record["midrun_disconnected_incidents"]
    parts = [
        f"{elapsed_s // 3600:d}:{elapsed_s // 60 % 60:02d}:{elapsed_s % 60:02d}",
        f"{record['shards_connected']}/{shards} shards",
        f"{record['msgs_per_sec']:,.0f} msg/s",
        f"{scaled(record['bytes_per_sec'])}/s",
        f"coverage {_percent(record['coverage_pct'])}",
        f"{gaps} gap{'' if gaps == 1 else 's'}",
        f"{record['frames']:,} frames",
        scaled(record["bytes_written"]),
    ]
    while len(parts) > 1 and len(SEPARATOR.join(parts)) > width:
        parts.pop()
    return SEPARATOR.join(parts)[: max(0, width)]


def scaled(count: float) -> str:
    """Return bytes in the unit that people would use, decimal."""
    unit = 0
    while count >= 999.5 and unit < len(UNITS) - 1:
        count /= 1000
        unit += 1
    return (
        f"{count:.0f} {UNITS[unit]}"
        if unit == 0 or count >= 99.95
        else f"{count:.1f} {UNITS[unit]}"
    )


def _percent(value: float) -> str:
    # Rounded down: 100 % is said when nothing is missing, and only then.
    return f"{int(value * 10) / 10:.1f} %"


class StatusLine:
    """The last line of a terminal, and the words above it. Nothing raises for a terminal that is gone."""

    def __init__(
        self, stream: TextIO, *, columns: Callable[[], int], ready: Callable[[], bool]
    ) -> None:
        """`columns` is the width of the terminal, `ready` whether it takes output at once."""
        self._stream = stream
        self._columns = columns
        self._ready = ready
        self._shown = 0
        self._since_mono_ns: int | None = None

    def show(self, record: Mapping[str, Any], shards: int) -> None:
        """Rewrite the line; see `status_text`."""
        if self._since_mono_ns is None:
            self._since_mono_ns = record["hb_mono_ns"] - record["elapsed_ns"]
        # The last column stays free: a character there can make the terminal wrap.
        text = status_text(
            record, shards=shards, since_mono_ns=self._since_mono_ns, width=self._columns() - 1
        )
        # Blanks, not an escape sequence, wipe what was there: every terminal knows them.
        if self._write(f"\r{text:<{min(self._shown, self._columns() - 1)}}"):
            self._shown = len(text)

    def above(self, say: Callable[[str], None]) -> Callable[[str], None]:
        """Return a `say` that wipes the line first; the next heartbeat brings it back."""

        def said(text: str) -> None:
            if not self._ready():
                return
            if self._shown and self._write(f"\r{'':<{self._shown}}\r"):
                self._shown = 0
            say(text)

        return said

    def _write(self, text: str) -> bool:
        if not self._ready():
            return False
        with contextlib.suppress(OSError, ValueError):
            self._stream.write(text)
            self._stream.flush()
            return True
        return False


def on_terminal(stream: TextIO | None) -> StatusLine | None:
    """Return the line of a stream that is a terminal; None for others, and for one that was closed."""
    try:
        if stream is None or not stream.isatty():
            return None
        descriptor = stream.fileno()
    except (OSError, ValueError):
        return None

    def columns() -> int:
        try:
            return os.get_terminal_size(descriptor).columns or 80
        except OSError:
            return 80

    def ready() -> bool:
        if sys.platform == "win32":
            return True
        try:
            return bool(select.select([], [descriptor], [], 0)[1])
        except (OSError, ValueError):
            return False

    return StatusLine(stream, columns=columns, ready=ready)
