import io
import random
from collections.abc import Callable, Sequence

import pytest

from pm_verify.findings import Code
from pm_verify.stream import examine_stream

Record = tuple[int, int, int, bytes]
BuildPair = Callable[[Sequence[Record], int], tuple[bytes, bytes]]


class Trickle:
    """A stream that gives what it has in pieces of any size, as a pipe does."""

    def __init__(self, data: bytes, seed: int) -> None:
        self._file, self._rng = io.BytesIO(data), random.Random(seed)

    def read(self, size: int, /) -> bytes:
        return self._file.read(min(size, self._rng.randint(1, 50)))


@pytest.mark.parametrize("version", [1, 2])
def test_clean_stream(
    build_pair: BuildPair, records: Callable[[int], list[Record]], version: int
) -> None:
    frames, _ = build_pair(records(8), version)
    for seed in range(20):
        result = examine_stream(Trickle(frames, seed))
        assert result.ok
        assert (result.records, result.frames_bytes) == (8, len(frames))
        assert result.last_good_offset == len(frames)
        assert result.idx_ok is None


def test_empty_stream_is_an_empty_shard() -> None:
    result = examine_stream(io.BytesIO())
    assert (result.ok, result.records) == (True, 0)


@pytest.mark.parametrize("seed", range(5))
def test_damage_is_named_as_in_a_file(
    build_pair: BuildPair, records: Callable[[int], list[Record]], seed: int
) -> None:
    shard = records(8)
    frames, _ = build_pair(shard, 2)
    before, _ = build_pair(shard[:5], 2)
    changed = bytearray(frames)
    changed[len(before) + 40] ^= 4
    result = examine_stream(Trickle(bytes(changed) + b"PMCAPv02\x02", seed))
    first, second = result.tally.listed
    assert (first.code, first.ordinal, first.offset) == (Code.CRC_MISMATCH, 5, len(before))
    assert (second.code, second.offset) == (Code.TORN_TAIL, len(frames))
    assert (result.records, result.crc_mismatch, result.errors) == (7, 1, 2)
    assert result.first_bad_offset == len(before)
    assert result.truncated
    assert result.frames_bytes == len(frames) + 9


def test_stamp_that_goes_back_is_found_before_and_after_damage(build_pair: BuildPair) -> None:
    stamps = [10, 20, 15, 30, 25, 40, 35]
    shard = [(1, stamp, stamp, b"payload") for stamp in stamps]
    frames, _ = build_pair(shard, 2)
    result = examine_stream(io.BytesIO(frames))
    assert [item.ordinal for item in result.tally.listed] == [2, 4, 6]
    assert set(result.tally.counts) == {Code.STAMP_BACKWARDS}
    changed = bytearray(frames)
    changed[3 * 43 + 36] ^= 1  # the payload of record 3
    result = examine_stream(io.BytesIO(bytes(changed)))
    found = [(item.code, item.ordinal) for item in result.tally.listed]
    assert (Code.STAMP_BACKWARDS, 2) in found
    assert (Code.CRC_MISMATCH, 3) in found
    assert (Code.STAMP_BACKWARDS, 6) in found


@pytest.mark.parametrize("size", range(1, 44))
def test_torn_stream(build_pair: BuildPair, size: int) -> None:
    frames, _ = build_pair([(1, 1, 1, b"payload"), (1, 2, 2, b"payload")], 2)
    result = examine_stream(io.BytesIO(frames[: 43 + size]))
    assert result.records == (2 if size == 43 else 1)
    assert result.truncated == (size < 43)
    if size < 43:
        assert set(result.tally.counts) == {Code.TORN_TAIL}
        assert result.tally.listed[0].offset == 43


def test_noise_is_no_frame() -> None:
    result = examine_stream(io.BytesIO(random.Random(1).randbytes(5000)))
    assert result.records == 0
    assert result.first_bad_offset == 0
    assert not result.ok
