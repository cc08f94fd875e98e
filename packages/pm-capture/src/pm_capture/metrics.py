"""`metrics/*.ndjson`: what a run measured about itself, one record a heartbeat, for each shard and in all.

Three durations of every socket read, in ns, as mergeable histograms of one heartbeat interval:

- backpressure: stamp of the read → its append began (parsing; there is no queue to wait in)
- write: time inside the append
- ingest: stamp of the read → its append finished

A read that completes several frames is one sample. Quantiles are nearest rank, over the interval; an
empty interval answers 0 with a count of 0. For any longer time merge the histograms.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from pm_frames.histogram import LogHistogram, upper_bound

NAMES = ("write_ns", "ingest_ns", "backpressure_ns")
PERCENTS = (50, 95, 99)
NS_PER_S = 1_000_000_000


class Meters:
    """The three histograms of one shard since the last heartbeat."""

    __slots__ = ("backpressure_ns", "ingest_ns", "write_ns")

    def __init__(self) -> None:
        self.write_ns = LogHistogram()
        self.ingest_ns = LogHistogram()
        self.backpressure_ns = LogHistogram()

    def read_recorded(self, *, stamped: int, began: int, ended: int) -> None:
        """Count one read by the three moments of its life, in monotonic ns."""
        # A stamp can be ahead of the clock by the few ns that keep stamps in order.
        self.backpressure_ns.record(max(0, began - stamped))
        self.write_ns.record(ended - began)
        self.ingest_ns.record(max(0, ended - stamped))

    def told(self) -> "Durations":
        """Return the histograms as they are written, by name."""
        return {name: getattr(self, name).to_dict() for name in NAMES}


# Histograms in the sparse form of `LogHistogram.to_dict`, by name. Going over all buckets of a histogram
# costs the event loop a tenth of a millisecond, so it is done once for each, and the rest works on these.
Durations = dict[str, dict[str, Any]]


def merged(parts: Iterable[Durations]) -> Durations:
    """Return what one histogram of all samples would tell."""
    parts = list(parts)
    return {
        name: _merged_one([part[name] for part in parts if part[name]["count"]]) for name in NAMES
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardFacts:
    """What one shard tells at a heartbeat; counts are totals of the run."""

    shard_id: int
    frames: int
    bytes_written: int
    tokens_assigned: int
    tokens_seen: int
    tokens_eligible: int
    tokens_overdue: int
    connected: bool
    confirmed: bool
    confirm_events_seen: int
    confirm_failures: int
    confirm_deadline_ns: int | None
    reconnects: int
    reconnect_budget_remaining: int
    down_ns: int
    down_incidents: int
    down_durations: Mapping[str, Any] = field(default_factory=lambda: LogHistogram().to_dict())
    decode_errors: int = 0
    msg_type_counts: Mapping[str, int] = field(default_factory=dict)
    startup_connect_ns: int | None
    last_frame_ns: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Beat:
    """One heartbeat: when it is, when the one before was, and what the totals were then."""

    run_id: str
    wall_ns_utc: int
    mono_ns: int
    previous_mono_ns: int


def shard_record(
    beat: Beat, facts: ShardFacts, before: ShardFacts, durations: Durations
) -> dict[str, Any]:
    """Return the record of one shard for the interval that ends with `beat`."""
    deadline_ns = facts.confirm_deadline_ns
    return {
        **_head("shard_metrics", beat),
        "shard_id": facts.shard_id,
        **_flow(beat, [facts], [before]),
        **_quantiles(durations),
        **_coverage([facts]),
        "token_ids_overdue": facts.tokens_overdue,
        "connected": facts.connected,
        "confirmed": facts.confirmed,
        "confirm_events_seen": facts.confirm_events_seen,
        "confirm_failures": facts.confirm_failures,
        **_contents([facts]),
        "confirm_deadline_remaining_ms": (
            None if deadline_ns is None else max(0, deadline_ns - beat.mono_ns) / 1e6
        ),
        "reconnects": facts.reconnects,
        "reconnect_budget_remaining": facts.reconnect_budget_remaining,
        "rx_idle_s": _idle_s(beat, facts),
        "startup_connect_time_s": _seconds(facts.startup_connect_ns),
        "midrun_disconnected_time_s_total": facts.down_ns / NS_PER_S,
        "midrun_disconnected_incidents": facts.down_incidents,
        "histograms": durations,
    }


def global_record(
    beat: Beat,
    facts: Iterable[ShardFacts],
    before: Iterable[ShardFacts],
    durations: Durations,
    extra: Mapping[str, object],
) -> dict[str, Any]:
    """Return the record of the whole run; `durations` are those of all shards, merged."""
    facts = list(facts)
    idle = [_idle_s(beat, one) for one in facts if one.tokens_assigned]
    told = [seconds for seconds in idle if seconds is not None]
    downs = _merged_one([dict(one.down_durations) for one in facts])
    active = [one for one in facts if one.tokens_assigned]
    connects = sorted(
        one.startup_connect_ns for one in active if one.startup_connect_ns is not None
    )
    return {
        **_head("global_metrics", beat),
        **_flow(beat, facts, list(before)),
        **_quantiles(durations),
        **_coverage(facts),
        "shards_connected": sum(one.connected for one in facts),
        "shards_unconfirmed_count": sum(not one.confirmed for one in active),
        "confirm_failures_total": sum(one.confirm_failures for one in facts),
        "reconnects_total": sum(one.reconnects for one in facts),
        "rx_idle_any_shard_s": max(told, default=None),
        "rx_idle_all_shards_s": min(told, default=None),
        "startup_connect_pending_shards": len(active) - len(connects),
        "startup_connect_time_s_p50": _nearest_rank_s(connects, 50),
        "startup_connect_time_s_p95": _nearest_rank_s(connects, 95),
        "startup_connect_time_s_max": _nearest_rank_s(connects, 100),
        "midrun_disconnected_time_s_total": sum(one.down_ns for one in facts) / NS_PER_S,
        "midrun_disconnected_incidents": sum(one.down_incidents for one in facts),
        "midrun_disconnected_incident_duration_s_p95": quantiles(downs, [95])[0] / NS_PER_S,
        "midrun_disconnected_incident_duration_s_max": downs["max"] / NS_PER_S,
        **_contents(facts),
        **extra,
        "histograms": durations,
    }


def _head(record_type: str, beat: Beat) -> dict[str, Any]:
    return {
        "record_type": record_type,
        "run_id": beat.run_id,
        "hb_wall_ns_utc": beat.wall_ns_utc,
        "hb_mono_ns": beat.mono_ns,
        "elapsed_ns": beat.mono_ns - beat.previous_mono_ns,
    }


def _flow(beat: Beat, facts: list[ShardFacts], before: list[ShardFacts]) -> dict[str, Any]:
    frames = sum(one.frames for one in facts)
    written = sum(one.bytes_written for one in facts)
    elapsed_s = (beat.mono_ns - beat.previous_mono_ns) / NS_PER_S
    new_frames = frames - sum(one.frames for one in before)
    new_bytes = written - sum(one.bytes_written for one in before)
    return {
        "frames": frames,
        "bytes_written": written,
        "msgs_per_sec": new_frames / elapsed_s if elapsed_s else 0.0,
        "bytes_per_sec": new_bytes / elapsed_s if elapsed_s else 0.0,
    }


def _quantiles(durations: Durations) -> dict[str, int]:
    found: dict[str, int] = {}
    for name in NAMES:
        histogram = durations[name]
        for percent, value in zip(PERCENTS, quantiles(histogram, PERCENTS), strict=True):
            found[f"{name}_p{percent}"] = value
        found[f"{name}_max"] = histogram["max"]
        found[f"{name}_count"] = histogram["count"]
    return found


def quantiles(histogram: Mapping[str, Any], percents: Iterable[int]) -> list[int]:
    """Return nearest-rank percentiles as `LogHistogram.quantile` does, in one pass; `percents` ascend."""
    ranks = [max(1, -(-percent * histogram["count"] // 100)) for percent in percents]
    found: list[int] = []
    seen = 0
    for bucket, count in histogram["buckets"]:
        seen += count
        while len(found) < len(ranks) and seen >= ranks[len(found)]:
            found.append(min(upper_bound(bucket), histogram["max"]))
    return found + [0] * (len(ranks) - len(found))


def _merged_one(histograms: list[dict[str, Any]]) -> dict[str, Any]:
    buckets: dict[int, int] = {}
    for histogram in histograms:
        for bucket, count in histogram["buckets"]:
            buckets[bucket] = buckets.get(bucket, 0) + count
    return {
        "count": sum(one["count"] for one in histograms),
        "sum": sum(one["sum"] for one in histograms),
        "min": min((one["min"] for one in histograms), default=0),
        "max": max((one["max"] for one in histograms), default=0),
        "buckets": [[bucket, buckets[bucket]] for bucket in sorted(buckets)],
    }


def _coverage(facts: list[ShardFacts]) -> dict[str, Any]:
    assigned = sum(one.tokens_assigned for one in facts)
    seen = sum(one.tokens_seen for one in facts)
    eligible = sum(one.tokens_eligible for one in facts)
    return {
        "coverage_pct": 100.0 * seen / eligible if eligible else 100.0,
        "token_ids_seen": seen,
        "token_ids_eligible": eligible,
        "token_ids_assigned": assigned,
    }


def _contents(facts: list[ShardFacts]) -> dict[str, Any]:
    counts: dict[str, int] = {}
    for one in facts:
        for name, count in one.msg_type_counts.items():
            counts[name] = counts.get(name, 0) + count
    return {
        "decode_errors": sum(one.decode_errors for one in facts),
        "msg_type_counts": dict(sorted(counts.items())),
    }


def _nearest_rank_s(ascending_ns: list[int], percent: int) -> float | None:
    if not ascending_ns:
        return None
    return ascending_ns[-(-percent * len(ascending_ns) // 100) - 1] / NS_PER_S


def _idle_s(beat: Beat, facts: ShardFacts) -> float | None:
    """Time since the last frame; None before the first."""
    if facts.last_frame_ns is None:
        return None
    return max(0, beat.mono_ns - facts.last_frame_ns) / NS_PER_S


def _seconds(ns: int | None) -> float | None:
    return None if ns is None else ns / NS_PER_S
