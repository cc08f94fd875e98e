"""The README's strategy and commands run as they stand, and its tables are those of the code."""

import re
import shlex
import subprocess
import sys
from decimal import Decimal
from importlib import import_module
from pathlib import Path

import pytest
from streams import walk

from pm_sim.fixed import E6, Literal
from pm_sim.orders import RejectReason
from pm_sim.parameters import Param
from pm_sim.strategies import BUILT_IN

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
TABLE = re.compile(r"^\| `(\w+)` \| `(\w+)` \| (.*?) \| (.*?) \|$", re.MULTILINE)


def run(words: str, folder: Path) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", *shlex.split(words.replace("pm-sim", "pm_sim", 1))],
        cwd=folder, capture_output=True, check=False,
    )  # fmt: skip


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with the event file that the README speaks of."""
    (tmp_path / "monday.pmev").write_bytes(walk(3, 60))
    return tmp_path


def test_the_strategy_that_is_shown_runs_and_keeps_the_contract(folder: Path) -> None:
    [code] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    (folder / "cheap.py").write_text(code, encoding="utf-8")
    for command in ("pm-sim lint cheap.py", "pm-sim monday.pmev --strategy ./cheap.py"):
        done = run(command, folder)
        assert done.returncode == 0, (command, done.stdout, done.stderr)


def test_commands_on_an_event_file_run(folder: Path) -> None:
    assert run("pm-sim new mine.py", folder).returncode == 0
    [grid] = re.findall(r"```toml\n(.*?)```", README, re.DOTALL)
    (folder / "grid.toml").write_text(grid, encoding="utf-8")
    commands = [
        line for line in README.splitlines() if line.startswith("pm-sim ") and "monday.pmev" in line
    ]
    assert len(commands) == 2
    for command in commands:
        done = run(command, folder)
        assert done.returncode == 0, (command, done.stderr)


def test_the_table_of_parameters_is_that_of_the_code() -> None:
    declared = [
        (name, parameter, default_of(one), meaning_of(one))
        for name, (module, kind) in BUILT_IN.items()
        for parameter, one in getattr(import_module(module), kind).declared.items()
    ]
    assert TABLE.findall(README) == declared


def test_every_reason_of_a_reject_is_explained() -> None:
    _, _, after = README.partition("| in `rejects` |")
    told = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (.*?) \|", after, re.MULTILINE)))
    known = {reason.value for reason in RejectReason} - {RejectReason.LIMIT.value}
    assert known <= set(told)
    assert len(told) == len(set(told))


def default_of(one: Param) -> str:
    if isinstance(one.default, Literal):
        return f"{Decimal(one.default) / E6:f}"
    return str(one.default).lower() if isinstance(one.default, bool) else str(one.default)


def meaning_of(one: Param) -> str:
    return one.help + (f" ({', '.join(one.choices)})" if one.choices else "")
