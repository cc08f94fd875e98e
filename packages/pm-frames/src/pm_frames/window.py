"""A file of any size seen through one bounded buffer.

The size is taken once, when the file is opened: what a writer appends afterwards is not seen, and a file
that is cut meanwhile simply ends earlier. A file that is not there but beside it, archived as `NAME.zst`, is
read as what it was.
"""

from __future__ import annotations

import os
from io import RawIOBase
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pm_frames.errors import MissingFile
from pm_frames.paths import archived_path

SPAN: Final = 1 << 20  # bytes read at once


class Window:
    """Random access to a file, archived or not; `data` holds the bytes from offset `base`, `size` is the whole file."""

    def __init__(self, path: Path, *, span: int = SPAN) -> None:
        """Open `path`; raise `MissingFile` if it is not there, and what `SeekableReader` raises."""
        self.path = path
        self.span = span
        self._file, self.size = open_plain_or_archived(path)
        self.base = 0
        self.data = b""

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def load(self, offset: int, need: int) -> None:
        """Make `data` begin at `offset` and hold `need` bytes, or all up to the end of the file.

        Up to `span` bytes are read even when fewer are needed. The caller bounds `need`.
        """
        wanted = min(max(need, self.span), max(self.size - offset, 0))
        kept = b""
        if self.base <= offset < self.base + len(self.data):
            kept = self.data[offset - self.base :]
        if len(kept) < wanted:
            self._file.seek(offset + len(kept))
            parts = [kept] if kept else []
            missing = wanted - len(kept)
            while missing:
                part = self._file.read(missing) or b""
                if not part:  # cut since it was opened
                    self.size = offset + wanted - missing
                    break
                parts.append(part)
                missing -= len(part)
            kept = b"".join(parts)
        self.base = offset
        self.data = kept

    def at(self, offset: int, length: int) -> bytes:
        """Return `length` bytes from `offset`, fewer only where the file ends."""
        start = offset - self.base
        if start < 0 or start + length > len(self.data):
            self.load(offset, length)
            start = 0
        return self.data[start : start + length]


def open_plain_or_archived(path: Path) -> tuple[RawIOBase, int]:
    """Return a binary file for reading, and its size; what is archived reads as what it was.

    The plain file goes first where both are there, as while it is being archived. Raises `MissingFile`,
    and what `SeekableReader` raises.
    """
    try:
        file = open(path, "rb", buffering=0)
        return file, os.fstat(file.fileno()).st_size
    except (FileNotFoundError, IsADirectoryError) as error:
        if not archived_path(path).is_file():
            raise MissingFile("no such file", path=path) from error
    from pm_frames.seekable import SeekableReader

    archived = SeekableReader(archived_path(path))
    return archived, archived.size
