"""Following and replaying a capture that rotates: each run is a stream of its own, and none is lost between two."""

import itertools
import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
from trials.venue_log import wait_until

from pm_frames.bundle import open_bundle
from pm_frames.events import EndReason, Kind, RunState, open_events
from pm_frames.runlog import read_runlog

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

QUICK = ["--capture-heartbeat-interval-seconds", "0.2"]


class Told(NamedTuple):
    """A trade or a top: what the venue said, without what belongs to one capture of it."""

    token_id: str
    kind: Kind
    values: tuple[int, ...]


def told(path: Path) -> dict[Told, int]:
    """The trades and tops of a stream, each with the stamp of its first time; not the first top of a token.

    The first one is that of the book that a subscription is answered with, which no other capture need have.
    """
    found: dict[Told, int] = {}
    names: dict[int, str] = {}
    begun = set()
    with open_events(path) as reader:
        for event in reader:
            if event.kind == Kind.TOKEN:
                names[event.token] = event.text()
            if event.kind not in (Kind.TOB, Kind.TRADE):
                continue
            values = (event.ts_event_ns, *event[3:5], *event[7:9])
            if event.kind == Kind.TRADE or event.token in begun:
                found.setdefault(
                    Told(names[event.token], Kind(event.kind), values), event.ts_recv_ns
                )
            begun.add(event.token)
    assert reader.end is not None
    assert (reader.end.run_state, reader.end.reason) == (RunState.ENDED, EndReason.WHOLE)
    return found


def without_books(paths: list[Path]) -> dict[str, list[tuple[int, int]]]:
    """When a token had no book in runs that follow one another: from a change of its tick to the next top.

    By the venue's own stamps, both ends included.
    """
    found: dict[str, list[tuple[int, int]]] = {}
    changed: dict[str, int] = {}
    for path in paths:
        names: dict[int, str] = {}
        with open_events(path) as reader:
            for event in reader:
                if event.kind == Kind.TOKEN:
                    names[event.token] = event.text()
                elif event.kind == Kind.TICK_SIZE:
                    changed.setdefault(names[event.token], event.ts_event_ns)
                elif event.kind == Kind.TOB and names[event.token] in changed:
                    since = changed.pop(names[event.token])
                    found.setdefault(names[event.token], []).append((since, event.ts_event_ns))
    return found


def heartbeats(runlog: Path) -> int:
    return sum(record["record_type"] == "heartbeat" for record in read_runlog(runlog))


def test_a_rotating_capture_is_followed_from_run_to_run(
    venue: Callable, capture: Callable, program: Callable, tmp_path: Path
) -> None:
    served = venue("--seed", "31", "--markets", "8", "--rate", "400", "--lifecycle-seconds", "0")
    runs_dir = tmp_path / "runs"
    rotating = capture(served, "week", "--ws-shards", "3", "--rotate", "2s", *QUICK)
    live = tmp_path / "live-{run}.pmev"
    following = subprocess.Popen(
        [program("pm-replay"), "--follow", "--events-out", str(live)],
        stdin=rotating.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    first = runs_dir / "week"
    wait_until((first / "runlog.ndjson").exists, "the first run")
    # Who names a run follows that run, to its end and no further.
    named = subprocess.Popen(
        [program("pm-replay"), str(first), "--follow", "--events-out", str(tmp_path / "named.pmev")],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE,
    )  # fmt: skip
    reference = capture(served, "reference", "--ws-shards", "1")
    assert reference.stdout.readline()
    wait_until(
        lambda: any(path.stat().st_size for path in runs_dir.glob("reference/capture/*.idx")),
        "frames",
    )
    seals = len(list(runs_dir.glob("week*/seal.json")))
    wait_until(lambda: len(list(runs_dir.glob("week*/seal.json"))) >= seals + 2, "two rotations")
    out, err = named.communicate(timeout=60)
    assert named.returncode == 0, err.decode()
    assert json.loads(out)["run_id"] == "week"
    assert rotating.poll() is None, "the capture lives on"
    reference.send_signal(signal.SIGINT)
    assert reference.wait(timeout=60) == 0
    # Soon after a rotation, so that one run lives when the signal comes, and has told something alone.
    seals = len(list(runs_dir.glob("week*/seal.json")))
    wait_until(lambda: len(list(runs_dir.glob("week*/seal.json"))) > seals, "one more rotation")
    newest = max(runs_dir.glob("week*/runlog.ndjson"))
    beats = heartbeats(newest)
    wait_until(lambda: heartbeats(newest) > beats, "a heartbeat of the newest run")
    rotating.send_signal(signal.SIGINT)
    assert rotating.wait(timeout=60) == 0
    out, err = following.communicate(timeout=60)
    assert following.returncode == 0, err.decode()

    runs = sorted(path for path in runs_dir.iterdir() if path.name.startswith("week"))
    summaries = [json.loads(line) for line in out.splitlines()]
    assert [each["run_id"] for each in summaries] == [run.name for run in runs]
    assert len(runs) >= 3
    # Live is later: one run after the other, in one go.
    command = [program("pm-replay"), *map(str, runs), str(runs_dir / "reference")]
    command += ["--events-out", str(tmp_path / "later-{run}.pmev")]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    later = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["event_hash"] for each in later[:-1]] == [each["event_hash"] for each in summaries]
    for run in runs:
        data = (tmp_path / f"live-{run.name}.pmev").read_bytes()
        assert data == (tmp_path / f"later-{run.name}.pmev").read_bytes(), run.name
    assert (tmp_path / "named.pmev").read_bytes() == (tmp_path / "live-week.pmev").read_bytes()

    # Nothing that the venue told a reader who never left is missing from all of the runs. A change of the tick
    # takes a book away until the next one, which the reference, connected later, may have had sooner.
    streams = [told(tmp_path / f"live-{run.name}.pmev") for run in runs]
    whole = told(tmp_path / "later-reference.pmev")
    gone = without_books([tmp_path / f"live-{run.name}.pmev" for run in runs])
    missing = [
        one
        for one in whole
        if not any(one in stream for stream in streams)
        and not any(since <= one.values[0] <= to for since, to in gone.get(one.token_id, ()))
    ]
    assert missing == []
    assert len(whole) > 500
    # and what is told twice was told while two runs lived.
    twice = 0
    for (run, stream), after in itertools.pairwise(zip(runs, streams, strict=True)):
        end = next(
            record["ts_mono_ns"]
            for record in read_runlog(open_bundle(run).runlog_path)
            if record["record_type"] == "capture_stop"
        )
        both = [one for one in after[1] if one in stream]
        assert all(after[1][one] <= end for one in both)
        assert sum(after[1][one] > end for one in after[1]) > 0
        twice += len(both)
    print(f"{len(whole):,} tops and trades, {twice:,} of them twice in {len(runs)} runs")
