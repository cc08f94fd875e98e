"""The number of lines of an NDJSON file, and its last whole record, in bounded memory."""

import json
from pathlib import Path
from typing import Any, NamedTuple

BLOCK = 1 << 20
LINE_MAX = 4 << 20  # bytes; a last line beyond that is not shown


class NdjsonTail(NamedTuple):
    """`lines` that are whole, the last of them where it is an object, bytes after the last newline."""

    lines: int
    last: dict[str, Any] | None
    torn_bytes: int


def ndjson_tail(path: Path) -> NdjsonTail:
    """Read a file once; raises OSError. A last line that is not a JSON object gives None, not an error."""
    count = size = last_end = previous_end = 0
    with open(path, "rb") as file:
        while block := file.read(BLOCK):
            newlines = block.count(b"\n")
            if newlines:
                end = block.rfind(b"\n") + 1
                before = block.rfind(b"\n", 0, end - 1) + 1
                previous_end = size + before if before else last_end
                last_end = size + end
                count += newlines
            size += len(block)
        last = None
        if count and last_end - previous_end <= LINE_MAX:
            file.seek(previous_end)
            last = _object(file.read(last_end - previous_end))
    return NdjsonTail(count, last, size - last_end)


def _object(line: bytes) -> dict[str, Any] | None:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
