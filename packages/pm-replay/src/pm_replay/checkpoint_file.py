"""A file of book checkpoints: the state of every token at some moments of a run, each found without the rest.

Disposable, and private to pm-replay: it lies in a cache directory, never in a bundle, and is made again from the
bundle whenever it cannot be used. Every byte that is read from it is covered by a CRC.

`MAGIC`, blobs, `FOOT`. FOOT is where the table of contents is: offset, bytes, CRC-32, `MAGIC`. The contents
(`Contents`, msgpack in zlib) name 256 buckets; a token's bucket, by the CRC of its id, tells for each checkpoint at
which the token was another than before where its state is: rows of checkpoint, offset, bytes, CRC-32.
"""

from __future__ import annotations

import struct
import zlib
from array import array
from bisect import bisect_left
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, Self, TypeVar

import msgspec

MAGIC: Final = b"PMCKPT02"
BUCKETS: Final = 256
FOOT: Final = struct.Struct("<QQI8s")
_ROW: Final = struct.Struct("<QQQQ")  # checkpoint, offset, bytes, CRC-32
T = TypeVar("T")
_LEVEL: Final = 1  # of zlib: books are made once and read a few times


class CacheUnusable(Exception):
    """The file is damaged, of another version, or of another bundle; it is to be made again."""


class Place(msgspec.Struct, array_like=True, frozen=True):
    """Where a compressed blob is."""

    offset: int
    size: int
    crc32: int


class Checkpoint(msgspec.Struct, array_like=True, frozen=True):
    """A moment between two items of the merge: what was read before it."""

    last_mono_ns: int  # stamp of the last item before it
    records: int
    ordinals: dict[int, int]  # first frame after it, by shard
    named: int  # of `Contents.named`
    lifecycles: int  # of `Contents.lifecycles`


class Named(msgspec.Struct, array_like=True, frozen=True):
    """A token that a frame named first, or gave its market."""

    mono_ns: int
    token_id: str
    condition_id: str


class TokenState(msgspec.Struct, array_like=True, frozen=True):
    """All that is carried over of a token: its book, and what its market's hashes contain."""

    state: int
    shard: int  # -1: the book is not known
    bids: dict[int, int]
    asks: dict[int, int]
    tick_size: str | None
    min_size: str | None
    neg_risk: bool | None
    trade_prices: list[str]


class Contents(msgspec.Struct, array_like=True, frozen=True):
    """The table of contents."""

    program: str  # version of pm-replay that made it
    of: dict[str, str]  # what it was made of: seal digest and sizes
    every: int  # frames
    checkpoints: list[Checkpoint]
    buckets: list[Place]
    named: Place
    lifecycles: Place


class CheckpointWriter:
    """Writes the file in one go: states as they come, then `finish`."""

    def __init__(self, file: IO[bytes]) -> None:
        self._file = file
        self._offset = file.write(MAGIC)
        self._rows: dict[str, array[int]] = {}
        self._checkpoints: list[Checkpoint] = []

    def state(self, token_id: str, state: TokenState) -> None:
        """Write a token's state for the checkpoint that `checkpoint` ends."""
        place = self._blob(state)
        rows = self._rows.setdefault(token_id, array("Q"))
        rows.extend((len(self._checkpoints), place.offset, place.size, place.crc32))

    def checkpoint(self, checkpoint: Checkpoint) -> None:
        """End a checkpoint."""
        self._checkpoints.append(checkpoint)

    def finish(
        self,
        *,
        program: str,
        of: dict[str, str],
        every: int,
        named: list[Named],
        lifecycles: list[tuple[str, str, str]],
    ) -> None:
        """Write the rest of the file."""
        buckets: list[dict[str, bytes]] = [{} for _ in range(BUCKETS)]
        for token_id, rows in self._rows.items():
            buckets[_bucket(token_id)][token_id] = struct.pack(f"<{len(rows)}Q", *rows)
        places = [self._blob(bucket) for bucket in buckets]
        contents = self._blob(
            Contents(
                program, of, every, self._checkpoints, places,
                self._blob(named), self._blob(lifecycles),
            )
        )  # fmt: skip
        self._file.write(FOOT.pack(contents.offset, contents.size, contents.crc32, MAGIC))

    def _blob(self, value: Any) -> Place:
        data = zlib.compress(msgspec.msgpack.encode(value), _LEVEL)
        place = Place(self._offset, len(data), zlib.crc32(data))
        self._offset += self._file.write(data)
        return place


class CheckpointFile:
    """The file, opened for reading; everything in it may raise `CacheUnusable`."""

    def __init__(self, path: Path) -> None:
        """Open `path` and read its contents; FileNotFoundError if it is not there."""
        self._file = open(path, "rb")
        try:
            size = self._file.seek(0, 2)
            if size < len(MAGIC) + FOOT.size:
                raise CacheUnusable("it is not whole")
            self._file.seek(size - FOOT.size)
            offset, length, crc, magic = FOOT.unpack(self._file.read(FOOT.size))
            if magic != MAGIC:
                raise CacheUnusable("it is not whole, or of another version")
            self.contents = self._read(Place(offset, length, crc), Contents)
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def before(self, mono_ns: int) -> int | None:
        """Return the number of the last checkpoint at which everything read is before a stamp."""
        at = bisect_left(self.contents.checkpoints, mono_ns, key=lambda each: each.last_mono_ns)
        return at - 1 if at else None

    def states(
        self, number: int, token_ids: Collection[str] | None
    ) -> Iterator[tuple[str, TokenState]]:
        """Yield the states at a checkpoint of some tokens (None: of all), those that ever had one."""
        wanted: Iterable[int] = range(BUCKETS)
        if token_ids is not None:
            wanted = sorted({_bucket(token_id) for token_id in token_ids})
        for bucket in wanted:
            rows_by_token = self._read(self.contents.buckets[bucket], dict[str, bytes])
            names = rows_by_token if token_ids is None else rows_by_token.keys() & token_ids
            for token_id in names:
                place = None
                for checkpoint, *where in _ROW.iter_unpack(rows_by_token[token_id]):
                    if checkpoint > number:
                        break
                    place = Place(*where)
                if place is not None:
                    yield token_id, self._read(place, TokenState)

    def named(self, count: int) -> list[Named]:
        """Return the first so many tokens that frames named."""
        return self._read(self.contents.named, list[Named])[:count]

    def lifecycles(self, count: int) -> list[tuple[str, str, str]]:
        """Return type, market and timestamp of the first so many lifecycle messages."""
        return self._read(self.contents.lifecycles, list[tuple[str, str, str]])[:count]

    def _read(self, place: Place, kind: type[T]) -> T:
        try:
            self._file.seek(place.offset)
            data = self._file.read(place.size)
            if len(data) != place.size or zlib.crc32(data) != place.crc32:
                raise CacheUnusable("it is damaged")
            return msgspec.msgpack.decode(zlib.decompress(data), type=kind)
        except (zlib.error, msgspec.DecodeError, OSError, OverflowError, MemoryError) as error:
            raise CacheUnusable("it is damaged, or of another version") from error


def _bucket(token_id: str) -> int:
    return zlib.crc32(token_id.encode()) % BUCKETS
