"""A disk that becomes full at every size, page by page: whatever write is struck, the run says so.

A capture of fixtures writes the same bytes each time, so the size of the disk decides which write fails:
that of the universe, the reserve, the manifest, the runlog, the frames, the idx, the seal. The judge of
what was lost stands outside the disk. `PM_TEST_DISKS` sets how many sizes are tried (8 when it is not
set; `all` for each page); needs root on Linux, for tmpfs.
"""

import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from trials import full_disk, mounts, survivors, witnessed_capture

DISKS = os.environ.get("PM_TEST_DISKS", "8")
PAGE_BYTES = 4096
FIXTURES = Path(__file__).resolve().parents[2] / "testdata" / "fixtures"
MULTIPLIER = 40
# The writes that a sweep over every page has to meet.
KINDS = {"universe", "reserve", "manifest", "runlog", "frames", "idx"}
LAST_KINDS = {"SHA256SUMS", "seal"}

pytestmark = pytest.mark.skipif(mounts.why_not() is not None, reason=str(mounts.why_not()))


class Disk:
    """Captures of the same fixtures onto a small disk."""

    def __init__(self, tmp_path: Path) -> None:
        self.point = tmp_path / "disk"
        self._counters = tmp_path / "counters"
        self.words = ""

    def capture(self, data_dir: Path, *flags: str) -> int:
        self._counters.write_bytes(bytes(witnessed_capture.COUNTERS_BYTES))
        done = subprocess.run(
            [sys.executable, witnessed_capture.__file__, str(self._counters), "--offline",
             "--fixtures-dir", str(FIXTURES), "--fixtures-multiplier", str(MULTIPLIER),
             "--data-dir", str(data_dir), "--run-id", "full", "--min-free-disk-gb", "0",
             "--capture-heartbeat-interval-seconds", "0.02", *flags],
            stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, timeout=120, check=False,
        )  # fmt: skip
        self.words = done.stderr
        return done.returncode

    def returned(self) -> dict[int, int]:
        """Bytes of each .frames whose write had returned."""
        told = witnessed_capture.read(self._counters, witnessed_capture.SHARDS_MAX)
        return {shard_id: one.written[0] for shard_id, one in enumerate(told)}


@pytest.fixture
def disk(tmp_path: Path) -> Disk:
    try:
        with mounts.small_tmpfs(tmp_path / "disk", PAGE_BYTES):
            pass
    except mounts.CannotMount as problem:
        pytest.skip(f"a mount is not allowed here: {problem}")
    return Disk(tmp_path)


@pytest.fixture
def whole(disk: Disk, tmp_path: Path) -> full_disk.Payloads:
    """What a capture of the fixtures records when it has room."""
    assert disk.capture(tmp_path / "roomy") == 0, disk.words
    return full_disk.payloads_of(tmp_path / "roomy" / "runs" / "full")


def sizes(first: int, last: int, share: float = 1) -> list[int]:
    """Pages from first to last: all of them, or some evenly spread."""
    if DISKS == "all":
        return list(range(first, last + 1))
    count = min(round(int(DISKS) * share), last - first + 1)
    return sorted({first + round(n * (last - first) / max(1, count - 1)) for n in range(count)})


def pages_of(run_dir: Path) -> int:
    return sum(
        -(-path.stat().st_size // PAGE_BYTES) for path in run_dir.rglob("*") if path.is_file()
    )


@pytest.mark.timeout(1800)
def test_a_full_disk_is_told_at_every_size(
    disk: Disk, whole: full_disk.Payloads, verify: Callable, tmp_path: Path
) -> None:
    needed = pages_of(tmp_path / "roomy" / "runs" / "full")
    struck: Counter[str] = Counter()
    frames = fatal = 0
    for pages in sizes(1, needed + 20):
        where = f"a disk of {pages} pages"
        with mounts.small_tmpfs(disk.point, pages * PAGE_BYTES):
            code = disk.capture(disk.point)
            run_dir = disk.point / "runs" / "full"
            if code == 5:
                assert not run_dir.exists(), where
                struck["reserve" if "reserve" in disk.words else "universe"] += 1
                continue
            verdict, report = verify(run_dir)
            if code == 0:
                assert verdict == 0, (where, report["findings"])
                assert full_disk.payloads_of(run_dir) == whole, where
                struck["nothing"] += 1
                continue
            assert code == 7, (where, disk.words)
            left = full_disk.judge(run_dir, whole, disk.returned())
            assert left.problems == [], (where, disk.words)
            assert (verdict, report["state"]) == (3, "fatal"), (where, report["findings"])
            assert set(report["finding_counts"]) == {"PMV005"}, (where, report["findings"])
            struck[left.struck] += 1
            frames += left.frames
            fatal += 1
    told = ", ".join(f"{count} at {kind}" for kind, count in sorted(struck.items()))
    print(
        f"\n{struck.total()} disks of 1 to {needed + 20} pages, struck: {told}; {fatal} fatal runs with "
        f"{frames:,} frames, none lost, every index complete"
    )
    assert fatal > 0
    if DISKS == "all":
        assert struck.keys() >= KINDS, struck


@pytest.mark.timeout(900)
def test_a_seal_without_room_is_no_seal(
    disk: Disk, whole: full_disk.Payloads, verify: Callable, tmp_path: Path
) -> None:
    """Without a reserve even the last files can fail; what was captured is whole all the same."""
    needed = pages_of(tmp_path / "roomy" / "runs" / "full")
    struck: Counter[str] = Counter()
    for pages in sizes(needed - 8, needed + 4, 0.5):
        where = f"a disk of {pages} pages"
        with mounts.small_tmpfs(disk.point, pages * PAGE_BYTES):
            code = disk.capture(disk.point, "--capture-reserve-mb", "0")
            run_dir = disk.point / "runs" / "full"
            verdict, report = verify(run_dir)
            if code == 0:
                assert verdict == 0, (where, report["findings"])
                struck["nothing"] += 1
                continue
            assert (code, verdict) == (7, 3), (where, disk.words, report["findings"])
            assert not (run_dir / "seal.json").exists(), where
            if not (run_dir / "fatal.json").exists():
                assert "fatal.json could not be written" in disk.words, where
            captured = {
                shard_id: [frame.payload for frame in survivors.whole_frames(path)]
                for shard_id, path in enumerate(sorted(run_dir.glob("capture/shard_*.frames")))
            }
            for shard_id, payloads in captured.items():
                assert payloads == whole[shard_id][: len(payloads)], where
            struck[_named(run_dir, disk.words)] += 1
    print(f"\n{struck.total()} disks without a reserve, struck: {dict(struck)}")
    assert struck.total() > struck["nothing"] > 0, struck
    if DISKS == "all":
        assert struck.keys() >= LAST_KINDS, struck


def _named(run_dir: Path, words: str) -> str:
    """The kind of file that was struck, from `fatal.json` or, where there is none, from the words."""
    path = run_dir / "fatal.json"
    if path.exists():
        return full_disk.kind_of(json.loads(path.read_bytes())["first_error"]["path"])
    [line] = [line for line in words.splitlines() if "fatal: " in line]
    return full_disk.kind_of(line.rsplit("/", 1)[-1].split(":")[0].rstrip("'"))
