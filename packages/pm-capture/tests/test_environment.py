"""Facts about machine and software."""

import shutil
import subprocess
from pathlib import Path

import pytest

from pm_capture.environment import boot_id, git_commit, machine, versions


def test_machine_and_versions() -> None:
    found = machine("uvloop", "picows")
    assert found["event_loop"] == "uvloop"
    assert found["transport"] == "picows"
    assert {"python", "implementation", "platform", "hostname", "machine"} < set(found)
    assert {"pm-capture", "pm-frames", "websockets", "msgspec"} <= set(versions())


def test_boot_id_is_text_or_absent() -> None:
    found = boot_id()
    assert found is None or len(found) == 36


def test_the_commit_is_that_of_the_source_or_unknown(tmp_path: Path) -> None:
    source = tmp_path / "pm_capture" / "daemon.py"
    source.parent.mkdir()
    assert git_commit(source) == "unknown"
    assert git_commit(tmp_path / "site-packages" / "x.py") == "unknown"
    if shutil.which("git") is None:
        pytest.skip("no git here")
    identity = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    for command in (["init", "-q"], [*identity, "commit", "-q", "--allow-empty", "-m", "x"]):
        subprocess.run(["git", *command], cwd=tmp_path, check=True)
    assert len(git_commit(source)) == 40
