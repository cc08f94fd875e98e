"""Real processes and real sockets: a venue, a capture of it, and the tools on what it leaves."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

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


@pytest.fixture
def program() -> Callable[[str], str]:
    """The path of an installed command."""
    return lambda name: str(BIN / (f"{name}.exe" if os.name == "nt" else name))


@pytest.fixture
def venue(program: Callable[[str], str], tmp_path: Path) -> Iterator[Callable[..., Venue]]:
    """Start `pm-mock serve` with the flags given; every one started is stopped at the end."""
    running: list[Venue] = []

    def start(*flags: str) -> Venue:
        process = subprocess.Popen(
            [program("pm-mock"), "serve", *flags], stdout=subprocess.PIPE, text=True, cwd=tmp_path
        )
        assert process.stdout is not None
        line = process.stdout.readline()
        assert line, "pm-mock ended before it was ready"
        running.append(Venue(process, json.loads(line)))
        return running[-1]

    yield start
    for one in running:
        one.stop()


@pytest.fixture
def real_data() -> Path:
    """Real captured data beside the checkout; the licence of most of it keeps it out of the repository."""
    path = ROOT.parent / "shared" / "data"
    if not path.is_dir():
        pytest.skip(f"no real data beside the checkout ({path.name})")
    return path
