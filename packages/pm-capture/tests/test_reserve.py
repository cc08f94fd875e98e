"""Space that is really there."""

import errno
import os
import sys
from pathlib import Path

import pytest

from pm_capture.reserve import Reserve
from pm_frames.files import OsFiles

MIB = 1 << 20


def test_it_holds_blocks_and_gives_them_back(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path, MIB)
    assert reserve.hold(100 * MIB)
    path = tmp_path / ".reserve"
    assert path.stat().st_size == reserve.held_bytes == MIB
    if sys.platform == "linux":
        assert path.stat().st_blocks * 512 >= MIB
    reserve.release()
    reserve.release()
    assert (list(tmp_path.iterdir()), reserve.held_bytes) == ([], 0)


def test_it_takes_at_most_a_quarter_of_what_is_free(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path, MIB)
    assert not reserve.hold(MIB)
    assert reserve.held_bytes == MIB // 4
    reserve.release()


class Refusing(OsFiles):
    def __init__(self, number: int) -> None:
        self._number = number

    def open_append(self, path: Path) -> int:
        raise OSError(self._number, os.strerror(self._number))


def test_a_disk_that_is_nearly_full_gives_one_block(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path, MIB)
    assert not reserve.hold(MIB // 10)
    assert reserve.held_bytes == 1 << 16
    reserve.release()


def test_where_nothing_fits_no_run_can_begin(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path, MIB, Refusing(errno.ENOSPC))
    with pytest.raises(OSError, match="no room for a reserve of 65536 bytes") as caught:
        reserve.hold()
    assert caught.value.errno == errno.ENOSPC
    assert (list(tmp_path.iterdir()), reserve.held_bytes) == ([], 0)
    reserve.release()


def test_a_file_system_without_reserves_is_no_full_disk(tmp_path: Path) -> None:
    reserve = Reserve(tmp_path, MIB, Refusing(errno.EOPNOTSUPP))
    assert not reserve.hold()
    assert reserve.held_bytes == 0


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")
def test_a_size_that_is_refused_is_halved(tmp_path: Path) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, hard))
    try:
        reserve = Reserve(tmp_path, MIB)
        assert not reserve.hold()
        assert reserve.held_bytes == MIB // 4
        reserve.release()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_none_may_be_wanted(tmp_path: Path) -> None:
    assert Reserve(tmp_path, 0).hold(MIB)
    assert list(tmp_path.iterdir()) == []
