"""The figures that gates are judged by, from metrics records and runlog records; pure, one pass each.

What a figure is made of may be missing or damaged. It is never made up: a record without the number counts
as `missing`, time that no metrics record covers as `uncovered_ns`, and who judges decides what follows
(`pm_audit.gates`: it fails). Times are integers in ns; the milliseconds of metrics are rounded to them.
"""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from math import isfinite
from typing import Any, Final, NamedTuple

from pm_frames.histogram import LogHistogram
from pm_frames.provenance import EmitWindow
from pm_frames.records import stamp_of

NS_PER_MS: Final = 1_000_000
STREAK_INTERVALS: Final = 5

QUEUE_DEPTHS: Final = ("ws_in_q_depth_max", "parse_q_depth_max", "write_q_depth_max")


class Pressure(NamedTuple):
    """A metric of the global record that tells pressure: its threshold, and where its samples are counted.

    `threshold` and the key's value divided by `divisor` have one unit, that of the metric's name.
    """

    key: str
    threshold: int
    divisor: int = 1
    count_key: str | None = None


# R205: an interval is under pressure when the value is at its threshold or over it.
PRESSURES: Final[Mapping[str, tuple[Pressure, ...]]] = {
    "q_depth_max": tuple(Pressure(key, 200) for key in QUEUE_DEPTHS),
    "ws_rx_to_parsed_ms_p99": (
        Pressure("ws_rx_to_parsed_ms_p99", 50, count_key="ws_rx_to_parsed_ms_count"),
    ),
    "ws_rx_to_applied_ms_p99": (
        Pressure("ws_rx_to_applied_ms_p99", 100, count_key="ws_rx_to_applied_ms_count"),
    ),
    "backpressure_ms_p99": (
        Pressure("backpressure_ns_p99", 25, NS_PER_MS, "backpressure_ns_count"),
    ),
}


def number(record: Mapping[str, Any], key: str) -> int | float | None:
    """Return a finite number of at least 0, None where the record has none under this key."""
    value = record.get(key)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    return value if isfinite(value) and value >= 0 else None


def whole(record: Mapping[str, Any], key: str) -> int | None:
    """Return an integer of at least 0, None where the record has none under this key."""
    value = record.get(key)
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None


def nearest_rank(values: Iterable[int], percent: int) -> int:
    """Return the exact nearest-rank percentile, ceil(percent/100·n); ValueError if there is no value."""
    ordered = sorted(values)
    if not ordered:
        raise ValueError("no percentile of nothing")
    return ordered[max(0, -(-percent * len(ordered) // 100) - 1)]


@dataclass
class LoopLag:
    """The lateness of the loop (R198): its histogram, or where a record has none the largest of each interval.

    Without histograms a percentile is that of the interval maxima: never below the true one.
    """

    samples_ns: array[int] = field(default_factory=lambda: array("Q"))
    missing: int = 0
    _merged: LogHistogram | None = field(default_factory=LogHistogram)

    def add(self, record: Mapping[str, Any]) -> None:
        """Take the lag of one global record."""
        value = number(record, "loop_lag_ms_max_last_interval")
        if value is None or value * NS_PER_MS >= 2**64:
            self.missing += 1
            return
        self.samples_ns.append(round(value * NS_PER_MS))
        if self._merged is not None:
            try:
                self._merged.merge(LogHistogram.from_dict(record["loop_lag_ns"]))
            except (KeyError, TypeError, ValueError):
                self._merged = None

    def percentile_ns(self, percent: int) -> int | None:
        """Return a percentile of the lateness, at most 1/64 above the true one; None without a sample."""
        if self._merged is not None and self._merged.count:
            return self._merged.quantile(percent)
        return nearest_rank(self.samples_ns, percent) if self.samples_ns else None

    @property
    def p99_ns(self) -> int | None:
        """The 99th percentile; None without a sample."""
        return self.percentile_ns(99)

    @property
    def max_ns(self) -> int | None:
        """The largest; None without a sample."""
        return max(self.samples_ns, default=None)


@dataclass
class PressureStreaks:
    """The longest rows of intervals under pressure, by metric (R205).

    An interval without samples ends the row; `samples` says whether a metric had any in the whole run.
    """

    intervals: int = 0
    max_streaks: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PRESSURES, 0))
    samples: Counter[str] = field(default_factory=Counter)
    missing: Counter[str] = field(default_factory=Counter)
    _now: dict[str, int] = field(default_factory=lambda: dict.fromkeys(PRESSURES, 0))

    def add(self, record: Mapping[str, Any]) -> None:
        """Take one global record."""
        self.intervals += 1
        for name, parts in PRESSURES.items():
            over = False
            for part in parts:
                value = number(record, part.key)
                count = 1 if part.count_key is None else whole(record, part.count_key)
                if value is None or count is None:
                    self.missing[part.key] += 1
                    continue
                self.samples[name] += count
                over = over or (count > 0 and value >= part.threshold * part.divisor)
            self._now[name] = self._now[name] + 1 if over else 0
            self.max_streaks[name] = max(self.max_streaks[name], self._now[name])

    @property
    def worst_metric(self) -> str:
        """The metric of the longest row; the first of equals."""
        return max(self.max_streaks, key=lambda name: self.max_streaks[name])

    @property
    def worst_streak(self) -> int:
        """The length of the longest row."""
        return self.max_streaks[self.worst_metric]

    def failed(self, streak_intervals: int = STREAK_INTERVALS) -> bool:
        """Return whether a row is as long as that."""
        return self.worst_streak >= streak_intervals


@dataclass
class Drops:
    """Messages lost by any bounded queue (R204): the counter since the start, and the sum of its steps."""

    total: int = 0
    interval_sum: int = 0
    records: int = 0
    missing: int = 0
    went_back: int = 0

    def add(self, record: Mapping[str, Any]) -> None:
        """Take one global record."""
        total = whole(record, "dropped_messages_total")
        step = whole(record, "dropped_messages_count")
        if total is None or step is None:
            self.missing += 1
            return
        self.records += 1
        self.went_back += total < self.total
        self.total = max(total, self.total)
        self.interval_sum += step

    @property
    def consistent(self) -> bool:
        """Whether the counter never went back and equals the sum of the intervals."""
        return not self.went_back and self.total == self.interval_sum


@dataclass
class MetricsFigures:
    """Everything that the global metrics tell; feed the records in file order.

    `first_mono_ns` to `last_mono_ns` is what the records cover, but for `uncovered_ns` between them.
    """

    loop_lag: LoopLag = field(default_factory=LoopLag)
    pressure: PressureStreaks = field(default_factory=PressureStreaks)
    drops: Drops = field(default_factory=Drops)
    records: int = 0
    unstamped: int = 0
    uncovered_ns: int = 0
    first_mono_ns: int | None = None
    last_mono_ns: int | None = None

    def add(self, record: Mapping[str, Any]) -> None:
        """Take one record of `metrics/global.ndjson`; records of other types are passed over."""
        if record.get("record_type", "global_metrics") != "global_metrics":
            return
        self.records += 1
        self.loop_lag.add(record)
        self.pressure.add(record)
        self.drops.add(record)
        end, elapsed = whole(record, "hb_mono_ns"), whole(record, "elapsed_ns")
        if end is None or elapsed is None:
            self.unstamped += 1
            return
        start = end - elapsed
        if self.last_mono_ns is None:
            self.first_mono_ns = start
            self.last_mono_ns = end
        else:
            self.uncovered_ns += max(0, start - self.last_mono_ns)
            self.last_mono_ns = max(end, self.last_mono_ns)


@dataclass
class Outage:
    """A connection that a fault ended: from what it last vouched for, to the next one (None: never)."""

    shard_id: int
    connection: int | None
    since_mono_ns: int
    at_mono_ns: int
    trigger: str | None
    until_mono_ns: int | None = None


@dataclass
class RunlogFigures:
    """Faults and planned changes of connections; feed all runlog records in file order.

    `reconnects` counts `reconnect` records, which only faults have (R202). `outages` are connections that
    ended by a fault after they had been open, those included that never came back (R203); a `ws_connect`
    on top of an open connection is one too, because that connection has ended and nothing said so.
    Of a slice counts what is in its `window`, and of the losses those that reach into it.
    """

    window: EmitWindow | None = None
    reconnects: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    planned: Counter[str] = field(default_factory=Counter)
    malformed: Counter[str] = field(default_factory=Counter)
    _all: list[Outage] = field(default_factory=list)
    _open: dict[int, int] = field(default_factory=dict)
    _out: dict[int, Outage] = field(default_factory=dict)

    def add(self, record: Mapping[str, Any]) -> None:
        """Take one runlog record; types without meaning here are passed over."""
        kind = record.get("record_type")
        if kind not in ("ws_connect", "disconnect", "reconnect"):
            return
        shard_id, at = whole(record, "shard_id"), stamp_of(record)
        if shard_id is None or at is None:
            self.malformed[kind] += 1
        elif kind == "reconnect" and self._counts(at):
            self.reconnects[str(record.get("trigger"))] += 1
            self.reasons[str(record.get("reason"))] += 1
        elif kind == "disconnect":
            self._disconnect(shard_id, at, record)
        elif kind == "ws_connect":
            if shard_id in self._open:
                self._lost(Outage(shard_id, self._open[shard_id], at, at, None))
            self._open[shard_id] = whole(record, "connection") or 0
            if (outage := self._out.pop(shard_id, None)) is not None:
                outage.until_mono_ns = at

    def _disconnect(self, shard_id: int, at: int, record: Mapping[str, Any]) -> None:
        self._open.pop(shard_id, None)
        trigger = record.get("trigger")
        # Only what says that it was planned was planned.
        if record.get("planned") is True:
            if self._counts(at):
                self.planned[str(trigger)] += 1
            return
        since = whole(record, "since_mono_ns")
        self._lost(
            Outage(
                shard_id, whole(record, "connection"), at if since is None else min(since, at), at,
                trigger if isinstance(trigger, str) else None,
            )
        )  # fmt: skip

    def _lost(self, outage: Outage) -> None:
        self._all.append(outage)
        self._out[outage.shard_id] = outage

    def _counts(self, mono_ns: int) -> bool:
        return self.window is None or self.window.holds(mono_ns)

    @property
    def outages(self) -> list[Outage]:
        """The connections lost by a fault that was not mended before the window, and not after it."""
        if self.window is None:
            return list(self._all)
        first, before = self.window
        return [
            one
            for one in self._all
            if (one.until_mono_ns is None or one.until_mono_ns > first)
            and (before is None or one.since_mono_ns < before)
        ]

    @property
    def reconnects_total(self) -> int:
        """Faults that were followed by a new attempt to connect."""
        return self.reconnects.total()

    @property
    def midrun_incidents(self) -> int:
        """Connections lost by a fault after they had been open."""
        return len(self.outages)
