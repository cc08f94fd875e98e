"""A venue, a capture of it, its replay, and a simulation: the same line whichever way the events come."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

FLAGS = [
    "--strategy", "toy_spread", "--param", "toy_spread.min_spread_e6=0.01",
    "--strategy", "random_taker", "--order-latency-ms", "20", "--fee-bps", "100",
    "--print-hash", "--print-pnl", "--stable-json",
]  # fmt: skip


@pytest.fixture
def recorded(
    program: Callable[[str], str],
    venue: Callable[..., object],
    capture: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
) -> Path:
    """A run of about two seconds."""
    process = capture(venue(), "sim", "--duration-seconds", "2")
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    return Path(out.strip())


def test_pipe_run_and_file_give_one_line(
    program: Callable[[str], str], recorded: Path, tmp_path: Path
) -> None:
    events = tmp_path / "events.pmev"
    replay = [program("pm-replay"), str(recorded), "--depth", "--events-out"]
    subprocess.run([*replay, str(events)], check=True, timeout=60, stdout=subprocess.DEVNULL)

    def simulated(*where: str, stdin: object = None) -> str:
        done = subprocess.run(
            [program("pm-sim"), *where, *FLAGS],
            stdin=stdin, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 0, done.stderr
        return done.stdout

    def piped() -> str:
        with subprocess.Popen(
            [*replay, "-"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
        ) as process:
            return simulated("-", stdin=process.stdout)

    lines = [piped(), piped(), simulated(str(recorded)), simulated(str(events))]
    assert len(set(lines)) == 1
    line = json.loads(lines[0])
    assert line["ok"]
    assert line["canonical_events"] > 50
    assert line["intents"] > 0
    assert (line["run_id"], line["run_state"]) == ("sim", "ended")
    assert (
        line["pnl"]["clean_pnl_e6"] + line["pnl"]["tainted_pnl_e6"] == line["pnl"]["total_pnl_e6"]
    )
    cut = simulated(str(recorded), "--max-events", "20")
    assert json.loads(cut)["canonical_events"] == 20


def test_a_run_that_is_not_there_is_two(program: Callable[[str], str], tmp_path: Path) -> None:
    done = subprocess.run(
        [program("pm-sim"), "nothing"], capture_output=True, cwd=tmp_path, timeout=60, check=False
    )
    assert (done.returncode, done.stdout) == (2, b"")


def test_what_is_damaged_in_a_run_is_named(program: Callable[[str], str], recorded: Path) -> None:
    frames = max((recorded / "capture").glob("*.frames"), key=lambda path: path.stat().st_size)
    content = bytearray(frames.read_bytes())
    content[len(content) // 2] ^= 1
    frames.write_bytes(content)
    for flags in ([], ["--follow"]):
        done = subprocess.run(
            [program("pm-sim"), str(recorded), *flags, *FLAGS],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, timeout=60, check=False,
        )  # fmt: skip
        assert done.returncode == 4
        assert f"pm-replay: {frames}: offset " in done.stderr
        assert json.loads(done.stdout)["ok"] is False
