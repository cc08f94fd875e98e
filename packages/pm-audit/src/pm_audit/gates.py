"""The gates of a capture (requirements R185 to R209): each passes or fails for named reasons.

One failing gate fails the run. Missing evidence is a reason to fail, never to pass. A gate does not apply
where its evidence cannot exist: latency of an offline capture, metrics of a slice or of a merged bundle;
that is said.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from pm_audit.evidence import Evidence
from pm_audit.figures import NS_PER_MS, STREAK_INTERVALS
from pm_frames.bundle import RunState
from pm_frames.command import ExitCode

DEFAULT_THRESHOLD_NS: Final = 2 * 10**9
DEFAULT_LAG_P99_NS: Final = 10 * NS_PER_MS
DEFAULT_LAG_MAX_NS: Final = 100 * NS_PER_MS


class Profile(StrEnum):
    """Which gates count: all of them, or those that mean loss of data."""

    STRICT = "strict"
    DATA_LOSS = "data-loss"


class Status(StrEnum):
    """What became of a gate; `NOT_COUNTED` is a failure that the profile does not count."""

    PASSED = "passed"
    FAILED = "failed"
    NOT_COUNTED = "not_counted"
    NOT_APPLICABLE = "not_applicable"


class Limits(NamedTuple):
    """The thresholds; a value fails a gate when it is strictly over its threshold."""

    heartbeat_gap_ns: int = DEFAULT_THRESHOLD_NS
    loop_lag_p99_ns: int = DEFAULT_LAG_P99_NS
    loop_lag_max_ns: int = DEFAULT_LAG_MAX_NS
    streak_intervals: int = STREAK_INTERVALS


class Reason(NamedTuple):
    """Why a gate fails: a stable word, and a sentence with the figures."""

    code: str
    message: str


class Gate(NamedTuple):
    """One gate: what became of it, why, and the figures that it was judged by."""

    name: str
    status: Status
    reasons: tuple[Reason, ...]
    figures: Mapping[str, Any]
    note: str | None = None

    def as_json(self) -> dict[str, object]:
        """Return the gate as JSON values."""
        return {
            "status": str(self.status),
            "reasons": [reason._asdict() for reason in self.reasons],
            "note": self.note,
            **self.figures,
        }


Reasons = Iterator[Reason]


def _heartbeat(evidence: Evidence, limits: Limits) -> Reasons:
    audit = evidence.heartbeats
    yield from _runlog_whole(evidence)
    if audit.malformed:
        yield Reason("malformed_heartbeats", f"{audit.malformed} heartbeats have no hb_mono_ns")
    if audit.went_back:
        yield Reason("heartbeats_back", f"{audit.went_back} heartbeats are before the one before")
    if audit.without_heartbeat and not (evidence.offline or evidence.sliced):
        yield Reason("no_heartbeats", "the runlog has no heartbeat")
    if audit.without_start:
        yield Reason("no_start", "nothing says when the run began (run_start)")
    if audit.without_stop:
        yield Reason("no_stop", f"nothing says when the run ended (capture_stop): {evidence.state}")
    if audit.over_threshold:
        yield Reason(
            "gaps_over_threshold",
            f"{audit.over_threshold} gaps are over {limits.heartbeat_gap_ns / 10**9:g} s, "
            f"the longest is {audit.top[0].gap_ns / 10**9:.9f} s",
        )


def _reconnects(evidence: Evidence, _: Limits) -> Reasons:
    figures = evidence.connections
    yield from _runlog_whole(evidence)
    if figures.malformed:
        kinds = ", ".join(sorted(figures.malformed))
        yield Reason("malformed_records", f"records without shard or stamp: {kinds}")
    if figures.reconnects_total:
        triggers = ", ".join(f"{name} ×{n}" for name, n in sorted(figures.reconnects.items()))
        yield Reason("reconnects_total", f"{figures.reconnects_total} reconnects ({triggers})")
    if figures.midrun_incidents:
        shards = sorted({outage.shard_id for outage in figures.outages})
        yield Reason(
            "midrun_disconnected_incidents",
            f"{figures.midrun_incidents} connections were lost by a fault, of shards "
            f"{', '.join(map(str, shards))}",
        )


def _drops(evidence: Evidence, _: Limits) -> Reasons:
    drops = evidence.metrics.drops
    yield from _metrics_whole(evidence, "missing_drop_metrics")
    if drops.missing:
        yield Reason("missing_drop_metrics", f"{drops.missing} records do not count drops")
    if not drops.consistent:
        yield Reason(
            "drops_disagree",
            f"dropped_messages_total says {drops.total}, the intervals add up to "
            f"{drops.interval_sum}" + (", and the counter went back" if drops.went_back else ""),
        )
    if most := max(drops.total, drops.interval_sum):
        yield Reason("dropped_messages_total", f"{most} messages were dropped")


def _loop_lag(evidence: Evidence, limits: Limits) -> Reasons:
    lag = evidence.metrics.loop_lag
    yield from _metrics_whole(evidence, "missing_loop_lag_metrics")
    if lag.missing:
        yield Reason("missing_loop_lag_metrics", f"{lag.missing} records have no loop lag")
    p99, most = lag.p99_ns, lag.max_ns
    if p99 is not None and p99 > limits.loop_lag_p99_ns:
        yield Reason(
            "loop_lag_p99_ms", _over_ms("the 99th percentile", p99, limits.loop_lag_p99_ns)
        )
    if most is not None and most > limits.loop_lag_max_ns:
        yield Reason("loop_lag_max_ms", _over_ms("the largest", most, limits.loop_lag_max_ns))


def _pressure(evidence: Evidence, limits: Limits) -> Reasons:
    pressure = evidence.metrics.pressure
    yield from _metrics_whole(evidence, "missing_pressure_metrics")
    for key, count in sorted(pressure.missing.items()):
        yield Reason("missing_pressure_metrics", f"{count} records have no {key}")
    if pressure.intervals:
        for name in pressure.max_streaks:
            if not pressure.samples[name]:
                yield Reason("empty_pressure_metrics", f"{name} has no sample in the whole run")
    if pressure.failed(limits.streak_intervals):
        yield Reason(
            "pressure_streaks",
            f"{pressure.worst_metric} was at its threshold or over it for "
            f"{pressure.worst_streak} intervals in a row",
        )


def _crc(evidence: Evidence, _: Limits) -> Reasons:
    report, problem = evidence.verification
    if report is None:
        yield Reason("missing_verify", problem or "there is no report of pm-verify")
        return
    mismatches = report["totals"]["crc_mismatch"]
    if mismatches:
        yield Reason("crc_mismatch", f"{mismatches} payloads do not have their CRC")
    elif report["exit_code"] not in (ExitCode.OK, ExitCode.FINDINGS):
        yield Reason("verify_corrupt", str(report.get("verdict", "pm-verify found corruption")))


def _fatal(evidence: Evidence, _: Limits) -> Reasons:
    if evidence.fatal is not None:
        what = evidence.fatal.get("fatal_reason", "fatal.json cannot be read")
        yield Reason("fatal", f"the run ended itself: {what}")


def _runlog_whole(evidence: Evidence) -> Reasons:
    if not evidence.runlog.present:
        yield Reason("missing_runlog", "there is no runlog.ndjson")
    elif evidence.runlog.damaged:
        yield Reason(
            "runlog_damaged",
            f"{evidence.runlog.damaged} lines are damaged: {evidence.runlog.problems[0]}",
        )


def _metrics_whole(evidence: Evidence, code: str) -> Reasons:
    """Yield why the metrics do not speak for the whole run."""
    lines, metrics = evidence.metrics_lines, evidence.metrics
    last_heartbeat = evidence.heartbeats.last_heartbeat_mono_ns
    if not lines.present:
        yield Reason(code, "there is no metrics/global.ndjson")
    elif lines.damaged:
        yield Reason(code, f"{lines.damaged} lines are damaged: {lines.problems[0]}")
    elif not metrics.records:
        yield Reason(code, "metrics/global.ndjson has no record")
    elif metrics.unstamped:
        yield Reason(code, f"{metrics.unstamped} records have no hb_mono_ns and elapsed_ns")
    elif metrics.uncovered_ns:
        yield Reason(code, f"{metrics.uncovered_ns / 10**9:.3f} s between records have no metrics")
    elif last_heartbeat is not None and last_heartbeat > (metrics.last_mono_ns or 0):
        # The record that belongs to a heartbeat is stamped after it.
        late = last_heartbeat - (metrics.last_mono_ns or 0)
        yield Reason(
            code, f"the last {late / 10**9:.3f} s before the last heartbeat have no metrics"
        )


def _over_ms(what: str, value_ns: int, limit_ns: int) -> str:
    return f"{what} is {value_ns / NS_PER_MS:.6f} ms, over {limit_ns / NS_PER_MS:g} ms"


def _heartbeat_figures(evidence: Evidence, limits: Limits) -> dict[str, Any]:
    audit = evidence.heartbeats
    return {
        "threshold_seconds": limits.heartbeat_gap_ns / 10**9,
        "hb_count": audit.count,
        "gaps_over_threshold": audit.over_threshold,
        "max_gap_seconds": audit.top[0].gap_ns / 10**9 if audit.top else None,
        "top_gaps": [gap.as_json() for gap in audit.top],
    }


def _reconnect_figures(evidence: Evidence, _: Limits) -> dict[str, Any]:
    figures = evidence.connections
    return {
        "total": figures.reconnects_total,
        "by_trigger": dict(sorted(figures.reconnects.items())),
        "midrun_incidents": figures.midrun_incidents,
        "planned_disconnects": dict(sorted(figures.planned.items())),
    }


def _drop_figures(evidence: Evidence, _: Limits) -> dict[str, Any]:
    drops = evidence.metrics.drops
    return {"dropped_messages_total": drops.total, "interval_sum": drops.interval_sum}


def _lag_figures(evidence: Evidence, limits: Limits) -> dict[str, Any]:
    lag = evidence.metrics.loop_lag
    return {
        "count": len(lag.samples_ns),
        "p99_ms": None if lag.p99_ns is None else lag.p99_ns / NS_PER_MS,
        "max_ms": None if lag.max_ns is None else lag.max_ns / NS_PER_MS,
        "p99_limit_ms": limits.loop_lag_p99_ns / NS_PER_MS,
        "max_limit_ms": limits.loop_lag_max_ns / NS_PER_MS,
    }


def _pressure_figures(evidence: Evidence, limits: Limits) -> dict[str, Any]:
    pressure = evidence.metrics.pressure
    return {
        "streak_intervals": limits.streak_intervals,
        "max_streaks": dict(pressure.max_streaks),
        "worst_metric": pressure.worst_metric,
        "worst_streak": pressure.worst_streak,
        "failed": pressure.failed(limits.streak_intervals),
    }


def _crc_figures(evidence: Evidence, _: Limits) -> dict[str, Any]:
    report = evidence.verification.report
    if report is None:
        return {"crc_mismatch": None}
    return {
        "crc_mismatch": report["totals"]["crc_mismatch"],
        "records": report["totals"].get("records"),
        "verify_exit_code": report["exit_code"],
        "verify_verdict": report.get("verdict"),
    }


def _fatal_figures(evidence: Evidence, _: Limits) -> dict[str, Any]:
    fatal = evidence.fatal
    return {
        "present": fatal is not None,
        "fatal_reason": fatal.get("fatal_reason") if fatal else None,
    }


class _Kind(NamedTuple):
    name: str
    reasons: Callable[[Evidence, Limits], Reasons]
    figures: Callable[[Evidence, Limits], dict[str, Any]]
    latency: bool = False  # of the strict profile alone, and only where there was a venue
    metrics: bool = False  # judged by metrics, which a slice or a merged bundle may have none of


_GATES: Final = (
    _Kind("heartbeat", _heartbeat, _heartbeat_figures),
    _Kind("reconnects", _reconnects, _reconnect_figures),
    _Kind("drops", _drops, _drop_figures, metrics=True),
    _Kind("loop_lag", _loop_lag, _lag_figures, latency=True, metrics=True),
    _Kind("pressure", _pressure, _pressure_figures, latency=True, metrics=True),
    _Kind("crc", _crc, _crc_figures),
    _Kind("fatal", _fatal, _fatal_figures),
)
GATES: Final = tuple(kind.name for kind in _GATES)


def judge(
    evidence: Evidence, limits: Limits, *, profile: Profile = Profile.STRICT
) -> tuple[Gate, ...]:
    """Return every gate, judged; pure."""
    return tuple(_judged(kind, evidence, limits, profile) for kind in _GATES)


def _judged(kind: _Kind, evidence: Evidence, limits: Limits, profile: Profile) -> Gate:
    figures = kind.figures(evidence, limits)
    if kind.latency and evidence.offline:
        note = "an offline capture plays fixtures: its latency says nothing about a venue"
        return Gate(kind.name, Status.NOT_APPLICABLE, (), figures, note)
    if kind.metrics and not evidence.metrics_lines.present and (made_of := _made_of(evidence)):
        note = f"there are no metrics in {made_of}"
        return Gate(kind.name, Status.NOT_APPLICABLE, (), figures, note)
    reasons = tuple(kind.reasons(evidence, limits))
    if not reasons:
        return Gate(kind.name, Status.PASSED, (), figures, _note(kind, evidence))
    if kind.latency and profile is Profile.DATA_LOSS:
        return Gate(kind.name, Status.NOT_COUNTED, reasons, figures, "not counted by this profile")
    return Gate(kind.name, Status.FAILED, reasons, figures)


def _made_of(evidence: Evidence) -> str | None:
    """Return what a bundle is that metrics of the whole run are not part of; None for a capture."""
    if evidence.merged:
        return "a merged bundle: audit its parts"
    return "this slice: audit the run that it was cut from" if evidence.sliced else None


def _note(kind: _Kind, evidence: Evidence) -> str | None:
    report = evidence.verification.report
    if kind.name == "crc" and report is not None and report["exit_code"] == ExitCode.FINDINGS:
        return f"pm-verify: {report.get('verdict', 'tolerable findings')}"
    if evidence.state is RunState.RUNNING:
        return "still running: judged up to now"
    return None
