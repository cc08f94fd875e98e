"""What is named as the cause of a lag, and when nothing is."""

from typing import Any

import pytest

from pm_audit.latency.lag_attribution import attribution
from pm_audit.latency.readings import GlobalReadings

CALM = {
    "gc_pauses_ns_max": 0, "write_ns_max": 0, "apply_update_ms_max": 0, "hb_tick_work_ns": 0,
}  # fmt: skip


@pytest.mark.parametrize(
    ("more", "step", "cause"),
    [
        ({"gc_pauses_ns_max": 30_000_000}, 0, "gc"),
        ({"write_ns_max": 25_000_000}, 0, "file_write"),
        ({"write_ns_max": 24_999_999}, 0, "not_measured"),
        ({"apply_update_ms_max": 26.0, "gc_pauses_ns_max": 25_500_000}, 0, "policies"),
        ({"hb_tick_work_ns": 50_000_000}, 0, "heartbeat_work"),
        ({}, -40_000_000, "clock_step"),
        ({}, 0, "not_measured"),
    ],
)
def test_the_largest_that_is_half_of_it(
    made: Any, more: dict[str, float], step: int, cause: str
) -> None:
    record = made.metrics(made.T0, loop_lag_ms_max_last_interval=50, **CALM | more)
    found = attribution(GlobalReadings([record]), [(made.T0, step)])
    assert found["top_intervals"][0]["explained_by"] == cause


def test_the_top_ten_in_order_and_a_step_only_in_its_interval(made: Any) -> None:
    records = [
        made.metrics(made.T0 + n * made.S, loop_lag_ms_max_last_interval=n % 7, **CALM)
        for n in range(20)
    ]
    del records[6]["loop_lag_ms_max_last_interval"]
    top = attribution(GlobalReadings(records), [(made.T0 + 13 * made.S, 9 * 10**6)])
    lags = [one["loop_lag_ms"] for one in top["top_intervals"]]
    assert lags == sorted(lags, reverse=True)
    assert (top["top_n"], len(lags), lags[0]) == (10, 10, 6)
    assert [i["explained_by"] for i in top["top_intervals"]].count("clock_step") == 1
    assert top["top_intervals"][0]["hb_mono_ns"] == made.T0 + 13 * made.S
