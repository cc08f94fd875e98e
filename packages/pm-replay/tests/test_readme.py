"""The README's commands and its Python run as they stand."""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

from bundles import T0, book, compact, make_at, subscribed
from test_pipeline import UNIVERSE

README = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")


def test_everything_that_is_shown_runs(tmp_path: Path) -> None:
    frames = [(0, T0 + 10, compact(book("1", {"0.4": "1"}, {})))]
    make_at(tmp_path / "data/runs/monday", frames, subscribed("1"), universe=UNIVERSE)
    commands = [
        line.split("  #")[0] for line in README.splitlines() if line.startswith("pm-replay ")
    ]
    assert len(commands) == 4
    for command in commands:
        words = [sys.executable, "-m", *shlex.split(command.replace("pm-replay", "pm_replay", 1))]
        if "diff" in words:
            (tmp_path / "again.pmev").write_bytes((tmp_path / "monday.pmev").read_bytes())
        done = subprocess.run(
            words, cwd=tmp_path, capture_output=True, env=dict(os.environ), check=False
        )
        assert done.returncode == 0, (command, done.stderr)
    [code] = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=tmp_path, capture_output=True, check=True
    )
    assert done.stdout.split()[0] == b"3"
