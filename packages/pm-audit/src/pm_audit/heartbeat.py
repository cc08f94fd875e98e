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
from pm_frames.provenance import EmitWindow
from pm_frames.records import stamp_of

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

    def judge_only(self, window: EmitWindow) -> None:
        """Judge only the time of a window (without an end: to the run's end)."""
        start_mono_ns, stop_mono_ns = window
        self.start_mono_ns, self.start_type = start_mono_ns, "slice_start"
        self._last = start_mono_ns, "slice_start"
        if stop_mono_ns is not None:
            self.stop_mono_ns, self.stop_type = stop_mono_ns, "slice_end"

    def add(self, record: Mapping[str, Any]) -> None:
        """Take one runlog record."""
        kind = str(record.get("record_type"))
        stamp = stamp_of(record)
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
        elif kind in ("capture_stop", "part_stop") or (kind == "fatal" and self.stop_type is None):
            if self.stop_type != "slice_end" or stamp < (self.stop_mono_ns or 0):
                self.stop_mono_ns, self.stop_type = stamp, kind

    def close(self, state: str | None = None) -> None:
        """Judge the time after the last heartbeat.

        Where there is no stop yet, the last record stands in for it, named by the `state` of the run.
        """
        if self.stop_type is None and state is not None:
            self.stop_mono_ns, self.stop_type = self.latest_mono_ns, state
        if self.stop_mono_ns is not None and self.stop_type is not None:
            self._to(self.stop_mono_ns, self.stop_type)

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


class Heartbeats:
    """The heartbeats of a bundle: of each capture in a merged one by themselves.

    They must not fill one another's gaps: that one process was alive says nothing about the other. Feed all
    runlog records in file order, then `close`; the figures are those of all captures together.
    """

    def __init__(self, threshold_ns: int, window: EmitWindow | None = None, *, parts: int = 1):
        self._threshold_ns = threshold_ns
        self._window = window
        self._parts = parts
        self._audits: dict[int, HeartbeatAudit] = {}
        self._audit(0)

    def _audit(self, part: int) -> HeartbeatAudit:
        audit = self._audits.get(part)
        if audit is None:
            audit = self._audits[part] = HeartbeatAudit(self._threshold_ns)
            if self._window is not None:
                audit.judge_only(self._window)
        return audit

    def add(self, record: Mapping[str, Any]) -> None:
        """Take one runlog record; one that names no capture of this bundle is of the first."""
        part = whole(record, "part") or 0
        self._audit(part if part < self._parts else 0).add(record)

    def close(self, state: str | None = None) -> None:
        """End each; see `HeartbeatAudit.close`."""
        for audit in self._audits.values():
            audit.close(state)

    @property
    def count(self) -> int:
        """How many heartbeats there are."""
        return sum(audit.heartbeats for audit in self._audits.values())

    @property
    def malformed(self) -> int:
        """Heartbeats without a stamp."""
        return sum(audit.malformed for audit in self._audits.values())

    @property
    def went_back(self) -> int:
        """Heartbeats before the one before."""
        return sum(audit.went_back for audit in self._audits.values())

    @property
    def over_threshold(self) -> int:
        """Gaps over the threshold."""
        return sum(audit.over_threshold for audit in self._audits.values())

    @property
    def top(self) -> list[Gap]:
        """The longest gaps; of equal ones the first of the first capture is first."""
        gaps = [gap for audit in self._audits.values() for gap in audit.top]
        return sorted(gaps, key=lambda one: -one.gap_ns)[:TOP_GAPS]

    @property
    def _unheard(self) -> int:
        return self._parts - len(self._audits)

    @property
    def without_heartbeat(self) -> int:
        """Captures of which no heartbeat is there."""
        return self._unheard + sum(not audit.heartbeats for audit in self._audits.values())

    @property
    def without_start(self) -> int:
        """Captures of which nothing says when they began."""
        return self._unheard + sum(one.start_type is None for one in self._audits.values())

    @property
    def without_stop(self) -> int:
        """Captures of which nothing says when they ended."""
        return self._unheard + sum(one.stop_type is None for one in self._audits.values())

    @property
    def last_heartbeat_mono_ns(self) -> int | None:
        """The latest heartbeat."""
        stamps = (audit.last_heartbeat_mono_ns for audit in self._audits.values())
        return max((stamp for stamp in stamps if stamp is not None), default=None)
