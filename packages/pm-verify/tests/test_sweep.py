import io
import zlib
from collections.abc import Callable, Sequence

import pytest

from pm_frames.layout import Version
from pm_verify import sweep as module
from pm_verify.sweep import Agreement, Batch, Engine, plain, prefixes, sweep

Record = tuple[int, int, int, bytes]
BuildPair = Callable[[Sequence[Record], int], tuple[bytes, bytes]]


def engines() -> list[Engine]:
    try:
        from pm_verify.vectorised import vectorised
    except ImportError:
        return [plain]
    return [plain, vectorised]


def run(frames: bytes, idx: bytes, version: int, engine: Engine) -> Agreement:
    return sweep(
        io.BytesIO(frames), io.BytesIO(idx), Version(version), engine=engine, checksum=zlib.crc32
    )


@pytest.mark.parametrize("version", [1, 2])
@pytest.mark.parametrize("engine", engines())
def test_clean_shard_agrees_to_the_end(
    build_pair: BuildPair, records: Callable[[int], list[Record]], version: int, engine: Engine
) -> None:
    frames, idx = build_pair(records(8), version)
    entry = len(idx) // 8
    assert run(frames, idx, version, engine) == Agreement(
        8, len(frames), len(idx), idx[:entry], idx[-entry:]
    )


@pytest.mark.parametrize("engine", engines())
def test_agreement_ends_before_the_first_wrong_record(
    build_pair: BuildPair, records: Callable[[int], list[Record]], engine: Engine
) -> None:
    shard = records(8)
    frames, idx = build_pair(shard, 2)
    for number in range(8):
        before, _ = build_pair(shard[:number], 2)
        changed = bytearray(frames)
        changed[len(before) + 12] ^= 1
        agreement = run(bytes(changed), idx, 2, engine)
        assert (agreement.records, agreement.frames_end) == (number, len(before))


@pytest.mark.parametrize("engine", engines())
def test_batches_and_reads_meet_at_any_place(
    build_pair: BuildPair, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    monkeypatch.setattr(module, "ENTRIES_PER_READ", 7)
    monkeypatch.setattr(module, "ENTRIES_PER_BATCH", 4)
    monkeypatch.setattr(module, "BATCH_BYTES_MAX", 200)
    shard = [(1, number // 3, number, bytes(number % 5) * (number % 60)) for number in range(100)]
    frames, idx = build_pair(shard, 2)
    assert run(frames, idx, 2, engine).frames_end == len(frames)
    # The stamp of the record before counts over the edge of a batch as well.
    shard[28] = (1, 0, 28, b"back in time")
    frames, idx = build_pair(shard, 2)
    assert run(frames, idx, 2, engine).records == 28


@pytest.mark.parametrize("engine", engines())
def test_one_record_larger_than_a_batch(
    build_pair: BuildPair, monkeypatch: pytest.MonkeyPatch, engine: Engine
) -> None:
    monkeypatch.setattr(module, "BATCH_BYTES_MAX", 100)
    frames, idx = build_pair([(1, 5, 6, b"x"), (1, 5, 6, bytes(5000)), (1, 5, 6, b"y")], 2)
    assert run(frames, idx, 2, engine).records == 3


def test_every_known_opening_and_no_other() -> None:
    assert len(prefixes(Version.V2)) == 8
    assert b"PMCAPv02\x02\x00\x07" in prefixes(Version.V2)
    assert b"PMCAPv02\x02\x00\x08" not in prefixes(Version.V2)


@pytest.mark.parametrize("engine", engines())
def test_all_65536_flags(build_pair: BuildPair, engine: Engine, campaign_full: bool) -> None:
    """Everyday each low byte, with one or two high ones."""
    frames, idx = build_pair([(0, 1, 2, b"x")], 2)
    for flags in range(0, 65536, 1 if campaign_full else 251):
        data = frames[:10] + flags.to_bytes(2, "little") + frames[12:]
        assert engine(Batch(Version.V2, idx, data, 0, 0, zlib.crc32)) == (flags & 0xF8 == 0)
