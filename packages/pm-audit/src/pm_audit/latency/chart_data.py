"""What the page draws: every series on one time axis, downsampled to its extremes; pure.

A run of at most `POINTS_MAX` intervals is drawn as it is. A longer one is cut into buckets of k intervals
each, and of each bucket the smallest and the largest value are kept: no peak is lost, and none is made up.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import ceil, isnan
from typing import Any, Final, NamedTuple

from pm_audit.latency.connection_bands import Band, Link
from pm_audit.latency.run_readings import RunReadings

POINTS_MAX: Final = 1500
BANDS_MAX: Final = 5000
DIGITS: Final = 6  # significant digits of a drawn value

_LOSSES: Final = (Link.FAULT, Link.PLANNED)

Values = Sequence[float]
Drawn = list[float | None]


class Line(NamedTuple):
    """One series of a chart: the column that it shows, and what one unit of it is divided by."""

    label: str
    column: str
    divisor: float = 1


class Chart(NamedTuple):
    """One chart; `log` for a logarithmic axis, which leaves out zeros."""

    name: str
    title: str
    unit: str
    lines: tuple[Line, ...]
    log: bool = False
    top: float | None = None
    note: str | None = None


CHARTS: Final = (
    Chart("rate", "Frames", "frames/s", (Line("frames/s", "msgs_per_sec"),)),
    Chart("bytes", "Bytes", "kB/s", (Line("kB/s", "bytes_per_sec", 1000),)),
    Chart(
        "latency",
        "Latency, from the stamp of a read to the end of its write",
        "ms",
        tuple(Line(end, f"ws_rx_to_applied_ms_{end}") for end in ("p50", "p95", "p99", "max")),
        log=True,
    ),
    Chart(
        "lag",
        "Event loop: largest lag, and longest garbage collection",
        "ms",
        (
            Line("lag", "loop_lag_ms_max_last_interval"),
            Line("garbage collection", "gc_pauses_ns_max", 1_000_000),
        ),
        log=True,
    ),
    Chart(
        "queue",
        "Queue depth",
        "messages",
        (
            Line("ws_in_q", "ws_in_q_depth_max"),
            Line("parse_q", "parse_q_depth_max"),
            Line("write_q", "write_q_depth_max"),
        ),
        note="pm-capture has no queue between socket and file: what waits shows as lag",
    ),
    Chart(
        "coverage",
        "Coverage: tokens with a book",
        "%",
        (Line("coverage", "coverage_pct"),),
        top=100,
    ),
)


def chart_data(readings: RunReadings, *, points_max: int = POINTS_MAX) -> dict[str, Any]:
    """Return what the page draws, as JSON values. Times are seconds from `t0_ms`, UTC in milliseconds."""
    metrics = readings.metrics
    origin = readings.start_mono_ns
    group = max(1, ceil(len(metrics) / points_max))
    wall = readings.wall_ns(origin)
    bands, joined = joined_bands(readings.bands, BANDS_MAX)
    return {
        "t0_ms": None if wall is None else wall // 1_000_000,
        "end_s": _seconds(readings.end_mono_ns - origin),
        "intervals": len(metrics),
        "intervals_per_point": group,
        # A bucket is drawn at the end of its last interval, as an interval is.
        "x": [
            _seconds(metrics.mono_ns[min(at + group, len(metrics)) - 1] - origin)
            for at in range(0, len(metrics), group)
        ],
        "charts": [_chart(chart, readings, group) for chart in CHARTS],
        "bands": [
            [
                band.shard_id,
                str(band.link),
                _seconds(band.start_mono_ns - origin),
                _seconds(band.end_mono_ns - origin),
                band.why,
            ]
            for band in bands
        ],
        "bands_joined": joined,
        "marks": _marks(readings, origin),
    }


def extremes(values: Values, group: int) -> tuple[Drawn, Drawn]:
    """Return the smallest and largest of each `group` values in a row, None where there is none."""
    low: Drawn = []
    high: Drawn = []
    for at in range(0, len(values), group):
        there = [value for value in values[at : at + group] if not isnan(value)]
        low.append(min(there, default=None))
        high.append(max(there, default=None))
    return low, high


def joined_bands(bands: Sequence[Band], bands_max: int) -> tuple[list[Band], int]:
    """Return about `bands_max` bands and how many were joined to their neighbours.

    The shortest connections between two losses go first, which makes the two losses one: a loss is drawn
    longer then, never left out.
    """
    between = sorted(
        now.end_mono_ns - now.start_mono_ns
        for before, now, after in zip(bands, bands[1:], bands[2:], strict=False)
        if _is_between(before, now, after)
    )
    going = min(len(between), max(0, -(-(len(bands) - bands_max) // 2)))
    if not going:
        return list(bands), 0
    limit = between[going - 1]
    kept: list[Band] = []
    for i, band in enumerate(bands):
        last = kept[-1] if kept else None
        if (
            last is not None
            and i + 1 < len(bands)
            and _is_between(last, band, bands[i + 1])
            and band.end_mono_ns - band.start_mono_ns <= limit
        ):
            kept[-1] = last._replace(end_mono_ns=band.end_mono_ns)
        elif (
            last is not None
            and last.shard_id == band.shard_id
            and last.link in _LOSSES
            and band.link in _LOSSES
        ):
            worse = Link.FAULT if Link.FAULT in (last.link, band.link) else band.link
            kept[-1] = last._replace(link=worse, end_mono_ns=band.end_mono_ns)
        else:
            kept.append(band)
    return kept, len(bands) - len(kept)


def _is_between(before: Band, now: Band, after: Band) -> bool:
    return (
        now.link is Link.CONNECTED
        and before.shard_id == now.shard_id == after.shard_id
        and before.link in _LOSSES
        and after.link in _LOSSES
    )


def _chart(chart: Chart, readings: RunReadings, group: int) -> dict[str, Any]:
    lines = []
    for line in chart.lines:
        low, high = extremes(readings.metrics.columns[line.column], group)
        drawn = {"label": line.label, "high": [_short(value, line.divisor) for value in high]}
        if group > 1:
            drawn["low"] = [_short(value, line.divisor) for value in low]
        lines.append(drawn)
    return {**chart._asdict(), "lines": lines}


def _marks(readings: RunReadings, origin: int) -> list[list[Any]]:
    """Return [seconds, what] of the refreshes that were applied and the jumps of the wall clock."""
    runlog = readings.runlog
    marks = [(at, "refresh") for at in runlog.refreshes_at]
    marks += [(at, f"clock step of {step / 1e6:+.0f} ms") for at, step in runlog.clock_steps]
    return [[_seconds(at - origin), what] for at, what in sorted(marks)[:BANDS_MAX]]


def _seconds(ns: int) -> float:
    return round(ns / 1e9, 3)


def _short(value: float | None, divisor: float) -> float | None:
    if value is None:
        return None
    short = float(f"{value / divisor:.{DIGITS}g}")
    return int(short) if short.is_integer() else short
