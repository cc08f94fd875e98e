"""One shard of a bundle: a .frames file and the .idx beside it, read together and never believed alone."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pm_frames.damage import FIELD_KINDS
from pm_frames.errors import CorruptFrame, CorruptIndex
from pm_frames.frames import Fault, Frame, frame_at, raise_fault, read_version
from pm_frames.index import IdxEntry, entry_of, read_index
from pm_frames.layout import IDX, PAYLOAD_MAX, Version
from pm_frames.window import Window

if TYPE_CHECKING:
    from numpy import dtype, ndarray


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

    def entries(self, start: int = 0, stop: int | None = None) -> Iterator[IdxEntry]:
        """Yield the idx entries from ordinal `start` to before `stop`; see `read_index`."""
        return read_index(self.idx_path, self.version, start=start, stop=stop)

    def frames(self, start: int = 0, stop: int | None = None) -> Iterator[Frame]:
        """Yield the frames from ordinal `start` to before `stop`, each compared with its idx entry.

        Strict: raises `CorruptFrame` at the first unsound frame, `CorruptIndex` at the first entry that
        disagrees in any of its five fields, breaks the chain of offsets or goes back in time. With `stop`
        None both files must end together as well. Holds one window or one frame.
        """
        with Window(self.frames_path) as window:
            previous: Frame | None = None
            ordinal = start
            for entry in self.entries(start, stop):
                if previous is not None and entry.offset_frames != previous.end:
                    raise self._disagreement(ordinal, "idx_offset_mismatch", previous.end, entry)
                frame = frame_at(window, entry.offset_frames, self.version, self.payload_max)
                if isinstance(frame, Fault):
                    raise_fault(frame, path=self.frames_path, offset=entry.offset_frames)
                if entry_of(frame) != entry:
                    self._compare(ordinal, frame, entry)
                if previous is not None and frame.rx_mono_ns < previous.rx_mono_ns:
                    raise CorruptFrame(
                        "the receive stamp is before that of the frame before it",
                        kind="mono_backwards",
                        path=self.frames_path,
                        offset=frame.offset,
                        expected=previous.rx_mono_ns,
                        found=frame.rx_mono_ns,
                    )
                yield frame
                previous = frame
                ordinal += 1
            if stop is None and ordinal == start + 0 and previous is None and start:
                return
            end = 0 if previous is None else previous.end
            if stop is None and end != window.size:
                raise CorruptIndex(
                    "the frames file goes on after the last frame that the idx lists",
                    kind="idx_short",
                    ordinal=ordinal,
                    path=self.idx_path,
                    offset=ordinal * IDX[self.version].size,
                    expected=window.size,
                    found=end,
                )

    def columns(self) -> dict[str, ndarray[Any, dtype[Any]]]:
        """Return the idx as numpy arrays, one entry per frame, ready for a data frame.

        `offset_frames`, `rx_mono_ns`, `rx_wall_ns_utc` (version 2 only) as uint64, `payload_len` and
        `payload_crc32` as uint32. Needs numpy (the extra `fast`); takes 32 bytes of memory per frame.
        Raises `CorruptIndex` if the idx ends inside an entry.
        """
        import numpy

        fields = [("offset_frames", "<u8"), ("rx_mono_ns", "<u8"), ("rx_wall_ns_utc", "<u8")]
        fields += [("payload_len", "<u4"), ("payload_crc32", "<u4")]
        if self.version == Version.V1:
            fields = [field for field in fields if field[0] != "rx_wall_ns_utc"]
        whole = len(self)
        for _ in self.entries(whole):  # raises if the last entry is torn
            pass
        table = numpy.fromfile(self.idx_path, dtype=numpy.dtype(fields), count=whole)
        return {name: numpy.ascontiguousarray(table[name]) for name, _ in fields}

    def _compare(self, ordinal: int, frame: Frame, entry: IdxEntry) -> None:
        for kind, expected, found in zip(FIELD_KINDS, entry_of(frame), entry, strict=True):
            if expected != found:
                raise CorruptIndex(
                    f"entry {ordinal} and its frame disagree",
                    kind=kind,
                    ordinal=ordinal,
                    path=self.idx_path,
                    offset=ordinal * IDX[self.version].size,
                    expected=expected,
                    found=found,
                )

    def _disagreement(
        self, ordinal: int, kind: str, expected: object, entry: IdxEntry
    ) -> CorruptIndex:
        return CorruptIndex(
            f"entry {ordinal} breaks the chain of offsets",
            kind=kind,
            ordinal=ordinal,
            path=self.idx_path,
            offset=ordinal * IDX[self.version].size,
            expected=expected,
            found=entry.offset_frames,
        )
