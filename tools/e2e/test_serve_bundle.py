"""A bundle that pm-mock serves and pm-capture captures again replays to the same events of each token.

The recording is of a venue where markets list, refine their ticks and resolve. Who is there before the
playback begins gets everything. Who comes later, or subscribes a market that the recorder took in later,
gets everything after a first book of its own, which is the recorded book of that moment.
"""

import itertools
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from pm_frames import open_bundle
from pm_frames.bundle import read_json
from pm_frames.follow import follow
from pm_frames.frames import Frame
from pm_frames.peek import peek

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

LIVELY = ["--seed", "13", "--markets", "8", "--rate", "500", "--lifecycle-seconds", "0.9"]
REFRESH = ["--capture-universe-refresh-interval-seconds", "0.3"]
REFRESH += ["--capture-universe-refresh-min-delta-tokens", "1"]
REFRESH += ["--capture-universe-refresh-max-churn-pct", "100"]
EVERYTHING = {"new_market", "market_resolved", "last_trade_price", "tick_size_change"}
EVERYTHING |= {"a market taken in"}
FRAMES_AFTER = 300
SLACK_SECONDS = 1.6  # to connect, and to be behind on a busy machine
# What belongs to how the events were recorded; `batch_end` tells of the other tokens of a shard.
OF_THE_RECORDING = {"seq", "ts_recv_ns", "shard", "frame", "state", "batch_end"}


class Told(NamedTuple):
    """An event of a token, without what belongs to the recording of it."""

    kind: str
    facts: dict


def told_by_token(program: Callable[[str], str], run: Path) -> dict[str, list[Told]]:
    """The tops, trades and ticks of each token, in order, as pm-replay tells them."""
    done = subprocess.run(
        [program("pm-replay"), str(run), "--format", "jsonl", "--events-out", "-"],
        capture_output=True,
        check=True,
        timeout=60,
    )
    found: dict[str, list[Told]] = {}
    for event in map(json.loads, done.stdout.splitlines()):
        if event.get("kind") in ("tob", "trade", "tick_size"):
            facts = {key: event[key] for key in event.keys() - OF_THE_RECORDING}
            found.setdefault(event["token_id"], []).append(Told(event["kind"], facts))
    return found


def first_tokens(run: Path) -> set[str]:
    markets = read_json(open_bundle(run).universe_files()[0])["markets"]
    return {token["token_id"] for market in markets for token in market["tokens"]}


def begun(process: subprocess.Popen) -> Path:
    """The run of a capture that has received something."""
    run = Path(process.stdout.readline().strip())
    next(follow(run, wait=lambda: time.sleep(0.005), wants=lambda _: False))
    return run


def finished(run: Path, process: subprocess.Popen) -> Path:
    process.communicate(timeout=60)
    assert process.returncode == 0
    return run


def assert_goes_on(recorded: list[Told], found: list[Told]) -> None:
    """A first book as it stood at some moment, and all that the recording tells after it."""
    assert found, "never served"
    opening, rest = found[0], found[1:]
    before = recorded[: len(recorded) - len(rest)]
    assert rest == recorded[len(before) :]
    top = next(each for each in reversed(before) if each.kind == "tob")
    assert opening.kind == "tob"
    for side in ("bid_px_e6", "bid_sz_e6", "ask_px_e6", "ask_sz_e6", "ts_event_ns"):
        assert opening.facts[side] == top.facts[side], side


@pytest.fixture
def recording(venue: Callable, capture: Callable) -> Path:
    """A run that has everything in it, and some time after a market was taken in."""
    served = venue(*LIVELY)
    process = capture(served, "recording", "--ws-shards", "3", *REFRESH, "--duration-seconds", "9")
    run = begun(process)
    first, missing, left = first_tokens(run), set(EVERYTHING), FRAMES_AFTER
    for _, _, item in follow(run, wait=lambda: time.sleep(0.005)):
        if isinstance(item, Frame):
            seen = peek(item.payload)
            missing -= set(seen.event_types)
            if "book" in seen.event_types and not first.issuperset(seen.token_ids):
                missing.discard("a market taken in")
            left -= not missing
        if not left:
            process.send_signal(signal.SIGINT)
            break
    finished(run, process)
    served.stop()
    assert not missing
    return run


def seconds_of(run: Path) -> float:
    stamps = [frame.rx_mono_ns for _, _, frame in open_bundle(run).frames()]
    return (stamps[-1] - stamps[0]) / 1e9


def test_a_captured_playback_is_the_recording(
    recording: Path,
    venue: Callable,
    capture: Callable,
    verify: Callable,
    program: Callable[[str], str],
) -> None:
    recorded, first = told_by_token(program, recording), first_tokens(recording)
    kinds = {each.kind for told in recorded.values() for each in told}
    assert kinds == {"tob", "trade", "tick_size"}
    assert recorded.keys() - first
    length = seconds_of(recording)
    captures = []
    for speed, shards in ((1, "2"), (3, "5")):
        served = venue("--bundle", str(recording), "--speed", str(speed), "--hold-seconds", "20")
        seconds = str(length / speed + SLACK_SECONDS)
        flags = ["--ws-shards", shards, *REFRESH, "--duration-seconds", seconds]
        process = capture(served, f"again-{speed}", *flags)
        captures.append((begun(process), process))
        if speed == 1:
            flags = ["--ws-shards", "4", "--duration-seconds", seconds]
            late = capture(served, "late", *flags)
    captures.append((begun(late), late))
    for run in itertools.starmap(finished, captures):
        assert verify(run)[0] == 0
        found = told_by_token(program, run)
        assert found
        for token, told in found.items():
            if run.name == "late" or token not in first:
                assert_goes_on(recorded[token], told)
        for token in first if run.name != "late" else ():
            # In-flight frames of a market that the recorder had given up are served, and told there alone.
            expected = recorded.get(token, [])
            assert found.get(token, [])[: len(expected)] == expected
