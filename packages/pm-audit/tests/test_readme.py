"""Every pm-audit command of the README prints what the README shows."""

from __future__ import annotations

import json
import os
import re
from pathlib import Path
from typing import Any

import pytest

TEXT = (Path(__file__).parents[1] / "README.md").read_text(encoding="utf-8")
SESSIONS = re.findall(r"^```console\n\$ pm-audit (.*)\n((?:.*\n)*?)```$", TEXT, re.MULTILINE)
S = 10**9
T0 = 1_000 * S


@pytest.fixture
def home(made: Any, tmp_path: Path) -> Path:
    """A directory with the runs of the README in it."""
    made.write_run(tmp_path / "data" / "runs" / "monday", made.clean_run())
    run = made.clean_run()
    run.runlog += [
        made.disconnect(T0 + 3 * S, T0 + 2 * S),
        made.reconnect(T0 + 3 * S + 1),
        made.connect(T0 + 4 * S, 0, 2),
        made.subscribe(T0 + 4 * S + 1, "a", "b", number=2),
    ]
    for one in run.runlog:
        if one["record_type"] == "disconnect" and one["ts_mono_ns"] == T0 + 8 * S - 2:
            one["connection"] = 2
    run.frames[0][2:2] = [(T0 + 5 * S, made.book("a")), (T0 + 5 * S, made.book("b"))]
    tuesday = made.write_run(tmp_path / "data" / "runs" / "tuesday", run)
    (tuesday / "metrics" / "global.ndjson").unlink()
    for name in ("monday", "tuesday"):
        (tmp_path / f"{name}.json").write_text(json.dumps(made.verified()), encoding="utf-8")
    return tmp_path


def test_there_are_sessions() -> None:
    assert len(SESSIONS) == 4


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals on Windows")
@pytest.mark.parametrize(("arguments", "expected"), SESSIONS)
def test_session(made: Any, home: Path, arguments: str, expected: str) -> None:
    assert made.shown_on_terminal("pm_audit", arguments, home) == expected
