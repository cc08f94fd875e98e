"""A grid is every combination, in the order of the file, and nothing that is misread."""

from pathlib import Path

import pytest

from pm_frames.command import UsageError
from pm_frames.errors import MissingFile
from pm_sim.grid import read_grid

GRID = """
[always]
strategy = ["a", "b"]
resolutions-uma-only = true
[grid]
seed = [1, 2]
order-latency-ms = ["2.5"]
[grid.param]
edge = ["0.01", "0.02"]
"b.on" = [true, false]
"""


def test_every_combination_is_there_once_in_order(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(GRID)
    cells = read_grid(path)
    assert [tuple(cell.values.values()) for cell in cells] == [
        (seed, "2.5", edge, on)
        for seed in ("1", "2")
        for edge in ("0.01", "0.02")
        for on in ("true", "false")
    ]
    assert list(cells[0].values) == ["seed", "order-latency-ms", "param.edge", "param.b.on"]
    always = ("--strategy=a", "--strategy=b", "--resolutions-uma-only")
    assert cells[0].arguments == (
        *always, "--seed=1", "--order-latency-ms=2.5", "--param=edge=0.01", "--param=b.on=true",
    )  # fmt: skip


def test_an_empty_grid_is_one_simulation(tmp_path: Path) -> None:
    path = tmp_path / "grid.toml"
    path.write_text("")
    assert [tuple(cell) for cell in read_grid(path)] == [({}, ())]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("x", "not TOML"),
        ("[other]\n", "no table 'other'"),
        ("[grid]\nseed = 1\n", "must be a list"),
        ("[grid]\nseed = []\n", "must be a list"),
        ("[grid]\nseed = [1, '1']\n", "a value twice"),
        ("[grid]\nslippage-bps = [0.5]\n", "decimals are text"),
        ("[grid.param]\nx = [[1]]\n", "neither text nor"),
        ("[grid.params]\nx = [1]\n", "only param is one"),
        ("always = 1\n", "are tables"),
        ("[grid]\nparam = 1\n", "table of parameters"),
        ("[grid]\n" + "\n".join(f"a{n} = {list(range(101))}" for n in range(3)), "more than"),
    ],
)
def test_what_cannot_be_meant_is_refused(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "grid.toml"
    path.write_text(text)
    with pytest.raises(UsageError, match=words):
        read_grid(path)


def test_a_grid_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingFile):
        read_grid(tmp_path / "none.toml")
