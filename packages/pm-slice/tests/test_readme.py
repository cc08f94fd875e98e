"""The README's commands, typed as they stand, and its Python."""

import re
import shlex
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def output(line: str, cwd: Path) -> str:
    """Run one of our programs; a pipe into `head -1` keeps the first line."""
    command, _, head = line.partition(" | ")
    words = shlex.split(command)
    words[0] = str(Path(sys.executable).with_name(words[0]))
    done = subprocess.run(words, cwd=cwd, capture_output=True, text=True, check=True)
    assert head in ("", "head -1")
    return done.stdout.splitlines(keepends=True)[0] if head else done.stdout


@pytest.fixture
def runs(build: Callable[..., Path], tmp_path: Path) -> Path:
    build(tmp_path / "data/runs/monday")
    for shard, name in enumerate(("left", "right")):
        output(f"pm-slice data/runs/monday --shard {shard} --out {name}", tmp_path)
    return tmp_path


def test_the_commands_do_what_is_shown(runs: Path) -> None:
    shown = [block for language, block in BLOCKS if language == "console"]
    typed = 0
    for block in shown:
        for part in block.split("$ ")[1:]:
            command, _, expected = part.partition("\n")
            found = output(command, runs)
            assert not expected or found == expected
            typed += 1
    assert typed == 5


def test_the_python_runs(runs: Path) -> None:
    (code,) = [block for language, block in BLOCKS if language == "python"]
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=runs, capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("EmitWindow(from_mono_ns=1020000, before_mono_ns=1030001) True")
