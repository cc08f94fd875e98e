"""The shards of a bundle as one ordered stream.

Order: `(rx_mono_ns, shard_id, idx_i)`, where `idx_i` is the position in the shard. Runlog records that
continuity depends on merge as shard -1, so they come before frames of the same stamp.

Memory is bounded by one block a shard, which is what its reader holds anyway (a window of 1 MiB with the
frames in it, or one frame); nothing grows with the length of the bundle.

There are two ways to the same order. `merge` and `merge_with_records` take one frame after the other from any
source, through a heap, and read nothing ahead. `merge_blocks` takes whole blocks and sorts what lies between
two blocks' ends, which costs a third of it.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, closing
from heapq import heapify, heappop, heapreplace
from itertools import count
from operator import itemgetter
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, TypeAlias, cast

from pm_frames.errors import BundleError, CorruptFrame
from pm_frames.frames import Frame
from pm_frames.records import stamp_of
from pm_frames.rows import FrameRow, RecordRow, Row

RUNLOG_SHARD: Final = -1

Item: TypeAlias = Frame | Mapping[str, Any]


class FrameSource(Protocol):
    """What is merged: a `Shard`, or anything that gives frames in order."""

    @property
    def shard_id(self) -> int: ...

    @property
    def frames_path(self) -> Path: ...

    def frames(self) -> Iterator[Frame]: ...


class BlockSource(FrameSource, Protocol):
    """A source that gives the same frames as lists of rows too; it lets no stamp go back."""

    def blocks(self) -> Generator[list[FrameRow], None, None]: ...


def merge(shards: Sequence[FrameSource]) -> Iterator[tuple[int, int, Frame]]:
    """Yield (shard_id, ordinal, frame) of all shards in merge order.

    Raises `CorruptFrame` of kind `mono_backwards`, naming shard, ordinal and both stamps, where a shard
    goes back in time, and whatever the shard's reader raises. ValueError if two shards have one number.
    """
    numbers = [shard.shard_id for shard in shards]
    if len(set(numbers)) != len(numbers):
        raise ValueError(f"two shards have the same number: {sorted(numbers)}")
    return cast("Iterator[tuple[int, int, Frame]]", _merged([_frames_of(s) for s in shards]))


def merge_with_records(
    shards: Sequence[FrameSource],
    records: Iterable[Mapping[str, Any]],
    *,
    runlog_path: Path | None = None,
) -> Iterator[tuple[int, int, Item]]:
    """Yield the same as `merge`, and runlog records as (-1, ordinal among the records, record).

    `records` are what `MergedRecords` chooses. Raises `BundleError` where one has an impossible stamp or is
    stamped before the one before it; `runlog_path` is only named there.
    """
    return _merged([_records_of(records, runlog_path), *(_frames_of(shard) for shard in shards)])


def merge_blocks(
    shards: Sequence[BlockSource],
    records: Iterable[Mapping[str, Any]] = (),
    *,
    runlog_path: Path | None = None,
) -> Iterator[list[Row]]:
    """Yield what `merge_with_records` yields, in its order, in lists of rows.

    A record is a list by itself. What `merge_with_records` raises is raised after the same items.
    """
    with ExitStack() as stack:
        blocks: dict[int, Iterator[Sequence[Row]]]
        blocks = {RUNLOG_SHARD: _record_rows(_records_of(records, runlog_path))}
        blocks |= {shard.shard_id: stack.enter_context(closing(shard.blocks())) for shard in shards}
        runs = [_Run(shard_id, rows) for shard_id, rows in blocks.items()]
        yield from _merged_runs([run for run in runs if run.load()])


def _merged_runs(runs: list[_Run]) -> Iterator[list[Row]]:
    while runs:
        # Up to the end of the block that ends first, nothing can still come in between.
        first = min(runs, key=_Run.end)
        stamp, shard_id = first.end()
        rows: list[Row] = []
        for run in runs:
            rows += run.take(stamp, shard_id)
        # Each run is in order, which makes this a merge. Stamp, shard and ordinal tell any two rows apart, so
        # the comparison never reaches a payload.
        rows.sort()
        if shard_id == RUNLOG_SHARD:
            record = rows.pop()
            if rows:
                yield rows
            rows = [record]
        yield rows
        if not first.load():
            runs.remove(first)


class _Source(NamedTuple):
    """One of the streams to be merged: its number, its items, and how to blame it."""

    shard_id: int
    next_item: Callable[[], tuple[int, Item] | None]
    decreasing: Callable[[int, int, int, Item], BundleError]  # ordinal, before, now, item


class _Run:
    """The rows of one source, block by block, and how far they are taken."""

    __slots__ = ("_at", "_blocks", "_rows", "_shard_id")

    def __init__(self, shard_id: int, blocks: Iterator[Sequence[Row]]) -> None:
        self._shard_id = shard_id
        self._blocks = blocks
        self._rows: Sequence[Row] = ()
        self._at = 0

    def load(self) -> bool:
        """Go on with the next block; return whether there is one."""
        self._at = 0
        self._rows = next(self._blocks, ())
        return bool(self._rows)

    def end(self) -> tuple[int, int]:
        """Return stamp and shard of the last row of the block."""
        return self._rows[-1][0], self._shard_id

    def take(self, stamp: int, shard_id: int) -> Sequence[Row]:
        """Return the rows up to that stamp and shard, both included, that were not taken yet."""
        start = self._at
        before = stamp + (self._shard_id <= shard_id)
        self._at = bisect_left(self._rows, before, start, key=itemgetter(0))
        return self._rows[start : self._at]


def _record_rows(source: _Source) -> Iterator[list[RecordRow]]:
    before = 0
    for ordinal in count():
        following = source.next_item()
        if following is None:
            return
        if following[0] < before:
            raise source.decreasing(ordinal, before, *following)
        before = following[0]
        record = cast("Mapping[str, Any]", following[1])
        yield [(before, RUNLOG_SHARD, ordinal, 0, record)]


def _merged(sources: Sequence[_Source]) -> Iterator[tuple[int, int, Item]]:
    # An entry is (stamp, shard, ordinal, item, source): shard and ordinal tell any two apart, so the
    # comparison never reaches the item.
    heap = [
        (first[0], source.shard_id, 0, first[1], source)
        for source in sources
        if (first := source.next_item()) is not None
    ]
    heapify(heap)
    while heap:
        stamp, shard_id, ordinal, item, source = heap[0]
        yield shard_id, ordinal, item
        following = source.next_item()
        if following is None:
            heappop(heap)
            continue
        ordinal += 1
        if following[0] < stamp:
            raise source.decreasing(ordinal, stamp, following[0], following[1])
        heapreplace(heap, (following[0], shard_id, ordinal, following[1], source))


def _frames_of(shard: FrameSource) -> _Source:
    def next_item() -> tuple[int, Frame] | None:
        for frame in frames:
            return frame.rx_mono_ns, frame
        return None

    def decreasing(ordinal: int, before: int, now: int, item: Item) -> BundleError:
        return CorruptFrame(
            f"shard {shard.shard_id}: frame {ordinal} is stamped before the frame before it",
            kind="mono_backwards",
            path=shard.frames_path,
            offset=cast("Frame", item).offset,
            expected=f"at least {before}",
            found=now,
        )

    frames = iter(shard.frames())
    return _Source(shard.shard_id, next_item, decreasing)


def _records_of(records: Iterable[Mapping[str, Any]], path: Path | None) -> _Source:
    def next_item() -> tuple[int, Mapping[str, Any]] | None:
        for record in iterator:
            stamp = stamp_of(record)
            if stamp is None:
                raise BundleError(
                    f"runlog: an impossible stamp of a continuity record ({record['record_type']})",
                    path=path,
                    expected="an integer from 0 to below 2^63",
                    found=record.get("ts_mono_ns"),
                )
            return stamp, record
        return None

    def decreasing(ordinal: int, before: int, now: int, item: Item) -> BundleError:
        kind = cast("Mapping[str, Any]", item)["record_type"]
        return BundleError(
            f"runlog: continuity record {ordinal} ({kind}) is stamped before the one before it",
            path=path,
            expected=f"at least {before}",
            found=now,
        )

    iterator = iter(records)
    return _Source(RUNLOG_SHARD, next_item, decreasing)
