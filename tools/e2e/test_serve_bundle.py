"""A bundle served by pm-mock and captured again replays to the same events of each token.

The recording is of a venue where markets list, change their ticks and resolve. Who is there before the
playback begins gets everything; of a market that the recorder took in later a client gets everything after
its own first book, which is the recorded book of that moment.
"""

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from pm_frames import open_bundle
from pm_frames.bundle import read_json
from pm_frames.runlog import read_runlog

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

RECORDED_SECONDS = "3"
REFRESH = ["--capture-universe-refresh-interval-seconds", "0.3"]
REFRESH += ["--capture-universe-refresh-min-delta-tokens", "1"]
REFRESH += ["--capture-universe-refresh-max-churn-pct", "100"]
LIVELY = ["--seed", "5", "--markets", "8", "--rate", "400", "--lifecycle-seconds", "0.9"]


class Told(NamedTuple):
    """An event of a token, without what belongs to the recording of it: stamps, sequence, shard, frame."""

    kind: str
    values: tuple


def told_by_token(program: Callable[[str], str], run: Path) -> dict[str, list[Told]]:
    done = subprocess.run(
        [program("pm-replay"), str(run), "--format", "jsonl", "--events-out", "-"],
        capture_output=True, check=True, timeout=60,
    )  # fmt: skip
    found: dict[str, list[Told]] = {}
    for line in done.stdout.splitlines():
        event = json.loads(line)
        if event.get("kind") in ("TOB", "TRADE", "TICK_SIZE"):
            left_out = {"seq", "ts_recv_ns", "shard", "frame", "state", "token_id", "kind"}
            values = tuple(sorted((k, v) for k, v in event.items() if k not in left_out))
            found.setdefault(event["token_id"], []).append(Told(event["kind"], values))
    return found


def first_tokens(run: Path) -> set[str]:
    markets = read_json(open_bundle(run).universe_files()[0])["markets"]
    return {token["token_id"] for market in markets for token in market["tokens"]}


def print_some(run: Path) -> Iterator[str]:
    for record in read_runlog(run / "runlog.ndjson"):
        yield record["record_type"]


@pytest.fixture
def recording(venue: Callable, capture: Callable) -> Path:
    served = venue(*LIVELY)
    process = capture(
        served, "recording", "--ws-shards", "3", *REFRESH, "--duration-seconds", RECORDED_SECONDS
    )
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    served.stop()
    return Path(out.strip())


def test_a_captured_playback_is_the_recording(
    recording: Path, venue: Callable, capture: Callable, program: Callable[[str], str]
) -> None:
    expected = told_by_token(program, recording)
    for speed, shards, seconds in (("1", "2", "4.5"), ("4", "5", "2.5")):
        served = venue("--bundle", str(recording), "--speed", speed, "--hold-seconds", "20")
        process = capture(served, f"again-{speed}", "--ws-shards", shards, *REFRESH, "--duration-seconds", seconds)
        out, _ = process.communicate(timeout=60)
        found = told_by_token(program, Path(out.strip()))
        first = first_tokens(recording)
        print(speed, len(expected), len(found), len(first))
        for token in first:
            a, b = expected.get(token, []), found.get(token, [])
            print(token[:6], len(a), len(b), a == b, b[:len(a)] == a)
        for token in set(expected)-first:
            a, b = expected.get(token, []), found.get(token, [])
            print("later", token[:6], len(a), len(b), b[1:] == a[len(a)-len(b)+1:])
    from collections import Counter
    print(Counter(print_some(recording)))
    print(Counter(e.kind for es in expected.values() for e in es))
    assert 0
