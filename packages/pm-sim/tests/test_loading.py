"""Strategies by name, by file, with ids and parameters."""

import hashlib
from pathlib import Path

import pytest

from pm_frames.command import UsageError
from pm_frames.errors import MissingFile
from pm_sim.loading import load

SOURCE = """
from pm_sim import Strategy, param, px

class Mine(Strategy):
    edge = param(px("0.01"))

class Other(Mine):
    pass
"""


def test_names_ids_and_parameters(tmp_path: Path) -> None:
    file = tmp_path / "params.toml"
    file.write_text('size_e6 = "2"\n[b]\nsize_e6 = "3"\nurgency = "taker"\n')
    found = load(["toy_spread", "b=toy_spread", "toy_spread"], ["toy_spread-2.size_e6=7"], [file])
    assert [one.strategy_id for one in found] == ["toy_spread", "b", "toy_spread-2"]
    assert [one.parameters["size_e6"] for one in found] == [2_000_000, 3_000_000, 7_000_000]
    assert found[1].parameters["urgency"] == "taker"
    assert found[0].make() is not found[0].make()


def test_a_file_with_a_class(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(SOURCE)
    [one] = load([f"{path}:Mine"], ["edge=0.02"])
    assert (one.strategy_id, one.parameters) == ("Mine", {"edge": 20_000})
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    assert one.source == f"Mine {digest}"
    [named] = load([f"x={path}:Other"])
    assert (named.strategy_id, named.source) == ("x", f"Other {digest}")
    with pytest.raises(UsageError, match="not exactly one"):
        load([str(path)])
    with pytest.raises(UsageError, match="Mine, Other"):
        load([f"{path}:Nobody"])


@pytest.mark.parametrize(
    ("specs", "assignments", "message"),
    [
        (["nobody"], [], "dutch_book, random_taker, round_trip, spread_capture, toy_spread"),
        (["a=toy_spread", "a=toy_spread"], [], "two strategies"),
        (["toy_spread"], ["size_e6"], "NAME=VALUE"),
        (["toy_spread"], ["other.size_e6=1"], "no strategy has the id"),
        (["toy_spread"], ["sise=1"], "min_spread_e6, size_e6, urgency"),
        (["toy_spread"], ["size_e6=x"], "no decimal"),
    ],
)
def test_what_does_not_exist_is_named_with_what_does(
    specs: list[str], assignments: list[str], message: str
) -> None:
    with pytest.raises(UsageError, match=message):
        load(specs, assignments)


def test_files_that_are_not_what_they_should_be(tmp_path: Path) -> None:
    with pytest.raises(MissingFile):
        load([str(tmp_path / "none.py")])
    broken = tmp_path / "broken.py"
    broken.write_text("1/0")
    with pytest.raises(UsageError, match="ZeroDivisionError"):
        load([str(broken)])
    toml = tmp_path / "p.toml"
    toml.write_text("size_e6 = 0.5")
    with pytest.raises(UsageError, match="as text"):
        load(["toy_spread"], [], [toml])
    with pytest.raises(MissingFile):
        load(["toy_spread"], [], [tmp_path / "no.toml"])
    for text in ('no_such = "1"', '[other]\nsize_e6 = "1"', 'size_e6 = "much"'):
        toml.write_text(text)
        with pytest.raises(UsageError) as caught:
            load(["toy_spread"], [], [toml])
        assert str(caught.value).startswith(f"{toml}: ")
