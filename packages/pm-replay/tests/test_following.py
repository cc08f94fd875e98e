"""Following a run that another process writes: the same bytes as afterwards, whatever becomes of it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import pytest

from pm_frames import open_bundle
from pm_frames.continuity import Basis
from pm_replay.__main__ import main
from pm_replay.following import Following, await_beginning
from pm_replay.pipeline import Request, replay

# Writes a run that is locked, frame by frame, told by lines on its stdin what to do.
WRITER = """
    import json, sys
    from pathlib import Path
    from bundles import T0, WALL, book, change, compact, price_change
    from pm_frames import ShardWriter, paths
    from pm_frames.lock import RunLock
    from pm_frames.runlog import RunlogWriter
    from pm_frames.watermark import WatermarkWriter

    path = Path(sys.argv[1])
    (path / "capture").mkdir(parents=True)
    lock = RunLock(path)
    lock.acquire()
    facts = {"run_id": path.name, "t0_mono_ns": T0, "t0_wall_ns_utc": WALL}
    (path / "manifest.json").write_text(json.dumps(facts))
    print(path, flush=True)
    mark = WatermarkWriter(path / paths.WATERMARK)
    now = T0

    def stamps():
        global now
        now += 10
        return {"ts_mono_ns": now, "ts_wall_ns_utc": WALL + now - T0}

    runlog = shard = None
    for line in sys.stdin:
        if line == "begin\\n":
            runlog = RunlogWriter(path / "runlog.ndjson", path.name)
            runlog.append("run_start", {"boot_id": "b"}, **stamps())
            where = {"shard_id": 0, "connection": 1}
            runlog.append("ws_connect", where, **stamps())
            runlog.append("subscribe_attempt", {**where, "token_ids": ["1"]}, **stamps())
            shard = ShardWriter(path / "capture", 0)
            payload = compact(book("1", {"0.4": "1"}, {"0.6": "1"}))
        elif line == "change\\n":
            payload = compact(price_change(change("1", "0.4", str(now), "BUY", bid="0.4", ask="0.6"), ts=str(now)))
        elif line == "seal\\n":
            runlog.append("capture_stop", {"reason": "asked"}, **stamps())
            (path / "seal.json").write_text("{}")
            break
        elif line == "torn\\n":
            with open(shard.frames_path, "ab") as file:
                file.write(b"PMCAPv02 and no more")
            break
        now += 10
        shard.append([(1, payload)], rx_mono_ns=now, rx_wall_ns_utc=WALL + now - T0)
        mark.publish(now)
        print(now, flush=True)
"""


class Writer:
    """The process above."""

    def __init__(self, path: Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(WRITER), str(path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env={**os.environ, "PYTHONPATH": str(Path(__file__).parent)},
        )
        assert self.out.readline() == f"{path}\n"

    @property
    def out(self) -> IO[str]:
        assert self.process.stdout is not None
        return self.process.stdout

    def do(self, *words: str) -> None:
        assert self.process.stdin is not None
        for word in words:
            self.process.stdin.write(f"{word}\n")
            self.process.stdin.flush()
            if word not in ("seal", "torn"):
                assert int(self.out.readline())

    def end(self) -> None:
        self.process.communicate(timeout=60)


@pytest.fixture
def writer(tmp_path: Path) -> Any:
    made = Writer(tmp_path / "run")
    yield made
    made.process.kill()
    made.process.communicate()


@pytest.fixture
def follow() -> Iterator[Callable[..., subprocess.Popen[bytes]]]:
    """Start `pm-replay --follow` with the arguments given; none outlives the test."""
    running: list[subprocess.Popen[bytes]] = []

    def start(*arguments: object) -> subprocess.Popen[bytes]:
        pipe = subprocess.PIPE
        command = [sys.executable, "-m", "pm_replay", "--follow", *map(str, arguments)]
        running.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=pipe))
        return running[-1]

    yield start
    for process in running:
        process.kill()
        process.communicate()


def lines(stream: IO[bytes], count: int) -> list[dict[str, Any]]:
    return [json.loads(stream.readline()) for _ in range(count)]


@pytest.mark.parametrize(("last", "code", "state"), [("seal", 0, "ended"), ("torn", 3, "crashed")])
def test_events_come_while_the_run_is_written_and_are_those_of_later(
    last: str, code: int, state: str, writer: Writer, follow: Any, tmp_path: Path, capsys: Any
) -> None:
    run = tmp_path / "run"
    # Named on stdin, which stays open as that of a pipe from pm-capture does; before there is a runlog.
    following = follow("--events-out", "-", "--format", "jsonl")
    assert following.stdin is not None
    assert following.stdout is not None
    following.stdin.write(f"{run}\n".encode())
    following.stdin.flush()
    writer.do("begin", "change", "change")
    # Each is told while the run lives: two of continuity, the book, the changes.
    told = lines(following.stdout, 6)
    assert [each["kind"] for each in told] == ["clock", "status", "status", "tob", "tob", "tob"]
    writer.do("change", last)
    writer.end()
    following.stdin.close()
    following.stdin = None
    out, err = following.communicate(timeout=60)
    assert following.returncode == code, err
    told += [json.loads(line) for line in out.splitlines()]
    summary = json.loads(err)
    assert summary["run_state"] == state
    assert summary["follow"]["events_before_seal"] >= 5
    assert summary["follow"]["lag_ns"]["max"] > 0

    assert main([str(run), "--events-out", "-", "--format", "jsonl"]) == code
    later = capsys.readouterr()
    assert [json.loads(line) for line in later.out.splitlines()] == told
    assert json.loads(later.err)["event_hash"] == summary["event_hash"]
    assert json.loads(later.err)["follow"] is None


def test_a_run_that_cannot_be_opened_is_not_the_last_one(
    writer: Writer, follow: Any, tmp_path: Path
) -> None:
    bad = tmp_path / "bad"
    bad.mkdir()
    (bad / "manifest.json").write_text("{")
    (bad / "runlog.ndjson").touch()
    writer.do("begin", "change", "seal")
    writer.end()
    following = follow()
    out, err = following.communicate(f"{bad}\n{tmp_path / 'run'}\n".encode(), timeout=60)
    assert following.returncode == 4
    assert json.loads(out)["run_id"] == "run"
    assert b"manifest.json" in err


def test_a_run_has_begun_when_its_runlog_has(writer: Writer, tmp_path: Path) -> None:
    waited: list[str] = []

    def wait() -> None:
        waited.append("once")
        writer.do("begin")

    bundle = open_bundle(tmp_path / "run", empty_ok=True)
    await_beginning(bundle, wait)
    assert waited == ["once"]
    assert bundle.continuity_basis is Basis.RUNLOG


def test_each_round_is_handed_on_though_the_next_one_brings_more(
    writer: Writer, tmp_path: Path
) -> None:
    """Without that a busy run's events came when thousands of them had come together."""
    writer.do("begin")
    handed: list[bytes] = []
    seen: list[int] = []  # pieces handed on when the frames of a round are read

    def now_ns() -> int:
        seen.append(len(handed))
        if len(seen) < 6:
            writer.do("change")  # so that the run never stands still
        return 0

    def wait() -> None:
        writer.do("seal")
        writer.end()

    bundle = open_bundle(tmp_path / "run", empty_ok=True)
    result = replay(bundle, Request(), handed.append, source=Following(wait, now_ns))
    assert result.frames == 6
    assert seen == sorted(set(seen))


def test_enough_of_a_run_is_enough(writer: Writer, follow: Any, tmp_path: Path) -> None:
    writer.do("begin", "change", "change")
    following = follow(tmp_path / "run", "--max-events", 3)
    out, err = following.communicate(timeout=60)
    assert following.returncode == 0, err
    assert (json.loads(out)["end_reason"], json.loads(out)["run_state"]) == ("limit", "running")


def test_pace_is_refused(tmp_path: Path, capsys: Any) -> None:
    assert main([str(tmp_path), "--follow", "--pace", "1"]) == 2
    assert "--pace" in capsys.readouterr().err
