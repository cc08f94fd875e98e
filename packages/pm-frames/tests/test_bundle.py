import json
from collections.abc import Callable
from pathlib import Path

import pytest

from pm_frames.bundle import (
    RunState,
    open_bundle,
    read_json,
    run_state,
    shard_paths,
)
from pm_frames.errors import BundleError, CorruptFrame, CorruptIndex, MissingFile
from pm_frames.lock import RunLock
from pm_frames.runlog import RunlogWriter
from pm_frames.writer import ShardWriter

MakeRun = Callable[..., Path]


@pytest.fixture
def make_run(tmp_path: Path) -> MakeRun:
    """Write a small run with the given shards."""

    def make(*shard_ids: int, name: str = "run-1") -> Path:
        path = tmp_path / name
        (path / "capture").mkdir(parents=True)
        for shard_id in shard_ids:
            writer = ShardWriter(path / "capture", shard_id)
            payload = f"shard {shard_id}".encode()
            writer.append([(1, payload)], rx_mono_ns=10, rx_wall_ns_utc=20)
            writer.close()
        (path / "manifest.json").write_text(json.dumps({"run_id": name, "t0_mono_ns": 1}))
        return path

    return make


def test_shards_are_in_numeric_order_and_unknown_files_are_ignored(make_run: MakeRun) -> None:
    path = make_run(100, 2, 10)
    (path / "capture" / "notes.txt").touch()
    (path / "capture" / "shard_zz.frames").touch()
    (path / "something").mkdir()
    bundle = open_bundle(str(path))
    assert [shard.shard_id for shard in bundle.shards()] == [2, 10, 100]
    assert [(shard, frame.payload) for shard, _, frame in bundle.frames()] == [
        (2, b"shard 2"),
        (10, b"shard 10"),
        (100, b"shard 100"),
    ]
    assert repr(bundle) == f"Bundle({str(path)!r}, 3 shards)"


def test_a_wrong_directory_is_told_by_what_is_missing(tmp_path: Path) -> None:
    """R180: a wrong run dir or no capture/*.frames gives a clear missing-files error."""
    for path, match in (
        (tmp_path / "nowhere", "no such run directory"),
        (tmp_path, "capture/ is missing"),
    ):
        with pytest.raises(MissingFile, match=match) as caught:
            open_bundle(path)
        assert caught.value.path == path
        assert caught.value.exit_code == 2
    (tmp_path / "capture").mkdir()
    (tmp_path / "capture" / "shard_00.idx").touch()
    with pytest.raises(MissingFile, match=r"capture/shard_NN\.frames is missing"):
        open_bundle(tmp_path)
    assert open_bundle(tmp_path, empty_ok=True).shards() == []
    file = tmp_path / "file"
    file.touch()
    with pytest.raises(MissingFile, match="not a directory"):
        open_bundle(file)


def test_who_a_run_is(make_run: MakeRun) -> None:
    path = make_run(0, name="monday")
    bundle = open_bundle(path)
    assert bundle.run_id == "monday"
    assert bundle.manifest["t0_mono_ns"] == 1
    assert bundle.seal is None
    (path / "seal.json").write_text('{"seal_version": 1, "future": true}')
    assert open_bundle(path).seal == {"seal_version": 1, "future": True}
    assert bundle.runlog_path == path / "runlog.ndjson"
    assert bundle.global_metrics_path == path / "metrics" / "global.ndjson"
    assert bundle.shard_metrics_path(0) == path / "metrics" / "shard_00.ndjson"


def test_universe_files_are_in_order(make_run: MakeRun) -> None:
    path = make_run(0)
    assert open_bundle(path).universe_files() == []
    (path / "universe").mkdir()
    for name in ("000010.json", "000000.json", "notes.json"):
        (path / "universe" / name).touch()
    names = [file.name for file in open_bundle(path).universe_files()]
    assert names == ["000000.json", "000010.json"]


@pytest.mark.parametrize(
    ("data", "offset", "match"),
    [
        (b'{"a": 1 x', 8, "not JSON"),
        ('{"é": 1, x'.encode(), 10, "not JSON"),
        (b'{"a": "\xff"}', 7, "not UTF-8"),
        (b"[]", 0, "not a JSON object"),
        (b"", 0, "not JSON"),
        (b"[" * 200_000, 0, "cannot be read"),
    ],
)
def test_a_damaged_manifest_is_told_with_its_offset_and_does_not_hide_the_frames(
    make_run: MakeRun, data: bytes, offset: int, match: str
) -> None:
    path = make_run(0, name="tuesday")
    (path / "manifest.json").write_bytes(data)
    bundle = open_bundle(path)
    with pytest.raises(BundleError, match=match) as caught:
        bundle.manifest  # noqa: B018
    assert caught.value.path == path / "manifest.json"
    assert caught.value.offset == offset
    assert bundle.run_id == "tuesday"
    assert len(list(bundle.frames())) == 1


def test_a_missing_manifest_is_a_missing_file(make_run: MakeRun) -> None:
    path = make_run(0, name="wednesday")
    (path / "manifest.json").unlink()
    bundle = open_bundle(path)
    with pytest.raises(MissingFile, match="no such file"):
        bundle.manifest  # noqa: B018
    assert bundle.run_id == "wednesday"


def test_the_state_is_derived_from_lock_then_seal_then_fatal(make_run: MakeRun) -> None:
    path = make_run(0)
    bundle = open_bundle(path)
    assert bundle.state() is run_state(path) is RunState.CRASHED
    with RunLock(path):
        assert bundle.state() is RunState.RUNNING
    assert bundle.state() is RunState.CRASHED
    (path / "fatal.json").touch()
    assert bundle.state() is RunState.FATAL
    (path / "seal.json").touch()
    assert bundle.state() is RunState.ENDED
    with RunLock(path):
        assert bundle.state() is RunState.RUNNING


def test_a_torn_bundle_opens_and_its_frames_are_strict(make_run: MakeRun) -> None:
    path = make_run(0)
    idx = path / "capture" / "shard_00.idx"
    idx.write_bytes(idx.read_bytes() + b"\1\2\3")
    bundle = open_bundle(path)
    assert [shard.shard_id for shard in bundle.shards()] == [0]
    with pytest.raises(CorruptIndex):
        list(bundle.frames())


def test_the_whole_part_of_a_shard_is_found_wherever_either_file_is_cut(make_run: MakeRun) -> None:
    path = make_run()
    writer = ShardWriter(path / "capture", 0)
    ends = [0]
    for number in range(4):
        writer.append([(1, b"x" * number)], rx_mono_ns=number, rx_wall_ns_utc=number)
        ends.append(writer.frames_bytes)
    writer.close()
    frames, idx = shard_paths(path, 0)
    frames_bytes, idx_bytes = frames.read_bytes(), idx.read_bytes()
    for frames_size in range(len(frames_bytes) + 1):
        frames.write_bytes(frames_bytes[:frames_size])
        whole_frames = sum(end <= frames_size for end in ends[1:])
        for idx_size in (0, 31, 32, 64, 95, 96, 127, 128):
            idx.write_bytes(idx_bytes[:idx_size])
            whole = min(whole_frames, idx_size // 32)
            bundle = open_bundle(path)
            ordinals = [ordinal for _, ordinal, _ in bundle.frames(torn_ok=True)]
            assert ordinals == list(range(whole))
    idx.unlink()
    assert list(open_bundle(path).frames(torn_ok=True)) == []


def test_a_shard_that_does_not_begin_with_a_frame_is_damaged_not_torn(make_run: MakeRun) -> None:
    path = make_run(0)
    frames, _ = shard_paths(path, 0)
    frames.write_bytes(b"garbage" + frames.read_bytes())
    with pytest.raises(CorruptFrame, match="no frame begins here"):
        list(open_bundle(path).frames(torn_ok=True))


def test_a_torn_run_has_a_timeline_up_to_its_last_whole_pair(make_run: MakeRun) -> None:
    path = make_run(0, 1)
    frames, _ = shard_paths(path, 1)
    frames.write_bytes(frames.read_bytes() + b"PMCAPv02\2")
    with pytest.raises(CorruptIndex):
        list(open_bundle(path).timeline())
    assert [shard for shard, _, _ in open_bundle(path).timeline(torn_ok=True)] == [0, 1]


def test_the_timeline_has_the_continuity_of_the_runlog(make_run: MakeRun) -> None:
    path = make_run(0, 1)
    assert [shard for shard, _, _ in open_bundle(path).timeline()] == [0, 1]
    with RunlogWriter(path / "runlog.ndjson", "run-1") as runlog:
        for stamp, kind in ((1, "run_start"), (2, "ws_connect"), (11, "capture_stop")):
            runlog.append(kind, {}, ts_mono_ns=stamp, ts_wall_ns_utc=0)
    assert [shard for shard, _, _ in open_bundle(path).timeline()] == [-1, 0, 1, -1]


def test_any_json_file_of_a_bundle_can_be_read(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_bytes(b'{"ns": 18446744073709551615}\n')
    assert read_json(path) == {"ns": 2**64 - 1}
    with pytest.raises(MissingFile):
        read_json(tmp_path)
