"""The writer of a shard, on real files (R098, R100, R105, R109, R121)."""

from __future__ import annotations

import hashlib
import threading
from pathlib import Path

import pytest

from pm_frames.errors import MissingFile, RunLocked, WriteFailed
from pm_frames.frames import encode_frame
from pm_frames.index import rebuild_index
from pm_frames.layout import Flag, Version
from pm_frames.scan import scan_shard
from pm_frames.shard import Shard
from pm_frames.writer import HASHED_AT_ONCE, UNHASHED_MAX, ShardWriter

WALL = 1_766_448_000_000_000_000


@pytest.mark.parametrize("version", [Version.V1, Version.V2], ids=["v1", "v2"])
def test_what_is_appended_is_read_back(tmp_path: Path, version: Version) -> None:
    writer = ShardWriter(tmp_path, 7, version=version)
    assert (writer.rx_mono_ns_first, writer.rx_wall_ns_utc_last) == (None, None)
    writer.append([(Flag.TEXT | Flag.FIRST, b"[]"), (1, b"")], rx_mono_ns=5, rx_wall_ns_utc=WALL)
    writer.append([], rx_mono_ns=6, rx_wall_ns_utc=WALL)
    writer.append([(0x8202, b"\xff")], rx_mono_ns=5, rx_wall_ns_utc=WALL - 1)
    writer.close()
    writer.close()
    shard = Shard(7, tmp_path / "shard_07.frames", tmp_path / "shard_07.idx")
    frames = list(shard.frames())
    wall = (None, None, None) if version == Version.V1 else (WALL, WALL, WALL - 1)
    assert [(f.flags, f.payload, f.rx_mono_ns) for f in frames] == [
        (0x0101, b"[]", 5),
        (0x0001, b"", 5),
        (0x8202, b"\xff", 5),
    ]
    assert tuple(frame.rx_wall_ns_utc for frame in frames) == wall
    assert list(scan_shard(shard.frames_path, shard.idx_path)) == frames
    assert writer.frames == len(frames) == 3
    assert writer.frames_bytes == frames[-1].end == shard.frames_path.stat().st_size
    assert writer.idx_bytes == shard.idx_path.stat().st_size
    assert (writer.rx_mono_ns_first, writer.rx_mono_ns_last) == (5, 5)
    assert (writer.rx_wall_ns_utc_first, writer.rx_wall_ns_utc_last) == (WALL, WALL - 1)
    rebuild_index(shard.frames_path, tmp_path / "again.idx")
    assert (tmp_path / "again.idx").read_bytes() == shard.idx_path.read_bytes()


def test_the_bytes_are_those_of_encode_frame(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, 123)
    writer.append([(1, b"abc")], rx_mono_ns=5, rx_wall_ns_utc=6)
    # Before any sync or close: nothing is buffered in the process.
    assert (tmp_path / "shard_123.frames").read_bytes() == encode_frame(
        b"abc", rx_mono_ns=5, rx_wall_ns_utc=6, flags=1
    )
    assert (tmp_path / "shard_123.idx").stat().st_size == 32
    writer.close()


def test_digests_without_reading_again(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, 0)
    for mono in range(50):
        writer.append([(1, bytes([mono]) * mono)] * 3, rx_mono_ns=mono, rx_wall_ns_utc=WALL)
        if mono % 10 == 0:
            assert writer.sync() == writer.frames == writer.durable_frames
    with pytest.raises(ValueError, match="close"):
        writer.digests()
    writer.close()
    assert writer.digests() == tuple(
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (writer.frames_path, writer.idx_path)
    )
    assert writer.sync() == 150


def test_memory_for_hashing_is_bounded_without_sync(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, 0)
    payload = bytes(HASHED_AT_ONCE)
    for mono in range(2 + (UNHASHED_MAX // HASHED_AT_ONCE) * 5 // 4):
        writer.append([(2, payload)], rx_mono_ns=mono, rx_wall_ns_utc=WALL)
        waiting = sum(len(data) for data, _ in writer._unhashed)
        assert waiting <= UNHASHED_MAX + 2 * HASHED_AT_ONCE
    writer.close()
    with writer.frames_path.open("rb") as file:
        assert writer.digests()[0] == hashlib.file_digest(file, "sha256").hexdigest()


def test_sync_in_another_thread(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, 0)
    stop = threading.Event()
    seen: list[int] = []

    def keep_syncing() -> None:
        while not stop.is_set():
            seen.append(writer.sync())

    thread = threading.Thread(target=keep_syncing)
    thread.start()
    for mono in range(3000):
        writer.append([(1, b"x" * (mono % 97))] * 2, rx_mono_ns=mono, rx_wall_ns_utc=WALL)
    stop.set()
    thread.join()
    writer.close()
    assert seen == sorted(seen)
    assert writer.durable_frames == writer.frames == 6000
    assert sum(1 for _ in Shard(0, writer.frames_path, writer.idx_path).frames()) == 6000
    assert writer.digests()[0] == hashlib.sha256(writer.frames_path.read_bytes()).hexdigest()


def test_stamps_that_go_back_are_refused(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, 0)
    writer.append([(1, b"")], rx_mono_ns=5, rx_wall_ns_utc=WALL)
    with pytest.raises(ValueError, match=r"4 .* 5"):
        writer.append([(1, b"")], rx_mono_ns=4, rx_wall_ns_utc=WALL)
    writer.append([(1, b"")], rx_mono_ns=5, rx_wall_ns_utc=WALL)
    writer.close()
    assert writer.frames == 2


@pytest.mark.parametrize("flags", [0x08, 0x80, 0x10001, -1])
def test_undefined_flags_are_refused(tmp_path: Path, flags: int) -> None:
    writer = ShardWriter(tmp_path, 0)
    with pytest.raises(ValueError, match="flags"):
        writer.append([(1, b"sound"), (flags, b"")], rx_mono_ns=5, rx_wall_ns_utc=WALL)
    assert writer.frames_path.stat().st_size == writer.frames == 0
    writer.close()


@pytest.mark.parametrize("stamps", [(-1, 0), (2**64, 0), (0, -1), (0, 2**64), (0, None)])
def test_stamps_outside_u64_are_refused(tmp_path: Path, stamps: tuple[int, int | None]) -> None:
    writer = ShardWriter(tmp_path, 0)
    with pytest.raises(ValueError, match="unsigned 64-bit"):
        writer.append([(1, b"")], rx_mono_ns=stamps[0], rx_wall_ns_utc=stamps[1])
    writer.close()


def test_a_payload_over_the_limit_is_refused_whole(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, 0, payload_max=10)
    writer.append([(1, b"0123456789")], rx_mono_ns=5, rx_wall_ns_utc=WALL)
    with pytest.raises(WriteFailed) as caught:
        writer.append([(1, b"ok"), (1, b"0123456789a")], rx_mono_ns=5, rx_wall_ns_utc=WALL)
    error = caught.value
    assert (error.expected, error.found, error.offset, error.frames_whole) == (10, 11, 84, 1)
    assert "over the limit" in str(error)
    # Nothing of that read was written, and the writer goes on if the caller does.
    writer.append([(1, b"next")], rx_mono_ns=5, rx_wall_ns_utc=WALL)
    writer.close()
    shard = Shard(0, writer.frames_path, writer.idx_path)
    assert [frame.payload for frame in shard.frames()] == [b"0123456789", b"next"]


@pytest.mark.parametrize("name", ["shard_00.frames", "shard_00.idx"])
def test_an_existing_file_is_never_appended_to(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"precious")
    with pytest.raises(RunLocked) as caught:
        ShardWriter(tmp_path, 0)
    assert caught.value.path == tmp_path / name
    assert [path.name for path in tmp_path.iterdir()] == [name]
    assert (tmp_path / name).read_bytes() == b"precious"


def test_a_missing_directory(tmp_path: Path) -> None:
    with pytest.raises(MissingFile) as caught:
        ShardWriter(tmp_path / "capture", 0)
    assert caught.value.path == tmp_path / "capture"


def test_closed_is_closed(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, 0)
    writer.close()
    with pytest.raises(ValueError, match="closed"):
        writer.append([(1, b"")], rx_mono_ns=5, rx_wall_ns_utc=WALL)
    empty = hashlib.sha256(b"").hexdigest()
    assert writer.digests() == (empty, empty)
