"""Statistics against their definitions."""

from fractions import Fraction

from hypothesis import given
from hypothesis import strategies as st

from pm_audit.latency.series_stats import (
    EDGES_MS,
    counts_by_edge,
    histogram_by_edge,
    series_stats,
    true_percentiles_ms,
)
from pm_frames.histogram import LogHistogram

NS = st.lists(st.integers(0, 10**9), min_size=1, max_size=60)


@given(NS)
def test_percentiles_are_nearest_rank(values: list[int]) -> None:
    stats = series_stats(values)
    for percent in (50, 95, 99):
        value = stats[f"p{percent}"]
        at_most = sum(one <= value for one in values)
        below = sum(one < value for one in values)
        assert value in values
        assert below < Fraction(percent * len(values), 100) <= at_most
    assert (stats["count"], stats["min"], stats["max"]) == (len(values), min(values), max(values))


@given(NS)
def test_a_histogram_tells_nearly_the_same(values: list[int]) -> None:
    histogram = LogHistogram()
    for value in values:
        histogram.record(value)
    exact, told = series_stats(values), true_percentiles_ms(histogram)
    for end in ("p50", "p95", "p99", "max"):
        assert exact[end] <= round(told[end] * 1e6) <= exact[end] * 65 / 64 + 1
    counts = histogram_by_edge(histogram)
    assert sum(counts) == len(values)
    plain = counts_by_edge([value / 1e6 for value in values])
    # A bucket may count one edge further up, never down.
    assert all(sum(counts[:i]) <= sum(plain[:i]) for i in range(len(counts)))


def test_nothing_and_the_edges_themselves() -> None:
    assert series_stats([]) == {"count": 0, "min": None, "max": None, "p50": None, "p95": None, "p99": None}  # fmt: skip
    assert true_percentiles_ms(LogHistogram())["p99"] is None
    assert counts_by_edge(EDGES_MS) == [1] * 11 + [0]
    assert counts_by_edge([200.000001]) == [0] * 11 + [1]
