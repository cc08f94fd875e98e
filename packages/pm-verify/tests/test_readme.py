"""Every command of the README prints what the README shows."""

import os
import re
from collections.abc import Callable
from pathlib import Path

import pytest

README = Path(__file__).parents[1] / "README.md"
TEXT = README.read_text(encoding="utf-8")
SESSIONS = re.findall(r"^```console\n\$ pm-verify (.*)\n((?:.*\n)*?)```$", TEXT, re.MULTILINE)


@pytest.fixture
def home(build_run: Callable[..., Path], tmp_path: Path) -> Path:
    """A directory with the runs of the README in it."""
    build_run(tmp_path / "data" / "runs" / "monday")
    tuesday = build_run(tmp_path / "data" / "runs" / "tuesday", sealed=False)
    path = tuesday / "capture" / "shard_00.frames"
    data = bytearray(path.read_bytes())
    data[75 + 36 + 1] ^= 0x10
    path.write_bytes(data)
    return tmp_path


def test_there_are_sessions() -> None:
    assert len(SESSIONS) == 4


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals on Windows")
@pytest.mark.parametrize(("arguments", "expected"), SESSIONS)
def test_session(
    program: Callable[..., list[str]],
    on_a_terminal: Callable[..., tuple[int, str]],
    home: Path,
    arguments: str,
    expected: str,
) -> None:
    assert on_a_terminal(program(*arguments.split()), cwd=home)[1] == expected


def test_python(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(home)
    (source,) = re.findall(r"^```python\n(.*?)^```$", TEXT, re.MULTILINE | re.DOTALL)
    exec(compile(source, str(README), "exec"), {})
