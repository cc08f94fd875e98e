import json
from collections.abc import Callable
from pathlib import Path

from pm_verify.findings import Code
from pm_verify.runlog_claims import read_runlog_claims
from pm_verify.verify import verify_run


def lines(*records: dict[str, object]) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


def heartbeat(frames: int, durable: int) -> dict[str, object]:
    counts = {"frames_total": frames, "durable_frames_total": durable}
    return {"record_type": "heartbeat", "run_id": "r", **counts}


def test_highest_counts_are_claimed(tmp_path: Path) -> None:
    path = tmp_path / "runlog.ndjson"
    path.write_bytes(lines(heartbeat(5, 3), heartbeat(9, 7)))
    claims = read_runlog_claims(path)
    assert (claims.records, claims.frames_total, claims.durable_frames_total) == (2, 9, 7)
    assert claims.run_ids == {"r": 0}


def test_damaged_line_does_not_end_the_reading(tmp_path: Path) -> None:
    path = tmp_path / "runlog.ndjson"
    path.write_bytes(lines(heartbeat(1, 1)) + b"{]\n[]\n{}\n" + lines(heartbeat(2, 2)) + b'{"re')
    claims = read_runlog_claims(path)
    assert claims.frames_total == 2
    assert [(bad.number, bad.torn) for bad in claims.bad_lines] == [
        (2, False),
        (3, False),
        (4, False),
        (6, True),
    ]
    first = len(lines(heartbeat(1, 1)))
    assert (claims.bad_lines[0].offset, claims.bad_lines[0].end) == (first, first + 3)


def test_connection_without_a_frame_names_none(tmp_path: Path) -> None:
    connect = {"record_type": "ws_connect", "shard_id": 0, "ts_mono_ns": 100}
    path = tmp_path / "runlog.ndjson"
    path.write_bytes(
        lines(
            {"record_type": "disconnect", "shard_id": 0, "since_mono_ns": 90},
            connect,
            {"record_type": "disconnect", "shard_id": 0, "since_mono_ns": 100},
        )
    )
    assert read_runlog_claims(path).last_stamps == {0: 90}


def test_runlog_of_another_shape_is_no_crash(tmp_path: Path) -> None:
    path = tmp_path / "runlog.ndjson"
    path.write_bytes(
        lines(
            {"record_type": "ws_connect", "shard_id": "0", "ts_mono_ns": None},
            {"record_type": "disconnect", "shard_id": 0, "since_mono_ns": "x"},
            {"record_type": "capture_start", "universe_file": 1},
            {"record_type": "capture_stop", "reason": 5, "frames_total": "many"},
        )
    )
    claims = read_runlog_claims(path)
    assert claims.records == 4
    assert claims.announced == set()


def test_consistent_excision_in_an_unsealed_run_is_seen_by_the_durable_count(
    build_run: Callable[..., Path],
    build_pair: Callable[..., tuple[bytes, bytes]],
    records: Callable[..., list[tuple[int, int, int, bytes]]],
    tmp_path: Path,
) -> None:
    shard = records(5)
    run = build_run(tmp_path / "run", shards={0: shard}, sealed=False)
    frames, idx = build_pair(shard[:2] + shard[3:], 2)
    (run / "capture" / "shard_00.frames").write_bytes(frames)
    (run / "capture" / "shard_00.idx").write_bytes(idx)
    report = verify_run(run)
    assert set(report.counts) == {Code.UNSEALED, Code.DURABLE_FRAMES_LOST}
    (finding,) = (item for item in report.findings if item.code is Code.DURABLE_FRAMES_LOST)
    assert (finding.expected, finding.found) == (5, 4)
    assert report.exit_code == 4


def test_frames_written_and_never_synced_are_tolerable(
    build_run: Callable[..., Path], tmp_path: Path
) -> None:
    run = build_run(tmp_path / "run", sealed=False)
    with (run / "runlog.ndjson").open("ab") as file:
        file.write(lines({**heartbeat(12, 9), "run_id": "golden"}))
    report = verify_run(run)
    assert set(report.counts) == {Code.UNSEALED, Code.RECORDED_FRAMES_LOST}
    assert report.exit_code == 3


def test_last_frame_that_a_disconnect_names_must_be_there(
    build_run: Callable[..., Path], tmp_path: Path
) -> None:
    run = build_run(tmp_path / "run", sealed=False)
    later = {"record_type": "disconnect", "run_id": "golden", "shard_id": 1}
    with (run / "runlog.ndjson").open("ab") as file:
        file.write(lines({**later, "since_mono_ns": 6_000_000_000}))
    report = verify_run(run)
    (finding,) = (item for item in report.findings if item.code is Code.RECORDED_FRAMES_LOST)
    assert (finding.shard, finding.expected) == (1, 6_000_000_000)
    assert report.exit_code == 3


def test_torn_and_damaged_lines_of_a_run(build_run: Callable[..., Path], tmp_path: Path) -> None:
    run = build_run(tmp_path / "run", sealed=False)
    path = run / "runlog.ndjson"
    size = path.stat().st_size
    with path.open("ab") as file:
        file.write(b'{"record_type":"heart')
    report = verify_run(run)
    torn = next(item for item in report.findings if item.code is Code.RUNLOG_TORN)
    assert (torn.offset, torn.end) == (size, path.stat().st_size)
    assert report.exit_code == 3
    with path.open("ab") as file:
        file.write(b"\n")
    report = verify_run(run)
    assert set(report.counts) == {Code.UNSEALED, Code.RUNLOG_DAMAGED}
    assert report.exit_code == 4


def test_missing_runlog(build_run: Callable[..., Path], tmp_path: Path) -> None:
    run = build_run(tmp_path / "run", sealed=False)
    (run / "runlog.ndjson").unlink()
    report = verify_run(run)
    assert set(report.counts) == {Code.UNSEALED, Code.RUNLOG_MISSING}
    assert report.exit_code == 3


def test_runlog_of_another_run(build_run: Callable[..., Path], tmp_path: Path) -> None:
    run = build_run(tmp_path / "run", sealed=False)
    with (run / "runlog.ndjson").open("ab") as file:
        file.write(lines({"record_type": "note", "run_id": "other"}))
    report = verify_run(run)
    (finding,) = (item for item in report.findings if item.code is Code.RUN_ID_DISAGREES)
    assert (finding.expected, finding.found) == ("golden", "other")


def test_frames_that_nobody_counted_are_found_where_the_stop_is_known(
    build_run: Callable[..., Path], tmp_path: Path
) -> None:
    run = build_run(tmp_path / "run", sealed=False)
    stop = {"record_type": "capture_stop", "run_id": "golden", "reason": "sigint"}
    original = (run / "runlog.ndjson").read_bytes()
    (run / "runlog.ndjson").write_bytes(original + lines({**stop, "frames_total": 9}))
    assert set(verify_run(run).counts) == {Code.UNSEALED}
    (run / "runlog.ndjson").write_bytes(original + lines({**stop, "frames_total": 8}))
    report = verify_run(run)
    assert set(report.counts) == {Code.UNSEALED, Code.FRAMES_UNCOUNTED}
    assert report.exit_code == 4
