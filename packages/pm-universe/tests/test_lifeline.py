"""A discovery that ends with the program that started it."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest

from pm_universe.lifeline import EXIT_CODE


@pytest.fixture
def silent() -> "socket.socket":
    """A venue that takes connections and never answers."""
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    listening.listen()
    return listening


def discovery(silent: socket.socket, out: Path, *flags: str) -> "subprocess.Popen[bytes]":
    url = f"http://127.0.0.1:{silent.getsockname()[1]}"
    command = [sys.executable, "-m", "pm_universe", "discover", "--gamma-base-url", url]
    return subprocess.Popen(
        [*command, "--out", str(out), "--retries", "0", *flags],
        stdin=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        env={name: value for name, value in os.environ.items() if "proxy" not in name.lower()},
    )


def test_the_end_of_stdin_is_its_end(silent: socket.socket, tmp_path: Path) -> None:
    out = tmp_path / "u.json"
    process = discovery(silent, out, "--end-with-stdin", "--timeout-seconds", "600")
    with silent, silent.accept()[0]:  # it asks, and waits for the answer
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == EXIT_CODE
    assert list(tmp_path.iterdir()) == []


def test_without_the_flag_stdin_means_nothing(silent: socket.socket, tmp_path: Path) -> None:
    process = discovery(silent, tmp_path / "u.json", "--timeout-seconds", "0.5")
    with silent, silent.accept()[0]:
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait(30) == 6
