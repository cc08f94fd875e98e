"""A short cut of `nox -s determinism`: the committed digests, under another hash seed, locale and read size."""

import os
import subprocess
import sys
from pathlib import Path

TOOL = Path(__file__).resolve().parents[1] / "determinism.py"


def test_replay_and_simulation_give_the_committed_bytes() -> None:
    done = subprocess.run(
        [sys.executable, str(TOOL), "--quick"], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert done.stdout.count("equal") == 3


def test_what_differs_is_told(tmp_path: Path) -> None:
    copy = tmp_path / "tools" / "determinism.py"
    copy.parent.mkdir()
    # A step that tells its hash seed: the one thing that must not be seen in what is written.
    text = TOOL.read_text(encoding="utf-8")
    copy.write_text(
        text.replace("= (replay, simulate)", '= (lambda *_: {"seed": str(hash("a")).encode()},)'),
        encoding="utf-8",
    )
    run = tmp_path / "run"
    run.mkdir()
    environment = {**os.environ, "PYTHONHASHSEED": "random"}
    done = subprocess.run(
        [sys.executable, str(copy), str(run), "--quick"],
        capture_output=True, text=True, check=False, env=environment,
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "differs in seed" in done.stdout
