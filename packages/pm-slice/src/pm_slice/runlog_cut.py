"""The runlog of a run, read for a slice: what it says of tokens and clocks, and which lines belong to a window."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final, NamedTuple

from pm_frames.provenance import EmitWindow
from pm_frames.runlog import LINE_MAX
from pm_slice.origin_map import OriginMap, Place

# Records that say nothing about the state at a later moment; before a window they are left out.
PASSING: Final = frozenset(
    {
        "heartbeat",
        "subscribe_confirm_success",
        "subscribe_confirm_fail",
        "snapshot_overdue",
        "reconnect",
        "connect_failed",
        "universe_refresh_error",
        "disk_warning",
        "metrics_writer_error",
    }
)


class Line(NamedTuple):
    """One line as it stands; `record` is None where it is no record."""

    ordinal: int
    offset: int
    data: bytes
    record: Mapping[str, Any] | None
    place: Place  # in the runlog of the capture itself

    @property
    def mono_ns(self) -> int:
        """The stamp of the record."""
        stamp = self.record.get("ts_mono_ns") if self.record else None
        return stamp if isinstance(stamp, int) else 0


def lines(path: Path, origin: OriginMap | None = None) -> Iterator[Line]:
    """Yield the whole lines of a runlog; a torn last one is not given. Nothing if there is no file.

    `origin` is the map of the runlog of a slice.
    """
    origin = OriginMap(None) if origin is None else origin
    try:
        file = open(path, "rb")
    except (FileNotFoundError, IsADirectoryError):
        return
    with file:
        ordinal = offset = 0
        while data := file.readline(LINE_MAX):
            if not data.endswith(b"\n") and len(data) < LINE_MAX:
                return
            yield Line(ordinal, offset, data, _record(data), origin.place(ordinal, offset))
            ordinal += 1
            offset += len(data)


def _record(data: bytes) -> Mapping[str, Any] | None:
    try:
        record = json.loads(data)
    except (ValueError, RecursionError):
        return None
    sound = isinstance(record, dict) and isinstance(record.get("record_type"), str)
    return record if sound and isinstance(record.get("ts_mono_ns"), int) else None


class Survey:
    """What has to be known of a runlog before anything is cut; one pass."""

    def __init__(self, path: Path, manifest: Mapping[str, Any]) -> None:
        self.present = path.is_file()
        self.bad_lines: list[int] = []  # offsets
        self.anchors: list[tuple[int, int]] = _anchor(manifest, "t0_mono_ns", "t0_wall_ns_utc")
        self.subscribes = False
        self._tokens: dict[int, set[str]] = {}  # by shard, of all times
        shards = manifest.get("shards")
        assignments = shards.get("assignments") if isinstance(shards, dict) else None
        for shard, one in assignments.items() if isinstance(assignments, dict) else ():
            if shard.isdecimal() and isinstance(one, dict):
                self._tokens[int(shard)] = _texts(one.get("token_ids"))
        for line in lines(path):
            if line.record is None:
                self.bad_lines.append(line.offset)
            else:
                self._take(line.record)

    def _take(self, record: Mapping[str, Any]) -> None:
        kind, shard = record.get("record_type"), record.get("shard_id")
        if kind == "heartbeat":
            self.anchors += _anchor(record, "hb_mono_ns", "hb_wall_ns_utc")
        elif kind == "clock_step":
            self.anchors += _anchor(record, "ts_mono_ns", "ts_wall_ns_utc")
        elif isinstance(shard, int):
            if kind == "subscribe_attempt":
                self.subscribes = True
                self._tokens.setdefault(shard, set()).update(_texts(record.get("token_ids")))

    def tokens_of(self, shard: int) -> frozenset[str] | None:
        """Return every token that a shard ever had, None where no runlog tells."""
        return frozenset(self._tokens.get(shard, ())) if self.subscribes else None

    def may_carry(self, shard: int, tokens: frozenset[str]) -> bool:
        """Return whether a shard ever had one of these tokens, as far as is known."""
        return not (self.subscribes or self._tokens) or not tokens.isdisjoint(
            self._tokens.get(shard, ())
        )


def _texts(value: object) -> set[str]:
    return {one for one in value if isinstance(one, str)} if isinstance(value, list) else set()


def _anchor(values: Mapping[str, Any], mono: str, wall: str) -> list[tuple[int, int]]:
    pair = values.get(mono), values.get(wall)
    return [pair] if isinstance(pair[0], int) and isinstance(pair[1], int) else []  # type: ignore[list-item]


class Cut:
    """Decides which lines of a runlog a slice holds; feed it every line, in order."""

    def __init__(self, window: EmitWindow, shards: frozenset[int]) -> None:
        self._window = window
        self._shards = shards
        # The last heartbeat before the window, as far as is known, and the lines since.
        self._held: list[Line] = []

    def take(self, line: Line) -> list[Line]:
        """Return the lines that are known to belong to the slice now."""
        record = line.record
        if record is None:
            return []
        kind, shard = record.get("record_type"), record.get("shard_id")
        if isinstance(shard, int) and shard not in self._shards:
            return []
        if line.mono_ns < self._window.from_mono_ns:
            return self._take_early(line, kind, record)
        before = self._window.before_mono_ns
        if before is None or line.mono_ns < before:
            return [*self.finish(), line]
        if kind == "disconnect" and _since(record) < before:
            return [*self.finish(), line]
        return []

    def _take_early(self, line: Line, kind: object, record: Mapping[str, Any]) -> list[Line]:
        if kind == "heartbeat":
            settled, self._held = self._held[1:], [line]
            return settled
        if kind in PASSING or (kind == "universe_refresh" and record.get("reason") != "APPLIED"):
            return []
        if self._held:
            self._held.append(line)
            return []
        return [line]

    def finish(self) -> list[Line]:
        """Return what still waits, after the last line."""
        held, self._held = self._held, []
        return held


def _since(record: Mapping[str, Any]) -> int:
    since = record.get("since_mono_ns")
    stamp = record["ts_mono_ns"]
    return min(since, stamp) if isinstance(since, int) else int(stamp)
