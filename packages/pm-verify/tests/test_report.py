import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path

from pm_verify.findings import Code, Scene
from pm_verify.report import Report, page
from pm_verify.verify import verify_files, verify_run

SUMMARY_KEYS = ["ok", "run_dir", "run_id", "state", "exit_code", "totals"]


def test_json_of_a_clean_run(sealed_run: Path) -> None:
    values = json.loads(json.dumps(verify_run(sealed_run).as_json()))
    assert [*values] == [
        *SUMMARY_KEYS,
        "mode",
        "quick",
        "verdict",
        "point_in_time_mono_ns",
        "summaries",
        "finding_counts",
        "findings",
    ]
    assert values["ok"] is True
    assert values["run_dir"] == str(sealed_run)
    assert values["verdict"] == "9 frames in 2 shards: every byte is what was written"
    assert values["findings"] == []
    shard = values["summaries"][0]
    assert shard == {
        "shard": 0,
        "ok": True,
        "records": 6,
        "errors": 0,
        "crc_mismatch": 0,
        "truncated": False,
        "first_bad_offset": None,
        "last_good_offset": 398,
        "frames_bytes": 398,
        "schema_versions": [2],
        "idx_ok": True,
        "idx_records": 6,
        "idx_errors": 0,
        "idx_first_bad_offset": None,
        "idx_bytes": 192,
        "rx_mono_ns_first": 5_000_001_000,
        "rx_mono_ns_last": 5_000_006_000,
        "rx_wall_ns_utc_first": 1_760_000_005_000_001_000,
        "rx_wall_ns_utc_last": 1_760_000_005_000_006_000,
        "frames_path": "capture/shard_00.frames",
        "idx_path": "capture/shard_00.idx",
    }


def test_summary_has_the_totals_alone(sealed_run: Path) -> None:
    report = verify_run(sealed_run)
    assert [*report.summary_json()] == SUMMARY_KEYS
    assert report.summary_json()["totals"] == report.totals()


def test_page_of_a_clean_run(sealed_run: Path) -> None:
    assert [*page(verify_run(sealed_run))] == [
        f"{sealed_run}: ended",
        "",
        "  shard        frames             bytes  verdict",
        "     00             6               398  ok",
        "     01             3               180  ok",
        "",
        "9 frames in 2 shards: every byte is what was written.",
    ]


def test_page_of_a_damaged_run_says_what_where_and_what_next(unsealed_run: Path) -> None:
    path = unsealed_run / "capture" / "shard_00.frames"
    data = bytearray(path.read_bytes())
    data[36] ^= 1
    path.write_bytes(data)
    lines = [*page(verify_run(unsealed_run))]
    assert lines[3] == "     00             5               398  crc mismatch"
    at = next(number for number, line in enumerate(lines) if line.startswith("PMV025"))
    assert lines[at].startswith("PMV025 capture/shard_00.frames, offset 0, record 0: the payload")
    assert lines[at + 1].startswith("       expected: ")
    assert lines[at + 2].startswith("       found:    ")
    assert lines[at + 3].startswith(f"       fix: restore {path} from a copy")
    assert lines[-1].startswith("NOT what was written (8 frames in 2 shards sound): ")
    assert "Next: restore" in lines[-1]


def test_tolerable_run_is_called_whole(unsealed_run: Path) -> None:
    verdict = verify_run(unsealed_run).verdict()
    assert verdict.startswith("9 frames in 2 shards whole and sound, with a reservation: seal.json")


def test_nothing_there(tmp_path: Path) -> None:
    verdict = verify_run(tmp_path / "x").verdict()
    assert verdict.startswith("nothing was verified: manifest.json: there is no run bundle")


def test_one_frame_is_no_frames(
    build_pair: Callable[..., tuple[bytes, bytes]], tmp_path: Path
) -> None:
    frames, _ = build_pair([(1, 1, 1, b"x")], 2)
    (tmp_path / "a.frames").write_bytes(frames)
    report = verify_files(tmp_path / "a.frames", None)
    assert report.verdict() == "1 frame: all whole and sound, and nothing disagrees"


def test_severest_finding_decides() -> None:
    for codes, expected in (
        ((), 0),
        ((Code.NO_RUN,), 2),
        ((Code.NO_RUN, Code.UNSEALED), 3),
        ((Code.NO_RUN, Code.UNSEALED, Code.BAD_MAGIC), 4),
    ):
        found = tuple(Scene(None).finding(code, "x") for code in codes)
        report = Report(None, None, "ended", (), found, Counter(codes), found)
        assert report.exit_code == expected
