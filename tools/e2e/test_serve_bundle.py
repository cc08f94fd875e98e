"""A bundle that pm-mock serves and pm-capture captures again replays to the same events of each token.

The recording is of a venue where markets list, refine their ticks and resolve. Who is there before the
playback begins gets everything. Of a market that the recorder took in later, a client gets everything after
a first book of its own, which is the recorded book of that moment.
"""

import json
import os
import subprocess
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest

from pm_frames import open_bundle
from pm_frames.bundle import read_json
from pm_frames.peek import peek

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

LIVELY = ["--seed", "13", "--markets", "8", "--rate", "500", "--lifecycle-seconds", "0.9"]
REFRESH = ["--capture-universe-refresh-interval-seconds", "0.3"]
REFRESH += ["--capture-universe-refresh-min-delta-tokens", "1"]
REFRESH += ["--capture-universe-refresh-max-churn-pct", "100"]
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


def types_of(run: Path) -> Counter[str]:
    frames = open_bundle(run).frames()
    return Counter(kind for _, _, frame in frames for kind in peek(frame.payload).event_types)


def finished(process: subprocess.Popen) -> Path:
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return Path(out.strip())


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
    served = venue(*LIVELY)
    run = finished(
        capture(served, "recording", "--ws-shards", "3", *REFRESH, "--duration-seconds", "2.5")
    )
    served.stop()
    return run


def test_a_captured_playback_is_the_recording(
    recording: Path,
    venue: Callable,
    capture: Callable,
    verify: Callable,
    program: Callable[[str], str],
) -> None:
    types = types_of(recording)
    assert {"new_market", "market_resolved", "last_trade_price", "tick_size_change"} <= set(types)
    recorded, first = told_by_token(program, recording), first_tokens(recording)
    assert {"tob", "trade", "tick_size"} == {
        told.kind for token in first for told in recorded[token]
    }
    later = [token for token in recorded.keys() - first if len(recorded[token]) > 5]
    assert later, "the recorder took in no market"
    followed = 0
    for speed, shards, seconds in (("1", "2", "3.3"), ("3", "5", "1.8")):
        served = venue("--bundle", str(recording), "--speed", speed, "--hold-seconds", "20")
        run = finished(
            capture(
                served, f"again-{speed}", "--ws-shards", shards, *REFRESH,
                "--duration-seconds", seconds,
            )
        )  # fmt: skip
        served.stop()
        assert verify(run)[0] == 0
        found = told_by_token(program, run)
        for token in first:
            # In-flight frames of a market that the recorder had given up are served, and told there alone.
            expected = recorded.get(token, [])
            assert found.get(token, [])[: len(expected)] == expected
        for token in later:
            if token in found:
                assert_goes_on(recorded[token], found[token])
                followed += len(found[token]) > 2
    assert followed, "no market was taken in while it was played"
