"""Stopping is part of the job: a signal seals the run, and what is left verifies (R039, R077).

`PM_TEST_SIGNALS` sets how many captures get signals at random instants (4 when it is not set),
`PM_TEST_SEED` the instants.
"""

import os
import random
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from trials.venue_log import wait_until

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")


SIGNALS = int(os.environ.get("PM_TEST_SIGNALS", "4"))
SEED = int(os.environ.get("PM_TEST_SEED", "20260101"))
STOPPING = (signal.SIGINT, signal.SIGTERM)
# What the second signal may leave: an unsealed run, and the record that was being written.
TOLERATED = {"PMV004", "PMV021", "PMV041", "PMV042", "PMV061"}


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


class Signalled:
    """A capture that gets signals, and what has to hold of it."""

    def __init__(
        self, start: Callable[..., subprocess.Popen[str]], run_dir: Path, rng: random.Random
    ) -> None:
        self._start = start
        self._run_dir = run_dir
        self._rng = rng
        self._number = rng.choice(STOPPING)
        self.kinds = (self.early, self.discovering, self.twice, self.stopped)

    def early(self) -> str:
        """SIGTERM at any instant; what Python does with SIGINT before it runs us is not ours."""
        capturing = self._start()
        self._pause(2.0)
        return self._ended_early(capturing, signal.SIGTERM)

    def discovering(self) -> str:
        """A signal in the discovery, or just as the run begins."""
        capturing = self._start()
        wait_until(self._run_dir.exists, "the run directory")
        self._pause(1.6)
        return self._ended_early(capturing, self._number)

    def _ended_early(self, capturing: subprocess.Popen[str], number: int) -> str:
        capturing.send_signal(number)
        words, _ = capturing.communicate(timeout=60)
        if capturing.returncode == 0:
            assert (self._run_dir / "seal.json").is_file()
            return "sealed"
        assert capturing.returncode in {128 + number, -number}
        assert not words, "a run was announced"
        assert not self._run_dir.exists(), "a run that did not begin left something"
        return "ended before the run"

    def twice(self) -> str:
        """A second signal while the first is being obeyed."""
        capturing = self._begun()
        capturing.send_signal(self._number)
        self._pause(0.04)
        capturing.send_signal(self._rng.choice(STOPPING))
        capturing.communicate(timeout=60)
        assert capturing.returncode in {0, 130, 143, -signal.SIGINT, -signal.SIGTERM}
        if (self._run_dir / "seal.json").is_file():
            return "sealed"
        assert capturing.returncode != 0
        return "unsealed"

    def stopped(self) -> str:
        """SIGSTOP, SIGCONT, and the signal before or after it."""
        capturing = self._begun()
        capturing.send_signal(signal.SIGSTOP)
        self._pause(0.8)
        first, second = self._rng.choice([(0, self._number), (self._number, 0)])
        capturing.send_signal(first)
        capturing.send_signal(signal.SIGCONT)
        self._pause(0.1)
        capturing.send_signal(second)
        capturing.communicate(timeout=60)
        assert capturing.returncode == 0
        assert (self._run_dir / "seal.json").is_file()
        return "sealed"

    def _begun(self) -> subprocess.Popen[str]:
        capturing = self._start()
        assert capturing.stdout is not None
        assert capturing.stdout.readline(), "the capture did not begin"
        self._pause(0.4)
        return capturing

    def _pause(self, most: float) -> None:
        time.sleep(self._rng.uniform(0, most))


@pytest.mark.timeout(120 + 10 * SIGNALS)
def test_signals_of_every_kind_at_random_instants(
    venue: Callable, capture: Callable, verify: Callable, tmp_path: Path
) -> None:
    served = venue("--seed", "29", "--markets", "20", "--rate", "3000")
    rng = random.Random(SEED)
    counts: Counter[str] = Counter()
    for instant in range(SIGNALS):
        run_id = f"signal-{instant}"
        run_dir = tmp_path / "runs" / run_id

        def start(run_id: str = run_id) -> subprocess.Popen[str]:
            return capture(served, run_id, "--ws-shards", "4")

        signalled = Signalled(start, run_dir, rng)
        kind = signalled.kinds[instant % len(signalled.kinds)]
        where = f"signal {instant} ({kind.__name__}) of PM_TEST_SEED={SEED}: {run_dir}"
        try:
            outcome = kind()
        except AssertionError as problem:
            raise AssertionError(f"{where}: {problem}") from problem
        counts[f"{kind.__name__}: {outcome}"] += 1
        if outcome == "ended before the run":
            continue
        code, report = verify(run_dir)
        assert code == (0 if outcome == "sealed" else 3), (where, report["findings"])
        assert set(report["finding_counts"]) <= TOLERATED, (where, report["findings"])
    assert discoveries_of(served.gamma) == [], "a discovery has outlived its capture"
    print(f"\n{SIGNALS} captures, seed {SEED}:", *(f"{n:>5} {what}" for what, n in sorted(counts.items())),
          sep="\n  ")  # fmt: skip


def discoveries_of(gamma_base_url: str) -> list[str]:
    """The command lines of discoveries that still run; none where there is no /proc."""
    found = []
    for path in Path("/proc").glob("[0-9]*/cmdline"):
        try:
            command = path.read_bytes().replace(b"\0", b" ").decode("utf-8", "replace")
        except OSError:
            continue  # it has ended
        if "pm-universe" in command and gamma_base_url in command:
            found.append(command)
    return found
