"""Two processes that share a venue, each asking for itself: no token twice, none that both leave out."""

import os
import signal
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pm_frames import open_bundle
from pm_frames.runlog import read_runlog

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

READY_S = 30.0


def tokens_wanted(run: Path) -> set[str]:
    """The tokens of all shards at the end: the assignment, and every change of it."""
    assignments = open_bundle(run).manifest["shards"]["assignments"]
    wanted = {token for each in assignments.values() for token in each["token_ids"]}
    for record in read_runlog(run / "runlog.ndjson"):
        if record["record_type"] == "shard_refresh_begin":
            wanted -= set(record["removed_token_ids"])
            wanted |= set(record["added_token_ids"])
    return wanted


def applied(run: Path) -> int:
    records = read_runlog(run / "runlog.ndjson")
    return sum(record.get("reason") == "APPLIED" for record in records)


def test_two_processes_follow_one_universe_and_rotate(
    venue: Callable, capture: Callable, verify: Callable
) -> None:
    served = venue("--seed", "31", "--markets", "16", "--rate", "50", "--lifecycle-seconds", "2")
    flags = [
        "--ws-shards", "4", "--rotate", "2s", "--capture-universe-refresh-interval-seconds", "0.4",
        "--capture-universe-refresh-stagger-seconds", "0.01",
        "--capture-universe-refresh-max-churn-pct", "0",
        "--capture-universe-refresh-min-delta-tokens", "0", "--capture-rotate-timeout-seconds", "3",
    ]  # fmt: skip
    parts = ("0:1", "1:4")
    processes = [capture(served, f"part{part[0]}", "--shard-range", part, *flags) for part in parts]
    runs = []
    for process in processes:
        process.stdout.readline()
        runs.append(Path(process.stdout.readline().strip()))  # the second run of each
    deadline = time.monotonic() + READY_S
    while not all(applied(run) for run in runs):
        assert time.monotonic() < deadline
        time.sleep(0.02)
    for process in processes:
        process.send_signal(signal.SIGINT)
    for process in processes:
        process.communicate(timeout=30)
        assert process.returncode == 0
    for run, part in zip(runs, parts, strict=True):
        code, report = verify(run)
        assert code == 0, report["findings"]
        start, stop = map(int, part.split(":"))
        told = open_bundle(run).manifest["shard_range"]
        assert told == {"start": start, "stop": stop, "count": 4}
    here, there = (tokens_wanted(run) for run in runs)
    assert here
    assert there
    assert not here & there
