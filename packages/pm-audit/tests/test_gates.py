"""Each gate on hand-made bundles: what passes, what fails, and that missing evidence fails."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pm_audit.gates import GATES, Limits, Profile
from pm_frames.histogram import LogHistogram

S = 10**9
T0 = 1_000 * S
METRICS = "metrics/global.ndjson"


def test_a_clean_run_passes_every_gate(judge_run: Any, made: Any) -> None:
    judged = judge_run(made.clean_run())
    assert {name: str(gate.status) for name, gate in judged.gates.items()} == dict.fromkeys(
        GATES, "passed"
    )


def without_heartbeats(run: Any) -> Any:
    run.runlog[:] = [one for one in run.runlog if one["record_type"] != "heartbeat"]
    return run


def with_beats(made: Any, *offsets: int, stop: int) -> Any:
    """A run with heartbeats at these ns after its start."""
    run = without_heartbeats(made.clean_run())
    run.runlog[:] = [one for one in run.runlog if one["record_type"] != "capture_stop"]
    run.runlog[:] = [one for one in run.runlog if one["record_type"] != "disconnect"]
    run.runlog += [made.heartbeat(T0 + offset) for offset in offsets]
    run.runlog.append(made.record("capture_stop", T0 + stop, reason="sigint"))
    return run


@pytest.mark.parametrize(
    ("offsets", "stop", "over"),
    [
        ((2 * S, 4 * S), 6 * S, 0),  # 2.0 s exactly, start and stop included
        ((2 * S, 4 * S + 1), 6 * S, 1),  # 2.000000001 s between two heartbeats
        ((2 * S + 1, 4 * S), 6 * S, 1),  # from the start to the first
        ((2 * S, 4 * S), 6 * S + 1, 1),  # from the last to the stop
        ((2 * S + 1, 4 * S + 2), 6 * S + 3, 3),
    ],
)
def test_a_gap_fails_when_it_is_strictly_over_the_threshold(
    judge_run: Any, made: Any, offsets: tuple[int, ...], stop: int, over: int
) -> None:
    judged = judge_run(with_beats(made, *offsets, stop=stop))
    assert judged.gates["heartbeat"].figures["gaps_over_threshold"] == over
    assert judged.codes("heartbeat") == (["gaps_over_threshold"] if over else [])


def test_the_threshold_can_be_set(judge_run: Any, made: Any) -> None:
    run = with_beats(made, 3 * S, stop=6 * S)
    assert judge_run(run, limits=Limits(heartbeat_gap_ns=3 * S)).codes("heartbeat") == []


def test_a_run_without_heartbeats_fails(judge_run: Any, made: Any) -> None:
    run = with_beats(made, stop=1 * S)  # not one gap is over the threshold
    judged = judge_run(run)
    assert judged.gates["heartbeat"].figures["gaps_over_threshold"] == 0
    assert judged.codes("heartbeat") == ["no_heartbeats"]


def test_a_crash_fails_because_nothing_says_when_it_ended(judge_run: Any, made: Any) -> None:
    run = made.clean_run()
    del run.runlog[-3:]
    assert judge_run(run, sealed=False).codes("heartbeat") == ["no_stop"]


def test_heartbeats_that_go_back_fail(judge_run: Any, made: Any) -> None:
    run = made.clean_run()
    beat = next(one for one in run.runlog if one["record_type"] == "heartbeat")
    beat["ts_mono_ns"] += 2 * S
    assert judge_run(run).codes("heartbeat") == ["heartbeats_back"]
    del beat["hb_mono_ns"]


def test_a_heartbeat_without_its_stamp_fails(judge_run: Any, made: Any) -> None:
    run = made.clean_run()
    del next(one for one in run.runlog if one["record_type"] == "heartbeat")["hb_mono_ns"]
    assert judge_run(run).codes("heartbeat") == ["malformed_heartbeats"]


def test_top_gaps_tell_what_happened_meanwhile(judge_run: Any, made: Any) -> None:
    judged = judge_run(with_beats(made, 3 * S, 4 * S, stop=5 * S))
    (longest, *others) = judged.gates["heartbeat"].figures["top_gaps"]
    assert longest["gap_seconds"] == 3.0
    assert (longest["from_type"], longest["to_type"]) == ("run_start", "heartbeat")
    assert longest["record_types_between"]["subscribe_attempt"] == 2
    assert [one["gap_ns"] for one in others] == [S, S]


def test_a_planned_refresh_passes(judge_run: Any, made: Any) -> None:
    run = made.clean_run()
    run.runlog += [
        made.disconnect(T0 + 3 * S, T0 + 3 * S - 5, planned=True, shard=1),
        made.connect(T0 + 4 * S, 1, 2),
        made.subscribe(T0 + 4 * S + 1, "c", shard=1, number=2),
    ]
    judged = judge_run(run)
    assert judged.failed() == []
    assert judged.gates["reconnects"].figures["planned_disconnects"] == {"universe_refresh": 3}


def test_a_fault_fails(judge_run: Any, made: Any) -> None:
    run = made.clean_run()
    run.runlog += [
        made.disconnect(T0 + 3 * S, T0 + 3 * S - 5, shard=1),
        made.reconnect(T0 + 3 * S + 1, 1),
        made.connect(T0 + 4 * S, 1, 2),
        made.subscribe(T0 + 4 * S + 1, "c", shard=1, number=2),
    ]
    judged = judge_run(run)
    assert judged.codes("reconnects") == ["reconnects_total", "midrun_disconnected_incidents"]
    assert judged.failed() == ["reconnects"]


def test_an_outage_that_is_open_at_the_end_fails(judge_run: Any, made: Any) -> None:
    run = made.clean_run()
    run.runlog.append(made.disconnect(T0 + 3 * S, T0 + 3 * S, shard=1))
    judged = judge_run(run)
    assert judged.codes("reconnects") == ["midrun_disconnected_incidents"]
    assert judged.evidence.connections.outages[0].until_mono_ns is None


def test_a_connection_on_top_of_an_open_one_is_a_fault(judge_run: Any, made: Any) -> None:
    run = made.clean_run()
    run.runlog.append(made.connect(T0 + 3 * S, 0, 2))
    assert judge_run(run).codes("reconnects") == ["midrun_disconnected_incidents"]


def change_metrics(run: Any, **more: Any) -> Any:
    for one in run.metrics:
        one.update(more)
    return run


@pytest.mark.parametrize(
    ("key", "value", "gate", "code"),
    [
        ("loop_lag_ms_max_last_interval", 10.0, "loop_lag", None),
        ("loop_lag_ms_max_last_interval", 10.000001, "loop_lag", "loop_lag_p99_ms"),
        ("ws_in_q_depth_max", 199, "pressure", None),
        ("write_q_depth_max", 200, "pressure", "pressure_streaks"),
        ("ws_rx_to_parsed_ms_p99", 50, "pressure", "pressure_streaks"),
        ("ws_rx_to_applied_ms_p99", 99.999, "pressure", None),
        ("ws_rx_to_applied_ms_p99", 100, "pressure", "pressure_streaks"),
        ("backpressure_ns_p99", 24_999_999, "pressure", None),
        ("backpressure_ns_p99", 25_000_000, "pressure", "pressure_streaks"),
    ],
)
def test_latency_gates_at_their_thresholds(
    judge_run: Any, made: Any, key: str, value: float, gate: str, code: str | None
) -> None:
    judged = judge_run(change_metrics(made.clean_run(), **{key: value}))
    assert judged.codes(gate) == ([code] if code else [])
    assert judged.failed() == ([gate] if code else [])


@pytest.mark.parametrize(("whole", "codes"), [(True, []), (False, ["loop_lag_p99_ms"])])
def test_a_percentile_comes_from_the_merged_histograms_where_all_records_have_one(
    judge_run: Any, made: Any, whole: bool, codes: list[str]
) -> None:
    run = made.clean_run(seconds=20)
    for record in run.metrics:
        lag = LogHistogram()
        for _ in range(9):
            lag.record(1_000_000)
        record["loop_lag_ns"] = lag.to_dict()
    # One late tick of 180: below the 99th percentile it is not, alone in its interval it would be.
    late = LogHistogram()
    for ns in (20_000_000, *[1_000_000] * 199):
        late.record(ns)
    run.metrics[7] |= {"loop_lag_ms_max_last_interval": 20.0, "loop_lag_ns": late.to_dict()}
    if not whole:
        del run.metrics[3]["loop_lag_ns"]
    assert judge_run(run).codes("loop_lag") == codes


def test_one_long_lag_fails_the_largest(judge_run: Any, made: Any) -> None:
    run = made.clean_run(seconds=250)
    run.metrics[70]["loop_lag_ms_max_last_interval"] = 100.000001
    assert judge_run(run).codes("loop_lag") == ["loop_lag_max_ms"]


def test_four_intervals_under_pressure_are_no_streak(judge_run: Any, made: Any) -> None:
    run = made.clean_run(seconds=12)
    for one in run.metrics[:4] + run.metrics[5:9]:
        one["backpressure_ns_p99"] = 25_000_000
    judged = judge_run(run)
    assert judged.failed() == []
    assert judged.gates["pressure"].figures["worst_streak"] == 4


def test_drops_fail(judge_run: Any, made: Any) -> None:
    run = made.clean_run()
    for one in run.metrics[3:]:
        one["dropped_messages_total"] = 2
    run.metrics[3]["dropped_messages_count"] = 2
    assert judge_run(run).codes("drops") == ["dropped_messages_total"]


@pytest.mark.parametrize("total", [[0, 3, 3, 3, 3, 3, 3, 3], [0, 3, 2, 3, 3, 3, 3, 3]])
def test_drops_that_do_not_add_up_fail(judge_run: Any, made: Any, total: list[int]) -> None:
    run = made.clean_run()
    for one, count in zip(run.metrics, total, strict=True):
        one["dropped_messages_total"] = count
    assert "drops_disagree" in judge_run(run).codes("drops")


EVIDENCE: list[tuple[str, Callable[[Path], object], list[str]]] = [
    ("no metrics", lambda run: (run / METRICS).unlink(), ["drops", "loop_lag", "pressure"]),
    (
        "empty metrics",
        lambda run: (run / METRICS).write_bytes(b""),
        ["drops", "loop_lag", "pressure"],
    ),
    (
        "a damaged metrics line",
        lambda run: (run / METRICS).write_bytes(b"{\n" + (run / METRICS).read_bytes()),
        ["drops", "loop_lag", "pressure"],
    ),
    (
        "a record less at the end",
        lambda run: cut_lines(run / METRICS, slice(0, -2)),
        ["drops", "loop_lag", "pressure"],
    ),
    (
        "a record less in the middle",
        lambda run: cut_lines(run / METRICS, slice(3, None), keep=2),
        ["drops", "loop_lag", "pressure"],
    ),
    ("no runlog", lambda run: (run / "runlog.ndjson").unlink(), ["heartbeat", "reconnects"]),
    (
        "a damaged runlog line",
        lambda run: (run / "runlog.ndjson").write_bytes(
            (run / "runlog.ndjson").read_bytes() + b"[1]\n"
        ),
        ["heartbeat", "reconnects"],
    ),
    ("fatal.json", lambda run: (run / "fatal.json").write_text('{"fatal_reason": "X"}'), ["fatal"]),
    ("a damaged fatal.json", lambda run: (run / "fatal.json").write_text("{"), ["fatal"]),
]


def cut_lines(path: Path, kept: slice, keep: int = 0) -> None:
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join(lines[:keep] + lines[kept]))


@pytest.mark.parametrize(("name", "spoil", "failed"), EVIDENCE, ids=[one[0] for one in EVIDENCE])
def test_missing_evidence_fails(
    judge_run: Any, made: Any, name: str, spoil: Callable[[Path], object], failed: list[str]
) -> None:
    assert judge_run(made.clean_run(), spoil=spoil).failed() == failed


KEYS = {
    "loop_lag_ms_max_last_interval": "loop_lag",
    "dropped_messages_count": "drops",
    "dropped_messages_total": "drops",
    "backpressure_ns_p99": "pressure",
    "backpressure_ns_count": "pressure",
    "ws_rx_to_parsed_ms_p99": "pressure",
    "ws_rx_to_applied_ms_p99": "pressure",
    "ws_rx_to_applied_ms_count": "pressure",
    "ws_in_q_depth_max": "pressure",
    "parse_q_depth_max": "pressure",
    "write_q_depth_max": "pressure",
}


@pytest.mark.parametrize("value", [None, "1", -1, True, float("nan")])
@pytest.mark.parametrize("key", KEYS)
def test_a_missing_input_fails_its_gate(judge_run: Any, made: Any, key: str, value: Any) -> None:
    run = made.clean_run()
    if value is None:
        del run.metrics[2][key]
    else:
        run.metrics[2][key] = value
    assert judge_run(run).failed() == [KEYS[key]]


def test_metrics_without_stamps_cover_nothing(judge_run: Any, made: Any) -> None:
    run = made.clean_run()
    del run.metrics[2]["elapsed_ns"]
    assert judge_run(run).failed() == ["drops", "loop_lag", "pressure"]


def test_a_series_without_samples_fails(judge_run: Any, made: Any) -> None:
    run = change_metrics(made.clean_run(), ws_rx_to_applied_ms_count=0, ws_rx_to_applied_ms_p99=0)
    assert judge_run(run).codes("pressure") == ["empty_pressure_metrics"]


@pytest.mark.parametrize(
    ("report", "codes"),
    [
        ({"crc_mismatch": 1, "exit_code": 4}, ["crc_mismatch"]),
        ({"exit_code": 4, "verdict": "a shard is missing"}, ["verify_corrupt"]),
        ({"exit_code": 2}, ["verify_corrupt"]),
        ({"exit_code": 3}, []),
    ],
)
def test_crc(judge_run: Any, made: Any, report: dict[str, Any], codes: list[str]) -> None:
    assert judge_run(made.clean_run(), report=made.verified(**report)).codes("crc") == codes


def test_the_profile_data_loss_does_not_count_latency(judge_run: Any, made: Any) -> None:
    run = change_metrics(
        made.clean_run(), loop_lag_ms_max_last_interval=500, backpressure_ns_p99=10**9
    )
    judged = judge_run(run, profile=Profile.DATA_LOSS)
    assert judged.failed() == []
    assert judged.gates["loop_lag"].status == "not_counted"
    assert judged.codes("pressure") == ["pressure_streaks"]


def test_an_offline_capture_has_no_latency_gates(judge_run: Any, made: Any) -> None:
    run = with_beats(made, stop=S)
    run.manifest["fixtures_dir"] = "testdata/fixtures"
    change_metrics(run, loop_lag_ms_max_last_interval=500)
    judged = judge_run(run)
    assert judged.failed() == []
    assert judged.gates["loop_lag"].status == "not_applicable"
    assert "offline" in (judged.gates["pressure"].note or "")


def test_a_slice_is_judged_by_its_window(judge_run: Any, made: Any) -> None:
    window = (T0 + 2 * S, T0 + 5 * S)
    run = made.clean_run()
    # Out of the window the loop stood still.
    run.runlog[:] = [
        one for one in run.runlog if one["record_type"] != "heartbeat" or window[0] <= one["ts_mono_ns"] < window[1]
    ]  # fmt: skip

    def spoil(run_dir: Path) -> None:
        (run_dir / METRICS).unlink()
        made.cut(run_dir, *window)

    judged = judge_run(run, spoil=spoil)
    assert judged.failed() == []
    assert judged.gates["drops"].status == "not_applicable"
    assert "slice" in (judged.gates["drops"].note or "")
    figures = judged.gates["heartbeat"].figures
    assert (figures["hb_count"], figures["max_gap_seconds"]) == (3, 1.0)


@pytest.mark.parametrize(
    ("lost", "back", "incidents", "reconnects"),
    [
        ((10, 20), 30, 0, 0),  # before the window
        ((10, 20), 1999, 0, 0),
        ((10, 20), 2001, 1, 0),  # not yet back when the window begins
        ((2500, 2600), 2700, 1, 1),
        ((4999, 5100), 5200, 1, 0),  # noticed after the window, what may be missing is in it
        ((5000, 5100), 5200, 0, 0),
        ((5100, 5200), None, 0, 0),
        ((10, 20), None, 1, 0),
    ],
)
def test_losses_of_a_slice_are_those_that_reach_into_its_window(
    judge_run: Any, made: Any, lost: tuple[int, int], back: int | None, incidents: int, reconnects: int
) -> None:  # fmt: skip
    ms = 10**6
    run = made.clean_run()
    run.runlog = [one for one in run.runlog if one["record_type"] != "disconnect"]
    run.runlog.append(made.disconnect(T0 + lost[1] * ms, T0 + lost[0] * ms))
    run.runlog.append(made.reconnect(T0 + lost[1] * ms + 1))
    if back is not None:
        run.runlog.append(made.connect(T0 + back * ms, number=2))
    run.runlog.sort(key=lambda one: one["ts_mono_ns"])
    judged = judge_run(run, spoil=lambda run_dir: made.cut(run_dir, T0 + 2 * S, T0 + 5 * S))
    figures = judged.gates["reconnects"].figures
    assert (figures["midrun_incidents"], figures["total"]) == (incidents, reconnects)
    assert figures["planned_disconnects"] == {}


def merged_run(made: Any, *beats: range) -> Any:
    """Captures of eight seconds each in one bundle, with heartbeats at these seconds."""
    run = made.clean_run()
    run.runlog = [one for one in run.runlog if one["record_type"] != "heartbeat"]
    ends = ("run_start", "capture_stop")
    [start], [stop] = ([one for one in run.runlog if one["record_type"] == kind] for kind in ends)
    run.runlog = [one for one in run.runlog if one["record_type"] not in ends]
    for part, seconds in enumerate(beats):
        kind = "capture_stop" if part + 1 == len(beats) else "part_stop"
        run.runlog += [{**start, "part": part}, {**stop, "part": part, "record_type": kind}]
        run.runlog += [{**made.heartbeat(T0 + n * S), "part": part} for n in seconds]
    run.runlog.sort(key=lambda one: one["ts_mono_ns"])
    return run


@pytest.mark.parametrize(
    ("beats", "codes"),
    [
        ((range(1, 8), range(1, 8)), []),
        # One process is alive all the time, which says nothing about the other.
        ((range(1, 8), range(1, 4)), ["gaps_over_threshold"]),
        ((range(5, 8), range(1, 8)), ["gaps_over_threshold"]),
        ((range(1, 8), range(0)), ["no_heartbeats", "gaps_over_threshold"]),
    ],
)
def test_captures_of_a_merged_bundle_do_not_fill_one_anothers_gaps(
    judge_run: Any, made: Any, beats: tuple[range, ...], codes: list[str]
) -> None:
    def spoil(run_dir: Path) -> None:
        (run_dir / METRICS).unlink()
        (run_dir / "merge.json").write_text(json.dumps({"parts": [{}, {}]}), encoding="utf-8")

    judged = judge_run(merged_run(made, *beats), spoil=spoil)
    assert judged.codes("heartbeat") == codes
    assert judged.gates["heartbeat"].figures["hb_count"] == sum(map(len, beats))
    assert judged.gates["loop_lag"].status == "not_applicable"
    assert "merged" in (judged.gates["loop_lag"].note or "")


def test_every_capture_of_a_merged_bundle_has_a_beginning_and_an_end(
    judge_run: Any, made: Any
) -> None:
    def spoil(run_dir: Path) -> None:
        (run_dir / "merge.json").write_text(json.dumps({"parts": [{}, {}]}), encoding="utf-8")

    run = merged_run(made, range(1, 8), range(1, 8))
    run.runlog = [
        one
        for one in run.runlog
        if one["record_type"] != "part_stop" and (one["record_type"], one.get("part")) != ("run_start", 1)
    ]  # fmt: skip
    assert judge_run(run, spoil=spoil).codes("heartbeat") == ["no_start", "no_stop"]


def test_reasons_have_stable_words_and_sentences(judge_run: Any, made: Any) -> None:
    judged = judge_run(made.clean_run(), spoil=lambda run: (run / METRICS).unlink())
    gate = judged.gates["drops"].as_json()
    assert gate["reasons"] == [
        {"code": "missing_drop_metrics", "message": "there is no metrics/global.ndjson"}
    ]
    json.dumps(gate)


def test_a_disconnect_that_does_not_say_planned_is_a_fault(judge_run: Any, made: Any) -> None:
    run = made.clean_run()
    del next(one for one in run.runlog if one["record_type"] == "disconnect")["planned"]
    assert judge_run(run).codes("reconnects") == ["midrun_disconnected_incidents"]


def test_slices_of_one_capture_are_one_capture_again(judge_run: Any, made: Any) -> None:
    """Put together they keep the runlog as it was: nobody's heartbeats are missing."""

    def spoil(run_dir: Path) -> None:
        (run_dir / "merge.json").write_text(json.dumps({"parts": [{}, {}]}), encoding="utf-8")
        made.cut(run_dir, T0 + 2 * S, T0 + 5 * S)

    assert judge_run(made.clean_run(), spoil=spoil).codes("heartbeat") == []


def test_a_run_that_says_only_when_capture_began_has_a_start(judge_run: Any, made: Any) -> None:
    run = made.clean_run()
    run.runlog[0]["record_type"] = "capture_start"
    assert judge_run(run).codes("heartbeat") == []
