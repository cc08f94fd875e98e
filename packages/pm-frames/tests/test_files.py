"""The real operating system behind the protocol of writers."""

from __future__ import annotations

from pathlib import Path

import pytest

from pm_frames.files import OsFiles


def test_a_new_file_is_appended_to_and_cut(tmp_path: Path) -> None:
    files = OsFiles()
    path = tmp_path / "new"
    fd = files.open_append(path)
    assert files.write(fd, b"1234\r\n") == 6
    assert path.read_bytes() == b"1234\r\n"
    files.truncate(fd, 3)
    # Appending goes on at the new end.
    assert files.write(fd, memoryview(b"xy")) == 2
    files.sync(fd)
    files.close(fd)
    assert path.read_bytes() == b"123xy"


def test_an_existing_file_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "old"
    path.write_bytes(b"old")
    with pytest.raises(FileExistsError):
        OsFiles().open_append(path)
    assert path.read_bytes() == b"old"


def test_replace_and_sync_the_directory(tmp_path: Path) -> None:
    files = OsFiles()
    (tmp_path / "a").write_bytes(b"a")
    (tmp_path / "b").write_bytes(b"b")
    files.replace(tmp_path / "a", tmp_path / "b")
    files.sync_directory(tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["b"]
    assert (tmp_path / "b").read_bytes() == b"a"
