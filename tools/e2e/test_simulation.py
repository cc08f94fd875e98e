"""A venue, a capture of it, its replay, and a simulation: the same line whichever way the events come."""

import json
import os
import signal
import subprocess
import sys
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


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
@pytest.mark.parametrize("whole_group", [False, True])
@pytest.mark.parametrize(
    ("tool", "number"),
    [("pm-sim", signal.SIGINT), ("pm-sim", signal.SIGTERM), ("pm-replay", signal.SIGINT)],
)
def test_an_interrupt_ends_a_live_run_of_which_the_capture_goes_on(
    program: Callable[[str], str],
    venue: Callable[..., object],
    capture: Callable[..., subprocess.Popen[str]],
    tool: str,
    number: signal.Signals,
    whole_group: bool,
) -> None:
    """Ctrl-C on a terminal reaches the pm-replay of pm-sim as well, the signal of a supervisor does not."""
    capturing = capture(venue(), "live", "--duration-seconds", "60")
    assert capturing.stdout is not None
    run = capturing.stdout.readline().strip()
    beats = ["--print-health-heartbeat-json", "--health-interval-seconds", "0.5", *FLAGS]
    events = ["--events-out", "-", "--format", "jsonl"]
    with subprocess.Popen(
        [program(tool), run, "--follow", *(beats if tool == "pm-sim" else events)],
        stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        start_new_session=True,
        # A background job of a shell begins with SIGINT ignored; this one is not.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.default_int_handler),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stdout.readline()
        (os.killpg if whole_group else os.kill)(process.pid, number)
        out, words = process.communicate(timeout=20)
    assert capturing.poll() is None
    capturing.terminate()
    capturing.communicate(timeout=30)
    assert process.returncode == 130
    line = json.loads((out if tool == "pm-sim" else words).splitlines()[-1])
    assert (line["exit_code"], line["ok"], line["end_reason"]) == (130, False, "stopped")
