"""The seekable format, against files made by hand and with the reference library."""

from __future__ import annotations

import io
import os
import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pm_frames.errors import CorruptArchive, MissingFile
from pm_frames.seekable import CHUNK_MAX, SeekableReader, codec, table

FULL = os.environ.get("PM_TEST_CAMPAIGN") == "full"
CHUNKS = [b"a" * 1000, b"", b"bcd", bytes(range(99)) * 9]


def packed(chunks: list[bytes]) -> bytes:
    frames = [codec().compress(chunk, 3) for chunk in chunks]
    sizes = [(len(frame), len(chunk)) for frame, chunk in zip(frames, chunks, strict=True)]
    return b"".join(frames) + table(sizes)


@pytest.fixture
def archive(tmp_path: Path) -> Path:
    path = tmp_path / "some.zst"
    path.write_bytes(packed(CHUNKS))
    return path


def test_the_table_is_the_one_of_the_format() -> None:
    assert table([(10, 20)]) == struct.pack(
        "<IIIIIBI", 0x184D2A5E, 17, 10, 20, 1, 0, 0x8F92EAB1
    )  # fmt: skip


def test_any_zstd_reader_reads_the_whole(archive: Path) -> None:
    zstandard = pytest.importorskip("zstandard")
    with archive.open("rb") as file:
        reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
        assert reader.read() == b"".join(CHUNKS)


@settings(max_examples=50, deadline=None)
@given(chunks=st.lists(st.binary(max_size=50), max_size=8))
def test_it_reads_as_the_file_that_it_was(
    tmp_path_factory: pytest.TempPathFactory, chunks: list[bytes]
) -> None:
    path = tmp_path_factory.mktemp("zst") / "some.zst"
    path.write_bytes(packed(chunks))
    plain = b"".join(chunks)
    with SeekableReader(path) as reader:
        assert reader.size == len(plain)
        assert io.BufferedReader(reader).read() == plain


def test_reads_anywhere(archive: Path) -> None:
    plain = b"".join(CHUNKS)
    with SeekableReader(archive) as reader:
        for start in (0, 999, 1000, 1002, 1003, 2000, len(plain) - 1, len(plain), len(plain) + 9):
            reader.seek(start)
            found = b""
            while part := reader.read(700):
                found += part
            assert found == plain[start:]
        assert reader.seek(-3, io.SEEK_END) == len(plain) - 3 == reader.tell()
        with pytest.raises(ValueError, match="before the start"):
            reader.seek(-1)


def test_every_flipped_bit_is_noticed_or_changes_nothing(archive: Path, tmp_path: Path) -> None:
    """Content and sizes are covered by checksums; a few bits of the frame headers carry no meaning."""
    data, plain = archive.read_bytes(), b"".join(CHUNKS)
    noticed = 0
    for at in range(len(data)):
        for bit in range(8) if FULL else (at % 8, (at + 5) % 8):
            hurt = bytearray(data)
            hurt[at] ^= 1 << bit
            path = tmp_path / "hurt.zst"
            path.write_bytes(hurt)
            try:
                with SeekableReader(path) as reader:
                    found = io.BufferedReader(reader).read()
            except CorruptArchive:
                noticed += 1
            else:
                assert found == plain
    assert noticed > (7 if FULL else 1.7) * len(data)  # an empty frame is never read


def test_every_cut_is_noticed(archive: Path, tmp_path: Path) -> None:
    data = archive.read_bytes()
    for length in range(len(data)):
        path = tmp_path / "cut.zst"
        path.write_bytes(data[:length])
        with pytest.raises(CorruptArchive):
            SeekableReader(path)


def test_a_frame_that_promises_too_much_is_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "bomb.zst"
    path.write_bytes(b"x" * 10 + table([(10, CHUNK_MAX + 1)]))
    with pytest.raises(CorruptArchive, match="too large"):
        SeekableReader(path)


def test_a_frame_longer_than_the_table_says(tmp_path: Path) -> None:
    frame = codec().compress(bytes(10**6), 3)
    path = tmp_path / "long.zst"
    path.write_bytes(frame + table([(len(frame), 10)]))
    with SeekableReader(path) as reader, pytest.raises(CorruptArchive, match="does not hold 10"):
        reader.read(1)


def test_checksums_of_other_writers_are_passed_over(tmp_path: Path) -> None:
    frame = codec().compress(b"hello", 3)
    entry = struct.pack("<III", len(frame), 5, 0xDEADBEEF)
    footer = struct.pack("<IBI", 1, 0x80, 0x8F92EAB1)
    body = entry + footer
    path = tmp_path / "other.zst"
    path.write_bytes(frame + struct.pack("<II", 0x184D2A5E, len(body)) + body)
    with SeekableReader(path) as reader:
        assert reader.read(9) == b"hello"


def test_nothing_there(tmp_path: Path) -> None:
    with pytest.raises(MissingFile):
        SeekableReader(tmp_path / "no.zst")
