"""Real processes and real sockets: a venue, a capture of it, and the tools on what it leaves."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

ROOT = Path(__file__).resolve().parents[2]
BIN = Path(sys.executable).parent
sys.path.insert(0, str(ROOT / "tools"))


class Venue:
    """A running `pm-mock serve`."""

    def __init__(self, process: subprocess.Popen[str], urls: dict) -> None:
        self.process = process
        self.gamma = urls["gamma_base_url"]
        self.ws = urls["ws_url"]

    @property
    def flags(self) -> list[str]:
        """What pm-capture needs to capture this venue."""
        return ["--gamma-base-url", self.gamma, "--clob-ws-url", self.ws]

    def stop(self) -> None:
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM if os.name == "nt" else signal.SIGINT)
        self.process.communicate(timeout=60)


def program_path(name: str) -> str:
    """Return where an installed command is."""
    return str(BIN / (f"{name}.exe" if os.name == "nt" else name))


@pytest.fixture
def program() -> Callable[[str], str]:
    """The path of an installed command."""
    return program_path


@contextmanager
def venues(cwd: Path) -> Iterator[Callable[..., Venue]]:
    """Start `pm-mock serve` with the flags given; every one started is stopped at the end."""
    running: list[Venue] = []

    def start(*flags: str) -> Venue:
        process = subprocess.Popen(
            [program_path("pm-mock"), "serve", *flags], stdout=subprocess.PIPE, text=True, cwd=cwd
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "pm-mock ended before it was ready"
        running.append(Venue(process, json.loads(line)))
        return running[-1]

    try:
        yield start
    finally:
        for one in running:
            one.stop()


@contextmanager
def captures(data_dir: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """Start `pm-capture` of a venue with the flags given; none outlives the block."""
    running: list[subprocess.Popen[str]] = []

    def start(served: Venue, run_id: str, *flags: str) -> subprocess.Popen[str]:
        command = [program_path("pm-capture"), "--run-id", run_id, "--data-dir", str(data_dir)]
        command += ["--min-free-disk-gb", "0"]  # what is free here is not what is tested
        running.append(
            subprocess.Popen([*command, *served.flags, *flags], stdout=subprocess.PIPE, text=True)
        )
        return running[-1]

    try:
        yield start
    finally:
        for process in running:
            if process.poll() is None:
                process.kill()
            process.communicate()


@pytest.fixture
def venue(tmp_path: Path) -> Iterator[Callable[..., Venue]]:
    """`venues` of one test."""
    with venues(tmp_path) as start:
        yield start


@pytest.fixture
def capture(tmp_path: Path) -> Iterator[Callable[..., subprocess.Popen[str]]]:
    """`captures` of one test, in `tmp_path`."""
    with captures(tmp_path) as start:
        yield start


class FaultyDay(NamedTuple):
    """A sealed capture of five seconds on four shards; who reads it must leave it as it is.

    The second connection is lost after a second, the third falls silent from 1.5 s to 3.5 s.
    """

    run_dir: Path
    sent: Path  # the venue's own log


FAULTS = """\
[[fault]]
kind = "close"
code = 1006
since = "open"
at = 1.0
connection = 2

[[fault]]
kind = "freeze"
since = "open"
at = 1.5
seconds = 2.0
connection = 3
"""


@pytest.fixture(scope="session")
def faulty_day(tmp_path_factory: pytest.TempPathFactory) -> FaultyDay:
    """Capture once what several tests look at."""
    home = tmp_path_factory.mktemp("day")
    (home / "faults.toml").write_text(FAULTS, encoding="utf-8")
    flags = ["--seed", "7", "--markets", "24", "--rate", "600", "--faults", "faults.toml"]
    with venues(home) as serve, captures(home) as start:
        served = serve(*flags, "--sent-log", str(home / "sent"))
        capturing = start(served, "day", "--ws-shards", "4", "--duration-seconds", "5")
        out, _ = capturing.communicate(timeout=60)
        assert capturing.returncode == 0
    return FaultyDay(Path(out.strip()), home / "sent")


@pytest.fixture
def real_data() -> Path:
    """Real captured data beside the checkout; the licence of most of it keeps it out of the repository."""
    path = ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"no real data beside the checkout ({path.name})")
    return path


@pytest.fixture
def universe(program: Callable[[str], str], tmp_path: Path) -> Callable[[str], Path]:
    """Discover once; a process start a kill is enough."""

    def discover(gamma_base_url: str) -> Path:
        path = tmp_path / "universe.json"
        subprocess.run(
            [program("pm-universe"), "discover", "--gamma-base-url", gamma_base_url,
             "--out", str(path)],
            check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, timeout=60,
        )  # fmt: skip
        return path

    return discover


@pytest.fixture
def verify(program: Callable[[str], str]) -> Callable[[Path], tuple[int, dict]]:
    """Run `pm-verify --json` on a bundle; returns its exit code and its report."""

    def run(run_dir: Path) -> tuple[int, dict]:
        done = subprocess.run(
            [program("pm-verify"), str(run_dir), "--json"],
            capture_output=True,
            timeout=120,
            check=False,
        )
        assert done.stdout, done.stderr.decode()
        return done.returncode, json.loads(done.stdout)

    return run
