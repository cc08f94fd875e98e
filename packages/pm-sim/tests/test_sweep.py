"""A sweep: the same results at any number of workers, whole after a kill, and nothing is computed twice."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from streams import walk

GRID = """
[always]
strategy = ["random_taker"]
order-latency-ms = "2"
[grid]
seed = [1, 2, 3]
[grid.param]
one_in = [2, 4]
"""


@pytest.fixture
def events(tmp_path: Path) -> Path:
    (tmp_path / "grid.toml").write_text(GRID)
    path = tmp_path / "walk.pmev"
    path.write_bytes(walk(3, 300))
    return path


def command(events: Path, out: str, workers: int) -> list[str]:
    folder = events.parent
    return [
        sys.executable, "-m", "pm_sim", "sweep", str(events), "--grid", str(folder / "grid.toml"),
        "--out", str(folder / out), "--workers", str(workers),
    ]  # fmt: skip


def swept(events: Path, out: str, workers: int) -> tuple[int, bytes, str]:
    done = subprocess.run(
        command(events, out, workers), capture_output=True, timeout=120, check=False
    )
    return done.returncode, done.stdout, done.stderr.decode()


def results(events: Path, out: str) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (events.parent / out).glob("*.json")}


def test_workers_and_repetition_change_nothing(events: Path) -> None:
    code, alone, words = swept(events, "one", 1)
    assert (code, "6 computed" in words) == (0, True)
    code, many, words = swept(events, "two", 2)
    assert (code, many, "6 computed" in words) == (0, alone, True)
    assert results(events, "one") == results(events, "two")
    path = next((events.parent / "two").glob("*.json"))
    path.write_bytes(path.read_bytes()[:100])
    code, again, words = swept(events, "two", 2)
    assert (code, again, "1 computed" in words) == (0, alone, True)
    table = json.loads(alone)
    assert table["ok"]
    assert len({row["final_hash"] for row in table["results"]}) == 6
    assert [row["cell"]["seed"] for row in table["results"]] == ["1", "1", "2", "2", "3", "3"]
    one = table["results"][3]
    single = [
        sys.executable, "-m", "pm_sim", str(events), "--strategy", "random_taker", "--seed", "2",
        "--order-latency-ms", "2", "--param", "one_in=4", "--print-pnl", "--stable-json",
    ]  # fmt: skip
    line = subprocess.run(single, capture_output=True, check=True, timeout=60).stdout
    assert line.replace(b"\r\n", b"\n") == results(events, "one")[f"{one['result_id']}.json"]


def test_a_killed_sweep_leaves_nobody_and_goes_on(events: Path) -> None:
    _, whole, _ = swept(events, "whole", 1)
    process = subprocess.Popen(
        command(events, "cut", 2), stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    while process.poll() is None and not list((events.parent / "cut").glob("*.json")):
        pass
    process.kill()
    # Workers hold these pipes too: the end of both means that they are gone.
    process.communicate(timeout=60)
    assert results(events, "cut").items() <= results(events, "whole").items()
    code, table, _ = swept(events, "cut", 2)
    assert (code, results(events, "cut")) == (0, results(events, "whole"))
    assert table == whole


def test_a_run_is_not_swept_and_what_to_do_is_said(events: Path, tmp_path: Path) -> None:
    (tmp_path / "run").mkdir()
    command_of_run = command(events, "out", 1)
    command_of_run[4] = str(tmp_path / "run")
    done = subprocess.run(command_of_run, capture_output=True, timeout=120, check=False)
    assert done.returncode == 2
    assert b"is a directory: a sweep takes a finished event file" in done.stderr
    assert b"pm-replay" in done.stderr


def test_bad_grids_and_events_have_their_exit_codes(events: Path) -> None:
    events.write_bytes(events.read_bytes()[:-64])
    assert swept(events, "out", 1)[0] == 4
    events.write_bytes(walk(3, 5))
    (events.parent / "grid.toml").write_text("[grid]\nfee-bps = ['x']\n")
    code, out, words = swept(events, "out", 1)
    assert (code, out, "not a count" in words) == (2, b"", True)
    (events.parent / "grid.toml").unlink()
    assert swept(events, "out", 1)[0] == 2
