"""The line on the terminal: what it says, and that it never holds anything up."""

import io
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, TextIO

import pytest

from pm_capture.status_line import StatusLine, on_terminal, scaled, status_text

S = 1_000_000_000
RECORD: dict[str, Any] = {
    "hb_mono_ns": 3_725 * S, "elapsed_ns": S, "shards_connected": 7, "msgs_per_sec": 1234.4,
    "bytes_per_sec": 901_234.0, "coverage_pct": 99.96, "midrun_disconnected_incidents": 1,
    "frames": 4_321_000, "bytes_written": 12_300_000_000,
}  # fmt: skip
posix = pytest.mark.skipif(sys.platform == "win32", reason="pseudo-terminals")


def text(width: int = 200, **changes: object) -> str:
    return status_text({**RECORD, **changes}, shards=8, since_mono_ns=0, width=width)


def test_it_says_how_the_capture_goes() -> None:
    assert text() == (
        "1:02:05 · 7/8 shards · 1,234 msg/s · 901 kB/s · coverage 99.9 % · 1 gap · 4,321,000 frames · 12.3 GB"
    )
    assert "coverage 100.0 % · 0 gaps" in text(coverage_pct=100.0, midrun_disconnected_incidents=0)


@pytest.mark.parametrize("width", [0, 1, 5, 20, 40, 80])
def test_it_never_wraps(width: int) -> None:
    assert len(text(width)) <= width
    assert text().startswith(text(width))


def test_what_matters_least_goes_first() -> None:
    assert text(79).endswith("1 gap")
    assert text(25) == "1:02:05 · 7/8 shards"


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 B"), (999, "999 B"), (999.6, "1.0 kB"), (1000, "1.0 kB"), (99_960, "100 kB"),
     (999_600, "1.0 MB"), (1.5e9, "1.5 GB"), (2e12, "2.0 TB"), (5e15, "5000 TB")],
)  # fmt: skip
def test_sizes_are_decimal(count: float, words: str) -> None:
    assert scaled(count) == words


def screen(written: str) -> str:
    """What a terminal shows of carriage returns and newlines."""
    lines = []
    for line in written.split("\n"):
        shown = ""
        for part in line.split("\r"):
            shown = part + shown[len(part) :]
        lines.append(shown.rstrip())
    return "\n".join(lines)


def line_on(stream: TextIO, *, ready: Callable[[], bool] = lambda: True) -> StatusLine:
    return StatusLine(stream, columns=lambda: 60, ready=ready)


def test_a_shorter_line_leaves_nothing_of_the_longer() -> None:
    stream = io.StringIO()
    line = line_on(stream)
    line.show(RECORD, 8)
    line.show({**RECORD, "msgs_per_sec": 1.0, "bytes_per_sec": 1.0}, 8)
    assert screen(stream.getvalue()) == "0:00:01 · 7/8 shards · 1 msg/s · 1 B/s · coverage 99.9 %"


def test_words_stand_above_the_line() -> None:
    stream = io.StringIO()
    line = line_on(stream)
    say = line.above(lambda words: print(words, file=stream))
    line.show(RECORD, 8)
    say("shard 0: connection lost")
    assert screen(stream.getvalue()) == "shard 0: connection lost\n"
    line.show(RECORD, 8)
    assert screen(stream.getvalue()).startswith("shard 0: connection lost\n0:00:01 · 7/8")


def test_a_terminal_that_takes_nothing_gets_nothing() -> None:
    stream = io.StringIO()
    line = line_on(stream, ready=lambda: False)
    line.show(RECORD, 8)
    line.above(lambda words: print(words, file=stream))("words")
    assert stream.getvalue() == ""


def test_a_terminal_that_is_gone_is_no_error() -> None:
    stream = io.StringIO()
    line = line_on(stream)
    stream.close()
    line.show(RECORD, 8)


def test_without_a_terminal_there_is_no_line(tmp_path: Path) -> None:
    assert on_terminal(None) is None  # Python's stderr, when it was closed before the start
    assert on_terminal(io.StringIO()) is None
    with (tmp_path / "log").open("w") as file:
        assert on_terminal(file) is None
    assert on_terminal(file) is None


@pytest.fixture
def pseudo_terminal() -> Iterator[tuple[int, int]]:
    """The two ends of a terminal: what the user sees, and what the program writes to."""
    with ExitStack() as stack:
        ends = os.openpty()
        for end in ends:
            stack.callback(os.close, end)
        yield ends


@posix
def test_a_stopped_terminal_does_not_block(pseudo_terminal: tuple[int, int]) -> None:
    import termios

    user, program = pseudo_terminal
    with open(program, "w", encoding="utf-8", closefd=False) as stream:
        line = on_terminal(stream)
        assert line is not None
        termios.tcflow(program, termios.TCOOFF)  # what Ctrl-S does
        for _ in range(10_000):
            line.show(RECORD, 8)
        termios.tcflow(program, termios.TCOON)
        line.show(RECORD, 8)
    seen = os.read(user, 100_000).decode()
    assert seen.count("\r") == 1
    assert "7/8 shards" in seen


@posix
def test_a_capture_on_a_terminal_shows_it(
    pseudo_terminal: tuple[int, int], tmp_path: Path, universe_file: Path
) -> None:
    user, program = pseudo_terminal
    environ = {name: value for name, value in os.environ.items() if not name.startswith("PM_")}
    done = subprocess.run(
        [
            sys.executable, "-m", "pm_capture", "--run-id", "r", "--data-dir", str(tmp_path),
            "--universe", str(universe_file), "--clob-ws-url", "ws://127.0.0.1:9/ws/market",
            "--ws-shards", "1", "--duration-seconds", "0.5",
            "--capture-heartbeat-interval-seconds", "0.1",
        ],
        stdout=subprocess.PIPE, stderr=program, env=environ, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0
    assert done.stdout.decode().strip() == str(tmp_path / "runs" / "r")
    seen = os.read(user, 100_000).decode()
    assert "\r0:00:00 · 0/1 shards · 0 msg/s" in seen
    assert "\x1b" not in seen
    last = screen(seen.replace("\r\n", "\n")).splitlines()[-1]
    assert last.startswith("pm-capture: run r: sealed, 0 frames")
