"""The one place where the bytes of a shard's files are opened for reading forwards."""

import os
from io import RawIOBase
from pathlib import Path
from typing import BinaryIO, NamedTuple, Self, cast

from pm_frames.errors import BundleError, CorruptArchive
from pm_frames.paths import archived_path
from pm_frames.window import open_plain_or_archived


class ShardBytes(NamedTuple):
    """A file of a shard, read forwards from its beginning, and its size when it was opened."""

    file: BinaryIO
    size: int


class ArchivedBytes:
    """An archive read forwards: as many bytes as asked for, fewer at the end and before damage."""

    def __init__(self, archived: RawIOBase) -> None:
        self._archived = archived
        self.seek = archived.seek
        self.close = archived.close

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def read(self, size: int, /) -> bytes:
        """Return the next bytes; raise `CorruptArchive` where the first of them cannot be had."""
        parts: list[bytes] = []
        while size:
            try:
                part = self._archived.read(size)
            except CorruptArchive:
                if not parts:
                    raise
                break
            if not part:
                break
            parts.append(part)
            size -= len(part)
        return b"".join(parts)


def open_shard_bytes(path: Path) -> ShardBytes:
    """Open a .frames or .idx file, or what is archived in its place.

    Raises OSError, and `CorruptArchive` and `MissingLibrary` for an archive; reading raises `CorruptArchive`
    too.
    """
    try:
        file = path.open("rb")
    except FileNotFoundError:
        if not archived_path(path).is_file():
            raise
        archived, size = open_plain_or_archived(path)
        return ShardBytes(cast(BinaryIO, ArchivedBytes(archived)), size)
    return ShardBytes(file, os.fstat(file.fileno()).st_size)


def shard_bytes_size(path: Path) -> int:
    """Return how many bytes there are to read, 0 for a file that cannot be asked."""
    try:
        if path.exists():
            return path.stat().st_size  # opened it might block: it may be anything
        source = open_shard_bytes(path)
    except (OSError, BundleError):
        return 0
    source.file.close()
    return source.size
