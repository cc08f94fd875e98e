"""Stopping is part of the job: a signal seals the run, and what is left verifies (R039, R077)."""

import json
import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_seals_the_run(
    number: int, venue: Callable, program: Callable[[str], str], tmp_path: Path
) -> None:
    served = venue("--seed", "3", "--markets", "8", "--rate", "2000")
    capture = subprocess.Popen(
        [program("pm-capture"), "--run-id", "stopped", "--data-dir", str(tmp_path), *served.flags],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert capture.stdout is not None
    run_dir = Path(capture.stdout.readline().strip())
    watch = run_dir / "capture"
    while not any(path.stat().st_size for path in watch.glob("shard_*.frames")):
        assert capture.poll() is None
    capture.send_signal(number)
    capture.communicate(timeout=60)
    assert capture.returncode == 0
    assert (run_dir / "seal.json").is_file()
    verified = subprocess.run(
        [program("pm-verify"), str(run_dir), "--json"], capture_output=True, check=False
    )
    assert verified.returncode == 0, verified.stdout


def test_kill_leaves_a_bundle_that_says_so(
    venue: Callable, program: Callable[[str], str], tmp_path: Path
) -> None:
    served = venue("--seed", "4", "--markets", "8", "--rate", "2000")
    capture = subprocess.Popen(
        [program("pm-capture"), "--run-id", "killed", "--data-dir", str(tmp_path), *served.flags],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert capture.stdout is not None
    run_dir = Path(capture.stdout.readline().strip())
    while not any(path.stat().st_size for path in (run_dir / "capture").glob("shard_*.frames")):
        assert capture.poll() is None
    capture.kill()
    capture.communicate(timeout=60)
    verified = subprocess.run(
        [program("pm-verify"), str(run_dir), "--json"], capture_output=True, check=False
    )
    assert verified.returncode == 3, verified.stdout
    report = json.loads(verified.stdout)
    assert report["state"] == "crashed"
    assert report["totals"]["crc_mismatch"] == 0
