"""The program as other people run it: arguments, output, exit codes."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from pm_audit.__main__ import main

S = 10**9


@pytest.fixture
def run_dir(made: Any, tmp_path: Path) -> Path:
    path = made.write_run(tmp_path / "runs" / "golden", made.clean_run())
    assert isinstance(path, Path)
    return path


@pytest.fixture
def report(made: Any, tmp_path: Path) -> str:
    path = tmp_path / "verify.json"
    path.write_text(json.dumps(made.verified()), encoding="utf-8")
    return str(path)


def test_a_credible_run(run_dir: Path, report: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(run_dir), "--verify-report", report]) == 0
    told = json.loads(capsys.readouterr().out)
    assert (told["ok"], told["exit_code"], told["profile"]) == (True, 0, "strict")
    assert (told["gaps_over_threshold"], told["hb_count"]) == (0, 7)
    assert set(told["gates"]) == {
        "heartbeat", "reconnects", "drops", "loop_lag", "pressure", "crc", "fatal",
    }  # fmt: skip


def test_a_failed_gate_is_named(
    run_dir: Path, report: str, capsys: pytest.CaptureFixture[str]
) -> None:
    flags = ["--verify-report", report, "--threshold-seconds", "0.999999999"]
    assert main(["--run-dir", str(run_dir), *flags]) == 3
    told = json.loads(capsys.readouterr().out)
    assert [one["code"] for one in told["reasons"]] == ["gaps_over_threshold"]
    assert told["gaps_over_threshold"] == 8
    flags[-1] = "1"
    assert main(["--run-dir", str(run_dir), *flags, "--quiet"]) == 0
    assert capsys.readouterr().out == ""


def test_a_report_about_another_run_is_no_evidence(
    run_dir: Path, made: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "other.json"
    path.write_text(json.dumps(made.verified(run_id="other")), encoding="utf-8")
    assert main([str(run_dir), "--verify-report", str(path)]) == 3
    assert [one["code"] for one in json.loads(capsys.readouterr().out)["reasons"]] == [
        "missing_verify"
    ]


def test_without_pm_verify_the_gate_fails_and_names_the_package(
    run_dir: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("pm_audit.verification.find_verify", lambda path: None)
    assert main([str(run_dir)]) == 3
    (reason,) = json.loads(capsys.readouterr().out)["reasons"]
    assert reason["gate"] == "crc"
    assert "pip install pm-verify" in reason["message"]


@pytest.mark.parametrize(
    "arguments",
    [
        ["nowhere"],
        ["RUN", "--verify-report", "nowhere.json"],
        ["RUN", "--pressure-streak-intervals", "0"],
        ["ledger", "nowhere"],
        ["ledger", "RUN", "--from", "yesterday"],
        ["ledger", "RUN", "--market", "no-such-market"],
        ["freezes", "nowhere"],
        ["freezes", "RUN", "--min-silence", "soon"],
        ["freezes", "RUN", "RUN2", "--out", "mask.json"],
    ],
)
def test_what_cannot_be_is_said(
    run_dir: Path, made: Any, arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    other = made.write_run(run_dir.with_name("other"), made.clean_run())
    names = {"RUN": str(run_dir), "RUN2": str(other)}
    assert main([names.get(one, one) for one in arguments]) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    assert shown.err.startswith("pm-audit")


def test_the_ledger_as_json_lines(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["ledger", str(run_dir)]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    kinds = [line["record_type"] for line in lines]
    assert kinds == sorted(kinds, key=["interval", "token", "shard", "ledger"].index)
    total = lines[-1]["total_ns"]
    for kind in ("token", "shard"):
        assert sum(line["total_ns"] for line in lines if line["record_type"] == kind) == total
    assert sum(line["length_ns"] for line in lines if line["record_type"] == "interval") == total
    first = lines[0]
    assert first["start_wall_ns_utc"] - first["start_mono_ns"] == 1_759_999_000 * S
    assert lines[-1]["basis"] == "runlog"


def test_a_window_and_a_token(run_dir: Path, capsys: pytest.CaptureFixture[str]) -> None:
    flags = ["--token", "a", "--from", "+1s", "--to", "2025-10-09T08:53:22Z"]
    assert main(["ledger", str(run_dir), *flags]) == 0
    interval, *_, run = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert (interval["token_id"], interval["state"], run["total_ns"]) == ("a", "LIVE", S)


def test_a_mask_is_written_once(
    run_dir: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "mask.json"
    assert main(["freezes", str(run_dir), "--out", str(out)]) == 0
    mask = json.loads(out.read_bytes())
    assert (mask["format"], mask["intervals"]) == ("pm-mask-1", [])
    assert mask == json.loads(capsys.readouterr().out)
    assert main(["freezes", str(run_dir), "--out", str(out)]) == 2
    assert "--force" in capsys.readouterr().err
    assert main(["freezes", str(run_dir), "--out", str(out), "--force"]) == 0


@pytest.mark.parametrize("command", [[], ["ledger"], ["freezes"]])
def test_help_and_version(command: list[str]) -> None:
    program = [sys.executable, "-m", "pm_audit", *command]
    shown = subprocess.run([*program, "--help"], capture_output=True, check=True, timeout=60)
    assert b"exit codes:" in shown.stdout
    version = subprocess.run([*program, "--version"], capture_output=True, check=True, timeout=60)
    assert version.stdout.startswith(b"pm-audit ")


EVIL_RECORDS: list[dict[str, Any]] = [
    {"record_type": ["disconnect"], "ts_mono_ns": 1},
    {"record_type": {}, "ts_mono_ns": 10**40, "shard_id": 0},
    {"record_type": "disconnect", "ts_mono_ns": 1, "shard_id": [0], "connection": 1},
    {"record_type": "ws_connect", "ts_mono_ns": 1_000 * S, "shard_id": {}, "connection": [2]},
    {
        "record_type": "subscribe_attempt",
        "ts_mono_ns": 1_001 * S,
        "shard_id": 0,
        "token_ids": {"a": 1},
    },
    {
        "record_type": "heartbeat",
        "ts_mono_ns": 10**40,
        "hb_mono_ns": 10**40,
        "hb_wall_ns_utc": -(10**40),
    },
    {"record_type": "heartbeat", "ts_mono_ns": "1", "hb_mono_ns": 1.5, "part": [0]},
    {"record_type": "capture_stop", "ts_mono_ns": True},
    {},
]


@pytest.mark.parametrize("evil", EVIL_RECORDS, ids=range(len(EVIL_RECORDS)))
@pytest.mark.parametrize("place", [0, 4])
def test_no_record_ends_a_command_with_a_traceback(
    run_dir: Path, report: str, evil: dict[str, Any], place: int, tmp_path: Path
) -> None:
    from pm_audit.inspect.__main__ import main as inspect
    from pm_audit.latency.__main__ import main as latency

    lines = (run_dir / "runlog.ndjson").read_bytes().splitlines(keepends=True)
    lines.insert(place, json.dumps(evil).encode() + b"\n")
    (run_dir / "runlog.ndjson").write_bytes(b"".join(lines))
    assert main([str(run_dir), "--verify-report", report]) in (0, 3)
    assert main(["ledger", str(run_dir)]) == 0
    assert main(["freezes", str(run_dir)]) == 0
    assert latency([str(run_dir), "--out", str(tmp_path / "out")]) in (0, 3)
    assert inspect([str(run_dir)]) == 0
    assert inspect(["ls", str(run_dir)]) == 0


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("merge.json", {"parts": [{}] * 100_000}),  # one account for each would be gigabytes
        ("merge.json", {"parts": 5}),
        ("manifest.json", {"run_id": 7, "t0_mono_ns": "x", "pinned_tokens": 5, "shards": [], "config": 3}),
        ("seal.json", {"closed_mono_ns": "a", "seal_sha256": 5}),
        ("fatal.json", {"fatal_reason": ["x"]}),
    ],
)  # fmt: skip
def test_odd_documents_are_no_reason_to_crash(
    run_dir: Path, report: str, name: str, content: dict[str, Any], tmp_path: Path
) -> None:
    from pm_audit.inspect.__main__ import main as inspect
    from pm_audit.latency.__main__ import main as latency

    (run_dir / name).write_text(json.dumps(content), encoding="utf-8")
    assert main([str(run_dir), "--verify-report", report]) in (0, 3)
    assert main(["ledger", str(run_dir)]) == 0
    assert main(["freezes", str(run_dir)]) == 0
    assert latency([str(run_dir), "--out", str(tmp_path / "out")]) in (0, 3)
    assert inspect([str(run_dir)]) == 0


def test_a_folder_in_the_place_of_the_runlog_is_none(run_dir: Path, report: str) -> None:
    (run_dir / "runlog.ndjson").unlink()
    (run_dir / "runlog.ndjson").mkdir()
    assert main([str(run_dir), "--verify-report", report]) == 3
    assert main(["ledger", str(run_dir)]) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is of Linux")
def test_an_output_that_cannot_be_written_is_code_5(run_dir: Path, report: str) -> None:
    for command in (
        ["pm_audit", str(run_dir), "--verify-report", report],
        ["pm_audit", "ledger", str(run_dir)],
        ["pm_audit.inspect", str(run_dir)],
    ):
        with open("/dev/full", "w") as full:
            done = subprocess.run(
                [sys.executable, "-m", *command], stdin=subprocess.DEVNULL, stdout=full,
                stderr=subprocess.PIPE, text=True, check=False,
            )  # fmt: skip
        assert done.returncode == 5, (command, done.stderr)
        assert "cannot write the output: No space left" in done.stderr
        assert "Exception ignored" not in done.stderr
