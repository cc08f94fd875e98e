"""Every fault that a small bundle can have, one after the other, through the library.

Counts are printed. With PM_TEST_CAMPAIGN=full the bundles are larger and no point is left out; else every
point of interest is looked at, and of all others each so manieth.
"""

import itertools
import random
import struct
import tracemalloc
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pytest

from pm_verify.examine import fastest_engine
from pm_verify.findings import Code, Finding
from pm_verify.report import Report
from pm_verify.verify import verify_files, verify_run

Record = tuple[int, int, int, bytes]
BuildRun = Callable[..., Path]
BuildPair = Callable[..., tuple[bytes, bytes]]
Tell = Callable[[str], None]

HEADER = {1: 28, 2: 36}
ENTRY = {1: 24, 2: 32}
SKIP = 13  # odd, so that every bit of a byte and every field has its turn
TOLERABLE_TAILS = {Code.TORN_TAIL, Code.ZERO_TAIL, Code.IDX_SHORT, Code.IDX_TORN, Code.IDX_LONG}


class Pair:
    """A pair of files to damage, and where its records lie."""

    def __init__(
        self, directory: Path, shard: Sequence[Record], files: tuple[bytes, bytes]
    ) -> None:
        self.frames_path, self.idx_path = directory / "a.frames", directory / "a.idx"
        self.frames, self.idx = files
        self.count = len(shard)
        self.entry = len(self.idx) // self.count
        self.head = {24: 28, 32: 36}[self.entry]
        self.ends = [*itertools.accumulate(self.head + len(record[3]) for record in shard)]
        self.starts = [0, *self.ends[:-1]]
        self.skip = 1  # every so manieth point

    def cuts(self, data: bytes, edges: Sequence[int]) -> list[int]:
        """Sizes to which a file is cut: around every edge, and others."""
        near = {edge + by for edge in edges for by in (-1, 0, 1)}
        return [n for n in range(len(data)) if n % self.skip == 0 or n in near]

    def verify(self, frames: bytes | None = None, idx: bytes | None = None) -> Report:
        self.frames_path.write_bytes(self.frames if frames is None else frames)
        self.idx_path.write_bytes(self.idx if idx is None else idx)
        return verify_files(self.frames_path, self.idx_path, engine=fastest_engine())

    def whole_records(self, size: int) -> int:
        return sum(end <= size for end in self.ends)

    def record_at(self, offset: int) -> int:
        return next(number for number, end in enumerate(self.ends) if offset < end)

    def is_known_flag(self, offset: int, bit: int) -> bool:
        within = offset - self.starts[self.record_at(offset)]
        return within == 11 or (within == 10 and bit < 3)


@pytest.fixture(params=[2, 1], ids=["v2", "v1"])
def pair(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    build_pair: BuildPair,
    records: Callable[[int], list[Record]],
    campaign_full: bool,
) -> Pair:
    shard = records(8 if campaign_full else 6)
    pair = Pair(tmp_path, shard, build_pair(shard, request.param))
    pair.skip = 1 if campaign_full else SKIP
    return pair


def flipped(data: bytes, offset: int, bit: int) -> bytes:
    changed = bytearray(data)
    changed[offset] ^= 1 << bit
    return bytes(changed)


def bits(data: bytes, skip: int = 1) -> Iterator[tuple[int, int]]:
    return itertools.islice(itertools.product(range(len(data)), range(8)), 0, None, skip)


def codes(report: Report) -> set[Code]:
    return set(report.counts)


def test_undamaged_pair_is_clean(pair: Pair) -> None:
    assert pair.verify().ok


def test_frames_cut_at_every_byte(pair: Pair, tell: Tell) -> None:
    """The torn record is named by its offset and ordinal; everything before it counts."""
    seen: Counter[str] = Counter()
    for size in pair.cuts(pair.frames, pair.ends):
        report = pair.verify(frames=pair.frames[:size])
        whole = pair.whole_records(size)
        boundary = size == 0 or size in pair.ends
        expected = set() if boundary else {Code.TORN_TAIL}
        if whole + len(expected) < pair.count:  # the entry of the torn record is its own
            expected.add(Code.IDX_LONG)
        assert codes(report) == expected
        assert report.exit_code == 3
        assert report.records == whole
        assert report.totals()["truncated_shards"] == (not boundary)
        if not boundary:
            torn = next(item for item in report.findings if item.code is Code.TORN_TAIL)
            assert (torn.offset, torn.ordinal) == (pair.starts[whole], whole)
            assert report.summaries[0].first_bad_offset == pair.starts[whole]
        assert report.summaries[0].last_good_offset == ([0, *pair.ends][whole])
        seen["at a boundary" if boundary else "inside a record"] += 1
    tell(f"frames cut at {seen.total()} points: {dict(seen)}, none undetected")


def test_idx_cut_at_every_byte(pair: Pair, tell: Tell) -> None:
    sizes = pair.cuts(pair.idx, range(0, len(pair.idx), pair.entry))
    for size in sizes:
        report = pair.verify(idx=pair.idx[:size])
        torn = size % pair.entry != 0
        assert codes(report) == ({Code.IDX_TORN, Code.IDX_SHORT} if torn else {Code.IDX_SHORT})
        assert report.exit_code == 3
        assert report.records == pair.count
        short = next(item for item in report.findings if item.code is Code.IDX_SHORT)
        assert short.ordinal == size // pair.entry
        assert report.summaries[0].idx_records == size // pair.entry
    tell(f"idx cut at {len(sizes)} points: none undetected")


def test_both_cut(pair: Pair, tell: Tell, campaign_full: bool) -> None:
    """Tolerable whatever a crash leaves; clean only where both end with the same record."""
    step = 1 if campaign_full else 41
    idx_sizes = [
        entry * pair.entry + extra
        for entry in range(pair.count)
        for extra in (0, 1, pair.entry // 2, pair.entry - 1)
    ]
    points = clean = 0
    for frames_size in sorted({*range(0, len(pair.frames), step), *pair.ends}):
        for idx_size in idx_sizes:
            report = pair.verify(pair.frames[:frames_size], pair.idx[:idx_size])
            points += 1
            same = frames_size == [0, *pair.ends][idx_size // pair.entry]
            assert report.ok == (same and idx_size % pair.entry == 0)
            clean += report.ok
            if not report.ok:
                assert report.exit_code == 3
                assert codes(report) <= TOLERABLE_TAILS
            assert report.records == pair.whole_records(frames_size)
    tell(f"both cut at {points} pairs of points: {clean} at the same boundary, no other undetected")


def test_every_bit_of_frames(pair: Pair, tell: Tell) -> None:
    """With an index nothing outside `flags` goes unseen, and the right record is blamed."""
    unseen = beyond = 0
    total = 0
    for offset, bit in bits(pair.frames, pair.skip):
        total += 1
        report = pair.verify(frames=flipped(pair.frames, offset, bit))
        number = pair.record_at(offset)
        assert report.ok == pair.is_known_flag(offset, bit), (offset, bit)
        if report.ok:
            unseen += 1
            continue
        assert report.exit_code == 4, (offset, bit)
        first = report.findings[0]
        assert first.ordinal == number, (offset, bit, report.findings)
        assert first.offset == blamed(pair, first), (offset, bit, report.findings)
        beyond += any(item.ordinal != number for item in report.findings)
    tell(
        f"{total} bits of frames flipped: {unseen} unseen, all known bits of flags; "
        f"{beyond} name a further record too"
    )


def blamed(pair: Pair, finding: Finding) -> int:
    """Return where a finding must point: at its record, or at its entry."""
    assert finding.ordinal is not None
    if finding.file.endswith(".idx"):
        return finding.ordinal * pair.entry
    return pair.starts[finding.ordinal]


def test_every_bit_of_idx(pair: Pair, tell: Tell) -> None:
    beyond = 0
    total = 0
    for offset, bit in bits(pair.idx, pair.skip):
        total += 1
        report = pair.verify(idx=flipped(pair.idx, offset, bit))
        number = offset // pair.entry
        assert report.exit_code == 4, (offset, bit)
        first = report.findings[0]
        assert first.ordinal == number, (offset, bit, report.findings)
        assert first.offset == blamed(pair, first), (offset, bit, report.findings)
        assert report.records == pair.count
        assert report.summaries[0].errors == 0, (offset, bit, report.findings)
        beyond += any(item.ordinal != number for item in report.findings)
    tell(f"{total} bits of idx flipped: 0 unseen; {beyond} name a further record too")


def test_every_bit_without_an_index(pair: Pair, tell: Tell) -> None:
    """What frames alone can tell; stamps are the weak side, and nothing raises."""
    pair.verify()
    unseen = total = 0
    for offset, bit in bits(pair.frames, pair.skip):
        total += 1
        pair.frames_path.write_bytes(flipped(pair.frames, offset, bit))
        report = verify_files(pair.frames_path, None)
        within = offset - pair.starts[pair.record_at(offset)]
        stamps = range(12, pair.head - 8)
        assert not report.ok or within in stamps or pair.is_known_flag(offset, bit)
        assert report.exit_code in (0, 3, 4)
        unseen += report.ok
    tell(f"{total} bits of frames flipped without an index: {unseen} unseen, in stamps and flags")


def whole(pair: Pair, data: bytes, edges: Sequence[int]) -> list[bytes]:
    return [data[start:end] for start, end in itertools.pairwise(edges)]


def rearranged(parts: Sequence[bytes]) -> Iterator[tuple[str, int, bytes]]:
    """Yield every deletion, duplication and exchange of whole parts: name, first part, bytes."""
    count = len(parts)
    for number in range(count):
        yield "deleted", number, b"".join(parts[:number]) + b"".join(parts[number + 1 :])
        yield "duplicated", number, b"".join([*parts[: number + 1], *parts[number:]])
    for one, two in itertools.combinations(range(count), 2):
        order = list(parts)
        order[one], order[two] = order[two], order[one]
        yield "swapped", one, b"".join(order)


@pytest.mark.parametrize("side", ["frames", "idx"])
def test_whole_records_rearranged_in_one_file(pair: Pair, tell: Tell, side: str) -> None:
    """Nothing that is done to one of the two files goes unseen."""
    original = pair.frames if side == "frames" else pair.idx
    edges = [0, *pair.ends] if side == "frames" else range(0, len(pair.idx) + 1, pair.entry)
    seen: Counter[str] = Counter()
    for name, _, data in rearranged(whole(pair, original, list(edges))):
        assert data != original
        report = pair.verify(**{side: data})
        seen[name] += 1
        assert not report.ok, name
        assert report.exit_code in (3, 4)
        if report.exit_code == 3:
            assert codes(report) <= TOLERABLE_TAILS
    tell(f"whole records in {side} only: {dict(seen)}, none undetected")


def test_whole_records_rearranged_in_both_files(
    tmp_path: Path,
    build_run: BuildRun,
    build_pair: BuildPair,
    records: Callable[[int], list[Record]],
    tell: Tell,
) -> None:
    """Consistently in both: stamps and runlog tell what they can, a seal tells everything."""
    shard = records(6)
    seen: Counter[str] = Counter()
    for sealed in (False, True):
        run = build_run(tmp_path / f"sealed-{sealed}", shards={0: shard}, sealed=sealed)
        frames_path, idx_path = (run / "capture" / f"shard_00.{name}" for name in ("frames", "idx"))
        for name, number, order in orders(len(shard)):
            frames, idx = build_pair([shard[which] for which in order], 2)
            frames_path.write_bytes(frames)
            idx_path.write_bytes(idx)
            report = verify_run(run)
            outcome = codes(report) - {Code.UNSEALED}
            seen[f"{'sealed' if sealed else 'unsealed'} {name}"] += 1
            if not outcome:
                assert not sealed
                stamps = [shard[which][1] for which in order]
                assert name == "duplicated" or stamps == sorted(stamps), (name, number)
                assert name != "deleted"
                seen[f"undetected {name}"] += 1
            else:
                assert report.exit_code == 4
    assert seen["undetected deleted"] == 0
    tell(f"whole records in both files: {dict(seen)}")


def orders(count: int) -> Iterator[tuple[str, int, list[int]]]:
    everything = list(range(count))
    for number in everything:
        yield "deleted", number, everything[:number] + everything[number + 1 :]
        yield "duplicated", number, everything[: number + 1] + everything[number:]
    for one, two in itertools.combinations(everything, 2):
        order = everything.copy()
        order[one], order[two] = order[two], order[one]
        yield "swapped", one, order


SEALED_FILES = (
    "seal.json",
    "SHA256SUMS",
    "manifest.json",
    "runlog.ndjson",
    "universe/000000.json",
    "metrics/global.ndjson",
    "capture/shard_00.frames",
    "capture/shard_00.idx",
)


@pytest.mark.parametrize("name", SEALED_FILES)
def test_every_bit_of_a_sealed_run(
    tmp_path: Path,
    build_run: BuildRun,
    records: Callable[[int], list[Record]],
    campaign_full: bool,
    tell: Tell,
    name: str,
) -> None:
    """With a seal no changed bit of any file goes unseen, `flags` included."""
    run = build_run(tmp_path / "run", shards={0: records(6 if campaign_full else 2)})
    path = run / name
    original = path.read_bytes()
    points = list(bits(original))
    if not campaign_full:
        points = points[:: len(points) // 150 | 1]  # one digest covers them all alike
    for offset, bit in points:
        path.write_bytes(flipped(original, offset, bit))
        report = verify_run(run)
        assert report.exit_code == 4, (offset, bit, original[offset : offset + 8])
        assert any(item.file in (name, "seal.json", "SHA256SUMS") for item in report.findings)
        if name not in ("seal.json", "SHA256SUMS"):
            assert report.counts[Code.FILE_DIGEST] == 1
    tell(f"{len(points)} of {8 * len(original)} bits of sealed {name} flipped: 0 unseen")


@pytest.mark.parametrize("name", ["capture/shard_00.frames", "capture/shard_00.idx"])
def test_sealed_file_cut_at_every_byte(
    tmp_path: Path,
    build_run: BuildRun,
    records: Callable[[int], list[Record]],
    campaign_full: bool,
    tell: Tell,
    name: str,
) -> None:
    """What is tolerable after a crash is corruption in a run that was closed."""
    run = build_run(tmp_path / "run", shards={0: records(4)})
    path = run / name
    original = path.read_bytes()
    sizes = range(0, len(original), 1 if campaign_full else 5)
    for size in sizes:
        path.write_bytes(original[:size])
        report = verify_run(run)
        assert report.exit_code == 4
        assert Code.FILE_DIGEST in report.counts
        assert Code.SEAL_DISAGREES in report.counts
    tell(f"sealed {name} cut at {len(sizes)} points: 0 unseen")


def test_garbage_appended(pair: Pair, tell: Tell, campaign_full: bool) -> None:
    """Everything before the garbage is untouched, and it never becomes a record."""
    rng = random.Random(20)
    rounds = 0
    for size in [*range(1, 40, 1 if campaign_full else 3), 64, 100, 1000, 5000]:
        for _ in range(20 if campaign_full else 2):
            garbage = rng.randbytes(size)
            rounds += 3
            for frames, idx in ((garbage, b""), (b"", garbage), (garbage, garbage)):
                report = pair.verify(pair.frames + frames, pair.idx + idx)
                assert report.exit_code in (3, 4)
                assert report.records == pair.count
                assert report.summaries[0].last_good_offset == len(pair.frames)
                if frames and not idx:
                    assert codes(report) == {Code.TRAILING_GARBAGE}
                    assert report.findings[0].offset == len(pair.frames)
    tell(f"garbage appended {rounds} times: 0 undetected, 0 invented records")


@pytest.mark.parametrize("size", [1, 27, 36, 512, 4096])
def test_zeros_appended_are_a_zero_tail(pair: Pair, size: int) -> None:
    report = pair.verify(frames=pair.frames + bytes(size))
    assert codes(report) == {Code.ZERO_TAIL}
    assert report.exit_code == 3
    assert report.findings[0].offset == len(pair.frames)
    assert report.totals()["truncated_shards"] == 1


@pytest.mark.parametrize("length", [2**32 - 1, 2**31, (64 << 20) + 1, 64 << 20, 1 << 16])
@pytest.mark.parametrize("side", ["frames", "idx", "both"])
def test_hostile_lengths_take_no_memory(pair: Pair, length: int, side: str) -> None:
    """A length is judged before anything is read or allocated for it."""
    where, stated = pair.starts[2] + pair.head - 8, struct.pack("<I", length)
    frames, idx = bytearray(pair.frames), bytearray(pair.idx)
    if side != "idx":
        frames[where : where + 4] = stated
    if side != "frames":
        idx[3 * pair.entry - 8 : 3 * pair.entry - 4] = stated
    pair.verify()
    tracemalloc.start()
    report = pair.verify(bytes(frames), bytes(idx))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert report.exit_code == 4
    assert report.findings[0].ordinal == 2
    assert peak < 16 << 20


def test_hostile_offsets_do_not_wrap(pair: Pair) -> None:
    for offset in (2**64 - 1, 2**63, 2**32, len(pair.frames)):
        idx = bytearray(pair.idx)
        idx[pair.entry : pair.entry + 8] = struct.pack("<Q", offset)
        report = pair.verify(idx=bytes(idx))
        assert codes(report) == {Code.IDX_OFFSET}
        assert (report.findings[0].ordinal, report.findings[0].found) == (1, offset)
