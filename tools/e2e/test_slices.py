"""A real capture, cut, cut again, merged, archived: judged by the other programs."""

import json
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from pm_frames import open_bundle


@pytest.fixture
def captured(faulty_day: tuple[Path, Path], tmp_path: Path) -> Path:
    """A copy, since archiving changes it."""
    run_dir = tmp_path / "day"
    shutil.copytree(faulty_day[0], run_dir)
    return run_dir


def run(*words: str, cwd: Path, code: int = 0) -> str:
    done = subprocess.run(words, capture_output=True, text=True, cwd=cwd, timeout=60, check=False)
    assert done.returncode == code, done.stderr
    return done.stdout


def contents(path: Path, *names: str) -> dict[str, bytes]:
    files = [file for name in names for file in sorted(path.glob(name)) if file.is_file()]
    return {file.relative_to(path).as_posix(): file.read_bytes() for file in files}


def test_a_capture_is_cut_put_together_and_archived(
    captured: Path, program: Callable[[str], str], verify: Callable, tmp_path: Path
) -> None:
    cut, join, pack = (program(name) for name in ("pm-slice", "pm-merge", "pm-archive"))
    before = contents(captured, "**/*") if os.name != "nt" else {}

    window = ["--from", "+1s", "--to", "+2s"]
    assert run(cut, str(captured), *window, "--out", "second", cwd=tmp_path) == "second\n"
    sliced = open_bundle(tmp_path / "second")
    first, last = sliced.emit_window
    frames = [frame for _, _, frame in open_bundle(captured).frames()]
    wanted = [frame.payload for frame in frames if first <= frame.rx_mono_ns < last]
    there = [frame for _, _, frame in sliced.frames()]
    assert len(wanted) > 50
    assert [frame.payload for frame in there if frame.rx_mono_ns >= first] == wanted
    assert 0 < len(there) - len(wanted) < len(frames) - len(wanted)  # a lead-in, not everything

    assert verify(tmp_path / "second")[0] == 0

    for shard in "0123":
        run(cut, str(captured), "--shard", shard, "--out", f"shard{shard}", cwd=tmp_path)
    run(join, "shard2", "shard1", "shard3", "shard0", "--out", "whole", cwd=tmp_path)
    same = ("capture/shard_*", "runlog.ndjson", "universe/*.json", "metrics/*")
    assert contents(tmp_path / "whole", *same) == contents(captured, *same)
    assert verify(tmp_path / "whole")[0] == 0

    run(pack, str(captured), "--level", "3", cwd=tmp_path)
    assert not list(captured.glob("capture/*.frames"))
    assert [frame for _, _, frame in open_bundle(captured).frames()] == frames
    run(cut, str(captured), *window, "--out", "again", cwd=tmp_path)
    kept = ("capture/*", "runlog.ndjson", "source/*")
    assert contents(tmp_path / "again", *kept) == contents(tmp_path / "second", *kept)
    run(pack, str(captured), "--restore", cwd=tmp_path)
    assert contents(captured, "**/*") == before or os.name == "nt"
    assert verify(captured)[0] == 0
    assert json.loads((tmp_path / "second/slice.json").read_bytes())["damage"] == []


def test_every_sort_of_slice_verifies_and_a_changed_one_does_not(
    captured: Path, program: Callable[[str], str], verify: Callable, tmp_path: Path
) -> None:
    cut, pack = program("pm-slice"), program("pm-archive")
    token = json.loads((captured / "universe/000000.json").read_bytes())["markets"][0]["tokens"][0]
    for name, words in {
        "tokens": ["--from", "+1s", "--token", token["token_id"]],
        "frames": ["--shard", "1", "--frames", "20:40"],
        "offset": ["--shard", "0", "--start-offset", "20000", "--end-offset", "60000"],
        "empty": ["--from", "+2999ms", "--to", "+2999ms"],
    }.items():
        run(cut, str(captured), *words, "--out", name, cwd=tmp_path)
        code, report = verify(tmp_path / name)
        assert code == 0, (name, report["findings"])
    run(cut, "tokens", "--from", "+2s", "--out", "inner", cwd=tmp_path)
    run(pack, "inner", cwd=tmp_path)
    assert verify(tmp_path / "inner")[0] == 0

    document = tmp_path / "tokens" / "slice.json"
    stated = json.loads(document.read_bytes())
    stated["emit_from_mono_ns"] += 500_000_000
    document.write_text(json.dumps(stated))
    code, report = verify(tmp_path / "tokens")
    assert code == 4
    assert {"PMV079", "PMV092"} <= {finding["code"] for finding in report["findings"]}


def test_two_captures_as_one_verify(
    venue: Callable, capture: Callable, program: Callable[[str], str], verify: Callable,
    tmp_path: Path,
) -> None:  # fmt: skip
    served = venue("--seed", "7")
    capturing = [
        capture(
            served, name, "--ws-shards", "2", "--shard-range", part, "--duration-seconds", seconds
        )
        for name, part, seconds in (("one", "0:1", "2"), ("two", "1:2", "3"))
    ]
    assert [process.wait(timeout=60) for process in capturing] == [0, 0]
    runs = [str(tmp_path / "runs" / name) for name in ("one", "two")]
    run(program("pm-merge"), *runs, "--out", "both", cwd=tmp_path)
    code, report = verify(tmp_path / "both")
    assert code == 0, report["findings"]
    records = [
        json.loads(line) for line in (tmp_path / "both/runlog.ndjson").read_bytes().splitlines()
    ]
    assert "part_stop" in {record["record_type"] for record in records}
    # Without the frames of a part, its own counts tell.
    for path in (tmp_path / "both/capture").glob("shard_00.*"):
        path.write_bytes(b"")
    _, report = verify(tmp_path / "both")
    told = {
        f["code"]: f["message"] for f in report["findings"] if f["code"] in ("PMV063", "PMV064")
    }
    assert "of part 0" in " ".join(told.values())


def lines(*words: str, cwd: Path) -> list[dict]:
    return [json.loads(line) for line in run(*words, cwd=cwd).splitlines()]


def without(keys: set[str], found: list[dict]) -> list[dict]:
    return [{key: value for key, value in one.items() if key not in keys} for one in found]


@pytest.mark.parametrize("window", [("+0.5s", "+2s"), ("+2.2s", None)])
def test_a_slice_says_what_the_whole_says_of_that_window(
    faulty_day: tuple[Path, Path], program: Callable[[str], str], tmp_path: Path,
    window: tuple[str, str | None],
) -> None:  # fmt: skip
    """Around a fault, and from the middle of a silence up to the end."""
    start, stop = window
    span = ["--from", start, *(["--to", stop] if stop else [])]
    whole, part = str(faulty_day[0]), str(tmp_path / "part")
    run(program("pm-slice"), whole, *span, "--out", part, cwd=tmp_path)

    # The law of a slice: its replay is that window of the replay, but for numbers that count from its start.
    replay = [program("pm-replay"), "--events-out", "-", "--format", "jsonl", "--depth"]
    expected, found = (lines(*replay, *one, cwd=tmp_path) for one in ([whole, *span], [part]))
    counted = {"seq", "frame"}
    assert len(expected) > 20
    assert without(counted, found) == without(counted, expected)
    seqs = [[one["seq"] for one in events if one["seq"]] for events in (expected, found)]
    assert seqs[0] == seqs[1] == list(range(1, len(seqs[0]) + 1))

    ledger = [program("pm-audit"), "ledger", "--json"]
    expected, found = (lines(*ledger, *one, cwd=tmp_path)[:-1] for one in ([whole, *span], [part]))
    pointers = {"begun_by", "ended_by"}
    key = json.dumps
    assert sorted(map(key, without(pointers, found))) == sorted(map(key, without(pointers, expected)))  # fmt: skip


def test_an_archive_reads_as_the_run_that_it_was(
    captured: Path, faulty_day: tuple[Path, Path], program: Callable[[str], str], tmp_path: Path
) -> None:
    run(program("pm-archive"), str(captured), "--level", "1", cwd=tmp_path)
    for words in (["pm-replay", "--stable-json"], ["pm-audit", "ledger", "--json"]):
        command = [program(words[0]), *words[1:]]
        first, again = (
            run(*command, str(one), cwd=tmp_path).replace(str(one), "")
            for one in (faulty_day[0], captured)
        )
        assert first == again != "", words
    plain, packed = (
        json.loads(run(program("pm-inspect"), str(one), cwd=tmp_path))["shards"]
        for one in (faulty_day[0], captured)
    )
    assert packed["frames_bytes"] == plain["frames_bytes"]
    archives = list(captured.glob("capture/*.frames.zst"))
    assert packed["archived_bytes"] == sum(path.stat().st_size for path in archives)
    assert plain["archived_bytes"] == 0
