"""Every system call of a session failing, and the process dying at every byte.

Run with `-s` to see the counts.
"""

from __future__ import annotations

import errno
import hashlib
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from pm_frames.damage import Damage
from pm_frames.errors import BundleError, RunLocked, WriteFailed
from pm_frames.frames import Frame, read_frames
from pm_frames.layout import HEADER, IDX, Version
from pm_frames.scan import scan_shard
from pm_frames.writer import ShardWriter

# What each socket read completed.
SESSION = [
    [b"[]"],
    [b"a" * 40, b"", b"PONG"],
    [b""],
    [b"b" * 7, b"c" * 90],
    [b"PONG"] * 4,
    [b"d"],
]


@dataclass
class DiskInMemory:
    """Files in memory, a log of all operations, and one planned failure."""

    contents: dict[Path, bytearray] = field(default_factory=dict)
    log: list[tuple[str, Path, bytes | int]] = field(default_factory=list)
    open_paths: dict[int, Path] = field(default_factory=dict)
    at_most: int | None = None  # bytes that one write takes
    fail_at: int | None = None  # the number of the operation, from 1
    fail_for_ever: bool = False
    code: int = errno.EIO
    operations: int = 0

    def _operation(self, name: str, path: Path, argument: bytes | int = 0) -> None:
        self.operations += 1
        if self.fail_at is not None and (
            self.operations == self.fail_at
            or (self.fail_for_ever and self.operations > self.fail_at and name != "close")
        ):
            raise OSError(self.code, f"planned {errno.errorcode[self.code]}")
        self.log.append((name, path, argument))

    def open_append(self, path: Path) -> int:
        self._operation("open", path)
        self.contents[path] = bytearray()
        fd = 1000 + len(self.contents)
        self.open_paths[fd] = path
        return fd

    def write(self, fd: int, data: bytes | memoryview) -> int:
        taken = bytes(data[: self.at_most])
        self._operation("write", self.open_paths[fd], taken)
        self.contents[self.open_paths[fd]] += taken
        return len(taken)

    def truncate(self, fd: int, size: int) -> None:
        self._operation("truncate", self.open_paths[fd], size)
        del self.contents[self.open_paths[fd]][size:]

    def sync(self, fd: int) -> None:
        self._operation("sync", self.open_paths[fd])

    def close(self, fd: int) -> None:
        path = self.open_paths.pop(fd)
        self._operation("close", path)

    def replace(self, source: Path, target: Path) -> None:
        raise AssertionError("a shard is never renamed")

    def sync_directory(self, path: Path) -> None:
        self._operation("sync_directory", path)

    def dump(self, directory: Path) -> tuple[Path, Path]:
        """Put the files where a reader can find them."""
        frames, idx = directory / "shard_00.frames", directory / "shard_00.idx"
        for path in (frames, idx):
            path.write_bytes(self.contents.get(path, b""))
        return frames, idx


def run_session(disk: DiskInMemory, directory: Path, version: Version) -> ShardWriter:
    writer = ShardWriter(directory, 0, version=version, files=disk)
    play(writer)
    return writer


def play(writer: ShardWriter) -> None:
    try:
        feed(writer)
    finally:
        writer.close()


def feed(writer: ShardWriter) -> None:
    for mono, payloads in enumerate(SESSION):
        writer.append([(1, p) for p in payloads], rx_mono_ns=mono, rx_wall_ns_utc=10**18)
        if mono % 2:
            writer.sync()


def read_back(frames: Path, idx: Path) -> tuple[list[Frame], list[Damage]]:
    items = list(scan_shard(frames, idx))
    return (
        [item for item in items if isinstance(item, Frame)],
        [item for item in items if isinstance(item, Damage)],
    )


@pytest.fixture
def intended(tmp_path: Path) -> list[bytes]:
    return [payload for payloads in SESSION for payload in payloads]


def test_the_order_of_operations(tmp_path: Path) -> None:
    disk = DiskInMemory()
    run_session(disk, tmp_path, Version.V2)
    names = [(name, path.suffix) for name, path, _ in disk.log]
    frames, idx = ".frames", ".idx"
    creation = [("open", frames), ("sync", frames), ("open", idx), ("sync", idx)]
    assert names[:5] == [*creation, ("sync_directory", "")]
    # One write of frames and one of entries for each read, however many frames it completed.
    read = [("write", frames), ("write", idx)]
    durable = [("sync", frames), ("sync", idx)]
    assert names[5:-4] == (read * 2 + durable) * 3
    assert names[-4:] == [*durable, ("close", frames), ("close", idx)]


@pytest.mark.parametrize("version", [Version.V1, Version.V2], ids=["v1", "v2"])
@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for-ever"])
@pytest.mark.parametrize("at_most", [None, 50, 1], ids=["whole", "short", "byte-by-byte"])
@pytest.mark.parametrize(
    "code", [errno.EIO, errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EINTR],
    ids=lambda code: errno.errorcode[code],
)  # fmt: skip
def test_every_operation_failing(
    tmp_path: Path,
    intended: list[bytes],
    version: Version,
    for_ever: bool,
    at_most: int | None,
    code: int,
) -> None:
    if for_ever and code == errno.EINTR:
        pytest.skip("a call that is interrupted for ever never returns")
    counts: Counter[str] = Counter()
    step = 1 if at_most != 1 else 7
    fail_at = 1
    while True:
        disk = DiskInMemory(at_most=at_most, fail_at=fail_at, fail_for_ever=for_ever, code=code)
        failed, writer = attempt(disk, tmp_path, version)
        if disk.operations < fail_at:
            assert not failed
            break
        counts["failures" if failed else "survived"] += 1
        assert disk.open_paths == {}, fail_at
        if writer is not None:
            check_what_is_left(disk, writer, intended, for_ever=for_ever, step=fail_at)
        fail_at += step
    assert fail_at > 20
    print(f"\n{version.name} {errno.errorcode[code]}: {dict(counts)}", end="")


def attempt(
    disk: DiskInMemory, directory: Path, version: Version
) -> tuple[bool, ShardWriter | None]:
    """Run the session; only `WriteFailed` may come out of it."""
    try:
        writer = ShardWriter(directory, 0, version=version, files=disk)
    except WriteFailed:
        return True, None
    try:
        play(writer)
    except WriteFailed as error:
        assert error.exit_code == 5  # noqa: PT017 - one of many attempts
        assert error.frames_whole == writer.frames  # noqa: PT017
        return True, writer
    return False, writer


def check_what_is_left(
    disk: DiskInMemory, writer: ShardWriter, intended: list[bytes], *, for_ever: bool, step: int
) -> None:
    frames_path, idx_path = disk.dump(writer.frames_path.parent)
    try:
        frames, damages = read_back(frames_path, idx_path)
    finally:
        sizes = frames_path.stat().st_size, idx_path.stat().st_size
        digests = tuple(
            hashlib.sha256(path.read_bytes()).hexdigest() for path in (frames_path, idx_path)
        )
        frames_path.unlink()
        idx_path.unlink()
    assert [frame.payload for frame in frames] == intended[: len(frames)], step
    assert len(frames) == writer.frames, step
    assert writer.durable_frames <= writer.frames, step
    assert all(damage.torn for damage in damages), (step, damages)
    assert "idx_long" not in {damage.kind for damage in damages}, step
    if not for_ever:
        # One failure can be cleared away: no torn bytes, and the idx is as long as the frames
        # unless it was its own entries that were refused.
        assert sizes == (writer.frames_bytes, writer.idx_bytes), step
        assert {damage.kind for damage in damages} <= {"idx_short"}, step
        assert writer.digests() == digests, step
    if writer._failure is not None and step < disk.operations:
        with pytest.raises((WriteFailed, ValueError)):
            writer.append([(1, b"more")], rx_mono_ns=10**6, rx_wall_ns_utc=0)


def test_a_full_disk_leaves_a_pair_that_verifies(tmp_path: Path, intended: list[bytes]) -> None:
    """ENOSPC after k bytes of a read: cut back to whole frames, the idx to match, nothing torn."""
    whole = DiskInMemory()
    run_session(whole, tmp_path, Version.V2)
    total = len(whole.contents[tmp_path / "shard_00.frames"])
    for room in range(total):
        disk = DiskWithRoom(room=room)
        writer = ShardWriter(tmp_path, 0, files=disk)
        with pytest.raises(WriteFailed) as caught:
            play(writer)
        assert caught.value.frames_whole == caught.value.entries_whole == writer.frames
        frames_path, idx_path = disk.dump(tmp_path)
        frames, damages = read_back(frames_path, idx_path)
        frames_path.unlink()
        idx_path.unlink()
        assert damages == [], room
        ends = [frame.end for frame in frames]
        assert [frame.payload for frame in frames] == intended[: len(frames)]
        # Not one whole frame fewer than had room.
        following = HEADER[Version.V2].size + len(intended[len(frames)])
        assert (ends[-1] if ends else 0) + following > room


@dataclass
class DiskWithRoom(DiskInMemory):
    """A disk with room for so many bytes of frames; idx entries find room elsewhere."""

    room: int = 0

    def write(self, fd: int, data: bytes | memoryview) -> int:
        path = self.open_paths[fd]
        if path.suffix == ".frames":
            self.at_most = self.room - len(self.contents[path])
            if self.at_most == 0:
                raise OSError(errno.ENOSPC, "No space left on device")
        else:
            self.at_most = None
        return super().write(fd, data)


def test_entries_without_room_are_written_when_there_is_room_again(
    tmp_path: Path, intended: list[bytes]
) -> None:
    """Frames and idx share one full disk; what the reserve gives back completes the idx at the close."""
    whole = DiskInMemory()
    run_session(whole, tmp_path, Version.V2)
    incomplete = 0
    for room in range(sum(map(len, whole.contents.values()))):
        disk = DiskForAll(room=room)
        writer = ShardWriter(tmp_path, 0, files=disk)
        with pytest.raises(WriteFailed):
            feed(writer)
        entry_bytes = IDX[Version.V2].size
        incomplete += writer.idx_bytes < writer.frames * entry_bytes
        disk.room += 1 << 20
        writer.close()
        assert writer.idx_bytes == writer.frames * entry_bytes
        assert writer.durable_frames == writer.frames
        frames_path, idx_path = disk.dump(tmp_path)
        frames, damages = read_back(frames_path, idx_path)
        digests = [
            hashlib.sha256(path.read_bytes()).hexdigest() for path in (frames_path, idx_path)
        ]
        assert list(writer.digests()) == digests
        frames_path.unlink()
        idx_path.unlink()
        assert damages == [], room
        assert [frame.payload for frame in frames] == intended[: len(frames)]
    assert incomplete > 0


@dataclass
class DiskForAll(DiskInMemory):
    """A disk with room for so many bytes of all files."""

    room: int = 0

    def write(self, fd: int, data: bytes | memoryview) -> int:
        self.at_most = self.room - sum(map(len, self.contents.values()))
        if self.at_most == 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return super().write(fd, data)


def test_a_system_that_takes_no_bytes_is_not_asked_for_ever(tmp_path: Path) -> None:
    writer = ShardWriter(tmp_path, 0, files=DiskInMemory(at_most=0))
    with pytest.raises(WriteFailed, match="takes no bytes"):
        writer.append([(1, b"x")], rx_mono_ns=1, rx_wall_ns_utc=1)
    writer.close()


def test_a_failed_sync_is_final(tmp_path: Path) -> None:
    disk = DiskInMemory()
    writer = ShardWriter(tmp_path, 0, files=disk)
    writer.append([(1, b"x")], rx_mono_ns=1, rx_wall_ns_utc=1)
    assert writer.sync() == 1
    writer.append([(1, b"y")], rx_mono_ns=1, rx_wall_ns_utc=1)
    disk.fail_at = disk.operations + 1
    for _ in range(2):
        with pytest.raises(WriteFailed, match="1 frames are durable"):
            writer.sync()
    asked = disk.operations
    with pytest.raises(WriteFailed, match="sync failed"):
        writer.append([(1, b"z")], rx_mono_ns=2, rx_wall_ns_utc=2)
    writer.close()
    assert writer.durable_frames == 1
    # Only the two closes: the sync was not tried again.
    assert disk.operations == asked + 2


def test_a_race_for_the_name_is_lost_politely(tmp_path: Path) -> None:
    disk = DiskInMemory(fail_at=3, code=errno.EEXIST)  # open of the idx
    with pytest.raises(RunLocked) as caught:
        ShardWriter(tmp_path, 0, files=disk)
    assert caught.value.path == tmp_path / "shard_00.idx"
    assert disk.open_paths == {}
    assert isinstance(caught.value, BundleError)


@pytest.mark.parametrize("version", [Version.V1, Version.V2], ids=["v1", "v2"])
@pytest.mark.parametrize("at_most", [None, 50], ids=["whole", "short"])
def test_the_process_dies_at_every_byte(
    tmp_path: Path, intended: list[bytes], version: Version, at_most: int | None
) -> None:
    """After any prefix of the writes, down to the byte, exactly the whole frames are found."""
    disk = DiskInMemory(at_most=at_most)
    run_session(disk, tmp_path, version)
    frames_path, idx_path = tmp_path / "shard_00.frames", tmp_path / "shard_00.idx"
    sizes = [HEADER[version].size + len(payload) for payload in intended]
    ends = [sum(sizes[: count + 1]) for count in range(len(sizes))]
    counts: Counter[str] = Counter()
    frames_path.touch()
    idx_path.touch()
    written = {frames_path: 0, idx_path: 0}
    returned = 0
    for name, path, argument in disk.log:
        if name != "write":
            continue
        assert isinstance(argument, bytes)
        for value in argument:
            with path.open("ab") as file:
                file.write(bytes([value]))
            written[path] += 1
            counts["states"] += 1
            frames, damages = read_back(frames_path, idx_path)
            whole = sum(end <= written[frames_path] for end in ends)
            assert [frame.payload for frame in frames] == intended[:whole]
            assert all(damage.torn for damage in damages), damages
            for damage in damages:
                counts[damage.kind] += 1
            entries = written[idx_path] // IDX[version].size
            assert entries <= whole
            assert returned <= whole
            counts["clean"] += not damages
        if path == idx_path:
            returned = written[idx_path] // IDX[version].size
    assert list(read_frames(frames_path)) == read_back(frames_path, idx_path)[0]
    assert "idx_long" not in counts
    print(f"\n{version.name}: {dict(counts)}")
