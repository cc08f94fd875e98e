"""The idx: reading, and rebuilding a missing one byte for byte (R102, R105, R106, R113, R114, R119)."""

from __future__ import annotations

import contextlib
import errno
from pathlib import Path
from typing import Protocol

import pytest

from pm_frames.errors import CorruptFrame, CorruptIndex, MissingFile, WriteFailed
from pm_frames.files import OsFiles
from pm_frames.frames import Frame
from pm_frames.index import (
    IdxEntry,
    IndexCursor,
    encode_entry,
    entry_of,
    read_index,
    rebuild_index,
)
from pm_frames.layout import IDX, Version
from pm_frames.window import Window


class Golden(Protocol):
    """What the fixture of conftest.py gives."""

    version: Version
    frames_path: Path
    idx_path: Path
    frames: list[Frame]
    idx_bytes: bytes


def test_entries_byte_for_byte() -> None:
    entry = IdxEntry(1, 2, 3, 4, 5)
    eight = [number.to_bytes(8, "little") for number in (1, 2, 3)]
    four = [number.to_bytes(4, "little") for number in (4, 5)]
    assert encode_entry(entry, 2) == b"".join([*eight, *four])
    assert encode_entry(entry, 1) == b"".join([*eight[:2], *four])
    with pytest.raises(ValueError, match="rx_wall_ns_utc"):
        encode_entry(entry._replace(rx_wall_ns_utc=None), 2)


def test_read_whole_and_in_part(golden: Golden) -> None:
    expected = [entry_of(frame) for frame in golden.frames]
    assert list(read_index(golden.idx_path, golden.version)) == expected
    assert list(read_index(golden.idx_path, golden.version, start=2, stop=5)) == expected[2:5]
    assert list(read_index(golden.idx_path, golden.version, start=7, stop=99)) == expected[7:]
    assert list(read_index(golden.idx_path, golden.version, start=99)) == []


def test_a_torn_entry_is_raised_after_the_whole_ones(golden: Golden) -> None:
    golden.idx_path.write_bytes(golden.idx_bytes[:-1])
    entries = read_index(golden.idx_path, golden.version)
    whole = len(golden.frames) - 1
    for _ in range(whole):
        next(entries)
    with pytest.raises(CorruptIndex) as caught:
        next(entries)
    size = IDX[golden.version].size
    assert (caught.value.kind, caught.value.ordinal) == ("idx_torn", whole)
    assert (caught.value.offset, caught.value.found) == (whole * size, size - 1)
    # Who asks for a range does not ask for the end.
    assert len(list(read_index(golden.idx_path, golden.version, stop=99))) == whole


def test_missing_index(tmp_path: Path) -> None:
    with pytest.raises(MissingFile):
        list(read_index(tmp_path / "none.idx", 2))


def test_cursor_in_any_order_over_many_blocks(tmp_path: Path) -> None:
    entries = [IdxEntry(k, 2 * k, 3 * k, k % 7, k % 11) for k in range(20_000)]
    path = tmp_path / "s.idx"
    path.write_bytes(b"".join(encode_entry(entry) for entry in entries) + b"torn")
    with Window(path) as window:
        cursor = IndexCursor(window, Version.V2)
        assert (cursor.count, cursor.torn_bytes) == (20_000, 4)
        for ordinal in (0, 8191, 8192, 8190, 19_999, 3, 12_345):
            assert cursor.get(ordinal) == entries[ordinal]
            assert cursor.block(ordinal)[0] == entries[ordinal]
        assert cursor.get(20_000) is None
        assert cursor.block(20_000) == []


def test_rebuild_is_byte_identical(golden: Golden) -> None:
    golden.idx_path.unlink()
    assert rebuild_index(golden.frames_path, golden.idx_path) == len(golden.frames)
    assert golden.idx_path.read_bytes() == golden.idx_bytes
    assert sorted(path.name for path in golden.idx_path.parent.iterdir()) == [
        "shard_00.frames",
        "shard_00.idx",
    ]


def test_rebuild_of_an_empty_shard(tmp_path: Path) -> None:
    (tmp_path / "s.frames").touch()
    assert rebuild_index(tmp_path / "s.frames", tmp_path / "s.idx") == 0
    assert (tmp_path / "s.idx").read_bytes() == b""


def test_rebuild_refuses_to_overwrite(golden: Golden) -> None:
    golden.idx_path.write_bytes(b"mine")
    with pytest.raises(FileExistsError, match=r"shard_00\.idx"):
        rebuild_index(golden.frames_path, golden.idx_path)
    assert golden.idx_path.read_bytes() == b"mine"


def test_rebuild_refuses_a_scratch_file_of_another(golden: Golden) -> None:
    golden.idx_path.unlink()
    scratch = golden.idx_path.with_name("shard_00.idx.tmp")
    scratch.write_bytes(b"somebody is at it")
    with pytest.raises(FileExistsError):
        rebuild_index(golden.frames_path, golden.idx_path)
    assert scratch.read_bytes() == b"somebody is at it"


def test_rebuild_from_damaged_frames_leaves_nothing(golden: Golden) -> None:
    golden.idx_path.unlink()
    data = bytearray(golden.frames_path.read_bytes())
    data[-1] ^= 1
    golden.frames_path.write_bytes(data)
    with pytest.raises(CorruptFrame):
        rebuild_index(golden.frames_path, golden.idx_path)
    assert list(golden.idx_path.parent.iterdir()) == [golden.frames_path]


class FailingFiles(OsFiles):
    """The real system until operation `n`, which fails."""

    def __init__(self, n: int) -> None:
        self.left = n

    def _count(self) -> None:
        self.left -= 1
        if self.left == 0:
            raise OSError(errno.ENOSPC, "No space left on device")

    def open_append(self, path: Path) -> int:
        self._count()
        return super().open_append(path)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        self._count()
        return super().write(fd, data[: max(1, len(data) // 2)])

    def sync(self, fd: int) -> None:
        self._count()
        super().sync(fd)

    def replace(self, source: Path, target: Path) -> None:
        self._count()
        super().replace(source, target)

    def sync_directory(self, path: Path) -> None:
        self._count()
        super().sync_directory(path)


def test_rebuild_with_every_operation_failing_once(golden: Golden) -> None:
    def attempt(n: int) -> FailingFiles:
        golden.idx_path.unlink(missing_ok=True)
        files = FailingFiles(n)
        rebuild_index(golden.frames_path, golden.idx_path, files=files)
        return files

    n = 1
    while True:
        with contextlib.suppress(WriteFailed):
            if attempt(n).left > 0:
                break
        # Whole or not at all, and no scratch is left behind.
        assert not golden.idx_path.with_name("shard_00.idx.tmp").exists()
        if golden.idx_path.exists():
            assert golden.idx_path.read_bytes() == golden.idx_bytes
        n += 1
    assert n > 5
    assert golden.idx_path.read_bytes() == golden.idx_bytes
