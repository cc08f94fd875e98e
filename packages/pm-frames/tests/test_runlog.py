import errno
import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from pm_frames.errors import BundleError, MissingFile, RunLocked, WriteFailed
from pm_frames.files import OsFiles
from pm_frames.runlog import LINE_MAX, RunlogReader, RunlogWriter, read_runlog


class FullDisk(OsFiles):
    """Takes `room` bytes in all, then refuses; `refuse` refuses other operations."""

    def __init__(self, room: int, *, refuse: str = "") -> None:
        self.room = room
        self.refuse = refuse
        self.writes = 0

    def write(self, fd: int, data: bytes | memoryview) -> int:
        self.writes += 1
        if not self.room:
            raise OSError(errno.ENOSPC, "No space left on device")
        taken = super().write(fd, bytes(data[: self.room]))
        self.room -= taken
        return taken

    def truncate(self, fd: int, size: int) -> None:
        if self.refuse == "truncate":
            raise OSError(errno.EIO, "Input/output error")
        super().truncate(fd, size)

    def sync(self, fd: int) -> None:
        if self.refuse == "sync":
            raise OSError(errno.EIO, "Input/output error")
        super().sync(fd)


def note(writer: RunlogWriter, number: int, **fields: Any) -> None:
    writer.append(
        "note", {"n": number, **fields}, ts_mono_ns=number, ts_wall_ns_utc=10**18 + number
    )


def test_records_come_back_in_order_with_exact_integers(tmp_path: Path) -> None:
    path = tmp_path / "runlog.ndjson"
    with RunlogWriter(path, "run-1") as writer:
        note(writer, 1, text="é\n")
        note(writer, 2**63 + 1, token_ids=["1", "2"])
        writer.sync()
    assert path.read_bytes().count(b"\n") == writer.records == 2
    assert list(read_runlog(path)) == [
        {
            "record_type": "note",
            "run_id": "run-1",
            "ts_mono_ns": 1,
            "ts_wall_ns_utc": 10**18 + 1,
            "n": 1,
            "text": "é\n",
        },
        {
            "record_type": "note",
            "run_id": "run-1",
            "ts_mono_ns": 2**63 + 1,
            "ts_wall_ns_utc": 10**18 + 2**63 + 1,
            "n": 2**63 + 1,
            "token_ids": ["1", "2"],
        },
    ]


def test_each_line_is_one_write_and_the_digest_is_that_of_the_file(tmp_path: Path) -> None:
    files = FullDisk(10**9)
    path = tmp_path / "runlog.ndjson"
    writer = RunlogWriter(path, "r", files)
    for number in range(5):
        note(writer, number)
    writer.close()
    writer.close()
    assert files.writes == 5
    assert writer.digest() == hashlib.sha256(path.read_bytes()).hexdigest()
    assert writer.size_bytes == path.stat().st_size
    with pytest.raises(ValueError, match="closed"):
        note(writer, 6)


def test_a_lone_surrogate_of_a_close_reason_is_kept(tmp_path: Path) -> None:
    path = tmp_path / "runlog.ndjson"
    with RunlogWriter(path, "r") as writer:
        note(writer, 1, reason="\udcff?")
    assert next(read_runlog(path))["reason"] == "\udcff?"


def test_the_envelope_cannot_be_overwritten_and_lines_are_bounded(tmp_path: Path) -> None:
    with RunlogWriter(tmp_path / "runlog.ndjson", "r") as writer:
        with pytest.raises(ValueError, match="'run_id' belongs to the envelope"):
            note(writer, 1, run_id="other")
        with pytest.raises(ValueError, match="line of at most"):
            note(writer, 1, text="x" * LINE_MAX)
        with pytest.raises(ValueError, match="Out of range float"):
            note(writer, 1, ratio=float("nan"))
        assert writer.size_bytes == 0


def test_an_existing_runlog_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "runlog.ndjson"
    path.write_bytes(b"")
    with pytest.raises(RunLocked, match="exists already"):
        RunlogWriter(path, "r")
    with pytest.raises(WriteFailed, match="cannot make the runlog"):
        RunlogWriter(tmp_path / "nowhere" / "runlog.ndjson", "r")


def test_a_short_write_is_completed(tmp_path: Path) -> None:
    class Stingy(OsFiles):
        def write(self, fd: int, data: bytes | memoryview) -> int:
            return super().write(fd, bytes(data[:7]))

    path = tmp_path / "runlog.ndjson"
    with RunlogWriter(path, "r", Stingy()) as writer:
        note(writer, 1)
        note(writer, 2)
    assert [record["n"] for record in read_runlog(path)] == [1, 2]


def test_a_full_disk_leaves_whole_lines_and_ends_the_writing(tmp_path: Path) -> None:
    path = tmp_path / "runlog.ndjson"
    writer = RunlogWriter(path, "r", FullDisk(150))
    note(writer, 1)
    whole = path.read_bytes()
    with pytest.raises(WriteFailed, match="No space left") as caught:
        note(writer, 2)
    assert caught.value.offset == len(whole)
    assert caught.value.found == 150 - len(whole)
    assert path.read_bytes() == whole
    assert writer.digest() == hashlib.sha256(whole).hexdigest()
    with pytest.raises(WriteFailed, match="takes no more after: No space left"):
        note(writer, 3)
    with pytest.raises(WriteFailed, match="takes no more"):
        writer.sync()
    writer.close()


def test_a_line_that_cannot_be_cut_away_is_a_torn_line(tmp_path: Path) -> None:
    path = tmp_path / "runlog.ndjson"
    writer = RunlogWriter(path, "r", FullDisk(150, refuse="truncate"))
    note(writer, 1)
    with pytest.raises(WriteFailed):
        note(writer, 2)
    writer.close()
    reader = read_runlog(path)
    assert [record["n"] for record in reader] == [1]
    assert reader.torn_offset == writer.size_bytes
    assert reader.torn_bytes == 150 - writer.size_bytes


def test_a_failed_sync_ends_the_writing(tmp_path: Path) -> None:
    writer = RunlogWriter(tmp_path / "runlog.ndjson", "r", FullDisk(10**6, refuse="sync"))
    note(writer, 1)
    with pytest.raises(WriteFailed, match="cannot sync: Input/output error"):
        writer.sync()
    with pytest.raises(WriteFailed, match="takes no more"):
        note(writer, 2)
    writer.close()


def three_lines(tmp_path: Path) -> tuple[Path, bytes, list[int]]:
    path = tmp_path / "runlog.ndjson"
    with RunlogWriter(path, "r") as writer:
        for number in range(3):
            note(writer, number)
    data = path.read_bytes()
    starts = [0]
    for line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))
    return path, data, starts


def test_cut_at_every_byte_only_the_torn_line_is_missing(tmp_path: Path) -> None:
    path, data, starts = three_lines(tmp_path)
    for size in range(len(data) + 1):
        path.write_bytes(data[:size])
        reader = read_runlog(path)
        whole = [start for start in starts[1:] if start <= size]
        assert [record["n"] for record in reader] == list(range(len(whole)))
        torn = size - (whole[-1] if whole else 0)
        assert reader.torn_bytes == torn
        assert reader.torn_offset == (size - torn if torn else None)


@pytest.mark.parametrize(
    ("line", "offset", "match"),
    [
        (b'{"n": }\n', 6, "not JSON"),
        ('{"é": }\n'.encode(), 7, "not JSON"),
        (b'{"n": "\xff"}\n', 7, "not UTF-8"),
        (b"[1]\n", 0, "not a JSON object"),
        (b"\n", 0, "not JSON"),
        (b"\0\0\0\n", 0, "not JSON"),
        (b"{}{}\n", 2, "not JSON"),
        (b"[" * 200_000 + b"\n", 0, "cannot be read"),
        (b'{"n":' + b"9" * 5000 + b"}\n", 0, "cannot be read"),
        (b" " * LINE_MAX + b"\n", 0, "too long"),
    ],
)
def test_damage_in_the_middle_is_told_with_its_offset_and_reading_can_go_on(
    tmp_path: Path, line: bytes, offset: int, match: str
) -> None:
    path, data, starts = three_lines(tmp_path)
    path.write_bytes(data[: starts[1]] + line + data[starts[1] :])
    reader = read_runlog(path)
    assert next(reader)["n"] == 0
    with pytest.raises(BundleError, match=match) as caught:
        next(reader)
    assert caught.value.path == path
    assert caught.value.offset == starts[1] + offset
    assert caught.value.exit_code == 4
    assert next(reader)["n"] == 1
    assert reader.offset == starts[1] + len(line)
    assert reader.ordinal == 2
    assert [record["n"] for record in reader] == [2]
    assert reader.torn_offset is None


def test_a_zeroed_tail_is_torn(tmp_path: Path) -> None:
    path, data, _ = three_lines(tmp_path)
    path.write_bytes(data + b"\0" * 4096)
    reader = read_runlog(path)
    assert len(list(reader)) == 3
    assert (reader.torn_offset, reader.torn_bytes) == (len(data), 4096)


def test_unknown_record_types_and_fields_are_passed_through(tmp_path: Path) -> None:
    path = tmp_path / "runlog.ndjson"
    record = {"record_type": "of_the_future", "anything": [1, {"x": None}]}
    path.write_text(json.dumps(record) + "\n", "utf-8")
    assert list(read_runlog(path)) == [record]


def test_a_runlog_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(MissingFile, match="no runlog") as caught:
        read_runlog(tmp_path / "runlog.ndjson")
    assert caught.value.exit_code == 2


def test_a_reader_can_be_left_early(tmp_path: Path) -> None:
    path, _, _ = three_lines(tmp_path)
    with RunlogReader(path) as reader:
        next(reader)
    assert list(reader) == []
