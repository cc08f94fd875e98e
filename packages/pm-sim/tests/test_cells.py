"""A result is named by what it depends on, and is there whole or not at all."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from streams import walk

import pm_frames
import pm_sim
from pm_frames.command import UsageError
from pm_frames.events import CorruptEvents
from pm_sim.cells import Stream, checked_stream, compute, id_of, path_of, read_back
from pm_sim.code_version import code_version

CELL = ("--strategy=random_taker", "--param=one_in=4", "--order-latency-ms=2", "--seed=1")
USERS = """
from pm_sim import Strategy, param
class Mine(Strategy):
    edge = param(1)
    # {}
"""


@pytest.fixture
def stream(tmp_path: Path) -> Stream:
    path = tmp_path / "walk.pmev"
    path.write_bytes(walk(1, 60))
    return checked_stream(path)


def test_a_result_says_its_own_id_and_is_read_back(stream: Stream, tmp_path: Path) -> None:
    name = id_of(stream, CELL)
    assert read_back(tmp_path, name) is None
    compute(stream, CELL, tmp_path, name)
    line = read_back(tmp_path, name)
    assert line is not None
    assert (line["ok"], line["result_id"], line["fills"] > 0) == (True, name, True)
    assert not list(tmp_path.glob("*.partial"))
    data = path_of(tmp_path, name).read_bytes()
    compute(stream, CELL, tmp_path, name)
    assert path_of(tmp_path, name).read_bytes() == data


@pytest.mark.parametrize("cut", [0, 1, 500])
def test_a_torn_or_renamed_result_is_none(stream: Stream, tmp_path: Path, cut: int) -> None:
    name = id_of(stream, CELL)
    compute(stream, CELL, tmp_path, name)
    path = path_of(tmp_path, name)
    (tmp_path / "other.json").write_bytes(path.read_bytes())
    path.write_bytes(path.read_bytes()[:cut])
    assert read_back(tmp_path, name) is None
    assert read_back(tmp_path, "other") is None


def test_whatever_a_result_depends_on_changes_its_id(stream: Stream, tmp_path: Path) -> None:
    mine = tmp_path / "mine.py"
    mine.write_text(USERS.format("one"))
    ids = {id_of(stream, CELL), id_of(stream, (f"--strategy={mine}",))}
    for more in ("--seed=2", "--param=one_in=5", "--fee-bps=5", "--lens=worst", "--taint=label"):
        ids.add(id_of(stream, (*CELL, more)))
    mine.write_text(USERS.format("two"))
    ids.add(id_of(stream, (f"--strategy={mine}",)))
    other = tmp_path / "other.pmev"
    other.write_bytes(walk(2, 60))
    ids.add(id_of(checked_stream(other), CELL))
    assert len(ids) == 9
    assert id_of(stream, CELL) in ids


@pytest.mark.parametrize(
    "flag", ["--follow", "--fills-out=x", "--max-events=3", "--fee-bps=x", "--strategy=nobody"]
)
def test_a_flag_that_is_not_of_a_cell_is_refused(stream: Stream, flag: str) -> None:
    with pytest.raises(UsageError):
        id_of(stream, (flag,))


def test_a_file_that_has_changed_or_is_torn_gives_no_result(stream: Stream, tmp_path: Path) -> None:
    name = id_of(stream, CELL)
    stream.path.write_bytes(walk(2, 60))
    with pytest.raises(CorruptEvents, match="changed meanwhile"):
        compute(stream, CELL, tmp_path, name)
    stream.path.write_bytes(walk(1, 60)[:-64])
    with pytest.raises(CorruptEvents):
        compute(stream, CELL, tmp_path, name)
    with pytest.raises(CorruptEvents):
        checked_stream(stream.path)
    assert not list(tmp_path.glob("*.json"))


def test_a_strategy_that_raises_gives_a_result_that_is_not_ok(
    stream: Stream, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.py"
    bad.write_text(
        "from pm_sim import Strategy\nclass Bad(Strategy):\n"
        "    def on_top_of_book(self, ctx, event, market_state, portfolio):\n        1 / 0\n"
    )
    for policy in ("disable", "fatal"):
        cell = (f"--strategy={bad}", f"--on-strategy-error={policy}")
        name = id_of(stream, cell)
        compute(stream, cell, tmp_path, name)
        line = json.loads(path_of(tmp_path, name).read_text())
        assert (line["ok"], line["exit_code"], line["result_id"]) == (False, 3, name)


def test_the_code_has_one_name_in_one_process() -> None:
    assert code_version() == code_version()
    assert code_version().partition("+")[2].isalnum()


@pytest.mark.parametrize(
    "edited",
    ["pm_sim/depth.py", "pm_sim/strategies/dutch_book.py", "pm_frames/events/slots.py",
     "pm_frames/histogram.py", "pm_frames/continuity.py"],
)  # fmt: skip
def test_an_edit_of_one_line_is_another_code(tmp_path: Path, edited: str) -> None:
    for package in (pm_sim, pm_frames):
        assert package.__file__ is not None
        folder = Path(package.__file__).parent
        shutil.copytree(
            folder, tmp_path / folder.name, ignore=shutil.ignore_patterns("__pycache__")
        )

    def version() -> str:
        command = "from pm_sim.code_version import code_version; print(code_version())"
        environment = {**os.environ, "PYTHONPATH": str(tmp_path)}
        return subprocess.run(
            [sys.executable, "-c", command],
            env=environment, capture_output=True, text=True, check=True, timeout=60,
        ).stdout.strip()  # fmt: skip

    assert version() == code_version()
    with open(tmp_path / edited, "a", encoding="utf-8") as code:
        code.write("# edited\n")
    assert version() != code_version()
