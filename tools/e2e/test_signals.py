"""Stopping is part of the job: a signal seals the run, and what is left verifies (R039, R077)."""

import os
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


@pytest.fixture
def under_way(venue: Callable, capture: Callable) -> tuple[subprocess.Popen[str], Path]:
    """A capture that has written frames, and its run directory."""
    served = venue("--seed", "3", "--markets", "8", "--rate", "2000")
    capturing = capture(served, "stopped")
    run_dir = Path(capturing.stdout.readline().strip())
    while not any(path.stat().st_size for path in (run_dir / "capture").glob("shard_*.frames")):
        assert capturing.poll() is None
    return capturing, run_dir


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_seals_the_run(
    number: int, under_way: tuple[subprocess.Popen[str], Path], verify: Callable
) -> None:
    capturing, run_dir = under_way
    capturing.send_signal(number)
    capturing.communicate(timeout=60)
    assert capturing.returncode == 0
    assert (run_dir / "seal.json").is_file()
    code, report = verify(run_dir)
    assert code == 0, report["findings"]
    assert report["state"] == "ended"


def test_kill_leaves_a_bundle_that_says_so(
    under_way: tuple[subprocess.Popen[str], Path], verify: Callable
) -> None:
    capturing, run_dir = under_way
    capturing.kill()
    capturing.communicate(timeout=60)
    code, report = verify(run_dir)
    assert code == 3, report["findings"]
    assert report["state"] == "crashed"
    assert report["totals"]["crc_mismatch"] == 0
