"""One capture, one line: whatever the way of the events, the hash seed, the locale and the zone of time."""

import json
import os
import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from determinism import QUICK, SIM_FLAGS, VARIANTS

FLAGS = list(SIM_FLAGS)
ENVIRONMENTS = [VARIANTS[name][0] for name in ("plain", "hash seed 0", *QUICK)]


@pytest.fixture
def recorded(
    program: Callable[[str], str],
    venue: Callable[..., object],
    capture: Callable[..., subprocess.Popen[str]],
) -> Path:
    """A run of about two seconds."""
    process = capture(venue(), "same", "--duration-seconds", "2")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return Path(out.strip())


def output(command: list[str], changes: Mapping[str, str], stdin: object = None) -> bytes:
    done = subprocess.run(
        command, env={**os.environ, **changes}, stdin=stdin, capture_output=True,
        timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return done.stdout


def piped(program: Callable[[str], str], run: Path, changes: Mapping[str, str]) -> bytes:
    with subprocess.Popen(
        [program("pm-replay"), str(run), "--depth", "--events-out", "-"],
        env={**os.environ, **changes}, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    ) as process:  # fmt: skip
        return output([program("pm-sim"), "-", *FLAGS], changes, process.stdout)


def test_nothing_around_it_changes_the_line(program: Callable[[str], str], recorded: Path) -> None:
    lines = [piped(program, recorded, changes) for changes in ENVIRONMENTS]
    lines += [
        output([program("pm-sim"), str(recorded), *FLAGS], changes) for changes in ENVIRONMENTS
    ]
    assert len(set(lines)) == 1
    line = json.loads(lines[0])
    assert line["ok"]
    assert line["fills"] > 0


def test_a_fill_leads_back_to_its_bytes(program: Callable[[str], str], recorded: Path) -> None:
    """Each explanation of the first fill, whatever the environment, is the same and adds up."""
    told = [
        output([program("pm-sim"), str(recorded), *FLAGS, "--explain", "1"], changes)
        for changes in ENVIRONMENTS[:2]
    ]
    assert told[0] == told[1]
    lenses = json.loads(told[0])["lenses"]
    assert list(lenses) == ["worst", "central"]
    for one in lenses.values():
        fill, frames = one["fill"], one["frames"]
        assert fill["fee_e6"] == one["fee"]["fee_e6"]
        assert fill["token_id"] in frames["top"]["payload"]
        for frame in frames.values():
            if frame["shard"] is not None:
                data = (recorded / frame["file"]).read_bytes()[frame["offset"] : frame["end"]]
                assert data.endswith(frame["payload"].encode())


def test_live_gives_the_hashes_of_the_replay_of_what_it_left(
    program: Callable[[str], str],
    venue: Callable[..., object],
    capture: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
) -> None:
    usage = subprocess.run(
        [program("pm-replay"), "--help"], capture_output=True, text=True, check=True, timeout=60
    ).stdout
    if "--follow" not in usage:
        pytest.skip("this pm-replay does not follow runs")
    process = capture(venue(), "live", "--duration-seconds", "4")
    assert process.stdout is not None
    run = tmp_path / process.stdout.readline().strip()
    done = subprocess.run(
        [
            program("pm-sim"), "--follow", str(run), *FLAGS, "--print-latency-report-json",
            "--print-health-summary-json", "--print-health-heartbeat-json",
            "--health-interval-seconds", "1",
        ],
        capture_output=True, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    process.communicate(timeout=60)
    *beats, report, health, line = (json.loads(text) for text in done.stdout.splitlines())
    replayed = json.loads(output([program("pm-sim"), str(run), *FLAGS], {}))
    for key in ("canonical_events", "final_hash", "fill_hash", "ledger_hash", "pnl"):
        assert line[key] == replayed[key]
    assert beats
    assert max(beat["live_tokens"] for beat in beats) > 0  # the last one may tell of the end
    assert (health["ok"], line["ok"], report["clock"]) == (True, True, "receive")
    assert report["stages"]["e2e_total"]["count"] > 0
    assert report["replay"]["recv_to_decode_start"]["p99_us"] > 0
    assert (line["reconnects"], line["decode_errors"], line["dropped"]) == (0, 0, 0)
    assert line["callback_stats"] == replayed["callback_stats"]
