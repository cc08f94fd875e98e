"""One shard of a bundle: a .frames file and the .idx beside it, read together and never believed alone."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Generator, Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pm_frames.damage import FIELD_KINDS
from pm_frames.errors import CorruptFrame, CorruptIndex, MissingLibrary
from pm_frames.frames import Fault, Frame, decode_run, frame_at, raise_fault, read_version
from pm_frames.index import IdxEntry, IndexCursor, entry_of, read_index
from pm_frames.layout import HEADER, HEADER_MAX, IDX, PAYLOAD_MAX, Version
from pm_frames.rows import FrameRow, rows_of, sound_rows
from pm_frames.window import Window

if TYPE_CHECKING:
    from numpy import dtype, ndarray

BLOCK_BYTES: Final = (
    1 << 16
)  # read at once for `blocks`: the blocks of all shards should fit into caches
BLOCK_FRAMES: Final = 256


class Shard:
    """The frames of one connection, by ordinal; opening nothing until it is read."""

    def __init__(
        self, shard_id: int, frames_path: Path, idx_path: Path, *, payload_max: int = PAYLOAD_MAX
    ) -> None:
        self.shard_id = shard_id
        self.frames_path = frames_path
        self.idx_path = idx_path
        self.payload_max = payload_max

    def __repr__(self) -> str:
        return f"Shard({self.shard_id}, {str(self.frames_path)!r})"

    @cached_property
    def version(self) -> Version:
        """The version of the first frame; 2 for an empty shard."""
        return read_version(self.frames_path) or Version.V2

    def __len__(self) -> int:
        """Return the whole entries in the idx; a torn one at its end is not counted."""
        with Window(self.idx_path) as window:
            return window.size // IDX[self.version].size

    def pairs(self) -> int:
        """Return how many entries have their whole frame in the .frames file, judged by sizes alone.

        `frames(stop=shard.pairs())` reads a shard that still grows, or that a crash has left torn.
        """
        with Window(self.idx_path) as idx_window, Window(self.frames_path) as window:
            cursor = IndexCursor(idx_window, self.version)
            return bisect_right(
                range(1, cursor.count + 1),
                window.size,
                key=lambda count: self._after(cursor, count)[0],
            )

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[IdxEntry]:
        """Yield the idx entries from ordinal `start` to before `stop`; see `read_index`."""
        return read_index(self.idx_path, self.version, start=start, stop=stop)

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Yield the frames from ordinal `start` to before `stop`, each compared with its idx entry.

        Strict: raises `CorruptFrame` at the first unsound frame or stamp that goes back, `CorruptIndex` at
        the first entry that disagrees in any of its five fields or breaks the chain of offsets. With
        `stop` None both files must end together as well. Holds one window or one frame.
        """
        with Window(self.idx_path) as idx_window, Window(self.frames_path) as window:
            cursor = IndexCursor(idx_window, self.version)
            ordinal = min(start, cursor.count)
            last = cursor.count if stop is None else min(stop, cursor.count)
            offset, last_mono = self._after(cursor, ordinal)
            while ordinal < last:
                window.load(offset, HEADER_MAX)
                frames = decode_run(
                    window.data,
                    0,
                    offset,
                    self.version,
                    self.payload_max,
                    last_mono=last_mono,
                    entries=cursor.block(ordinal)[: last - ordinal],
                )
                if not frames:
                    frames = [self._one(window, cursor, ordinal, offset, last_mono)]
                yield from frames
                ordinal += len(frames)
                offset, last_mono = frames[-1].end, frames[-1].rx_mono_ns
            if stop is None:
                self._check_ends(window, cursor, offset)

    def blocks(
        self, start: int = 0, stop: int | None = None
    ) -> Generator[list[FrameRow], None, None]:
        """Yield the same frames as rows, in lists of as many as 64 KiB hold; no list is empty.

        What `frames` raises is raised after the list that ends with the frame before it.
        """
        if self.version != Version.V2:
            for ordinal, frame in enumerate(self.frames(start, stop), start):
                yield rows_of(self.shard_id, ordinal, [frame])
            return
        with (
            Window(self.idx_path) as idx_window,
            Window(self.frames_path, span=BLOCK_BYTES) as window,
        ):
            cursor = IndexCursor(idx_window, self.version)
            ordinal = min(start, cursor.count)
            last = cursor.count if stop is None else min(stop, cursor.count)
            offset, last_mono = self._after(cursor, ordinal)
            while ordinal < last:
                window.load(offset, HEADER_MAX)
                rows = sound_rows(
                    window.data,
                    offset,
                    cursor.block(ordinal, min(last - ordinal, BLOCK_FRAMES)),
                    shard_id=self.shard_id,
                    ordinal=ordinal,
                    last_mono=last_mono,
                    payload_max=self.payload_max,
                )
                if not rows:
                    frame = self._one(window, cursor, ordinal, offset, last_mono)
                    rows = rows_of(self.shard_id, ordinal, [frame])
                ordinal += len(rows)
                offset, last_mono = self._after(cursor, ordinal)
                yield rows
            if stop is None:
                self._check_ends(window, cursor, offset)

    def _after(self, cursor: IndexCursor, ordinal: int) -> tuple[int, int]:
        """Return where frame `ordinal` begins and the stamp before it, by the entry before it."""
        entry = cursor.get(ordinal - 1) if ordinal else None
        if entry is None:
            return 0, 0
        size = HEADER[self.version].size + entry.payload_len
        return entry.offset_frames + size, entry.rx_mono_ns

    def _one(
        self, window: Window, cursor: IndexCursor, ordinal: int, offset: int, last_mono: int
    ) -> Frame:
        """Return the frame of one entry, or raise what is wrong with it."""
        entry = cursor.get(ordinal)
        assert entry is not None
        if entry.offset_frames != offset:
            raise self._index_error(
                "the entry breaks the chain of offsets", FIELD_KINDS[0], ordinal,
                offset, entry.offset_frames,
            )  # fmt: skip
        if offset >= window.size:
            raise self._index_error(
                "the idx goes on after the last frame", "idx_long", ordinal, ordinal, cursor.count
            )
        frame = frame_at(window, offset, self.version, self.payload_max)
        if isinstance(frame, Fault):
            raise_fault(frame, path=self.frames_path, offset=offset)
        for kind, expected, found in zip(FIELD_KINDS, entry_of(frame), entry, strict=True):
            if expected != found:
                raise self._index_error(
                    "the entry and its frame disagree", kind, ordinal, expected, found
                )
        if frame.rx_mono_ns < last_mono:
            raise CorruptFrame(
                "the receive stamp is before that of the frame before it",
                kind="mono_backwards",
                path=self.frames_path,
                offset=offset,
                expected=last_mono,
                found=frame.rx_mono_ns,
            )
        return frame

    def _check_ends(self, window: Window, cursor: IndexCursor, offset: int) -> None:
        """Raise if either file goes on after the last pair, which ends at `offset`."""
        if cursor.torn_bytes:
            raise self._index_error(
                "the idx ends inside an entry", "idx_torn", cursor.count,
                cursor.entry_bytes, cursor.torn_bytes,
            )  # fmt: skip
        if offset != window.size:
            raise self._index_error(
                "the frames go on after the last entry", "idx_short", cursor.count,
                window.size, offset,
            )  # fmt: skip

    def _index_error(
        self, message: str, kind: str, ordinal: int, expected: object, found: object
    ) -> CorruptIndex:
        return CorruptIndex(
            f"entry {ordinal}: {message}",
            kind=kind,
            ordinal=ordinal,
            path=self.idx_path,
            offset=ordinal * IDX[self.version].size,
            expected=expected,
            found=found,
        )

    def columns(self) -> dict[str, ndarray[Any, dtype[Any]]]:
        """Return the idx as numpy arrays, one entry per frame, ready for a data frame.

        `offset_frames`, `rx_mono_ns`, `rx_wall_ns_utc` (version 2 only) as uint64, `payload_len` and
        `payload_crc32` as uint32. Takes 32 bytes of memory per frame. Raises `MissingLibrary` without numpy
        (the extra `fast`), `CorruptIndex` if the idx ends inside an entry.
        """
        try:
            import numpy
        except ModuleNotFoundError as error:
            raise MissingLibrary("numpy is missing: pip install 'pm-frames[fast]'") from error

        fields = [("offset_frames", "<u8"), ("rx_mono_ns", "<u8"), ("rx_wall_ns_utc", "<u8")]
        fields += [("payload_len", "<u4"), ("payload_crc32", "<u4")]
        if self.version == Version.V1:
            fields = [field for field in fields if field[0] != "rx_wall_ns_utc"]
        whole = len(self)
        for _ in self.entries(whole):  # raises if the last entry is torn
            pass
        table = numpy.fromfile(self.idx_path, dtype=numpy.dtype(fields), count=whole)
        return {name: numpy.ascontiguousarray(table[name]) for name, _ in fields}
