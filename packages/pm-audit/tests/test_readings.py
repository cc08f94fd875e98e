"""Merging is exact, and what is not written is never a zero."""

from math import isnan
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_audit.latency.readings import HISTOGRAMS, GlobalReadings, Merged, ShardReadings
from pm_frames.histogram import LogHistogram

SAMPLES = st.lists(st.lists(st.integers(0, 2**40), max_size=8), max_size=6)


def histogram(values: list[int]) -> LogHistogram:
    made = LogHistogram()
    for value in values:
        made.record(value)
    return made


@given(SAMPLES)
def test_merging_is_as_if_all_had_been_recorded_in_one(intervals: list[list[int]]) -> None:
    merged = Merged()
    for values in intervals:
        merged.add({"histograms": {name: histogram(values).to_dict() for name in HISTOGRAMS}})
    together = histogram([value for values in intervals for value in values])
    assert merged.merged["write_ns"] == together
    assert not merged.missing


@pytest.mark.parametrize(
    "spoilt",
    [
        None, {}, {"count": 1}, {"buckets": 3},
        {"count": 2, "sum": 5, "min": 5, "max": 5, "buckets": [[5, 1]]},
        {"count": 1, "sum": 5, "min": 5, "max": 5, "buckets": [[6, 1]]},
        {"count": 1, "sum": 5, "min": 5, "max": 9, "buckets": [[5, 1]]},
        {"count": 1, "sum": -5, "min": 5, "max": 5, "buckets": [[5, 1]]},
        {"count": 1, "sum": 5, "min": 5, "max": 5, "buckets": [["5", 1]]},
        {"count": 1, "sum": 5, "min": 5, "max": 5, "buckets": [[5, True]]},
        {"count": 1, "sum": 0, "min": 0, "max": 0, "buckets": []},
    ],
)  # fmt: skip
def test_a_spoilt_histogram_is_counted_and_changes_nothing(spoilt: Any) -> None:
    merged = Merged()
    merged.add({"histograms": {name: histogram([7]).to_dict() for name in HISTOGRAMS}})
    merged.add({"histograms": {"write_ns": spoilt}})
    assert merged.missing == {"write_ns": 1, "ingest_ns": 1, "backpressure_ns": 1}
    assert merged.merged["write_ns"] == histogram([7])


def test_columns(made: Any) -> None:
    records = [made.metrics(made.T0 + n * made.S) for n in range(3)]
    del records[1]["loop_lag_ms_max_last_interval"]
    records[2]["ws_rx_to_applied_ms_count"] = 0
    records.append({"record_type": "global_metrics"})
    readings = GlobalReadings(records)
    assert (len(readings), readings.unstamped) == (3, 1)
    assert isnan(readings.columns["loop_lag_ms_max_last_interval"][1])
    assert readings.values("loop_lag_ms_max_last_interval") == [1.5, 1.5]
    assert readings.sampled("ws_rx_to_applied_ms", "p99") == [0.25, 0.25]
    assert readings.values("msgs_per_sec") == []


def test_a_shard() -> None:
    shard = ShardReadings([{"rx_idle_s": None}, {"rx_idle_s": 2, "startup_connect_time_s": 0.5}])
    assert (shard.records, list(shard.rx_idle_s), shard.startup_connect_time_s) == (2, [2.0], 0.5)
