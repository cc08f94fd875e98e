"""The latency report as a page of text."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

Report = Mapping[str, Any]


def report_text(report: Report) -> Iterator[str]:
    """Yield the lines of `latency_report.txt`."""
    gates = report["gates"]
    part = f", slice {report['slice_id']}" if report["slice_id"] else ""
    yield f"Latency report of {report['run_id']}{part} ({report['state']})"
    yield f"{report['duration_s']:,.1f} s, {report['intervals']:,} intervals of metrics"
    yield ""
    yield f"Gates, profile {gates['profile']}: " + ("all passed" if gates["ok"] else "FAILED")
    for name, status in gates["status"].items():
        yield f"  {name:<12}{status.replace('_', ' ')}"
    for reason in gates["reasons"]:
        yield f"  ! {reason['gate']}: {reason['message']} ({reason['code']})"
    yield from _percentiles(report)
    yield from _families(report)
    yield from _loop(report)
    yield from _losses(report)
    for problem in report["problems"]:
        yield f"! {problem}"
    yield ""
    yield "What the figures mean:"
    for name, note in report["notes"].items():
        yield f"  {name}: {note}"


def value_text(value: object, digits: int = 3) -> str:
    """Return a figure for a person: a dash for what is not known."""
    if value is None:
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:,.{digits}f}"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _percentiles(report: Report) -> Iterator[str]:
    ends = ("p50", "p95", "p99", "p99_9", "max")
    yield ""
    yield "All samples of the run, ms" + "".join(f"{end:>12}" for end in ends) + f"{'samples':>14}"
    for name, row in report["run_percentiles_ms"].items():
        if name == "per_shard":
            continue
        cells = "".join(f"{value_text(row[end]):>12}" for end in ends)
        yield f"  {name:<24}{cells}{row['count']:>14,}"
        if row["missing_records"]:
            yield f"    without the {row['missing_records']:,} records that had no such histogram"


def _families(report: Report) -> Iterator[str]:
    yield ""
    yield f"{'Worst interval, ms':<26}" + "".join(
        f"{end:>12}" for end in ("p50", "p95", "p99", "max")
    )
    for name, family in report["ingest_latency_ms"].items():
        cells = "".join(
            f"{value_text(family[end]['max']):>12}" for end in ("p50", "p95", "p99", "max")
        )
        yield f"  {name:<24}{cells}"


def _loop(report: Report) -> Iterator[str]:
    yield ""
    for name, key in (
        ("Loop lag", "loop_lag_ms"),
        ("Heartbeat work", "heartbeat_work_ms"),
        ("Disk check", "disk_check_ms"),
    ):
        stats = report[key]
        yield (
            f"{name + ', ms':<20}p50 {value_text(stats['p50'])}  p95 {value_text(stats['p95'])}  "
            f"p99 {value_text(stats['p99'])}  max {value_text(stats['max'])}"
        )
    for interval in report["loop_lag_attribution"]["top_intervals"][:3]:
        yield (
            f"  {interval['loop_lag_ms']:.3f} ms at mono {interval['hb_mono_ns']}: "
            f"{interval['explained_by'].replace('_', ' ')}"
        )
    depths = {name: queue["max"]["max"] for name, queue in report["queue_depth"].items()}
    yield "Queue depth, max    " + "  ".join(f"{k} {value_text(v)}" for k, v in depths.items())
    streaks = report["pressure_streaks"]
    yield (
        f"Pressure streaks    worst {streaks['worst_streak']} of {streaks['worst_metric']}, "
        f"{streaks['streak_intervals']} fail"
    )


def _losses(report: Report) -> Iterator[str]:
    drops, reconnects = report["drops"], report["reconnects"]
    midrun = report["disconnected"]["midrun"]
    refresh = report["refresh"]
    yield ""
    yield f"Dropped messages    {value_text(drops['dropped_messages_total'])}"
    yield f"Reconnects          {value_text(reconnects['total'])}{_counted(reconnects['by_trigger'])}"
    yield (
        f"Lost connections    {value_text(midrun['incidents'])}, "
        f"{value_text(midrun['time_s_total'])} s together, the longest {value_text(midrun['incident_duration_s_max'])} s"
    )
    startup = report["disconnected"]["startup_connect_time_s"]["stats"]
    yield f"First connections   up to {value_text(startup['max'])} s"
    yield (
        f"Refreshes           {refresh['count']}{_counted(refresh['by_reason'])}, {refresh['errors']} failed"
    )


def _counted(counts: Mapping[str, int]) -> str:
    return f" ({', '.join(f'{name} ×{count}' for name, count in counts.items())})" if counts else ""
