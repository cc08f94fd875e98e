"""One shard by ordinal: strict reading, and the idx as columns."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import numpy
import pytest

from pm_frames.errors import CorruptFrame, CorruptIndex, MissingFile, MissingLibrary
from pm_frames.frames import Frame
from pm_frames.index import IdxEntry, encode_entry, entry_of
from pm_frames.layout import HEADER, IDX, Version
from pm_frames.shard import Shard


class Golden(Protocol):
    """What the fixture of conftest.py gives."""

    version: Version
    frames_path: Path
    idx_path: Path
    frames: list[Frame]
    frames_bytes: bytes
    idx_bytes: bytes


def shard_of(golden: Golden) -> Shard:
    return Shard(3, golden.frames_path, golden.idx_path)


def test_all_of_it(golden: Golden) -> None:
    shard = shard_of(golden)
    assert shard.version == golden.version
    assert len(shard) == len(golden.frames)
    assert list(shard.frames()) == golden.frames
    assert list(shard.entries()) == [entry_of(frame) for frame in golden.frames]
    assert repr(shard).startswith("Shard(3, ")


def test_any_part_of_it(golden: Golden) -> None:
    shard = shard_of(golden)
    count = len(golden.frames)
    for start in range(count + 2):
        assert list(shard.frames(start)) == golden.frames[start:]
        for stop in range(count + 2):
            assert list(shard.frames(start, stop)) == golden.frames[start:stop]
    assert list(shard.entries(2, 3)) == [entry_of(golden.frames[2])]


def test_an_empty_shard(tmp_path: Path) -> None:
    for name in ("s.frames", "s.idx"):
        (tmp_path / name).touch()
    shard = Shard(0, tmp_path / "s.frames", tmp_path / "s.idx")
    assert (shard.version, len(shard), list(shard.frames())) == (Version.V2, 0, [])
    assert {name: len(column) for name, column in shard.columns().items()} == {
        "offset_frames": 0,
        "rx_mono_ns": 0,
        "rx_wall_ns_utc": 0,
        "payload_len": 0,
        "payload_crc32": 0,
    }


def test_columns(golden: Golden) -> None:
    columns = shard_of(golden).columns()
    assert ("rx_wall_ns_utc" in columns) == (golden.version == Version.V2)
    assert columns["offset_frames"].tolist() == [frame.offset for frame in golden.frames]
    assert columns["rx_mono_ns"].tolist() == [frame.rx_mono_ns for frame in golden.frames]
    assert columns["payload_len"].tolist() == [len(frame.payload) for frame in golden.frames]
    assert columns["payload_crc32"].tolist() == [frame.crc32 for frame in golden.frames]
    assert columns["rx_mono_ns"].dtype == numpy.uint64
    assert all(column.flags.c_contiguous for column in columns.values())


def test_columns_without_numpy_say_what_to_install(
    golden: Golden, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "numpy", None)
    with pytest.raises(MissingLibrary, match=r"pip install 'pm-frames\[fast\]'"):
        shard_of(golden).columns()
    assert list(shard_of(golden).frames()) == golden.frames


def test_columns_of_a_torn_index(golden: Golden) -> None:
    golden.idx_path.write_bytes(golden.idx_bytes[:-5])
    shard = shard_of(golden)
    assert len(shard) == len(golden.frames) - 1
    with pytest.raises(CorruptIndex) as caught:
        shard.columns()
    assert caught.value.kind == "idx_torn"


@pytest.mark.parametrize("field", range(5))
def test_each_field_of_an_entry_that_disagrees(golden: Golden, field: int) -> None:
    if field == 2 and golden.version == Version.V1:
        pytest.skip("version 1 has no wall clock")
    ordinal = 4
    right = entry_of(golden.frames[ordinal])
    name = IdxEntry._fields[field]
    entry = right._replace(**{name: (right[field] or 0) + 1})
    size = IDX[golden.version].size
    changed = encode_entry(entry, golden.version)
    data = bytearray(golden.idx_bytes)
    data[ordinal * size : (ordinal + 1) * size] = changed
    golden.idx_path.write_bytes(data)
    frames = shard_of(golden).frames()
    assert [next(frames) for _ in range(ordinal)] == golden.frames[:ordinal]
    with pytest.raises(CorruptIndex) as caught:
        next(frames)
    kind = ("offset", "mono", "wall", "length", "crc")[field]
    error = caught.value
    assert (error.kind, error.ordinal) == (f"idx_{kind}_mismatch", ordinal)
    assert (error.path, error.offset) == (golden.idx_path, ordinal * size)
    assert error.found == entry[field]
    assert error.expected == right[field]
    # Reading that begins after it is concerned only with place and time, which it takes from that entry.
    if field in (2, 4):
        assert list(shard_of(golden).frames(ordinal + 1)) == golden.frames[ordinal + 1 :]


def test_every_bit_of_a_frame_raises_there(golden: Golden) -> None:
    """The strict reader notices what the scan notices: everything outside flags."""
    ordinal = 4  # a payload that contains a frame
    frame = golden.frames[ordinal]
    for offset in range(frame.offset, frame.end):
        if offset - frame.offset in (10, 11):
            continue
        data = bytearray(golden.frames_bytes)
        data[offset] ^= 1 << (offset % 8)
        golden.frames_path.write_bytes(data)
        frames = shard_of(golden).frames()
        assert [next(frames) for _ in range(ordinal)] == golden.frames[:ordinal]
        with pytest.raises((CorruptFrame, CorruptIndex)) as caught:
            next(frames)
        if isinstance(caught.value, CorruptIndex):
            assert caught.value.ordinal == ordinal
        else:
            assert (caught.value.path, caught.value.offset) == (golden.frames_path, frame.offset)


def test_files_that_do_not_end_together(golden: Golden) -> None:
    size = IDX[golden.version].size
    count = len(golden.frames)
    golden.idx_path.write_bytes(golden.idx_bytes[:-size])
    with pytest.raises(CorruptIndex) as caught:
        list(shard_of(golden).frames())
    assert (caught.value.kind, caught.value.ordinal) == ("idx_short", count - 1)
    # Who says where to stop is not told about the end: that is how a shard that grows is read.
    assert list(shard_of(golden).frames(stop=99)) == golden.frames[:-1]

    golden.idx_path.write_bytes(golden.idx_bytes + golden.idx_bytes[:3])
    with pytest.raises(CorruptIndex) as caught:
        list(shard_of(golden).frames(2))
    assert caught.value.kind == "idx_torn"

    golden.idx_path.write_bytes(golden.idx_bytes)
    golden.frames_path.write_bytes(golden.frames_bytes[: golden.frames[-1].offset])
    with pytest.raises(CorruptIndex) as caught:
        list(shard_of(golden).frames())
    assert (caught.value.kind, caught.value.ordinal) == ("idx_long", count - 1)

    golden.frames_path.write_bytes(golden.frames_bytes[:-1])
    with pytest.raises(CorruptFrame) as torn:
        list(shard_of(golden).frames())
    assert torn.value.kind == "truncated_payload"
    assert torn.value.expected == HEADER[golden.version].size + len(golden.frames[-1].payload)


def test_the_first_entry_must_be_at_the_beginning(golden: Golden) -> None:
    size = IDX[golden.version].size
    golden.idx_path.write_bytes(golden.idx_bytes[size:])
    with pytest.raises(CorruptIndex) as caught:
        list(shard_of(golden).frames())
    assert (caught.value.kind, caught.value.expected) == ("idx_offset_mismatch", 0)


def test_stamps_that_go_back_in_both_files() -> None:
    path = Path(__file__).resolve().parents[3] / "testdata" / "frames" / "invalid"
    shard = Shard(0, path / "mono-backwards.frames", path / "mono-backwards.idx")
    for start in (0, 2):
        with pytest.raises(CorruptFrame) as caught:
            list(shard.frames(start))
        assert caught.value.kind == "mono_backwards"
        assert caught.value.expected == 7_000_000_000_002
    assert len(list(shard.frames(3))) == 1


def test_what_is_missing_is_named(golden: Golden) -> None:
    golden.idx_path.unlink()
    with pytest.raises(MissingFile) as caught:
        list(shard_of(golden).frames())
    assert caught.value.path == golden.idx_path
    golden.idx_path.touch()
    golden.frames_path.unlink()
    with pytest.raises(MissingFile) as caught:
        list(shard_of(golden).frames())
    assert caught.value.path == golden.frames_path


def test_a_frame_larger_than_the_window(make_shard: Callable[..., Golden]) -> None:
    golden = make_shard(Version.V2, [b"a", b"\xa5" * 2_500_000, b"b"] * 2)
    assert list(shard_of(golden).frames()) == golden.frames
    assert list(shard_of(golden).frames(1, 4)) == golden.frames[1:4]


def test_pairs_of_a_torn_shard(golden: Golden) -> None:
    """The longest common prefix, whichever of the two files is ahead."""
    size = IDX[golden.version].size
    for length in range(len(golden.frames_bytes) + 1):
        golden.frames_path.write_bytes(golden.frames_bytes[:length])
        if 0 < length < 8:
            continue  # not even a version
        whole = [frame for frame in golden.frames if frame.end <= length]
        shard = shard_of(golden)
        if length:
            assert shard.pairs() == len(whole)
        assert list(shard.frames(stop=shard.pairs())) == whole
    for length in range(len(golden.idx_bytes) + 1):
        golden.idx_path.write_bytes(golden.idx_bytes[:length])
        shard = shard_of(golden)
        assert shard.pairs() == length // size
        assert list(shard.frames(stop=shard.pairs())) == golden.frames[: length // size]
