"""Rows are the same frames: as `Shard.frames` reads them, and damaged at the same place."""

from pathlib import Path

import pytest

import pm_frames.shard
from pm_frames.checksum import crc32
from pm_frames.errors import BundleError
from pm_frames.frames import encode_frame
from pm_frames.index import IdxEntry, encode_entry
from pm_frames.layout import Version
from pm_frames.rows import FrameRow
from pm_frames.shard import Shard
from pm_frames.writer import ShardWriter

SIZES = (0, 1, 40, 300, 3, 700, 0, 5, 120)


def write_shard(folder: Path, version: Version) -> Shard:
    writer = ShardWriter(folder, 7, version=version)
    for number, size in enumerate(SIZES):
        flags = 0x101 if number == 3 else 1
        writer.append(
            [(flags, bytes([number]) * size)], rx_mono_ns=5 + number // 2, rx_wall_ns_utc=9
        )
    writer.close()
    return Shard(7, folder / "shard_07.frames", folder / "shard_07.idx")


def by_frames(shard: Shard, start: int, stop: int | None) -> tuple[list[FrameRow], str]:
    rows: list[FrameRow] = []
    try:
        for ordinal, frame in enumerate(shard.frames(start, stop), start):
            rows.append((frame.rx_mono_ns, 7, ordinal, frame.flags, frame.payload))
    except BundleError as error:
        return rows, str(error)
    return rows, ""


def by_blocks(shard: Shard, start: int, stop: int | None) -> tuple[list[FrameRow], str]:
    rows: list[FrameRow] = []
    try:
        for block in shard.blocks(start, stop):
            assert block
            rows += block
    except BundleError as error:
        return rows, str(error)
    return rows, ""


@pytest.mark.parametrize("version", Version)
@pytest.mark.parametrize("block_bytes", [36, 100, 1 << 18])
def test_every_range_gives_the_same_rows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, version: Version, block_bytes: int
) -> None:
    monkeypatch.setattr(pm_frames.shard, "BLOCK_BYTES", block_bytes)
    shard = write_shard(tmp_path, version)
    for start in range(len(SIZES) + 1):
        for stop in (None, *range(start, len(SIZES) + 2)):
            assert by_blocks(shard, start, stop) == by_frames(shard, start, stop)
    assert len(by_blocks(shard, 0, None)[0]) == len(SIZES)


@pytest.mark.parametrize("name", ["frames", "idx"])
def test_damage_ends_both_after_the_same_row_with_the_same_error(tmp_path: Path, name: str) -> None:
    shard = write_shard(tmp_path, Version.V2)
    path = tmp_path / f"shard_07.{name}"
    sound = path.read_bytes()
    told = set()
    for at in range(0, len(sound), 3 if name == "idx" else 5):
        for damaged in (sound[:at], sound[:at] + bytes([sound[at] ^ 0x84]) + sound[at + 1 :]):
            path.write_bytes(damaged)
            fresh = Shard(7, shard.frames_path, shard.idx_path)
            expected = by_frames(fresh, 0, None)
            found = by_blocks(Shard(7, shard.frames_path, shard.idx_path), 0, None)
            assert found == expected
            told.add(expected[1].split(":")[-1])
    assert len(told) > 3


def test_a_frame_over_the_limit_of_the_reader_is_refused_the_same_way(tmp_path: Path) -> None:
    shard = write_shard(tmp_path, Version.V2)
    strict = Shard(7, shard.frames_path, shard.idx_path, payload_max=299)
    rows, error = by_blocks(strict, 0, None)
    assert (rows, error) == by_frames(strict, 0, None)
    assert len(rows) == 3
    assert "over the limit" in error


def test_stamps_that_go_back_in_frames_and_idx_alike_end_both(tmp_path: Path) -> None:
    frames, idx = tmp_path / "shard_07.frames", tmp_path / "shard_07.idx"
    data = entries = b""
    for stamp in (5, 9, 8, 10):
        frame = encode_frame(b"x", rx_mono_ns=stamp, rx_wall_ns_utc=1, flags=1)
        entries += encode_entry(IdxEntry(len(data), stamp, 1, 1, crc32(b"x")))
        data += frame
    frames.write_bytes(data)
    idx.write_bytes(entries)
    rows, error = by_blocks(Shard(7, frames, idx), 0, None)
    assert (rows, error) == by_frames(Shard(7, frames, idx), 0, None)
    assert [row[0] for row in rows] == [5, 9]
    assert "before that of the frame before it" in error
