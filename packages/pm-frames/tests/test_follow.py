"""Following a bundle that grows: its end, its errors, and a writer in another process."""

import itertools
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from pm_frames.bundle import open_bundle
from pm_frames.errors import BundleError, CorruptFrame, MissingFile
from pm_frames.follow import Follower, follow
from pm_frames.lock import RunLock
from pm_frames.paths import RUNLOG, WATERMARK
from pm_frames.watermark import WatermarkWriter
from pm_frames.writer import ShardWriter


class Gone(Exception):
    """Raised by a test that waits no longer."""


def give_up() -> None:
    raise Gone


@pytest.fixture
def growing(tmp_path: Path) -> Iterator[tuple[Path, ShardWriter, WatermarkWriter]]:
    (tmp_path / "capture").mkdir()
    lock = RunLock(tmp_path)
    lock.acquire()
    writer = ShardWriter(tmp_path / "capture", 0)
    watermark = WatermarkWriter(tmp_path / WATERMARK)
    yield tmp_path, writer, watermark
    writer.close()
    watermark.close()
    lock.release()


def append(writer: ShardWriter, *stamps: int) -> None:
    for stamp in stamps:
        writer.append([(1, b"%d" % stamp)], rx_mono_ns=stamp, rx_wall_ns_utc=1)


def payloads(items: Iterator[tuple[int, int, object]]) -> list[bytes]:
    return [item.payload for _, _, item in items]  # type: ignore[attr-defined]


def test_it_waits_while_the_lock_is_held(
    growing: tuple[Path, ShardWriter, WatermarkWriter],
) -> None:
    run_dir, writer, watermark = growing
    follower = Follower(run_dir)
    append(writer, 5, 6)
    assert payloads(follower.round()) == [], "nothing is published yet"
    watermark.publish(5)
    assert payloads(follower.round()) == [b"5"]
    items = follow(run_dir, wait=give_up)
    assert payloads(itertools.islice(items, 1)) == [b"5"]
    with pytest.raises(Gone):
        next(items)
    assert not follower.ended


def test_what_appears_behind_the_watermark_is_an_error(
    growing: tuple[Path, ShardWriter, WatermarkWriter],
) -> None:
    run_dir, writer, watermark = growing
    follower = Follower(run_dir)
    watermark.publish(7)
    assert payloads(follower.round()) == []
    append(writer, 7)
    watermark.publish(9)
    with pytest.raises(
        BundleError, match=r"behind the watermark \(expected stamps from 8 on, found 7"
    ):
        list(follower.round())


def test_damage_is_damage_while_it_grows(
    growing: tuple[Path, ShardWriter, WatermarkWriter],
) -> None:
    run_dir, writer, watermark = growing
    append(writer, 5, 6)
    path = run_dir / "capture" / "shard_00.frames"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    watermark.publish(6)
    follower = Follower(run_dir)
    with pytest.raises(CorruptFrame):
        list(follower.round())


def test_records_that_go_back(growing: tuple[Path, ShardWriter, WatermarkWriter]) -> None:
    run_dir, _, watermark = growing
    runlog = run_dir / RUNLOG

    def note(kind: str, stamp: int) -> None:
        with runlog.open("a") as file:
            file.write(json.dumps({"record_type": kind, "ts_mono_ns": stamp}) + "\n")

    one, other = Follower(run_dir), Follower(run_dir)
    note("ws_connect", 9)
    watermark.publish(4)
    assert list(one.round()) == []
    watermark.publish(9)
    assert len(list(itertools.islice(other.round(), 1))) == 1
    note("disconnect", 8)
    watermark.publish(10)
    with pytest.raises(BundleError, match=r"record 1 \(disconnect\) is stamped before"):
        list(one.round())
    with pytest.raises(BundleError, match=r"behind the watermark \(expected stamps from 9 on"):
        list(other.round())


def test_a_run_that_has_ended_is_read_at_once(tmp_path: Path) -> None:
    (tmp_path / "capture").mkdir()
    writer = ShardWriter(tmp_path / "capture", 3)
    append(writer, 1, 2)
    writer.close()
    assert payloads(follow(tmp_path, wait=give_up)) == [b"1", b"2"]
    with pytest.raises(MissingFile):
        list(follow(tmp_path / "none", wait=give_up))


WRITER = """
import sys, time
from pathlib import Path
from pm_frames.lock import RunLock
from pm_frames.paths import WATERMARK
from pm_frames.watermark import WatermarkWriter
from pm_frames.writer import ShardWriter
run = Path(sys.argv[1])
(run / "capture").mkdir()
lock = RunLock(run)
lock.acquire()
watermark = WatermarkWriter(run / WATERMARK)
writers = {}
print("locked", flush=True)
for number in range(4000):
    shard = number % (1 + number // 1000)
    writer = writers.get(shard) or writers.setdefault(shard, ShardWriter(run / "capture", shard))
    writer.append([(1, b"x" * (number % 50))], rx_mono_ns=time.perf_counter_ns(), rx_wall_ns_utc=1)
    if number % 3 == 0:
        watermark.publish(time.perf_counter_ns())
print("written", flush=True)
sys.stdin.readline()
"""


def test_a_writer_in_another_process_that_is_killed(tmp_path: Path) -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", WRITER, str(tmp_path)],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
    )  # fmt: skip
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stdout.readline() == "locked\n"
    waits = itertools.count()

    def wait() -> None:
        # The second thing that there is to wait for is the end: everything published has been read by then.
        if next(waits) == 0:
            assert process.stdout is not None
            assert process.stdout.readline() == "written\n"
        else:
            process.kill()
            process.wait()

    got = list(follow(tmp_path, wait=wait))
    process.communicate()
    assert got == list(open_bundle(tmp_path).frames(torn_ok=True))
    assert len(got) == 4000
