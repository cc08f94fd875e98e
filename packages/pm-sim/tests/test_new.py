"""The commands beside the simulation: `new` and `lint`, as processes."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from streams import walk

from pm_sim.commands.new import class_name


def pm_sim(*arguments: str) -> tuple[int, str, str]:
    done = subprocess.run(
        [sys.executable, "-m", "pm_sim", *arguments],
        capture_output=True, timeout=120, check=False, text=True,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


def test_a_new_strategy_passes_lint_and_trades(tmp_path: Path) -> None:
    path = tmp_path / "my_edge.py"
    code, out, words = pm_sim("new", str(path))
    assert (code, out) == (0, "")
    assert "pm-sim lint" in words
    assert "class MyEdge(Strategy):" in path.read_text()
    code, out, _ = pm_sim("lint", str(path))
    assert (code, json.loads(out)) == (0, {"ok": True, "files": 1, "findings": []})
    events = tmp_path / "walk.pmev"
    events.write_bytes(walk(3, 300))
    code, out, _ = pm_sim(
        str(events),
        "--strategy",
        f"{path}:MyEdge",
        "--param",
        "edge=0.01",
        "--order-latency-ms",
        "2",
    )
    line = json.loads(out)
    assert (code, line["ok"], line["strategies"]["MyEdge"]["errors"]) == (0, True, 0)
    assert line["lenses"]["central"]["fills"] > 2


def test_nothing_is_written_over_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("mine")
    code, _, words = pm_sim("new", str(path))
    assert (code, path.read_text()) == (2, "mine")
    assert "--force" in words
    assert pm_sim("new", str(path), "--force")[0] == 0
    assert "class Mine(Strategy):" in path.read_text()


@pytest.mark.parametrize(("name", "code"), [("mine.txt", 2), ("none/mine.py", 5)])
def test_where_no_strategy_can_be(tmp_path: Path, name: str, code: int) -> None:
    assert pm_sim("new", str(tmp_path / name))[0] == code


def test_findings_have_places_and_an_exit_code(tmp_path: Path) -> None:
    path = tmp_path / "bad.py"
    path.write_text("import socket\nfrom pm_sim import Strategy\nclass A(Strategy): ...\n")
    code, out, _ = pm_sim("lint", str(path))
    line = json.loads(out)
    assert (code, line["ok"]) == (3, False)
    [found] = line["findings"]
    assert (found["path"], found["line"], found["column"], found["rule"]) == (
        str(path), 1, 1, "outside",
    )  # fmt: skip


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    assert pm_sim("lint", str(tmp_path / "no.py"))[0] == 2


@pytest.mark.parametrize(
    ("stem", "name"),
    [
        ("mine", "Mine"),
        ("my_edge-2", "MyEdge2"),
        ("2nd", "Mine"),
        ("strategy", "Mine"),
        ("_", "Mine"),
        ("buy", "Mine"),
        ("timer", "Mine"),
        ("generator", "Mine"),
        ("none", "Mine"),
    ],
)
def test_names_of_classes(stem: str, name: str) -> None:
    assert class_name(stem) == name
