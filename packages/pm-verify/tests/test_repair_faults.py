"""Every cut and every flipped bit of a small run, repaired: the law of `pm-verify --repair`.

Whatever was done to the files of a shard, the repair verifies in strict mode, no frame whose bytes are
intact is missing, none is invented, and a second repair has nothing to do. Counts are printed; with
PM_TEST_CAMPAIGN=full the shard is larger, and no point of one file is left out.
"""

import itertools
import json
import shutil
import struct
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from pm_frames.files import OsFiles
from pm_verify.repair import Repaired, repair_run
from pm_verify.verify import verify_run

Record = tuple[int, int, int, bytes]
BuildRun = Callable[..., Path]
Tell = Callable[[str], None]
SALVAGED = 0x8000


class Unsynced(OsFiles):
    """The real file system, without waiting for the device: these runs live for milliseconds."""

    def sync(self, fd: int) -> None:
        pass

    def sync_directory(self, path: Path) -> None:
        pass


HEADER = {1: struct.Struct("<8sHHQII"), 2: struct.Struct("<8sHHQQII")}


def decode(frames: bytes, version: int) -> list[Record]:
    """Read a sound .frames file by itself."""
    found: list[Record] = []
    at, size = 0, HEADER[version].size
    while at < len(frames):
        fields = HEADER[version].unpack_from(frames, at)
        end = at + size + fields[-2]
        wall = fields[4] if version == 2 else 0
        found.append((fields[2], fields[3], wall, frames[at + size : end]))
        at = end
    return found


class Subject:
    """A run of one shard to damage and to repair, again and again."""

    def __init__(self, run: Path, shard: Sequence[Record], version: int) -> None:
        self.run, self.version = run, version
        self.frames_path = run / "capture" / "shard_00.frames"
        self.idx_path = run / "capture" / "shard_00.idx"
        self.frames, self.idx = self.frames_path.read_bytes(), self.idx_path.read_bytes()
        self.out = run.with_name("out")
        kept = [record if version == 2 else (*record[:2], 0, record[3]) for record in shard]
        self.records = kept
        head = HEADER[version].size
        self.ends = [*itertools.accumulate(head + len(record[3]) for record in kept)]
        self.entry = len(self.idx) // len(kept)

    def repair(self, frames: bytes, idx: bytes | None) -> tuple[Repaired, list[Record]]:
        """Put the bytes in place and repair; return what was done and the frames that are left."""
        self.frames_path.write_bytes(frames)
        self.idx_path.unlink(missing_ok=True)
        if idx is not None:
            self.idx_path.write_bytes(idx)
        shutil.rmtree(self.out, ignore_errors=True)
        done = repair_run(self.run, self.out, now_wall_ns=1, files=Unsynced())
        kept = self.out if done.out else self.run
        report = verify_run(kept)
        assert report.findings == (), report.verdict()
        assert self.frames_path.read_bytes() == frames, "the parent was changed"
        assert repair_run(kept, self.run.with_name("again"), now_wall_ns=2).out is None
        return done, decode((kept / "capture" / "shard_00.frames").read_bytes(), self.version)

    def at(self, offset: int) -> int:
        return next(number for number, end in enumerate(self.ends) if offset < end)


@pytest.fixture(params=[2, 1], ids=["v2", "v1"])
def subject(
    request: pytest.FixtureRequest,
    tmp_path: Path,
    build_run: BuildRun,
    records: Callable[[int], list[Record]],
    campaign_full: bool,
) -> Subject:
    shard = records(8 if campaign_full else 5)
    run = build_run(tmp_path / "run", shards={0: shard}, version=request.param, sealed=False)
    return Subject(run, shard, request.param)


def plain(records: Sequence[Record]) -> list[Record]:
    """Return records without the mark of a repair."""
    return [(flags & ~SALVAGED, *rest) for flags, *rest in records]  # type: ignore[misc]


def points(data: bytes, step: int) -> Iterator[tuple[int, int]]:
    """Yield byte and bit of every flip, or of every `step`th."""
    yield from itertools.islice(itertools.product(range(len(data)), range(8)), 0, None, step)


def flipped(data: bytes, offset: int, bit: int) -> bytes:
    changed = bytearray(data)
    changed[offset] ^= 1 << bit
    return bytes(changed)


def told(done: Repaired, field: str) -> list[Any]:
    value = done.record.get(field, [])
    assert isinstance(value, list)
    return value


def step(campaign_full: bool, size: int) -> int:
    """Return how many points are passed over: about 15 are looked at in every run of CI."""
    return 1 if campaign_full else max(1, size // 15) | 1


def test_frames_cut(subject: Subject, campaign_full: bool, tell: Tell) -> None:
    sizes = range(0, len(subject.frames), step(campaign_full, len(subject.frames)))
    for size in sorted({*sizes, *subject.ends[:-1]}):
        done, left = subject.repair(subject.frames[:size], subject.idx)
        whole = sum(end <= size for end in subject.ends)
        assert left == subject.records[:whole]
        torn = size - [0, *subject.ends][whole]
        dropped = told(done, "dropped")
        assert sum(one["end"] - one["offset"] for one in dropped) == torn
        if torn:
            kept = subject.out / dropped[0]["kept_in"]
            assert kept.read_bytes() == subject.frames[size - torn : size]
        # The entries of frames that are not here are counted as lost, but for the torn frame's own.
        lost = sum(one["count"] for one in told(done, "lost_entries"))
        assert lost == len(subject.records) - whole - bool(torn)
        assert done.exit_code == (3 if whole < len(subject.records) else 0)
    tell(f"frames cut at {len(sizes)} points: every repair clean, every whole frame kept")


def test_idx_cut(subject: Subject, campaign_full: bool, tell: Tell) -> None:
    sizes = range(0, len(subject.idx), 1 if campaign_full else subject.entry // 4 - 1)
    for size in sizes:
        done, left = subject.repair(subject.frames, subject.idx[:size])
        assert left == subject.records
        assert (subject.out / "capture" / "shard_00.idx").read_bytes() == subject.idx
        shards = done.record["shards"]
        assert isinstance(shards, dict)
        assert shards["0"]["idx"] == "completed"
        assert done.exit_code == 0
    tell(f"idx cut at {len(sizes)} points: completed byte for byte")


def test_both_cut(subject: Subject, campaign_full: bool, tell: Tell) -> None:
    frames_sizes = range(0, len(subject.frames), 5 if campaign_full else 89)
    idx_sizes = range(0, len(subject.idx), 7 if campaign_full else 45)
    count = 0
    for frames_size, idx_size in itertools.product(frames_sizes, idx_sizes):
        _, left = subject.repair(subject.frames[:frames_size], subject.idx[:idx_size])
        assert left == subject.records[: sum(end <= frames_size for end in subject.ends)]
        count += 1
    tell(f"both cut at {count} pairs of points: every repair clean, every whole frame kept")


def test_missing_idx_is_rebuilt(subject: Subject) -> None:
    done, left = subject.repair(subject.frames, None)
    assert left == subject.records
    assert (subject.out / "capture" / "shard_00.idx").read_bytes() == subject.idx
    shards = done.record["shards"]
    assert isinstance(shards, dict)
    assert shards["0"]["idx"] == "rebuilt"


def judge(subject: Subject, done: Repaired, left: list[Record], number: int, where: object) -> str:
    """Check what is left after damage to frame `number` alone; say what became of it."""
    records = subject.records
    rest = records[:number] + records[number + 1 :]
    if len(left) == len(rest):
        assert plain(left) == rest, where
        marks = [bool(record[0] & SALVAGED) for record in left]
        assert marks == [place == number for place in range(len(left))], where
        assert told(done, "dropped"), where
        return "left out"
    assert len(left) == len(records), where
    assert [*left[:number], *plain(left[number + 1 :])] == rest, where
    own = left[number]
    assert own[3] == records[number][3], where
    if own == records[number]:
        return "untouched"
    if own == (records[number][0] | SALVAGED, *records[number][1:]):
        return "made as it was"
    if own[1:] == records[number][1:]:
        return "flags changed"
    choice = told(done, "choices")
    assert choice, where
    assert choice[0]["by"] == "nothing", where
    assert own[0] & SALVAGED, where
    return "undecided"


def test_every_bit_of_frames(subject: Subject, campaign_full: bool, tell: Tell) -> None:
    fates: Counter[str] = Counter()
    for offset, bit in points(subject.frames, step(campaign_full, 8 * len(subject.frames))):
        done, left = subject.repair(flipped(subject.frames, offset, bit), subject.idx)
        number = subject.at(offset)
        fates[judge(subject, done, left, number, (offset, bit))] += 1
    tell(f"{fates.total()} bits of frames flipped and repaired: {dict(fates)}")
    assert set(fates) <= {"left out", "made as it was", "flags changed", "undecided"}


def test_every_bit_of_idx(subject: Subject, campaign_full: bool, tell: Tell) -> None:
    """No frame is damaged, so none may be lost or changed, but for the mark of the undecided."""
    fates: Counter[str] = Counter()
    for offset, bit in points(subject.idx, step(campaign_full, 8 * len(subject.idx))):
        idx = flipped(subject.idx, offset, bit)
        done, left = subject.repair(subject.frames, idx)
        assert plain(left) == subject.records or told(done, "choices"), (offset, bit)
        number = offset // subject.entry
        fates[judge(subject, done, left, number, (offset, bit))] += 1
        kept = subject.out / "quarantine" / "capture" / "shard_00.idx"
        assert kept.read_bytes() == idx, "an index that disagrees is kept"
    tell(f"{fates.total()} bits of idx flipped and repaired: {dict(fates)}")
    assert set(fates) <= {"untouched", "made as it was", "undecided"}


def test_every_bit_without_an_index(subject: Subject, campaign_full: bool, tell: Tell) -> None:
    """As with an index, but that stamps prove nothing.

    Where one goes back, either it or the one before is wrong, and the frame of one of them is left out.
    """
    fates: Counter[str] = Counter()
    for offset, bit in points(subject.frames, step(campaign_full, 8 * len(subject.frames))):
        done, left = subject.repair(flipped(subject.frames, offset, bit), None)
        number = subject.at(offset)
        stamp = offset - [0, *subject.ends][number] in range(12, 20)
        if len(left) < len(subject.records):
            assert len(left) == len(subject.records) - 1, (offset, bit)
            (dropped,) = told(done, "dropped")
            gone = subject.at(dropped["offset"])
            rest = subject.records[:gone] + subject.records[gone + 1 :]
            at = number - (gone < number)
            if gone == number:
                assert plain(left) == rest, (offset, bit)
                fates["left out"] += 1
            else:
                assert stamp, (offset, bit)
                assert gone == number - 1, (offset, bit)
                assert plain(left[:at] + left[at + 1 :]) == rest[:at] + rest[at + 1 :]
                fates["the one before left out"] += 1
            assert dropped["reason"] == "stamp_backwards" or not stamp, (offset, bit)
        else:
            changed = [
                place
                for place, pair in enumerate(zip(plain(left), subject.records, strict=True))
                if pair[0] != pair[1]
            ]
            assert changed in ([], [number]), (offset, bit)
            fates["kept"] += 1
    tell(f"{fates.total()} bits flipped without an index and repaired: {dict(fates)}")


def test_sealed_side_decides(
    tmp_path: Path,
    build_run: BuildRun,
    records: Callable[[int], list[Record]],
    campaign_full: bool,
    tell: Tell,
) -> None:
    """With a seal a flipped stamp is undone, on whichever side it is; flags alone are beyond it."""
    shard = records(5)
    run = build_run(tmp_path / "run", shards={0: shard}, sealed=True)
    subject = Subject(run, shard, 2)
    fates: Counter[str] = Counter()
    for side, data in (("frames", subject.frames), ("idx", subject.idx)):
        for offset, bit in points(data, step(campaign_full, 8 * len(data))):
            damaged = flipped(data, offset, bit)
            pair = (damaged, subject.idx) if side == "frames" else (subject.frames, damaged)
            done, left = subject.repair(*pair)
            number = subject.at(offset) if side == "frames" else offset // subject.entry
            fate = judge(subject, done, left, number, (side, offset, bit))
            assert fate != "undecided", (side, offset, bit)
            if fate == "flags changed":
                assert told(done, "unproved") == ["capture/shard_00.frames"]
            fates[f"{side} {fate}"] += 1
            parent = json.loads((subject.out / "repair.json").read_text())["parent"]
            assert parent["state"] == "ended"
            assert parent["finding_counts"]["PMV079"] == 1
    assert fates["idx untouched"] == sum(n for name, n in fates.items() if name.startswith("idx"))
    tell(f"{fates.total()} bits of a sealed shard flipped and repaired: {dict(fates)}")
