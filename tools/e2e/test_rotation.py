"""A capture that goes on in a new run: nothing is missing between the two, whatever happens meanwhile.

The judge of the first test is the venue's log of what it sent to a reference connection, which lives all
the time. A venue that is stopped (SIGSTOP) takes connections and answers nothing, so an overlap lasts.
"""

import hashlib
import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
from witness import connections, entry_of, judge, sent_entries

from pm_frames import open_bundle, read_frames
from pm_frames.peek import peek
from pm_frames.runlog import read_runlog
from pm_universe.generation import decode_generation, fold

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

READY_S = 30.0
BUSY = ["--seed", "23", "--markets", "8", "--rate", "400", "--lifecycle-seconds", "0"]

QUICK = ["--capture-heartbeat-interval-seconds", "0.2"]


def runlog(run: Path, *types: str) -> list[dict]:
    records = read_runlog(run / "runlog.ndjson")
    return [record for record in records if record["record_type"] in types]


def line_of(process: subprocess.Popen) -> Path:
    line = process.stdout.readline().strip()
    assert line, "pm-capture ended before it announced a run"
    return Path(line)


def wait_until(holds: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + READY_S
    while not holds():
        assert time.monotonic() < deadline, f"{what}: not within {READY_S:g} s"
        time.sleep(0.01)


def frames_of(run: Path) -> Iterator[Any]:
    for shard in open_bundle(run).shards():
        yield from shard.frames()


def first_books(run: Path) -> dict[str, int]:
    """When the first book of each token came, in monotonic ns."""
    found: dict[str, int] = {}
    for frame in frames_of(run):
        seen = peek(frame.payload)
        if "book" in seen.event_types:
            for token in seen.token_ids:
                found[token] = min(frame.rx_mono_ns, found.get(token, frame.rx_mono_ns))
    return found


def covered_until(run: Path) -> dict[str, int]:
    """Until when each token of a run that has ended was certain to be delivered.

    A planned end with a clean closing handshake: what the venue had sent before it has arrived.
    """
    ends = {}
    for record in runlog(run, "disconnect"):
        assert record["planned"], record
        assert record["close_was_clean"], record
        ends[record["shard_id"]] = record["ts_mono_ns"]
    assignments = open_bundle(run).manifest["shards"]["assignments"]
    return {
        token: ends[int(shard)]
        for shard, each in assignments.items()
        for token in each["token_ids"]
    }


def descriptors(process: subprocess.Popen) -> int:
    return len(list(Path(f"/proc/{process.pid}/fd").iterdir()))


def test_runs_follow_one_another_without_a_gap(
    venue: Callable, capture: Callable, verify: Callable, tmp_path: Path
) -> None:
    sent = tmp_path / "sent"
    served = venue(*BUSY, "--sent-log", str(sent))
    rotating = capture(served, "week", "--ws-shards", "3", "--rotate", "1s", *QUICK)
    runs = [line_of(rotating)]
    wait_until(
        lambda: any(beat["shards_connected"] == 3 for beat in runlog(runs[0], "heartbeat")),
        "the connections of the first run",
    )
    open_at_first = descriptors(rotating) if sys.platform == "linux" else 0
    reference = capture(served, "reference", "--ws-shards", "1")
    whole = line_of(reference)
    for _ in range(3):
        runs.append(line_of(rotating))
        wait_until(lambda: (runs[-2] / "seal.json").is_file(), "the seal of the run before")
        if sys.platform == "linux":
            wait_until(lambda: descriptors(rotating) == open_at_first, "the end of its descriptors")
    handed_over = list(itertools.pairwise(runs))
    for process in (reference, rotating):
        process.send_signal(signal.SIGINT)
        assert process.wait(timeout=30) == 0
    # Where the reference took its time to end, there are more runs by now.
    runs += map(Path, rotating.stdout.read().splitlines())

    later = [f"week-{number:04d}" for number in range(2, len(runs) + 1)]
    assert [run.name for run in runs] == ["week", *later]
    for run in (*runs, whole):
        code, report = verify(run)
        assert code == 0, report["findings"]
        assert all(verdict.ok for verdict in judge(run, sent))
    for before, after in handed_over:
        assert open_bundle(after).manifest["previous_run_id"] == before.name
        [stop], [done] = runlog(before, "capture_stop"), runlog(before, "rotate_done")
        assert (stop["reason"], stop["next_run_id"]) == ("rotate", after.name)
        assert (done["reason"], done["missing_count"]) == ("complete", 0)
        # By the bundles alone: what the older run covers reaches beyond the first books of the next.
        books, until = first_books(after), covered_until(before)
        assert books.keys() == until.keys()
        assert len(books) == 16
        assert all(books[token] < until[token] for token in books)
    # By what the venue sent: every change is in one of the runs, byte for byte.
    [connection] = connections(whole)
    number = entry_of(connection, sent_entries(sent))["connection"]
    log = read_frames(sent / f"connection_{number:04d}.frames")
    changes = [frame.payload for frame in log if b'"price_change"' in frame.payload]
    captured = {frame.payload for run in runs for frame in frames_of(run)}
    missing = [payload for payload in changes if payload not in captured]
    assert missing == []
    single = [{frame.payload for frame in frames_of(run)} for run in runs]
    assert all(any(payload not in one for payload in changes) for one in single)
    overlaps = [runlog(run, "rotate_done")[0]["overlap_ns"] / 1e6 for run, _ in handed_over]
    print(
        f"\n{len(changes):,} changes in {len(runs)} runs, overlaps of",
        *map("{:.0f} ms".format, overlaps),
    )


def test_the_universe_goes_with_it_and_is_still_followed(
    venue: Callable, capture: Callable, verify: Callable
) -> None:
    served = venue("--seed", "29", "--markets", "12", "--rate", "50", "--lifecycle-seconds", "1")
    process = capture(
        served, "moving", "--ws-shards", "2", "--rotate", "2s", *QUICK,
        "--capture-universe-refresh-interval-seconds", "0.4",
        "--capture-universe-refresh-stagger-seconds", "0.01",
        "--capture-universe-refresh-max-churn-pct", "0",
    )  # fmt: skip
    first, second = line_of(process), line_of(process)
    wait_until(
        lambda: any(each["reason"] == "APPLIED" for each in runlog(second, "universe_refresh")),
        "a refresh of the second run",
    )
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0
    for run in (first, second):
        code, report = verify(run)
        assert code == 0, report["findings"]
    # What a full generation would be, as pm-universe folds it.
    chain = sorted((first / "universe").glob("[0-9]*.json"))
    assert len(chain) > 1, "nothing has changed before the rotation"
    folded = fold([decode_generation(path.read_bytes()) for path in chain])
    taken = decode_generation((second / "universe" / "000000.json").read_bytes())
    assert taken == msgspec.structs.replace(folded, universe_version=0)
    origin = open_bundle(second).manifest["initial_universe"]["taken_over"]
    digest = hashlib.sha256(chain[-1].read_bytes()).hexdigest()
    assert origin == {
        "run_id": first.name, "universe_version": len(chain) - 1, "sha256": digest,
    }  # fmt: skip
    # A market that is over has no book any more, and none is waited for.
    [begun], [done] = runlog(first, "rotate_begin"), runlog(first, "rotate_done")
    assert (done["reason"], done["missing_count"]) == ("complete", 0)
    # Nobody asks while two runs live.
    asked = [
        record["ts_mono_ns"]
        for run in (first, second)
        for record in runlog(run, "universe_refresh", "universe_refresh_error")
    ]
    assert all(not begun["ts_mono_ns"] <= when <= done["ts_mono_ns"] for when in asked)


@pytest.fixture
def overlapping(
    venue: Callable, capture: Callable
) -> Iterator[Callable[..., tuple[Any, subprocess.Popen, Path, Path]]]:
    """Start a capture whose second run begins and gets no answer from the venue."""
    stopped = []

    def start(*flags: str) -> tuple[Any, subprocess.Popen, Path, Path]:
        served = venue(*BUSY)
        process = capture(served, "run", "--ws-shards", "2", "--rotate", "3s", *QUICK, *flags)
        first = line_of(process)
        wait_until(lambda: bool(runlog(first, "heartbeat")), "a heartbeat")
        served.process.send_signal(signal.SIGSTOP)
        stopped.append(served)
        return served, process, first, line_of(process)

    yield start
    for served in stopped:
        served.process.send_signal(signal.SIGCONT)


def test_a_kill_while_two_runs_live_leaves_two_crashed_bundles(
    overlapping: Callable, verify: Callable
) -> None:
    served, process, first, second = overlapping()
    process.kill()
    process.wait()
    served.process.send_signal(signal.SIGCONT)
    for run in (first, second):
        code, report = verify(run)
        assert (code, report["state"]) == (3, "crashed"), report["findings"]
    assert not runlog(first, "capture_stop", "rotate_done")
    [begun] = runlog(first, "rotate_begin")
    assert begun["next_run_id"] == second.name
    assert open_bundle(second).manifest["previous_run_id"] == first.name


def test_a_signal_while_two_runs_live_seals_both(overlapping: Callable, verify: Callable) -> None:
    served, process, first, second = overlapping()
    process.send_signal(signal.SIGINT)
    served.process.send_signal(signal.SIGCONT)
    process.communicate(timeout=30)
    assert process.returncode == 0
    for run in (first, second):
        code, report = verify(run)
        assert (code, report["state"]) == (0, "ended"), report["findings"]
        seal = json.loads((run / "seal.json").read_text(encoding="utf-8"))
        assert seal["stop_reason"] == "SIGINT"


def test_a_run_that_cannot_connect_does_not_follow(overlapping: Callable, verify: Callable) -> None:
    served, process, first, second = overlapping("--capture-rotate-timeout-seconds", "0.5")
    wait_until(lambda: bool(runlog(first, "rotate_failed")), "the end of the attempt")
    [failed] = runlog(first, "rotate_failed")
    assert (failed["reason"], failed["next_run_id"]) == ("refused", second.name)
    served.process.send_signal(signal.SIGCONT)
    heartbeats = len(runlog(first, "heartbeat"))
    wait_until(lambda: len(runlog(first, "heartbeat")) > heartbeats + 1, "the first run going on")
    process.send_signal(signal.SIGINT)
    process.communicate(timeout=30)
    assert process.returncode == 0
    for run, reason in ((first, "SIGINT"), (second, "rotate_failed")):
        code, report = verify(run)
        assert (code, report["state"]) == (0, "ended"), report["findings"]
        assert runlog(run, "capture_stop")[0]["reason"] == reason
    last = max(frame.rx_mono_ns for frame in frames_of(first))
    assert last > failed["ts_mono_ns"], "the run in force has stopped recording"
    assert not runlog(first, "reconnect")
