"""Statistics of a series of interval values, and counts by fixed edges."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pm_frames.histogram import LogHistogram, upper_bound

EDGES_MS: Final = (0.1, 0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200)


def series_stats(values: Sequence[float]) -> dict[str, Any]:
    """Return count, min, max and exact nearest-rank p50, p95, p99; None where there is no value."""
    if not values:
        return {"count": 0, **dict.fromkeys(("min", "max", "p50", "p95", "p99"))}
    ordered = sorted(values)

    def rank(percent: int) -> float:
        return ordered[-(-percent * len(ordered) // 100) - 1]

    return {
        "count": len(ordered),
        "min": ordered[0],
        "max": ordered[-1],
        "p50": rank(50),
        "p95": rank(95),
        "p99": rank(99),
    }


def counts_by_edge(values_ms: Sequence[float]) -> list[int]:
    """Return how many values are at most each edge and over the one before; the last is over all edges."""
    counts = [0] * (len(EDGES_MS) + 1)
    for value in values_ms:
        counts[sum(value > edge for edge in EDGES_MS)] += 1
    return counts


def histogram_by_edge(histogram: LogHistogram) -> list[int]:
    """Return the same for a histogram of ns; a bucket counts where its largest value does (at most 1/64 up)."""
    counts = [0] * (len(EDGES_MS) + 1)
    edges_ns = [round(edge * 1_000_000) for edge in EDGES_MS]
    for bucket, count in histogram.to_dict()["buckets"]:
        counts[sum(min(upper_bound(bucket), histogram.max) > edge for edge in edges_ns)] += count
    return counts


def true_percentiles_ms(histogram: LogHistogram) -> dict[str, Any]:
    """Return the percentiles of all samples of a run in ms, None where there is none."""
    if not histogram.count:
        return {"count": 0, **dict.fromkeys(("mean", "min", "p50", "p95", "p99", "p99_9", "max"))}
    return {
        "count": histogram.count,
        "mean": histogram.sum / histogram.count / 1e6,
        "min": histogram.min / 1e6,
        "p50": histogram.quantile(50) / 1e6,
        "p95": histogram.quantile(95) / 1e6,
        "p99": histogram.quantile(99) / 1e6,
        "p99_9": histogram.quantile(99.9) / 1e6,
        "max": histogram.max / 1e6,
    }
