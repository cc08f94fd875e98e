import subprocess
import sys
from pathlib import Path

import pytest

from pm_frames.errors import RunLocked, WriteFailed
from pm_frames.lock import RunLock, is_locked

HOLDER = """
import sys
from pathlib import Path
from pm_frames.lock import RunLock
lock = RunLock(Path(sys.argv[1]))
lock.acquire()
print("held", flush=True)
sys.stdin.readline()
"""


def test_a_run_is_locked_while_the_lock_is_held(tmp_path: Path) -> None:
    assert not is_locked(tmp_path)
    lock = RunLock(tmp_path)
    assert not lock.held
    with lock:
        assert lock.held
        assert is_locked(tmp_path)
        assert is_locked(tmp_path / ".lock")
    assert not lock.held
    assert not is_locked(tmp_path)
    assert (tmp_path / ".lock").exists()


def test_looking_does_not_take_or_break_the_lock(tmp_path: Path) -> None:
    with RunLock(tmp_path):
        for _ in range(3):
            assert is_locked(tmp_path)
    lock = RunLock(tmp_path)
    assert not is_locked(tmp_path)
    lock.acquire()
    lock.release()
    lock.release()


def test_a_second_holder_is_refused_and_told_who_the_first_is(tmp_path: Path) -> None:
    with RunLock(tmp_path) as first:
        with pytest.raises(RunLocked, match="another process") as caught:
            RunLock(tmp_path).acquire()
        assert caught.value.path == tmp_path / ".lock"
        assert caught.value.exit_code == 2
        with pytest.raises(RunLocked, match="this object"):
            first.acquire()
        assert is_locked(tmp_path)


def test_the_kernel_drops_the_lock_of_a_process_that_is_killed(tmp_path: Path) -> None:
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(tmp_path)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "held\n"
        assert is_locked(tmp_path)
        with pytest.raises(RunLocked, match=rf"pid {holder.pid}\b"):
            RunLock(tmp_path).acquire()
        holder.kill()
        holder.wait(10)
    assert not is_locked(tmp_path)
    with RunLock(tmp_path):
        pass


def test_a_directory_that_is_not_there_cannot_be_locked(tmp_path: Path) -> None:
    assert not is_locked(tmp_path / "nowhere")
    with pytest.raises(WriteFailed, match="cannot make the lock"):
        RunLock(tmp_path / "nowhere").acquire()
