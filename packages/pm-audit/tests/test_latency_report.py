"""The report: the keys that people's scripts name, and the same judgement as pm-audit."""

import json
from pathlib import Path
from typing import Any

import pytest

from pm_audit.gates import Profile
from pm_audit.latency.latency_report import latency_report
from pm_audit.latency.report_text import report_text
from pm_audit.latency.run_readings import read_run
from pm_frames.bundle import open_bundle

KEYS = {
    "run_dir", "run_id", "capture_verify", "heartbeat", "reconnects", "disconnected", "rx_idle",
    "ingest_latency_ms", "queue_depth", "drops", "loop_lag_ms", "heartbeat_work_ms", "disk_check_ms",
    "disk_check_performed_count", "loop_lag_attribution", "histograms_ms", "pressure_streaks", "refresh",
}  # fmt: skip
STATS = {"count", "min", "max", "p50", "p95", "p99"}


@pytest.fixture
def report_of(made: Any, tmp_path: Path) -> Any:
    def do(run: Any, *, profile: Profile = Profile.STRICT, spoil: Any = None) -> Any:
        run_dir = made.write_run(tmp_path / "run", run)
        if spoil:
            spoil(run_dir)
        report = latency_report(read_run(open_bundle(run_dir)), run_dir, profile)
        json.dumps(report, allow_nan=False)
        assert list(report_text(report))
        return report

    return do


def test_the_keys_of_r207(report_of: Any, made: Any) -> None:
    report = report_of(made.clean_run())
    assert report.keys() >= KEYS
    assert report["gates"]["ok"]
    assert report["reconnects"]["total"] == 0
    assert report["disconnected"]["midrun"]["incidents"] == 0
    assert report["drops"]["dropped_messages_total"] == 0
    assert report["drops"]["dropped_messages_per_interval"].keys() >= STATS
    assert report["loop_lag_ms"].keys() == STATS
    assert report["loop_lag_ms"]["p99"] == 1.5
    assert report["pressure_streaks"]["failed"] is False
    assert report["pressure_streaks"]["thresholds"] == {
        "q_depth_max": 200, "ws_rx_to_parsed_ms_p99": 50, "ws_rx_to_applied_ms_p99": 100,
        "backpressure_ms_p99": 25,
    }  # fmt: skip
    applied = report["ingest_latency_ms"]["ws_rx_to_applied_ms"]
    assert applied["p99"]["max"] == 0.25
    assert applied["count"] == 56
    assert set(report["queue_depth"]) == {"ws_in_q_depth", "parse_q_depth", "write_q_depth"}
    assert report["queue_depth"]["parse_q_depth"]["max"]["max"] == 0
    assert report["heartbeat"]["dt_s"]["max"] == 1.0
    assert report["heartbeat"]["counts_over_s"] == {"1.25": 0, "1.5": 0, "2.0": 0}
    assert report["histograms_ms"]["loop_lag_ms"] == [0, 0, 0, 0, 8, 0, 0, 0, 0, 0, 0, 0]


def test_a_fault_and_a_planned_change(report_of: Any, made: Any) -> None:
    run = made.clean_run()
    t, s = made.T0, made.S
    run.runlog += [
        made.disconnect(t + 2 * s, t + 2 * s - 10**8), made.reconnect(t + 2 * s + 1),
        made.connect(t + 2 * s + 4 * 10**8, number=2),
        made.disconnect(t + 4 * s, t + 4 * s, planned=True, shard=1), made.connect(t + 5 * s, 1, 2),
        made.record("universe_refresh", t + 4 * s - 1, reason="APPLIED", duration_ms=812),
        made.record("universe_refresh_error", t + 6 * s, duration_ms=5),
    ]  # fmt: skip
    report = report_of(run)
    assert report["reconnects"] == {
        "total": 1, "by_trigger": {"peer_closed": 1}, "by_reason": {"it left": 1},
        "planned_disconnects": {"universe_refresh": 3},
    }  # fmt: skip
    midrun = report["disconnected"]["midrun"]
    assert (midrun["incidents"], midrun["time_s_total"]) == (1, 0.5)
    assert midrun["incident_duration_s_max"] == midrun["incident_duration_s_p95"] == 0.5
    assert midrun["by_shard"] == {"00": {"incidents": 1, "time_s_total": 0.5}}
    gaps = [(gap["shard"], gap["kind"], gap["duration_s"]) for gap in midrun["gaps"]["shown"]]
    assert gaps[:2] == [(0, "fault", 0.5), (1, "planned", 1.0)]
    assert report["refresh"]["duration_ms"]["max"] == 812
    assert (report["refresh"]["count"], report["refresh"]["errors"]) == (1, 1)
    assert [one["gate"] for one in report["gates"]["reasons"]] == ["reconnects"] * 2


def test_an_outage_that_lasts_counts_to_the_end(report_of: Any, made: Any) -> None:
    run = made.clean_run()
    run.runlog = [one for one in run.runlog if one["record_type"] != "disconnect"]
    run.runlog.append(made.disconnect(made.T0 + 6 * made.S, made.T0 + 5 * made.S))
    midrun = report_of(run)["disconnected"]["midrun"]
    assert (midrun["time_s_total"], midrun["still_open"]) == (3.0, 1)


def test_lag_fails_the_strict_profile_alone(report_of: Any, made: Any, tmp_path: Path) -> None:
    run = made.clean_run()
    run.metrics[3]["loop_lag_ms_max_last_interval"] = 100.001
    report = report_of(run)
    assert not report["gates"]["ok"]
    assert report["gates"]["status"]["loop_lag"] == "failed"
    readings = read_run(open_bundle(tmp_path / "run"))
    other = latency_report(readings, tmp_path / "run", Profile.DATA_LOSS)["gates"]
    assert (other["ok"], other["status"]["loop_lag"]) == (True, "not_counted")


def test_drops_by_interval_and_in_all(report_of: Any, made: Any) -> None:
    run = made.clean_run()
    for n, count in ((2, 3), (5, 4)):
        run.metrics[n]["dropped_messages_count"] = count
    for n, record in enumerate(run.metrics):
        record["dropped_messages_total"] = 3 * (n >= 2) + 4 * (n >= 5)
    drops = report_of(run)["drops"]
    assert drops["dropped_messages_total"] == 7
    each = drops["dropped_messages_per_interval"]
    assert (each["sum"], each["max"]) == (7, 4)
    assert [one["count"] for one in each["intervals_with_drops"]["shown"]] == [3, 4]


def test_what_is_not_there_is_unknown_and_fails(report_of: Any, made: Any) -> None:
    report = report_of(made.clean_run(), spoil=lambda d: (d / "metrics" / "global.ndjson").unlink())
    assert report["drops"]["dropped_messages_total"] is None
    assert report["loop_lag_ms"]["p99"] is None
    assert report["pressure_streaks"]["failed"] is None
    failed = {one["gate"] for one in report["gates"]["reasons"]}
    assert failed == {"drops", "loop_lag", "pressure"}
    assert "metrics/global.ndjson: not there" in report["problems"]


def test_no_runlog_at_all(report_of: Any, made: Any) -> None:
    report = report_of(made.clean_run(), spoil=lambda d: (d / "runlog.ndjson").unlink())
    assert report["reconnects"]["total"] is None
    assert report["disconnected"]["midrun"]["incidents"] is None
    assert "reconnects" in {one["gate"] for one in report["gates"]["reasons"]}


def test_damaged_lines_are_told(report_of: Any, made: Any) -> None:
    def spoil(run_dir: Path) -> None:
        path = run_dir / "metrics" / "global.ndjson"
        path.write_bytes(b"no json\n" + path.read_bytes() + b'{"torn')

    problems = "\n".join(report_of(made.clean_run(), spoil=spoil)["problems"])
    assert "not JSON" in problems
    assert "torn last line" in problems


def test_a_slice_is_told_of_by_its_window(report_of: Any, made: Any) -> None:
    run = made.clean_run()
    run.runlog += [
        made.disconnect(made.T0 + 40, made.T0 + 30),
        made.connect(made.T0 + 50, number=2),
    ]
    run.runlog += [made.record("universe_refresh", made.T0 + 60, reason="APPLIED", duration_ms=7)]
    window = (made.T0 + 2 * made.S, made.T0 + 5 * made.S)
    report = report_of(run, spoil=lambda run_dir: made.cut(run_dir, *window))
    assert (report["slice_id"], report["duration_s"]) == ("part", 3.0)
    assert report["disconnected"]["midrun"]["incidents"] == 0
    assert report["disconnected"]["midrun"]["gaps"]["count"] == 0
    assert report["heartbeat"]["count"] == 3
    assert report["refresh"]["count"] == 0
