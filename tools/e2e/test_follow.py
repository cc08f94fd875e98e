"""Live is replay that has not ended: who follows a capture tells what a replay of its bundle tells later.

Chaos meanwhile, from a seed; some captures are killed. `PM_TEST_FOLLOWS` sets how many of each kind (2 when
it is not set; 50 under `PM_TEST_CAMPAIGN=full`), `PM_TEST_SEED` the first seed.
"""

import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from trials import chaos_script
from trials.venue_log import wait_until

from pm_frames.events import EndReason, RunState, open_events

FULL = os.environ.get("PM_TEST_CAMPAIGN") == "full"
FOLLOWS = int(os.environ.get("PM_TEST_FOLLOWS", "50" if FULL else "2"))
SEED = int(os.environ.get("PM_TEST_SEED", "20260101"))
SECONDS = 5.0
IMPATIENT = [
    "--ws-ping-interval-seconds", "0.5", "--ws-ping-timeout-seconds", "1",
    "--ws-data-idle-reconnect-seconds", "1", "--capture-confirm-timeout-seconds", "1",
    "--ws-reconnect-backoff-seconds", "0.1", "--ws-reconnect-backoff-max-seconds", "0.3",
    "--capture-universe-refresh-interval-seconds", "1.5", "--capture-universe-refresh-max-churn-pct", "0",
]  # fmt: skip


class Followed:
    """A venue in trouble, a capture of it, and who follows that through the pipe between the two."""

    def __init__(
        self, seed: int, venue: Callable, capture: Callable, program: Callable, tmp_path: Path, *flags: str
    ) -> None:  # fmt: skip
        self.program = program
        script = chaos_script.draw(seed, seconds=SECONDS, connections=200)
        faults = tmp_path / f"faults-{seed}.toml"
        faults.write_text(script.toml, encoding="utf-8")
        served = venue(
            "--seed", str(seed), "--markets", "20", "--rate", "600", "--lifecycle-seconds", "2",
            "--faults", str(faults),
        )  # fmt: skip
        self.run = tmp_path / "runs" / f"run-{seed}"
        self.live, self.later = tmp_path / f"live-{seed}.pmev", tmp_path / f"later-{seed}.pmev"
        self.capture = capture(served, self.run.name, "--ws-shards", "3", *IMPATIENT, *flags)
        self.follower = subprocess.Popen(
            [program("pm-replay"), "--follow", "--events-out", str(self.live)],
            stdin=self.capture.stdout, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        self.venue = served

    def judge(self, code: int) -> dict:
        """Compare with a replay of what is left; return the summary of the follower."""
        try:
            out, err = self.follower.communicate(timeout=90)
        finally:
            self.follower.kill()
            self.venue.stop()
        assert self.follower.returncode == code, err.decode()
        done = subprocess.run(
            [self.program("pm-replay"), str(self.run), "--events-out", str(self.later)],
            capture_output=True, check=False,
        )  # fmt: skip
        assert done.returncode == code, done.stderr.decode()
        live, later = json.loads(out), json.loads(done.stdout)
        assert live["ok"]
        assert later["ok"]
        assert self.live.read_bytes() == self.later.read_bytes()
        for key in ("event_hash", "canonical_events", "frames", "kinds", "run_state", "oracles"):
            assert live[key] == later[key], key
        assert live["canonical_events"] > 500
        return live


@pytest.mark.timeout(120 * (1 + FOLLOWS))
def test_a_follower_tells_what_a_replay_tells_later(
    venue: Callable, capture: Callable, program: Callable, tmp_path: Path
) -> None:
    shares = []
    for seed in range(SEED, SEED + FOLLOWS):
        followed = Followed(
            seed, venue, capture, program, tmp_path, "--duration-seconds", str(SECONDS)
        )
        live = followed.judge(0)
        share = live["follow"]["events_before_seal"] / live["canonical_events"]
        shares.append(share)
        assert share >= 0.9, (seed, live["follow"])
        with open_events(followed.live) as reader:
            list(reader)
        assert (reader.end.run_state, reader.end.reason) == (RunState.ENDED, EndReason.WHOLE)
    print(f"{FOLLOWS} seeds from {SEED}: at least {min(shares):.1%} before the seal")


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.timeout(120 * (1 + FOLLOWS))
def test_a_follower_outlives_the_capture_and_says_that_it_died(
    venue: Callable, capture: Callable, program: Callable, tmp_path: Path
) -> None:
    for seed in range(SEED + 1000, SEED + 1000 + FOLLOWS):
        followed = Followed(seed, venue, capture, program, tmp_path)
        rng = random.Random(seed)
        wait_until(
            lambda one=followed: one.live.exists() and one.live.stat().st_size > 200_000, "events"
        )
        time.sleep(rng.uniform(0, 1))  # anywhere in a round, a write, a reconnect
        followed.capture.send_signal(signal.SIGKILL)
        live = followed.judge(3)
        assert live["run_state"] == "crashed"
        with open_events(followed.live) as reader:
            list(reader)
        assert reader.end.run_state == RunState.CRASHED
