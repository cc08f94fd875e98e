"""Whole or not at all, under real files and a real kernel."""

import os
import signal
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pm_universe.errors import OutputExists, WriteFailed
from pm_universe.publish import publish

posix = pytest.mark.skipif(os.name == "nt", reason="needs POSIX signals and limits")


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_a_new_file_and_its_folders(tmp_path: Path) -> None:
    path = tmp_path / "run" / "universe" / "000000.json"
    publish(path, b"content\n")
    assert path.read_bytes() == b"content\n"
    assert names(path.parent) == ["000000.json"]


@posix
def test_others_may_read_it_as_the_umask_says(tmp_path: Path) -> None:
    path = tmp_path / "u.json"
    before = os.umask(0o022)
    try:
        publish(path, b"x")
    finally:
        os.umask(before)
    assert stat.S_IMODE(path.stat().st_mode) == 0o644


def test_an_existing_file_is_left_alone_unless_forced(tmp_path: Path) -> None:
    path = tmp_path / "u.json"
    path.write_bytes(b"old")
    with pytest.raises(OutputExists, match=r"u\.json exists; .*--force"):
        publish(path, b"new")
    assert path.read_bytes() == b"old"
    publish(path, b"new", force=True)
    assert path.read_bytes() == b"new"
    assert names(tmp_path) == ["u.json"]


def test_a_folder_in_the_place_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "u.json").mkdir()
    with pytest.raises(WriteFailed, match=r"cannot write .*u\.json"):
        publish(tmp_path / "u.json", b"x", force=True)
    assert names(tmp_path) == ["u.json"]


def test_a_file_in_the_place_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "run").write_bytes(b"")
    with pytest.raises(WriteFailed):
        publish(tmp_path / "run" / "u.json", b"x")


def test_leftovers_of_a_killed_process_do_not_matter(tmp_path: Path) -> None:
    (tmp_path / f".u.json.{os.getpid()}.0.tmp").write_bytes(b"half")
    publish(tmp_path / "u.json", b"whole")
    assert (tmp_path / "u.json").read_bytes() == b"whole"


LIMITED = """
import resource, signal, sys
from pathlib import Path
from pm_universe.publish import publish
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[2]), resource.RLIM_INFINITY))
publish(Path(sys.argv[1]), b"x" * 100_000, force=True)
"""


@posix
@pytest.mark.parametrize("room", [0, 1, 4096, 99_999])
def test_no_room_leaves_what_was_there(tmp_path: Path, room: int) -> None:
    path = tmp_path / "u.json"
    path.write_bytes(b"old")
    command = [sys.executable, "-c", LIMITED, str(path), str(room)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
    assert "WriteFailed: cannot write" in done.stderr
    assert path.read_bytes() == b"old"
    assert names(tmp_path) == ["u.json"]


STOPPED = """
import os, signal, sys
from pathlib import Path
from pm_universe import publish
real = os.fsync
os.fsync = lambda descriptor: os.kill(os.getpid(), signal.SIGKILL)
publish.publish(Path(sys.argv[1]), b"x" * 100_000, force=True)
"""


@posix
def test_killed_before_the_content_is_durable_there_is_no_file(tmp_path: Path) -> None:
    path = tmp_path / "u.json"
    done = subprocess.run([sys.executable, "-c", STOPPED, str(path)], check=False, timeout=60)
    assert done.returncode == -signal.SIGKILL
    assert not path.exists()
