"""The idx codec: one fixed-size entry per frame, so that slices need no payload.

An .idx file has no magic; its version is that of the .frames file beside it.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

from pm_frames.errors import CorruptIndex, WriteFailed
from pm_frames.files import Files, OsFiles
from pm_frames.frames import Frame, read_frames
from pm_frames.layout import IDX, PAYLOAD_MAX, Version
from pm_frames.resync import last_nonzero
from pm_frames.window import Window

ENTRIES_AT_ONCE: Final = 8192


class IdxEntry(NamedTuple):
    """What the idx says of one frame; `rx_wall_ns_utc` is None in version 1."""

    offset_frames: int
    rx_mono_ns: int
    rx_wall_ns_utc: int | None
    payload_len: int
    payload_crc32: int


def entry_of(frame: Frame) -> IdxEntry:
    """Return the entry that belongs to a frame."""
    return IdxEntry(
        frame.offset, frame.rx_mono_ns, frame.rx_wall_ns_utc, len(frame.payload), frame.crc32
    )


def encode_entry(entry: IdxEntry, version: int = Version.V2) -> bytes:
    """Return one entry as bytes; version 1 drops the wall clock. Raises ValueError without one in v2."""
    offset, mono, wall, length, crc = entry
    if version == Version.V1:
        return IDX[Version.V1].pack(offset, mono, length, crc)
    if wall is None:
        raise ValueError("version 2 needs rx_wall_ns_utc")
    return IDX[Version(version)].pack(offset, mono, wall, length, crc)


def decode_entries(data: bytes, version: int) -> list[IdxEntry]:
    """Return the entries in `data`, whose length must be a multiple of the entry size."""
    unpacked = IDX[Version(version)].iter_unpack(data)
    if version == Version.V1:
        return [IdxEntry(offset, mono, None, size, crc) for offset, mono, size, crc in unpacked]
    return [IdxEntry._make(fields) for fields in unpacked]


def read_index(
    path: Path, version: int, *, start: int = 0, stop: int | None = None
) -> Iterator[IdxEntry]:
    """Yield the entries with ordinals from `start` to before `stop`, streaming.

    Raises `CorruptIndex` (kind `idx_torn`) after the last whole entry if `stop` is None and bytes are left,
    `MissingFile` if there is no file. The entries are not compared with anything here.
    """
    size = IDX[Version(version)].size
    with Window(path, span=size * ENTRIES_AT_ONCE) as window:
        whole = window.size // size
        last = whole if stop is None else min(stop, whole)
        for first in range(start, last, ENTRIES_AT_ONCE):
            count = min(ENTRIES_AT_ONCE, last - first)
            yield from decode_entries(window.at(first * size, count * size), version)
        if stop is None and window.size % size:
            raise CorruptIndex(
                "the file ends inside an entry",
                kind="idx_torn",
                ordinal=whole,
                path=path,
                offset=whole * size,
                expected=size,
                found=window.size % size,
            )


class IndexCursor:
    """The entries of an .idx file by ordinal, a block of them in memory; `count` whole ones."""

    def __init__(self, window: Window, version: Version) -> None:
        """`window` is the open .idx file and stays the caller's to close."""
        self.version = version
        self.entry_bytes = IDX[version].size
        # A power cut can leave zeros at the end, and no entry but the first can be nothing else.
        written = max(1, -(-last_nonzero(window) // self.entry_bytes))
        self.count = min(written, window.size // self.entry_bytes)
        self.torn_bytes = window.size - self.count * self.entry_bytes
        self._window = window
        self._first = 0
        self._block: list[tuple[int, ...]] = []

    def block(self, ordinal: int, at_most: int = ENTRIES_AT_ONCE) -> list[tuple[int, ...]]:
        """Return entries from `ordinal` on, as unpacked: some of them, none only after the last."""
        at = ordinal - self._first
        if not 0 <= at < len(self._block):
            count = min(ENTRIES_AT_ONCE, self.count - ordinal)
            data = self._window.at(ordinal * self.entry_bytes, max(count, 0) * self.entry_bytes)
            self._block = list(IDX[self.version].iter_unpack(data))
            self._first = ordinal
            at = 0
        return self._block[at : at + at_most] if at or at_most < len(self._block) else self._block

    def get(self, ordinal: int) -> IdxEntry | None:
        """Return one entry, None after the last."""
        at = ordinal - self._first
        fields = self._block[at] if 0 <= at < len(self._block) else None
        if fields is None:
            block = self.block(ordinal)
            if not block:
                return None
            fields = block[0]
        if self.version == Version.V1:
            return IdxEntry(fields[0], fields[1], None, fields[2], fields[3])
        return IdxEntry._make(fields)


def rebuild_index(
    frames_path: Path,
    idx_path: Path,
    *,
    files: Files | None = None,
    payload_max: int = PAYLOAD_MAX,
) -> int:
    """Write the idx that belongs to a .frames file and return its entries; bytes as the writer's.

    A missing idx only: an existing one raises FileExistsError, because rebuilding an idx that disagrees
    would turn header damage into truth. Every frame is read and checked (`CorruptFrame`). The file appears
    whole or not at all: written beside its place as `NAME.tmp`, synced, renamed. A left-over `NAME.tmp`
    raises FileExistsError as well. An OSError while writing becomes `WriteFailed`.
    """
    files = OsFiles() if files is None else files
    if idx_path.exists():
        raise FileExistsError(f"{idx_path}: exists; an idx is rebuilt only where there is none")
    scratch = idx_path.with_name(idx_path.name + ".tmp")
    replaced = False
    try:
        fd = files.open_append(scratch)
    except FileExistsError:
        raise
    except OSError as error:
        raise WriteFailed(f"cannot create: {error.strerror}", path=scratch) from error
    try:
        try:
            count = _write_entries(files, fd, frames_path, scratch, payload_max)
            files.sync(fd)
        finally:
            files.close(fd)
        files.replace(scratch, idx_path)
        replaced = True
        files.sync_directory(idx_path.parent)
    except OSError as error:
        raise WriteFailed(f"write failed: {error.strerror}", path=idx_path) from error
    finally:
        if not replaced:
            scratch.unlink(missing_ok=True)
    return count


def _write_entries(
    files: Files, fd: int, frames_path: Path, scratch: Path, payload_max: int
) -> int:
    count = 0
    pending: list[bytes] = []
    for frame in read_frames(frames_path, payload_max=payload_max):
        pending.append(encode_entry(entry_of(frame), frame.version))
        count += 1
        if len(pending) == ENTRIES_AT_ONCE:
            write_all(files, fd, b"".join(pending), scratch)
            pending.clear()
    write_all(files, fd, b"".join(pending), scratch)
    return count


def write_all(files: Files, fd: int, data: bytes, path: Path) -> None:
    """Write all of `data`, however few bytes the system takes at a time."""
    view = memoryview(data)
    while view:
        try:
            taken = files.write(fd, view)
        except InterruptedError:
            continue
        if taken <= 0:
            raise WriteFailed("the system takes no bytes", path=path)
        view = view[taken:]
