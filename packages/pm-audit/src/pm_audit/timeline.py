"""The frames and continuity records of any bundle in merge order: whole, torn, damaged or still growing.

Nothing about the content of a file is raised. A frame that cannot be read is a `Hole` of its shard, given
just before the next sound frame, or at the end; so is what a repair has left out before a frame that it marked.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pm_audit.evidence import Lines
from pm_audit.figures import whole
from pm_frames.bundle import Bundle
from pm_frames.damage import Damage
from pm_frames.frames import Frame
from pm_frames.layout import Flag
from pm_frames.merge import merge_with_records
from pm_frames.records import CONTINUITY, stamp_of
from pm_frames.scan import scan_shard
from pm_frames.shard import Shard

# Damage that takes no frame away: it is about the index, or about an entry too many.
_HARMLESS: Final = frozenset({"idx_missing", "idx_torn", "idx_short", "idx_extra_entry"})
SALVAGED: Final = "salvaged"  # the kind of a hole that a repair has left


class Hole(NamedTuple):
    """Frames of a shard that are lost, after the frame stamped `since_mono_ns` (None: from the beginning).

    `at_mono_ns` is the first thing of the shard after it: a frame, a record, or the end. `offset` is where
    in .frames; `ordinal` that of the first lost frame, None where the idx does not tell.
    """

    shard_id: int
    since_mono_ns: int | None
    kind: str
    offset: int
    ordinal: int | None
    at_mono_ns: int = 0


class Record(dict[str, Any]):
    """A runlog record that knows its line, counted from 0."""

    line: int = 0


class TolerantShard:
    """A shard as the merge wants it; what is lost waits in `hole` until something follows it.

    The merge reads one frame ahead, so a hole is known when the frame before it has been given.
    """

    def __init__(self, shard: Shard) -> None:
        self.shard_id = shard.shard_id
        self.frames_path = shard.frames_path
        self._idx_path: Path = shard.idx_path
        self.hole: Hole | None = None
        self.damaged = 0
        self.last_mono_ns: int | None = None

    def frames(self) -> Iterator[Frame]:
        """Yield the sound frames; one that goes back in time gets the stamp of the one before."""
        doubtful: Damage | None = None
        for found in scan_shard(self.frames_path, self._idx_path):
            if isinstance(found, Damage):
                if found.kind == "idx_mono_mismatch":
                    doubtful = found
                self._note(found)
                continue
            if doubtful is not None:
                found = found._replace(rx_mono_ns=self._likely(doubtful, found.rx_mono_ns))
                doubtful = None
            if self.last_mono_ns is not None and found.rx_mono_ns < self.last_mono_ns:
                found = found._replace(rx_mono_ns=self.last_mono_ns)
            if found.flags & Flag.SALVAGED and self.hole is None:
                self.hole = Hole(self.shard_id, self.last_mono_ns, SALVAGED, found.offset, None)
            self.last_mono_ns = found.rx_mono_ns
            yield found

    def _likely(self, damage: Damage, stamp: int) -> int:
        """Return the lesser of the two stamps of a frame that does not go back.

        A flipped high bit would otherwise carry everything behind the frame into the far future.
        """
        last = self.last_mono_ns or 0
        said = [one for one in (damage.expected, damage.found, stamp) if isinstance(one, int)]
        return min((one for one in said if one >= last), default=last)

    def _note(self, damage: Damage) -> None:
        self.damaged += 1
        # Of several holes without a frame between them the first says when it began.
        if damage.extent != "entry" and damage.kind not in _HARMLESS and self.hole is None:
            self.hole = Hole(
                self.shard_id, self.last_mono_ns, damage.kind, damage.offset, damage.ordinal
            )

    def take_hole(self, at_mono_ns: int) -> Hole | None:
        """Return the hole that ends at `at_mono_ns`, once."""
        hole, self.hole = self.hole, None
        return None if hole is None else hole._replace(at_mono_ns=at_mono_ns)


class Timeline:
    """One pass over a bundle; its facts are complete when the iteration has ended."""

    def __init__(self, bundle: Bundle) -> None:
        self.shards = {shard.shard_id: TolerantShard(shard) for shard in bundle.shards()}
        self.lines = Lines()
        self.basis = bundle.continuity_basis
        self.unusable_records = 0
        self.last_record_mono_ns: int | None = None
        self._path = bundle.runlog_path

    def __iter__(self) -> Iterator[tuple[int, int, Frame | Record | Hole]]:
        """Yield (shard, ordinal, frame), (-1, line, record), and (shard, -1, hole) before what follows it.

        The ordinal of a frame counts the sound frames of its shard.
        """
        shards = self.shards
        for shard_id, ordinal, item in merge_with_records(list(shards.values()), self._records()):
            if isinstance(item, Frame):
                shard = shards[shard_id]
                if shard.hole is not None and (hole := shard.take_hole(item.rx_mono_ns)):
                    yield shard_id, -1, hole
                yield shard_id, ordinal, item
                continue
            assert isinstance(item, Record)
            for shard in self._concerned(item):
                if hole := shard.take_hole(item["ts_mono_ns"]):
                    yield shard.shard_id, -1, hole
            yield -1, item.line, item
        for shard in shards.values():
            if hole := shard.take_hole(self.end_mono_ns()):
                yield shard.shard_id, -1, hole

    def _concerned(self, record: Record) -> list[TolerantShard]:
        """Return the shards that a record is about; lost frames may have come before it."""
        if record["record_type"] == "capture_stop":
            return list(self.shards.values())
        shard_id = whole(record, "shard_id")
        shard = None if shard_id is None else self.shards.get(shard_id)
        return [] if shard is None else [shard]

    def end_mono_ns(self) -> int:
        """Return the last stamp of the bundle, 0 where there is none."""
        stamps = [shard.last_mono_ns for shard in self.shards.values()]
        return max(
            (one for one in [*stamps, self.last_record_mono_ns] if one is not None), default=0
        )

    def _records(self) -> Iterator[Mapping[str, Any]]:
        last = 0
        for line, record in self.lines.numbered(self._path):
            stamp = stamp_of(record)
            if stamp is not None:
                self.last_record_mono_ns = max(stamp, self.last_record_mono_ns or 0)
            if record.get("record_type") not in CONTINUITY:
                continue
            if stamp is None or stamp < last:
                # Which moment it speaks of is not known; it still happened, at the earliest after the
                # record before it.
                self.unusable_records += 1
                record = {**record, "ts_mono_ns": last}
            last = record["ts_mono_ns"]
            kept = Record(record)
            kept.line = line
            yield kept
