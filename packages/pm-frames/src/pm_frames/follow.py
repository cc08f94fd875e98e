"""A bundle that still grows, read in merge order: what `Bundle.merged` gives once the run is over.

While the run lives, everything stamped at or before the watermark can be read, and nothing that appears
later is stamped so early. A round reads exactly that: first it looks whether the run lives, then it reads
the watermark, then it lists the shards, then it reads them and the runlog. When the lock is gone the last
round drains every shard to its last whole pair.

Nothing here sleeps or reads a clock. Between rounds only positions are kept, so memory is that of a merge.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from pm_frames import paths
from pm_frames.bundle import open_bundle, whole_pairs
from pm_frames.errors import BundleError
from pm_frames.frames import Frame
from pm_frames.lock import is_locked
from pm_frames.merge import RUNLOG_SHARD, Item, merge_with_records
from pm_frames.merged_records import MergedRecords
from pm_frames.runlog import RunlogReader
from pm_frames.shard import Shard
from pm_frames.watermark import read_watermark

Wants = Callable[[Mapping[str, Any]], bool]

_NOTHING: Final = -1


def follow(
    run_dir: Path | str, *, wait: Callable[[], None], wants: Wants | None = None
) -> Iterator[tuple[int, int, Item]]:
    """Yield what `Bundle.merged` yields of the finished bundle, as soon as it can be read.

    `wait` is called whenever there is nothing new; it sleeps, looks at a clock, or raises to end the
    following. `wants` chooses the runlog records, a fresh `MergedRecords` by default. Ends when the run has
    ended, however it did. Raises what `merge_with_records` raises.
    """
    follower = Follower(Path(run_dir), wants=wants)
    while not follower.ended:
        taken = follower.taken
        yield from follower.round()
        if follower.taken == taken and not follower.ended:
            wait()


class Follower:
    """How far the reading of a growing bundle is. `ended`: there will be nothing more."""

    def __init__(
        self,
        run_dir: Path,
        *,
        wants: Wants | None = None,
        alive: Callable[[], bool] | None = None,
    ) -> None:
        """`alive` tells whether the run is still written; default: whether its lock is held."""
        self.run_dir = run_dir
        self.ended = False
        self.taken = 0  # items, over all rounds
        self.reached_ns = _NOTHING  # everything stamped up to here was given
        self._given_ns = _NOTHING  # the stamp of the last item
        self._alive = alive or (lambda: is_locked(run_dir))
        self._next: dict[int, int] = {}  # shard → ordinal
        self._runlog = _Records(run_dir / paths.RUNLOG, MergedRecords() if wants is None else wants)

    def round(self) -> Iterator[tuple[int, int, Item]]:
        """Yield what can be read now and was not given before, in merge order.

        A round that is left early is continued by the next one. Raises `BundleError` where an item is
        stamped at or before a watermark that was published without it, and what reading raises.
        """
        watermark_ns: int | None = None
        if self._alive():
            watermark_ns = read_watermark(self.run_dir / paths.WATERMARK)
            if watermark_ns is None or watermark_ns <= self.reached_ns:
                return
        bundle = open_bundle(self.run_dir, empty_ok=True)
        parts = [_Part(shard, self._next.get(shard.shard_id, 0)) for shard in bundle.shards()]
        for shard_id, _, item in merge_with_records(
            parts, self._runlog.rest(), runlog_path=self._runlog.path
        ):
            stamp = item.rx_mono_ns if isinstance(item, Frame) else item["ts_mono_ns"]
            if watermark_ns is not None and stamp > watermark_ns:
                break
            if stamp <= self.reached_ns or stamp < self._given_ns:
                raise BundleError(
                    f"shard {shard_id}: an item appeared behind the watermark",
                    path=self.run_dir,
                    expected=f"stamps from {max(self.reached_ns + 1, self._given_ns)} on",
                    found=stamp,
                )
            if shard_id == RUNLOG_SHARD:
                ordinal = self._runlog.take()
            else:
                ordinal = self._next.get(shard_id, 0)
                self._next[shard_id] = ordinal + 1
            self.taken += 1
            self._given_ns = stamp
            yield shard_id, ordinal, item
        if watermark_ns is None:
            self.ended = True
        else:
            self.reached_ns = watermark_ns


@dataclass(frozen=True, slots=True)
class _Part:
    """The whole pairs of a shard from an ordinal on."""

    shard: Shard
    start: int

    @property
    def shard_id(self) -> int:
        return self.shard.shard_id

    @property
    def frames_path(self) -> Path:
        return self.shard.frames_path

    def frames(self) -> Iterator[Frame]:
        stop = whole_pairs(self.shard)
        return self.shard.frames(self.start, stop) if stop > self.start else iter(())


class _Records:
    """The records wanted of a growing runlog. A last line that is torn is one that is not there yet."""

    def __init__(self, path: Path, wants: Wants) -> None:
        self.path = path
        self._wants = wants
        self._offset = 0
        self._line = 0
        self._taken = 0
        self._pending: deque[Mapping[str, Any]] = deque()  # read, and not taken yet

    def rest(self) -> Iterator[Mapping[str, Any]]:
        """Yield the records that were not taken, reading no further than is asked for."""
        yield from list(self._pending)
        if not self.path.is_file():
            return
        with RunlogReader(self.path, offset=self._offset, line=self._line) as runlog:
            for record in runlog:
                self._offset, self._line = runlog.next_offset, runlog.ordinal + 1
                if self._wants(record):
                    self._pending.append(record)
                    yield record

    def take(self) -> int:
        """Note that the first record that was not taken is; return its ordinal."""
        self._pending.popleft()
        self._taken += 1
        return self._taken - 1
