"""Metrics files: what is lost is counted."""

import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

from pm_capture.ndjson import NdjsonFile
from pm_frames.files import OsFiles


def test_one_line_a_record_and_the_digest_of_all(tmp_path: Path) -> None:
    file = NdjsonFile(tmp_path / "a")
    file.append({"x": 1})
    file.append({"y": [2**60, 1.5, None]})
    digest = file.close()
    data = (tmp_path / "a").read_bytes()
    assert data == b'{"x":1}\n{"y":[1152921504606846976,1.5,null]}\n'
    assert digest == file.close() == hashlib.sha256(data).hexdigest()


def test_a_full_disk_is_counted_and_leaves_whole_lines(
    tmp_path: Path, full_disk: Callable[..., Any]
) -> None:
    disk = full_disk(12)
    file = NdjsonFile(tmp_path / "a", disk)
    file.append({"x": 1})
    file.append({"x": 2})
    assert file.errors == 1
    disk.room = 100
    file.append({"x": 3})
    digest = file.close()
    assert (tmp_path / "a").read_bytes() == b'{"x":1}\n{"x":3}\n'
    assert digest == hashlib.sha256(b'{"x":1}\n{"x":3}\n').hexdigest()


class Uncuttable(OsFiles):
    def __init__(self) -> None:
        self.writes = 0

    def write(self, fd: int, data: bytes | memoryview) -> int:
        self.writes += 1
        if self.writes == 2:
            raise OSError(28, "No space left on device")
        return super().write(fd, data[:4])

    def truncate(self, fd: int, size: int) -> None:
        raise OSError(5, "Input/output error")


def test_nothing_is_appended_behind_a_torn_line(tmp_path: Path) -> None:
    file = NdjsonFile(tmp_path / "a", Uncuttable())
    file.append({"x": 1})
    file.append({"x": 2})
    file.close()
    assert file.errors == 2
    assert (tmp_path / "a").read_bytes() == b'{"x"'
