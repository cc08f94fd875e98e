"""Small files that are whole or not there."""

from pathlib import Path

import pytest

from pm_capture.durable import write_file
from pm_frames.files import OsFiles


class Recording(OsFiles):
    def __init__(self) -> None:
        self.calls: list[str] = []

    def sync(self, fd: int) -> None:
        self.calls.append("sync")
        super().sync(fd)

    def replace(self, source: Path, target: Path) -> None:
        self.calls.append(f"replace {target.name}")
        super().replace(source, target)

    def sync_directory(self, path: Path) -> None:
        self.calls.append(f"sync_directory {path.name}")
        super().sync_directory(path)


class SmallWrites(OsFiles):
    def write(self, fd: int, data: bytes | memoryview) -> int:
        return super().write(fd, data[:3])


class Refusing(OsFiles):
    def sync(self, fd: int) -> None:
        raise OSError(5, "Input/output error")


def test_synced_then_named_then_the_name_synced(tmp_path: Path) -> None:
    files = Recording()
    write_file(tmp_path / "a.json", b"{}", files)
    assert files.calls == ["sync", "replace a.json", f"sync_directory {tmp_path.name}"]
    assert (tmp_path / "a.json").read_bytes() == b"{}"


def test_short_writes_go_on(tmp_path: Path) -> None:
    write_file(tmp_path / "a", b"0123456789", SmallWrites())
    assert (tmp_path / "a").read_bytes() == b"0123456789"


class Forgetful(OsFiles):
    def sync_directory(self, path: Path) -> None:
        raise OSError(5, "Input/output error")


def test_a_name_that_cannot_be_made_durable_is_taken_back(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="Input/output"):
        write_file(tmp_path / "seal.json", b"{}", Forgetful())
    assert list(tmp_path.iterdir()) == []


def test_a_refusal_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"before")
    with pytest.raises(OSError, match="Input/output"):
        write_file(tmp_path / "a", b"after", Refusing())
    assert [path.name for path in tmp_path.iterdir()] == ["a"]
    assert (tmp_path / "a").read_bytes() == b"before"
