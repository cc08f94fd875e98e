"""The latency report of a run: the keys of requirement R207, and true percentiles beside them; pure.

A "series" is one value an interval, summed up as {count, min, max, p50, p95, p99}; its percentiles are over
intervals. Percentiles of all samples of the run come from merged histograms alone and stand in
`run_percentiles_ms`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from pm_audit.figures import PRESSURES, STREAK_INTERVALS, LoopLag, Outage, nearest_rank, number
from pm_audit.gates import Gate, Limits, Profile, Status, judge
from pm_audit.latency.connection_bands import Link
from pm_audit.latency.lag_attribution import attribution
from pm_audit.latency.readings import ENDS, FAMILIES, HISTOGRAMS, QUEUES, Merged
from pm_audit.latency.run_readings import RunReadings
from pm_audit.latency.series_stats import (
    EDGES_MS,
    counts_by_edge,
    histogram_by_edge,
    series_stats,
    true_percentiles_ms,
)

VERSION: Final = 1
JUDGED: Final = ("reconnects", "drops", "loop_lag", "pressure")
LISTED_MAX: Final = 1000
HEARTBEAT_EDGES_S: Final = ("1.25", "1.5", "2.0")

NOTES: Final = {
    "run_percentiles_ms": "of all samples of the run, from merged histograms; never below the true value, "
    "at most 1/64 above it",
    "ingest_latency_ms": "p50 to max are series of interval values: their percentiles are over intervals, not "
    "over samples; intervals without a sample are left out",
    "queue_depth": "pm-capture has no queue between socket and file, so its depth is always 0; a read is "
    "stamped, cut and written in one call, and what waits, waits in the kernel and shows as loop lag",
    "loop_lag_ms": "lateness of a 100 ms timer, the largest of each interval; percentiles are those of all "
    "ticks where the metrics have histograms; alone it is no loss of data "
    "(R200): read it with drops, queue depth and reconnects",
    "loop_lag_attribution": "the largest measured cause, where it is at least half of the lag; files are "
    "synced in a thread of their own; the scheduler of the machine is not measured",
    "disconnected": "from the last frame of a lost connection to the next connection; until every book is "
    "whole again takes longer: pm-audit ledger",
}


def latency_report(readings: RunReadings, run_dir: Path, profile: Profile) -> dict[str, Any]:
    """Return the report as JSON values. What is not in the bundle is None or an empty series, never 0."""
    metrics, evidence = readings.metrics, readings.evidence
    gates = [gate for gate in judge(evidence, Limits(), profile=profile) if gate.name in JUDGED]
    lag_ms = [value / 1e6 for value in evidence.metrics.loop_lag.samples_ns]
    work_ms = [value / 1e6 for value in metrics.values("hb_tick_work_ns")]
    check_ms = [value / 1e6 for value in metrics.disk_checks]
    return {
        "report_version": VERSION,
        "run_dir": str(run_dir),
        "run_id": evidence.run_id,
        "slice_id": evidence.slice_id,
        "state": str(evidence.state),
        "t0_wall_ns_utc": readings.wall_ns(readings.start_mono_ns),
        "start_mono_ns": readings.start_mono_ns,
        "end_mono_ns": readings.end_mono_ns,
        "duration_s": (readings.end_mono_ns - readings.start_mono_ns) / 1e9,
        "intervals": len(metrics),
        "gates": _gates(gates, profile),
        "capture_verify": {"present": False, "note": "run pm-verify, or pm-audit, which runs it"},
        "totals": _totals(readings),
        "heartbeat": _heartbeat(readings),
        "reconnects": {
            "total": evidence.connections.reconnects_total if evidence.runlog.present else None,
            "by_trigger": dict(sorted(evidence.connections.reconnects.items())),
            "by_reason": dict(sorted(evidence.connections.reasons.items())),
            "planned_disconnects": dict(sorted(evidence.connections.planned.items())),
        },
        "disconnected": {"startup_connect_time_s": _startup(readings), "midrun": _midrun(readings)},
        "rx_idle": {
            "global_any_shard_s": series_stats(metrics.values("rx_idle_any_shard_s")),
            "global_all_shards_s": series_stats(metrics.values("rx_idle_all_shards_s")),
            "per_shard": {
                _name(shard_id): series_stats(shard.rx_idle_s)
                for shard_id, shard in readings.shards.items()
            },
        },
        "ingest_latency_ms": {family: _family(readings, family) for family in FAMILIES},
        "run_percentiles_ms": {
            **_percentiles(metrics.histograms),
            "per_shard": {
                _name(shard_id): _percentiles(shard.histograms)
                for shard_id, shard in readings.shards.items()
            },
        },
        "queue_depth": {
            queue: {end: series_stats(metrics.values(f"{queue}_{end}")) for end in ("p95", "max")}
            for queue in QUEUES
        },
        "drops": _drops(readings),
        "loop_lag_ms": _loop_lag(evidence.metrics.loop_lag),
        "heartbeat_work_ms": series_stats(work_ms),
        "disk_check_ms": series_stats(check_ms),
        "disk_check_performed_count": len(check_ms),
        "loop_lag_attribution": attribution(metrics, readings.runlog.clock_steps),
        "histograms_ms": {
            "edges": list(EDGES_MS),
            "loop_lag_ms": counts_by_edge(lag_ms),
            "heartbeat_work_ms": counts_by_edge(work_ms),
            "disk_check_ms": counts_by_edge(check_ms),
            **{
                name.replace("_ns", "_ms"): histogram_by_edge(histogram)
                for name, histogram in metrics.histograms.merged.items()
            },
        },
        "pressure_streaks": _pressure(readings),
        "refresh": {
            "duration_ms": series_stats(readings.runlog.refresh_ms),
            "count": readings.runlog.refresh_reasons.total(),
            "by_reason": dict(sorted(readings.runlog.refresh_reasons.items())),
            "errors": readings.runlog.refresh_errors,
        },
        "clock_steps": {
            "count": len(readings.runlog.clock_steps),
            "largest_ms": max((abs(s) / 1e6 for _, s in readings.runlog.clock_steps), default=None),
        },
        "problems": readings.problems,
        "notes": NOTES,
    }


def _loop_lag(lag: LoopLag) -> dict[str, Any]:
    """The interval maxima, but true percentiles where the metrics have histograms; what the gate judges."""
    stats = series_stats([value / 1e6 for value in lag.samples_ns])
    for percent in (50, 95, 99):
        ns = lag.percentile_ns(percent)
        stats[f"p{percent}"] = None if ns is None else ns / 1e6
    return stats


def _gates(gates: Sequence[Gate], profile: Profile) -> dict[str, Any]:
    failed = [gate for gate in gates if gate.status is Status.FAILED]
    return {
        "profile": str(profile),
        "ok": not failed,
        "reasons": [
            {"gate": gate.name, **reason._asdict()} for gate in failed for reason in gate.reasons
        ],
        "status": {gate.name: str(gate.status) for gate in gates},
    }


def _totals(readings: RunReadings) -> dict[str, Any]:
    last = readings.metrics.last
    names = ("frames", "bytes_written", "coverage_pct", "token_ids_seen", "token_ids_eligible")
    return {
        **{name: number(last, name) for name in names},
        "frames_per_s": series_stats(readings.metrics.values("msgs_per_sec")),
        "bytes_per_s": series_stats(readings.metrics.values("bytes_per_sec")),
        "coverage_series_pct": series_stats(readings.metrics.values("coverage_pct")),
        "msg_type_counts": last.get("msg_type_counts"),
    }


def _heartbeat(readings: RunReadings) -> dict[str, Any]:
    config = readings.manifest.get("config")
    expected = (
        number(config, "capture_heartbeat_interval_seconds") if isinstance(config, dict) else None
    )
    stamps = readings.runlog.heartbeats_mono_ns
    dt = [(after - before) / 1e9 for before, after in pairwise(stamps)]
    jitter = [] if expected is None else [abs(value - expected) for value in dt]
    return {
        "count": len(stamps),
        "expected_interval_s": expected,
        "dt_s": series_stats(dt),
        "jitter_s": series_stats(jitter),
        "counts_over_s": {
            edge: sum(value > float(edge) for value in dt) for edge in HEARTBEAT_EDGES_S
        },
    }


def _startup(readings: RunReadings) -> dict[str, Any]:
    by_shard = {
        _name(shard_id): shard.startup_connect_time_s for shard_id, shard in readings.shards.items()
    }
    times = [value for value in by_shard.values() if value is not None]
    return {
        "stats": series_stats(times),
        "pending_shards": number(readings.metrics.last, "startup_connect_pending_shards"),
        "by_shard": by_shard,
    }


def _midrun(readings: RunReadings) -> dict[str, Any]:
    outages = readings.evidence.connections.outages
    lengths = [_length_ns(outage, readings) for outage in outages]
    by_shard: dict[str, dict[str, Any]] = {}
    for outage, length in zip(outages, lengths, strict=True):
        one = by_shard.setdefault(_name(outage.shard_id), {"incidents": 0, "time_s_total": 0.0})
        one["incidents"] += 1
        one["time_s_total"] = round(one["time_s_total"] + length / 1e9, 9)
    known = readings.evidence.runlog.present
    return {
        "time_s_total": sum(lengths) / 1e9 if known else None,
        "incidents": len(outages) if known else None,
        "incident_duration_s_p95": nearest_rank(lengths, 95) / 1e9 if lengths else None,
        "incident_duration_s_max": max(lengths) / 1e9 if lengths else None,
        "still_open": sum(outage.until_mono_ns is None for outage in outages),
        "by_shard": by_shard,
        "gaps": _listed(_gaps(readings)),
    }


def _length_ns(outage: Outage, readings: RunReadings) -> int:
    """Return how long an outage was within what is told of."""
    end = readings.end_mono_ns
    until = end if outage.until_mono_ns is None else min(outage.until_mono_ns, end)
    return max(0, until - max(outage.since_mono_ns, readings.start_mono_ns))


def _gaps(readings: RunReadings) -> Iterable[dict[str, Any]]:
    """Yield the times without a connection, planned ones too, but for the stop of the run."""
    for band in sorted(readings.bands, key=lambda band: (band.start_mono_ns, band.shard_id)):
        if band.link in (Link.FAULT, Link.PLANNED):
            yield {
                "shard": band.shard_id,
                "kind": str(band.link),
                "trigger": band.why,
                "from_mono_ns": band.start_mono_ns,
                "to_mono_ns": band.end_mono_ns,
                "from_wall_ns_utc": readings.wall_ns(band.start_mono_ns),
                "duration_s": (band.end_mono_ns - band.start_mono_ns) / 1e9,
            }


def _family(readings: RunReadings, family: str) -> dict[str, Any]:
    metrics = readings.metrics
    histogram = FAMILIES[family]
    return {
        **{end: series_stats(metrics.sampled(family, end)) for end in ENDS},
        "count": round(sum(metrics.values(f"{family}_count"))),
        "run": None
        if histogram is None or metrics.histograms.missing[histogram]
        else true_percentiles_ms(metrics.histograms.merged[histogram]),
    }


def _percentiles(histograms: Merged) -> dict[str, Any]:
    """Return the true percentiles of each histogram; `missing_records` says what they do not cover."""
    return {
        name.replace("_ns", "_ms"): {
            **true_percentiles_ms(histograms.merged[name]),
            "missing_records": histograms.missing[name],
        }
        for name in HISTOGRAMS
    }


def _drops(readings: RunReadings) -> dict[str, Any]:
    drops, metrics = readings.evidence.metrics.drops, readings.metrics
    counts = metrics.columns["dropped_messages_count"]
    intervals = (
        {"hb_mono_ns": stamp, "count": round(count)}
        for stamp, count in zip(metrics.mono_ns, counts, strict=True)
        if count > 0
    )
    return {
        "dropped_messages_total": drops.total if drops.records else None,
        "dropped_messages_per_interval": {
            **series_stats(metrics.values("dropped_messages_count")),
            "sum": drops.interval_sum if drops.records else None,
            "intervals_with_drops": _listed(intervals),
        },
    }


def _pressure(readings: RunReadings) -> dict[str, Any]:
    pressure = readings.evidence.metrics.pressure
    return {
        "streak_intervals": STREAK_INTERVALS,
        "thresholds": {name: parts[0].threshold for name, parts in PRESSURES.items()},
        "max_streaks": dict(pressure.max_streaks),
        "worst_metric": pressure.worst_metric,
        "worst_streak": pressure.worst_streak,
        # No record is no evidence of calm.
        "failed": pressure.failed() if pressure.intervals else None,
    }


def _listed(items: Iterable[dict[str, Any]]) -> dict[str, Any]:
    """Return the first of many, and how many there are."""
    shown: list[dict[str, Any]] = []
    count = 0
    for item in items:
        count += 1
        if count <= LISTED_MAX:
            shown.append(item)
    return {"count": count, "shown": shown}


def _name(shard_id: int) -> str:
    return f"{shard_id:02d}"
