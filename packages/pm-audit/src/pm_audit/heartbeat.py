"""Gaps between heartbeats, from the start of a run to its stop (R185 to R190).

A heartbeat is a timer of the loop that receives the frames: a gap is time in which nothing vouches that
frames were taken. Exact integers; a gap is over the threshold only if it is strictly longer.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

from pm_audit.figures import whole

TOP_GAPS: Final = 5


class Gap(NamedTuple):
    """The time between two neighbours: run_start, heartbeats, capture_stop (or another end)."""

    gap_ns: int
    from_mono_ns: int
    to_mono_ns: int
    from_type: str
    to_type: str
    between: tuple[tuple[str, int], ...]

    def as_json(self) -> dict[str, object]:
        """Return the gap as JSON values."""
        return {
            "gap_ns": self.gap_ns,
            "gap_seconds": self.gap_ns / 10**9,
            "from_hb_mono_ns": self.from_mono_ns,
            "to_hb_mono_ns": self.to_mono_ns,
            "from_type": self.from_type,
            "to_type": self.to_type,
            "record_types_between": dict(self.between),
        }


@dataclass
class HeartbeatAudit:
    """Feed all runlog records in file order, then `close`.

    `start_mono_ns` and `stop_mono_ns` of a slice are its window; else the run's own records say them.
    `start_type` and `stop_type` are None where nothing says when the run began or ended.
    """

    threshold_ns: int
    start_mono_ns: int | None = None
    start_type: str | None = None
    stop_mono_ns: int | None = None
    stop_type: str | None = None
    heartbeats: int = 0
    malformed: int = 0
    went_back: int = 0
    over_threshold: int = 0
    top: list[Gap] = field(default_factory=list)
    latest_mono_ns: int = 0
    last_heartbeat_mono_ns: int | None = None
    _last: tuple[int, str] | None = None
    _between: Counter[str] = field(default_factory=Counter)

    def window(self, start_mono_ns: int, stop_mono_ns: int | None) -> None:
        """Judge only the time from `start_mono_ns` to before `stop_mono_ns` (None: to the run's end)."""
        self.start_mono_ns, self.start_type = start_mono_ns, "slice_start"
        self._last = start_mono_ns, "slice_start"
        if stop_mono_ns is not None:
            self.stop_mono_ns, self.stop_type = stop_mono_ns, "slice_end"

    def add(self, record: Mapping[str, Any]) -> None:
        """Take one runlog record."""
        kind = str(record.get("record_type"))
        stamp = whole(record, "ts_mono_ns")
        if stamp is not None:
            self.latest_mono_ns = max(self.latest_mono_ns, stamp)
        if kind == "heartbeat":
            self._heartbeat(whole(record, "hb_mono_ns"))
            return
        self._between[kind] += 1
        if stamp is None:
            return
        if kind in ("run_start", "capture_start"):
            # The first of the two; a window that begins before its run begins with it.
            if self.start_mono_ns is None:
                self.start_mono_ns, self.start_type = self._last = stamp, kind
            elif self.start_type == "slice_start" and stamp > self.start_mono_ns:
                self.start_mono_ns = stamp
                self._last = stamp, "slice_start"
        elif kind == "capture_stop" or (kind == "fatal" and self.stop_type is None):
            if self.stop_type != "slice_end" or stamp < (self.stop_mono_ns or 0):
                self.stop_mono_ns, self.stop_type = stamp, kind

    def close(self, end: tuple[int, str] | None = None) -> None:
        """Judge the time after the last heartbeat; `end` stands in for a stop that is not there yet."""
        if self.stop_type is None and end is not None:
            self.stop_mono_ns, self.stop_type = end
        if self.stop_mono_ns is not None and self.stop_type is not None:
            self._to(self.stop_mono_ns, self.stop_type)

    @property
    def max_gap(self) -> Gap | None:
        """The longest gap."""
        return self.top[0] if self.top else None

    def _heartbeat(self, stamp: int | None) -> None:
        if stamp is None:
            self.malformed += 1
            return
        outside = self.start_type == "slice_start" and (
            stamp < (self.start_mono_ns or 0)
            or (self.stop_type == "slice_end" and stamp >= (self.stop_mono_ns or 0))
        )
        if outside:
            return
        self.heartbeats += 1
        self.last_heartbeat_mono_ns = stamp
        self._to(stamp, "heartbeat")

    def _to(self, stamp: int, kind: str) -> None:
        if self._last is not None:
            gap_ns = stamp - self._last[0]
            self.went_back += gap_ns < 0
            self.over_threshold += gap_ns > self.threshold_ns
            between = tuple(sorted(self._between.items()))
            gap = Gap(gap_ns, self._last[0], stamp, self._last[1], kind, between)
            # The sort is stable: of equal gaps the first stays first.
            self.top = sorted([*self.top, gap], key=lambda one: -one.gap_ns)[:TOP_GAPS]
        self._last = stamp, kind
        self._between.clear()
