"""Where frames and runlog lines stand in the capture at the beginning of a chain of slices.

A map is a file of entries of four u64, little-endian: ordinal here, ordinal there, offset there, and how
many follow one another on both sides from there (docs/spec/run-bundle.md).
"""

from bisect import bisect_right
from collections.abc import Callable, Iterator
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

from pm_frames.errors import BundleError, MissingFile
from pm_frames.window import Window

ENTRY: Final = Struct("<4Q")
SOURCE: Final = "source"
RUNLOG_MAP: Final = f"{SOURCE}/runlog.map"


class Place(NamedTuple):
    """Where something stands in the original file."""

    ordinal: int
    offset: int


def map_name(shard_id: int) -> str:
    """Return the name of the map of a shard, relative to the bundle."""
    return f"{SOURCE}/shard_{shard_id:02d}.map"


class MapBuilder:
    """Folds places, given in the order of the new file, into the bytes of a map."""

    def __init__(self) -> None:
        self.data = bytearray()
        self._count = 0
        self._run: list[int] = []  # the open entry
        self._end: Place | None = None  # the place that would continue it

    def add(self, place: Place, size: int) -> None:
        """Add the next one; `size` is its bytes in the original file."""
        if place == self._end:
            self._run[3] += 1
        else:
            self._flush()
            self._run = [self._count, *place, 1]
        self._end = Place(place.ordinal + 1, place.offset + size)
        self._count += 1

    def take(self) -> bytes:
        """Return the whole entries that have come together since the last call."""
        data, self.data = bytes(self.data), bytearray()
        return data

    def finish(self) -> bytes:
        """Return the rest, after the last one."""
        self._flush()
        return self.take()

    def _flush(self) -> None:
        if self._run:
            self.data += ENTRY.pack(*self._run)
            self._run = []


class OriginMap:
    """The map of a file that was read: the identity where the bundle is the capture itself.

    Places are asked for in ascending order, so one entry is enough to remember.
    """

    def __init__(self, path: Path | None, offset_at: Callable[[int], int] | None = None) -> None:
        """Open the map; None is the identity. `offset_at` tells where an ordinal stands here.

        Without it every ordinal must be asked for. Raises `MissingFile`, `BundleError` for torn entries.
        """
        self._offset_at = offset_at
        self._window = None if path is None else Window(path, span=1 << 16)
        self._count, torn = divmod(self._window.size, ENTRY.size) if self._window else (0, 0)
        if torn:
            raise BundleError(
                "a map ends inside an entry", path=path, offset=self._count * ENTRY.size
            )
        self._entry = (0, 0, 0, 0)
        self._offset = 0  # in the file here, of the first of the entry

    def place(self, ordinal: int, offset: int) -> Place:
        """Return the original place of what stands here at this ordinal and offset."""
        if self._window is None:
            return Place(ordinal, offset)
        first, there, offset_there, count = self._entry
        if not first <= ordinal < first + count:
            at = bisect_right(range(self._count), ordinal, key=self._first) - 1
            self._entry = first, there, offset_there, count = self._get(max(at, 0))
            if not first <= ordinal < first + count:
                raise BundleError(
                    "the map does not name this frame", path=self._window.path, expected=ordinal
                )
            inside = self._offset_at is not None and ordinal != first
            self._offset = self._offset_at(first) if inside and self._offset_at else offset
        return Place(there + ordinal - first, offset_there + offset - self._offset)

    def _first(self, at: int) -> int:
        return self._get(at)[0]

    def _get(self, at: int) -> tuple[int, int, int, int]:
        if self._window is None or at >= self._count:
            return (0, 0, 0, 0)
        first, there, offset, count = ENTRY.unpack(self._window.at(at * ENTRY.size, ENTRY.size))
        return first, there, offset, count

    def close(self) -> None:
        """Close the file."""
        if self._window is not None:
            self._window.close()


def read_map(path: Path) -> Iterator[tuple[int, int, int, int]]:
    """Yield the entries of a map; nothing where there is no such file."""
    try:
        window = Window(path, span=1 << 16)
    except MissingFile:
        return
    with window:
        for at in range(0, window.size, ENTRY.size):
            first, there, offset, count = ENTRY.unpack(window.at(at, ENTRY.size))
            yield first, there, offset, count
