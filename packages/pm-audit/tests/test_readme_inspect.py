"""Every pm-inspect session of the README prints what the README shows; the keys of the spec are real."""

import os
import re
from pathlib import Path
from typing import Any

import pytest

TEXT = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SESSIONS = re.findall(r"^```console\n\$ pm-inspect (.*)\n((?:.*\n)*?)```$", TEXT, re.MULTILINE)


@pytest.fixture
def home(made: Any, tmp_path: Path) -> Path:
    """A directory with two runs in it; of the second the process was killed inside a write."""
    runs = tmp_path / "data" / "runs"
    made.write_run(runs / "monday", made.clean_run())
    run = made.clean_run()
    run.manifest["run_id"] = "tuesday"
    run.runlog += [
        made.disconnect(made.T0 + 3 * made.S, made.T0 + 2 * made.S),
        made.reconnect(made.T0 + 3 * made.S + 1),
        made.connect(made.T0 + 4 * made.S, 0, 2),
    ]
    path = made.write_run(runs / "tuesday", run, sealed=False) / "capture" / "shard_01.frames"
    path.write_bytes(path.read_bytes()[:-7])
    return tmp_path


def test_there_are_sessions() -> None:
    assert len(SESSIONS) == 3


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals on Windows")
@pytest.mark.parametrize(("arguments", "expected"), SESSIONS)
def test_session(made: Any, home: Path, arguments: str, expected: str) -> None:
    assert made.shown_on_terminal("pm_audit.inspect", arguments, home) == expected
