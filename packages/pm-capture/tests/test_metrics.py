"""Metrics records: literal values."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pm_capture.metrics import (
    Beat,
    Meters,
    ShardFacts,
    global_record,
    merged,
    quantiles,
    shard_record,
)
from pm_frames.histogram import LogHistogram

S = 1_000_000_000
BEAT = Beat(run_id="r", wall_ns_utc=77, mono_ns=12 * S, previous_mono_ns=10 * S)


def facts(**changes: Any) -> ShardFacts:
    values: dict[str, Any] = {
        "shard_id": 0, "frames": 100, "bytes_written": 5000, "tokens_assigned": 4, "tokens_seen": 3,
        "tokens_eligible": 4, "tokens_overdue": 1, "connected": True, "confirmed": False, "confirm_events_seen": 2,
        "confirm_failures": 1, "confirm_deadline_ns": 12 * S + 500_000_000, "reconnects": 2,
        "reconnect_budget_remaining": 8, "down_ns": 3 * S, "down_incidents": 2,
        "startup_connect_ns": S, "last_frame_ns": 11 * S, "decode_errors": 3,
        "msg_type_counts": {"book": 5},
    }  # fmt: skip
    return ShardFacts(**{**values, **changes})


def meters(*reads: tuple[int, int, int]) -> Meters:
    found = Meters()
    for stamped, began, ended in reads:
        found.read_recorded(stamped=stamped, began=began, ended=ended)
    return found


def test_a_shard_record_is_the_interval() -> None:
    record = shard_record(
        BEAT, facts(), facts(frames=40, bytes_written=1000), meters((0, 10, 30), (5, 5, 6)).told()
    )
    histograms = record.pop("histograms")
    assert record == {
        "record_type": "shard_metrics", "run_id": "r", "hb_wall_ns_utc": 77, "hb_mono_ns": 12 * S,
        "elapsed_ns": 2 * S, "shard_id": 0, "frames": 100, "bytes_written": 5000,
        "msgs_per_sec": 30.0, "bytes_per_sec": 2000.0,
        "write_ns_p50": 1, "write_ns_p95": 20, "write_ns_p99": 20, "write_ns_max": 20,
        "write_ns_count": 2,
        "ingest_ns_p50": 1, "ingest_ns_p95": 30, "ingest_ns_p99": 30, "ingest_ns_max": 30,
        "ingest_ns_count": 2,
        "backpressure_ns_p50": 0, "backpressure_ns_p95": 10, "backpressure_ns_p99": 10,
        "backpressure_ns_max": 10, "backpressure_ns_count": 2,
        "coverage_pct": 75.0, "token_ids_seen": 3, "token_ids_eligible": 4, "token_ids_assigned": 4,
        "token_ids_overdue": 1, "decode_errors": 3, "msg_type_counts": {"book": 5},
        "connected": True, "confirmed": False, "confirm_events_seen": 2, "confirm_failures": 1,
        "confirm_deadline_remaining_ms": 500.0, "reconnects": 2, "reconnect_budget_remaining": 8,
        "rx_idle_s": 1.0, "startup_connect_time_s": 1.0,
        "midrun_disconnected_time_s_total": 3.0, "midrun_disconnected_incidents": 2,
    }  # fmt: skip
    assert LogHistogram.from_dict(histograms["write_ns"]).sum == 21


def test_the_global_record_adds_up_and_leaves_empty_shards_out() -> None:
    both = [
        facts(),
        facts(shard_id=1, last_frame_ns=8 * S, confirmed=True, startup_connect_ns=None),
    ]
    empty = facts(shard_id=2, tokens_assigned=0, tokens_seen=0, tokens_eligible=0, frames=0, last_frame_ns=None,
                  connected=False, startup_connect_ns=None)  # fmt: skip
    record = global_record(
        BEAT, [*both, empty], [*both, empty], Meters().told(), {"durable_frames": 9}
    )
    assert record["frames"] == 200
    assert record["msgs_per_sec"] == 0.0
    assert record["coverage_pct"] == 75.0
    assert record["shards_connected"] == 2
    assert record["shards_unconfirmed_count"] == 1
    assert record["rx_idle_any_shard_s"] == 4.0
    assert record["rx_idle_all_shards_s"] == 1.0
    assert record["startup_connect_pending_shards"] == 1
    assert record["startup_connect_time_s_max"] == record["startup_connect_time_s_p50"] == 1.0
    assert record["msg_type_counts"] == {"book": 15}
    assert record["decode_errors"] == 9
    assert record["write_ns_p99"] == record["write_ns_count"] == 0
    assert record["durable_frames"] == 9


def test_a_run_without_tokens_covers_everything() -> None:
    record = global_record(BEAT, [], [], Meters().told(), {})
    assert record["coverage_pct"] == 100.0
    assert record["rx_idle_any_shard_s"] is None
    assert record["startup_connect_time_s_max"] is None


def test_stamps_ahead_of_the_clock_count_as_no_wait() -> None:
    found = meters((10, 5, 8))
    assert (found.backpressure_ns.max, found.write_ns.max, found.ingest_ns.max) == (0, 3, 0)


reads = st.lists(
    st.tuples(st.integers(0, 10**6), st.integers(0, 10**6), st.integers(0, 10**6)).map(
        lambda moments: (min(moments), sorted(moments)[1], max(moments))
    ),
    max_size=20,
)


@given(st.lists(reads, max_size=4))
def test_merged_durations_are_as_if_counted_together(
    shards: list[list[tuple[int, int, int]]],
) -> None:
    together = meters(*(read for shard in shards for read in shard)).told()
    assert merged(meters(*shard).told() for shard in shards) == together


@given(st.lists(st.integers(0, 10**12), max_size=200))
def test_quantiles_in_one_pass_are_those_of_the_histogram(values: list[int]) -> None:
    histogram = LogHistogram()
    for value in values:
        histogram.record(value)
    percents = (1, 50, 95, 99, 100)
    assert quantiles(histogram.to_dict(), percents) == [histogram.quantile(one) for one in percents]


def test_tokens_in_grace_are_no_part_of_the_coverage() -> None:
    told = Meters().told()
    some = shard_record(BEAT, facts(tokens_eligible=3), facts(), told)
    assert (some["coverage_pct"], some["token_ids_assigned"]) == (100.0, 4)
    every = shard_record(BEAT, facts(tokens_eligible=0, tokens_seen=0), facts(), told)
    assert every["coverage_pct"] == 100.0


def test_percentiles_of_first_connections_and_of_outages() -> None:
    downs = LogHistogram()
    for seconds in range(1, 21):
        downs.record(seconds)
    shards = [facts(shard_id=n, startup_connect_ns=n * S) for n in range(1, 21)]
    shards[3] = facts(shard_id=4, startup_connect_ns=4 * S, down_durations=downs.to_dict())
    record = global_record(BEAT, shards, shards, Meters().told(), {})
    assert record["startup_connect_time_s_p50"] == 10.0
    assert record["startup_connect_time_s_p95"] == 19.0
    assert record["startup_connect_time_s_max"] == 20.0
    assert record["midrun_disconnected_incident_duration_s_p95"] == 19 / S
    assert record["midrun_disconnected_incident_duration_s_max"] == 20 / S
