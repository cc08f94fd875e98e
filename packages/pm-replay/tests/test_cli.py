"""The command as a user runs it: real processes, real files."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from bundles import T0, Made, Maker, book, change, compact, price_change, subscribed

from pm_frames.events import open_events
from pm_replay.__main__ import main


@pytest.fixture
def made(make_bundle: Maker) -> Made:
    changes = [
        (0, T0 + 10**9 * n, compact(price_change(change("1", "0.4", str(n), "BUY", bid="0.4", ask="0.6"), ts=str(n))))
        for n in range(1, 5)
    ]  # fmt: skip
    return make_bundle(
        [(0, T0 + 10, compact(book("1", {"0.4": "1"}, {"0.6": "1"}))), *changes], subscribed("1")
    )


def run(*arguments: object, **environment: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "pm_replay", *map(str, arguments)],
        capture_output=True,
        check=False,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
    )


def summary(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, dict[str, Any]]:
    code = main([str(each) for each in arguments])
    out = capsys.readouterr().out
    found = json.loads(out)
    assert isinstance(found, dict)
    return code, found


def test_one_json_line(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    code, line = summary(capsys, made.path)
    assert code == 0
    assert (line["ok"], line["mode"], line["run_id"], line["frames"]) == (
        True,
        "replay",
        made.path.name,
        5,
    )
    assert line["canonical_events"] == sum(line["kinds"].values()) == 7
    assert line["oracles"]["bbo"]["agree"] == 4
    assert list(line)[:5] == ["ok", "mode", "run_id", "run_state", "end_reason"]


def test_stable_json_is_the_same_under_any_hash_seed_locale_and_timezone(made: Made) -> None:
    outputs = {
        run(made.path, "--stable-json", PYTHONHASHSEED=seed, LC_ALL=locale, TZ=zone).stdout
        for seed, locale, zone in (("0", "C", "UTC"), ("7", "C.UTF-8", "Asia/Tokyo"))
    }
    assert len(outputs) == 1
    assert json.loads(outputs.pop())["elapsed_ms"] == 0


def test_events_to_a_file_and_diff(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one, two = tmp_path / "one.pmev", tmp_path / "two.pmev"
    code, line = summary(capsys, made.path, "--events-out", one)
    assert code == 0
    with open_events(one) as reader:
        assert sum(bool(event.seq) for event in reader) == line["canonical_events"]
    summary(capsys, made.path, "--events-out", two, "--depth")
    assert summary(capsys, "diff", one, two)[1]["equal"] is True
    assert main([str(made.path), "--events-out", str(one)]) == 2
    assert "exists" in capsys.readouterr().err
    _, other = summary(capsys, made.path, "--events-out", two, "--force", "--max-events", 3)
    assert other["canonical_events"] == 3
    code, found = summary(capsys, "diff", one, two)
    assert (code, found["equal"], found["b"]) == (3, False, None)
    assert found["a"]["seq"] == 4


def test_each_of_several_runs_has_outputs_of_its_own(
    make_bundle: Maker, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    runs = [
        make_bundle([(0, T0 + n, compact(book("1", {f"0.{n}": "1"}, {})))], subscribed("1", at=T0 - 9)).path
        for n in (1, 2)
    ]  # fmt: skip
    for flag in ("--events-out", "--verdicts"):
        assert main([*map(str, runs), flag, str(tmp_path / "out")]) == 2
        assert "{run}" in capsys.readouterr().err
    outputs = [
        "--events-out",
        str(tmp_path / "{run}.pmev"),
        "--verdicts",
        str(tmp_path / "{run}.v"),
    ]
    assert main([*map(str, runs), *outputs]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    for run_dir, line in zip(runs, lines, strict=True):
        with open_events(tmp_path / f"{run_dir.name}.pmev") as reader:
            assert sum(bool(event.seq) for event in reader) == line["canonical_events"]
        assert (tmp_path / f"{run_dir.name}.v").is_file()
    # Two runs of one name, in different places, would write over one another.
    (tmp_path / "elsewhere").mkdir()
    namesake = runs[1].rename(tmp_path / "elsewhere" / runs[0].name)
    kept = (tmp_path / f"{namesake.name}.pmev").read_bytes()
    for flag in outputs[::2]:
        arguments = [str(runs[0]), str(namesake), flag, str(tmp_path / "{run}.pmev"), "--force"]
        assert main(arguments) == 2
        assert f"two runs are named {namesake.name}" in capsys.readouterr().err
    assert (tmp_path / f"{namesake.name}.pmev").read_bytes() == kept


def test_jsonl_on_stdout_and_the_summary_on_stderr(made: Made) -> None:
    done = run(made.path, "--events-out", "-", "--format", "jsonl")
    assert done.returncode == 0
    lines = [json.loads(line) for line in done.stdout.splitlines()]
    top = [line for line in lines if line["kind"] == "tob"][-1]
    assert {key: top[key] for key in ("token_id", "market_id", "bid_px_e6", "bid_sz_e6", "settled", "state")} == {
        "token_id": "1", "market_id": "0xaa", "bid_px_e6": 400_000, "bid_sz_e6": 4_000_000,
        "settled": "settled", "state": "live",
    }  # fmt: skip
    assert json.loads(done.stderr)["canonical_events"] == sum(
        line["seq"] is not None for line in lines
    )


def test_pmev_on_stdout_is_the_file(made: Made, tmp_path: Path) -> None:
    piped = run(made.path, "--events-out", "-").stdout
    run(made.path, "--events-out", tmp_path / "f.pmev")
    assert piped == (tmp_path / "f.pmev").read_bytes()


def test_depth_changes_no_hash(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    plain = summary(capsys, made.path)[1]
    deep = summary(capsys, made.path, "--depth")[1]
    assert deep["event_hash"] == plain["event_hash"]
    assert deep["canonical_events"] == plain["canonical_events"]


def test_windows_and_limits(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    window = summary(capsys, made.path, "--from", "+2s", "--to", "+4s")[1]
    assert window["kinds"]["tob"] == 2
    assert summary(capsys, made.path, "--max-seconds", 2)[1]["kinds"]["tob"] == 3
    assert main([str(made.path), "--from", "+4s", "--to", "+2s"]) == 2


def test_pace(made: Made, capsys: pytest.CaptureFixture[str]) -> None:
    fast = summary(capsys, made.path)[1]
    paced = summary(capsys, made.path, "--pace", 20)[1]
    assert paced["event_hash"] == fast["event_hash"]
    assert paced["elapsed_ms"] >= 190  # four seconds, twenty times as fast


def test_verdicts(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "verdicts.jsonl"
    summary(capsys, made.path, "--verdicts", out)
    [row] = [json.loads(line) for line in out.read_text().splitlines()]
    assert (row["token_id"], row["verdict"], row["outcomes"]["bbo.agree"]) == ("1", "CONSISTENT", 4)


def test_exit_codes(made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([str(tmp_path / "none")]) == 2
    (made.path / "seal.json").unlink()
    assert summary(capsys, made.path)[0] == 3
    frames = made.path / "capture" / "shard_00.frames"
    data = bytearray(frames.read_bytes())
    data[60] ^= 1
    frames.write_bytes(data)
    code, line = summary(capsys, made.path)
    assert (code, line["ok"]) == (4, False)
    assert "shard_00.frames" in line["error"]


def test_strict_schema_is_asked_for(make_bundle: Maker, capsys: pytest.CaptureFixture[str]) -> None:
    strange = make_bundle([(0, T0, compact({**book("1", {}, {}), "brand_new": "x"}))])
    assert summary(capsys, strange.path)[0] == 0
    assert summary(capsys, strange.path, "--strict-schema")[0] == 3


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is of Linux")
@pytest.mark.parametrize("flag", ["--events-out", "--verdicts"])
@pytest.mark.parametrize("more", [(), ("--format", "jsonl")])
def test_a_file_that_cannot_be_written_is_named(
    made: Made, tmp_path: Path, flag: str, more: tuple[str, ...]
) -> None:
    out = tmp_path / "out"
    out.symlink_to("/dev/full")
    done = run(made.path, flag, out, "--force", *more)
    assert (done.returncode, done.stdout) == (5, b"")
    words = f"pm-replay: {out}: cannot be written: No space left on device\n"
    assert done.stderr.decode() == words


def test_a_reader_that_leaves_is_no_error(made: Made) -> None:
    with subprocess.Popen(
        [sys.executable, "-m", "pm_replay", str(made.path), "--events-out", "-"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.wait(60)
        assert process.returncode in (0, 141)


def test_nothing_is_written_into_the_bundle(made: Made) -> None:
    before = {path: path.stat().st_mtime_ns for path in made.path.rglob("*")}
    run(made.path)
    assert {path: path.stat().st_mtime_ns for path in made.path.rglob("*")} == before


def test_nothing_is_written_into_any_bundle(made: Made, make_bundle: Maker) -> None:
    other = make_bundle([(0, T0 + 10, b"PONG")])
    before = sorted(made.path.rglob("*")), sorted(other.path.rglob("*"))
    evidence = (made.path / "manifest.json").read_bytes()
    for target in (
        made.path / "new.pmev",
        made.path / "manifest.json",
        other.path / "capture" / "x",
        made.path / "capture" / ".." / "y",
    ):
        for flag in ("--events-out", "--verdicts"):
            assert main([str(made.path), flag, str(target), "--force"]) == 2
    assert (sorted(made.path.rglob("*")), sorted(other.path.rglob("*"))) == before
    assert (made.path / "manifest.json").read_bytes() == evidence


def test_a_refused_output_leaves_no_other_behind(made: Made, tmp_path: Path) -> None:
    (tmp_path / "old").write_text("mine")
    new = tmp_path / "new"
    assert (
        main([str(made.path), "--events-out", str(new), "--verdicts", str(tmp_path / "old")]) == 2
    )
    assert main([str(made.path), "--events-out", str(new), "--verdicts", str(new), "--force"]) == 2
    assert not new.exists()
    assert (tmp_path / "old").read_text() == "mine"


def test_a_run_that_cannot_be_read_does_not_stop_the_next(
    made: Made, make_bundle: Maker, capsys: pytest.CaptureFixture[str]
) -> None:
    bad = make_bundle([(0, T0 + 10, b"PONG")])
    (bad.path / "manifest.json").write_text("{")
    code, line = summary(capsys, bad.path, made.path)
    assert (code, line["run_id"]) == (4, made.path.name)


def test_a_directory_that_is_no_run_is_not_taken_for_a_crashed_one(tmp_path: Path) -> None:
    (tmp_path / "runs").mkdir()
    done = run(tmp_path)
    assert (done.returncode, done.stdout) == (2, b"")
    assert b"not a run bundle: capture/ is missing" in done.stderr
    # With a manifest it is a run that was killed before its first shard.
    (tmp_path / "manifest.json").write_text("{}")
    done = run(tmp_path)
    assert (done.returncode, json.loads(done.stdout)["run_state"]) == (3, "crashed")
