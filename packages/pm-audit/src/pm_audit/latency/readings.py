"""The metrics of a run as columns, one value a record, and its histograms merged.

A record without a number has a NaN in the column: what was not written is never taken for 0.
"""

from __future__ import annotations

from array import array
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping
from functools import cached_property
from math import isnan, nan
from typing import Any, Final

from pm_audit.figures import number, whole
from pm_frames.histogram import BUCKETS, VALUE_MAX, LogHistogram, bucket_of

# Family of R207 -> the histogram of metrics.md that holds the same samples; None where metrics have none.
FAMILIES: Final[Mapping[str, str | None]] = {
    "ws_rx_to_enqueue_ms": "backpressure_ns",
    "ws_rx_to_parsed_ms": "backpressure_ns",
    "ws_rx_to_applied_ms": "ingest_ns",
    "write_end_to_apply_ms": None,
    "apply_update_ms": None,
}
ENDS: Final = ("p50", "p95", "p99", "max")
QUEUES: Final = ("ws_in_q_depth", "parse_q_depth", "write_q_depth")
HISTOGRAMS: Final = ("write_ns", "ingest_ns", "backpressure_ns")

COLUMNS: Final = (
    "msgs_per_sec", "bytes_per_sec", "coverage_pct", "shards_connected",
    "loop_lag_ms_max_last_interval", "hb_tick_work_ns", "disk_check_ns",
    "gc_pauses_ns_max", "gc_pauses_ns_total", "write_ns_max",
    "rx_idle_any_shard_s", "rx_idle_all_shards_s", "dropped_messages_count",
    *(f"{queue}_{end}" for queue in QUEUES for end in ("p95", "max")),
    *(f"{family}_{end}" for family in FAMILIES for end in (*ENDS, "count")),
)  # fmt: skip


class Merged:
    """The histograms of all records together; `missing` counts records that lacked a sound one."""

    def __init__(self) -> None:
        self.missing: Counter[str] = Counter()
        self._sums = {name: _Sum() for name in HISTOGRAMS}

    def add(self, record: Mapping[str, Any]) -> None:
        """Take the histograms of one record."""
        found = record.get("histograms")
        found = found if isinstance(found, dict) else {}
        for name, into in self._sums.items():
            try:
                into.add(found[name])
            except (KeyError, ValueError, TypeError, IndexError):
                self.missing[name] += 1

    @cached_property
    def merged(self) -> dict[str, LogHistogram]:
        """The merged histograms by name, once all records are in."""
        return {name: one.histogram() for name, one in self._sums.items()}


class _Sum:
    """Histograms added up bucket by bucket; a day has a million of them, so each is only looked over."""

    def __init__(self) -> None:
        self.buckets: defaultdict[int, int] = defaultdict(int)
        self.count = self.sum = self.max = 0
        self.min = VALUE_MAX

    def add(self, data: Mapping[str, Any]) -> None:
        """Add one; raise ValueError, TypeError, KeyError or IndexError where it cannot be one."""
        pairs = data["buckets"]
        if not pairs:
            if data["count"]:
                raise ValueError("a count without buckets")
            return
        numbers = [data["count"], data["sum"], data["min"], data["max"]]
        counts = [count for _, count in pairs]
        if not all(type(n) is int and n >= 0 for n in (*numbers, *counts, *(b for b, _ in pairs))):
            raise TypeError("not integers of at least 0")
        if sum(counts) != data["count"] or min(counts) < 1:
            raise ValueError("the buckets do not add up")
        if bucket_of(data["min"]) != pairs[0][0] or bucket_of(data["max"]) != pairs[-1][0]:
            raise ValueError("an extreme that is not in its bucket")
        if pairs[-1][0] != max(bucket for bucket, _ in pairs) or pairs[-1][0] >= BUCKETS:
            raise ValueError("the buckets are not in order")
        for bucket, count in pairs:
            self.buckets[bucket] += count
        self.count += data["count"]
        self.sum += data["sum"]
        self.min = min(self.min, data["min"])
        self.max = max(self.max, data["max"])

    def histogram(self) -> LogHistogram:
        """Return what was added as one histogram, checked as a whole."""
        return LogHistogram.from_dict(
            {
                "count": self.count,
                "sum": self.sum,
                "min": self.min if self.count else 0,
                "max": self.max,
                "buckets": sorted(self.buckets.items()),
            }
        )


class GlobalReadings:
    """`metrics/global.ndjson` as columns; the i-th value of each column is of the i-th record."""

    def __init__(self, records: Iterable[Mapping[str, Any]] = ()) -> None:
        self.mono_ns: array[int] = array("Q")
        self.wall_ns: list[int | None] = []
        self.columns: dict[str, array[float]] = {name: array("d") for name in COLUMNS}
        self.histograms = Merged()
        self.disk_checks: list[float] = []  # ns
        self.last: Mapping[str, Any] = {}
        self.unstamped = 0
        for record in records:
            self.add(record)

    def __len__(self) -> int:
        return len(self.mono_ns)

    def add(self, record: Mapping[str, Any]) -> None:
        """Take one record; one without its stamp has no place in time and is only counted."""
        if record.get("record_type", "global_metrics") != "global_metrics":
            return
        mono, wall = whole(record, "hb_mono_ns"), whole(record, "hb_wall_ns_utc")
        self.histograms.add(record)
        if mono is None or mono >= 2**64:
            self.unstamped += 1
            return
        self.mono_ns.append(mono)
        self.wall_ns.append(wall)
        for name, column in self.columns.items():
            value = number(record, name)
            column.append(nan if value is None else value)
        if record.get("disk_check_performed") is True:
            check = number(record, "disk_check_ns")
            self.disk_checks += [] if check is None else [check]
        self.last = {key: value for key, value in record.items() if key != "histograms"}

    def values(self, name: str) -> list[float]:
        """Return the values of a column that are there."""
        return [value for value in self.columns[name] if not isnan(value)]

    def sampled(self, family: str, end: str) -> list[float]:
        """Return the values of a family in the intervals that had a sample: an empty one says 0."""
        counts = self.columns[f"{family}_count"]
        column = self.columns[f"{family}_{end}"]
        return [
            value for value, n in zip(column, counts, strict=True) if n > 0 and not isnan(value)
        ]


class ShardReadings:
    """`metrics/shard_NN.ndjson`: idle times, merged histograms, the first connection."""

    def __init__(self, records: Iterable[Mapping[str, Any]] = ()) -> None:
        self.records = 0
        self.rx_idle_s: array[float] = array("d")
        self.histograms = Merged()
        self.startup_connect_time_s: float | None = None
        for record in records:
            self.add(record)

    def add(self, record: Mapping[str, Any]) -> None:
        """Take one record."""
        self.records += 1
        self.histograms.add(record)
        idle = number(record, "rx_idle_s")
        if idle is not None:
            self.rx_idle_s.append(idle)
        startup = number(record, "startup_connect_time_s")
        if startup is not None:
            self.startup_connect_time_s = startup
