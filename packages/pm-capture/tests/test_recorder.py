"""What a run writes, in which order, and how it fails."""

import errno
import hashlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pm_capture.metrics import Beat, Meters, ShardFacts
from pm_capture.recorder import Recorder
from pm_capture.stamper import Stamper
from pm_frames.errors import WriteFailed
from pm_frames.files import OsFiles
from pm_frames.runlog import read_runlog
from pm_frames.watermark import read_watermark

TEXT = 1


def new(run_dir: Path, stamper: Stamper, **more: Any) -> Recorder:
    run_dir.mkdir()
    return Recorder(run_dir, "r", shards=2, stamper=stamper, **more)


def facts(shard_id: int, frames: int = 0) -> ShardFacts:
    return ShardFacts(
        shard_id=shard_id, frames=frames, bytes_written=0, tokens_assigned=2, tokens_seen=1, tokens_eligible=2,
        tokens_overdue=0, connected=True, confirmed=True, confirm_events_seen=1, confirm_failures=0,
        confirm_deadline_ns=None, reconnects=0, reconnect_budget_remaining=10, down_ns=0,
        down_incidents=0, startup_connect_ns=5, last_frame_ns=None,
    )  # fmt: skip


def test_records_are_later_than_the_frames_before_them(
    tmp_path: Path, ticking: Stamper, left_run: Callable[..., Any]
) -> None:
    recorder = new(tmp_path / "r", ticking)
    recorder.note("ws_connect", {"shard_id": 1})
    recorder.frames(1, [(TEXT, b"one"), (TEXT, b"two")], ticking.frames())
    recorder.note("heartbeat", {})
    recorder.close_frames()
    recorder.close()
    left = left_run(tmp_path / "r")
    connected, beat = left.records
    one, two = left.frames(1)
    assert connected["ts_mono_ns"] < one.rx_mono_ns == two.rx_mono_ns < beat["ts_mono_ns"]
    assert (one.payload, two.payload) == (b"one", b"two")
    assert left.frames(0) == []


def test_a_disconnect_says_since_when_nothing_was_certain(tmp_path: Path, ticking: Stamper) -> None:
    recorder = new(tmp_path / "r", ticking)
    recorder.note("ws_connect", {"shard_id": 0})
    recorder.note("disconnect", {"shard_id": 0})
    recorder.note("ws_connect", {"shard_id": 0})
    recorder.frames(0, [(TEXT, b"x")], ticking.frames())
    recorder.frames(1, [(TEXT, b"another shard")], ticking.frames())
    recorder.note("heartbeat", {})
    recorder.note("disconnect", {"shard_id": 0})
    records = list(read_runlog(recorder.runlog.path))
    assert records[1]["since_mono_ns"] == records[0]["ts_mono_ns"]
    assert records[4]["since_mono_ns"] == recorder.shards[0].rx_mono_ns_last
    recorder.abandon()


def test_the_watermark_is_behind_nothing_that_is_written(tmp_path: Path, ticking: Stamper) -> None:
    recorder = new(tmp_path / "r", ticking)
    path = tmp_path / "r" / "capture" / "watermark"
    for _ in range(5):
        stamp = ticking.frames()
        before = read_watermark(path)
        assert before is not None
        assert before < stamp[0]
        recorder.frames(0, [(TEXT, b"x")], stamp)
        after = read_watermark(path)
        assert after is not None
        assert after >= stamp[0]
    recorder.publish_watermark()
    recorder.abandon()


def test_durable_counts_only_what_was_there_before_the_runlog_was_synced(
    tmp_path: Path, ticking: Stamper
) -> None:
    recorder = new(tmp_path / "r", ticking)
    recorder.frames(0, [(TEXT, b"x")] * 3, ticking.frames())
    assert recorder.durable_frames == 0
    assert recorder.sync() == recorder.durable_frames == 3
    recorder.frames(1, [(TEXT, b"x")], ticking.frames())
    assert recorder.durable_frames == 3
    recorder.close_frames()
    assert recorder.durable_frames == recorder.frames_total == 4
    recorder.close()


def test_digests_are_those_of_the_files(tmp_path: Path, ticking: Stamper) -> None:
    recorder = new(tmp_path / "r", ticking)
    recorder.frames(0, [(TEXT, b"x")], ticking.frames())
    recorder.note("heartbeat", {})
    beat = Beat(run_id="r", wall_ns_utc=1, mono_ns=2, previous_mono_ns=1)
    durations = recorder.shard_metrics(beat, facts(0), facts(0), recorder.meters_taken()[0])
    assert durations["write_ns"]["count"] == 1
    assert recorder.meters[0].write_ns.count == 0
    recorder.global_metrics(beat, [facts(0)], [facts(0)], Meters().told(), {"x": 1})
    recorder.close_frames()
    digests = recorder.close()
    files = {
        path.relative_to(tmp_path / "r").as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (tmp_path / "r").rglob("*")
        if path.is_file() and path.name != "watermark"
    }
    assert digests == files
    assert len(files) == 1 + 4 + 3


def test_a_full_disk_keeps_whole_frames(
    tmp_path: Path, ticking: Stamper, full_disk: Callable[..., Any], left_run: Callable[..., Any]
) -> None:
    recorder = new(tmp_path / "r", ticking, files=full_disk(100, ".frames"))
    recorder.frames(0, [(TEXT, b"12345678")], ticking.frames())
    with pytest.raises(WriteFailed, match=r"shard_00\.frames.*No space left"):
        recorder.frames(0, [(TEXT, b"12345678"), (TEXT, b"12345678")], ticking.frames())
    recorder.abandon()
    recorder.abandon()
    assert len(left_run(tmp_path / "r").frames(0)) == 2


def test_a_sync_that_fails_is_fatal_for_good(
    tmp_path: Path, ticking: Stamper, broken_sync: Callable[..., Any]
) -> None:
    files = broken_sync()
    recorder = new(tmp_path / "r", ticking, files=files)
    recorder.frames(0, [(TEXT, b"x")], ticking.frames())
    assert recorder.sync() == 1
    recorder.frames(0, [(TEXT, b"x")], ticking.frames())
    files.broken = True
    with pytest.raises(WriteFailed):
        recorder.sync()
    files.broken = False
    with pytest.raises(WriteFailed):
        recorder.sync()
    assert recorder.durable_frames == 1
    recorder.abandon()


def test_version_1_can_be_written(
    tmp_path: Path, ticking: Stamper, left_run: Callable[..., Any]
) -> None:
    recorder = new(tmp_path / "r", ticking, version=1)
    recorder.frames(0, [(TEXT, b"x")], ticking.frames())
    recorder.close_frames()
    recorder.close()
    [frame] = left_run(tmp_path / "r").frames(0)
    assert frame.version == 1


def test_a_shard_can_be_added_while_the_run_lives(
    tmp_path: Path, ticking: Stamper, left_run: Callable[..., Any]
) -> None:
    recorder = new(tmp_path / "r", ticking)
    recorder.adopt(recorder.make_shard(2))
    recorder.frames(2, [(TEXT, b"x")], ticking.frames())
    recorder.note("disconnect", {"shard_id": 2})
    assert recorder.sync() == 1
    beat = Beat(run_id="r", wall_ns_utc=1, mono_ns=2, previous_mono_ns=1)
    recorder.shard_metrics(beat, facts(2, frames=1), facts(2), recorder.meters_taken()[2])
    with pytest.raises(ValueError, match="expected shard 3, found 4"):
        recorder.adopt(stray := recorder.make_shard(4))
    stray.writer.close()
    stray.metrics.close()
    recorder.close_frames()
    digests = recorder.close()
    left = left_run(tmp_path / "r")
    assert [record["record_type"] for record in left.records] == ["shard_open", "disconnect"]
    assert [frame.payload for frame in left.frames(2)] == [b"x"]
    for name in ("capture/shard_02.frames", "capture/shard_02.idx", "metrics/shard_02.ndjson"):
        data = (tmp_path / "r" / name).read_bytes()
        assert digests[name] == hashlib.sha256(data).hexdigest()


class NoRoom(OsFiles):
    """The real files, but no `.idx` can be made while `full`."""

    full = True

    def open_append(self, path: Path) -> int:
        if self.full and path.suffix == ".idx" and path.stem == "shard_02":
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().open_append(path)


def test_a_shard_that_cannot_be_made_leaves_nothing_in_the_way(
    tmp_path: Path, ticking: Stamper
) -> None:
    files = NoRoom()
    recorder = new(tmp_path / "r", ticking, files=files)
    with pytest.raises(WriteFailed, match="cannot create: No space left"):
        recorder.make_shard(2)
    assert list((tmp_path / "r").rglob("shard_02*")) == []
    files.full = False
    recorder.adopt(recorder.make_shard(2))
    with pytest.raises(FileExistsError):
        recorder.make_shard(2)
    assert len(list((tmp_path / "r").rglob("shard_02*"))) == 3
    recorder.abandon()


def test_closing_does_not_vouch_for_what_a_failed_sync_left(
    tmp_path: Path, ticking: Stamper, broken_sync: Callable[..., Any]
) -> None:
    """The syncer's failure may come too late for the event loop; the end must find it all the same."""
    files = broken_sync()
    recorder = new(tmp_path / "r", ticking, files=files)
    recorder.frames(0, [(TEXT, b"x")], ticking.frames())
    assert recorder.sync() == 1
    recorder.frames(0, [(TEXT, b"x")], ticking.frames())
    files.broken = True
    with pytest.raises(WriteFailed):
        recorder.shards[0].sync()
    files.broken = False
    with pytest.raises(WriteFailed, match=r"not known to be durable \(expected 2, found 1\)"):
        recorder.close_frames()
    assert recorder.durable_frames == 1
    recorder.abandon()
