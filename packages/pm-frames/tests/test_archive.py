"""Archiving a sealed bundle, and every system call of it failing."""

from __future__ import annotations

import errno
import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pm_frames import Flag, ShardWriter, open_bundle, scan_shard
from pm_frames.archive import NotSealed, archive, restore
from pm_frames.errors import BundleError, CorruptArchive, RunLocked, WriteFailed
from pm_frames.files import OsFiles
from pm_frames.lock import RunLock
from pm_frames.paths import archived_path, shard_ids
from pm_frames.seekable import SeekableReader

FULL = os.environ.get("PM_TEST_CAMPAIGN") == "full"
PAYLOAD = b'{"event_type":"book","asset_id":"71"}'


def sealed_run(path: Path, *, frames: int = 30, payload: bytes = PAYLOAD) -> Path:
    (path / "capture").mkdir(parents=True)
    for number in range(2):
        writer = ShardWriter(path / "capture", number)
        for ordinal in range(frames if number == 0 else 0):
            stamp = 1_000 + ordinal
            writer.append([(Flag.TEXT, payload)], rx_mono_ns=stamp, rx_wall_ns_utc=10**18 + stamp)
        writer.close()
    names = sorted(file.relative_to(path).as_posix() for file in path.rglob("shard_*"))
    text = "".join(f"{hashlib.sha256((path / n).read_bytes()).hexdigest()}  {n}\n" for n in names)
    (path / "SHA256SUMS").write_text(text, newline="")
    seal = {"sha256sums_sha256": hashlib.sha256(text.encode()).hexdigest()}
    (path / "seal.json").write_text(json.dumps(seal))
    return path


def contents(path: Path) -> dict[str, bytes]:
    return {
        file.relative_to(path).as_posix(): file.read_bytes()
        for file in path.rglob("*")
        if file.is_file()
    }


def test_there_and_back_is_byte_for_byte(tmp_path: Path) -> None:
    run = sealed_run(tmp_path / "run")
    before, frames = contents(run), list(open_bundle(run).frames())
    done = list(archive(run))
    assert [(one.shard_id, one.done) for one in done] == [(0, True), (1, True)]
    assert done[0].archived_bytes < done[0].frames_bytes == len(before["capture/shard_00.frames"])
    assert sorted(contents(run)) == [
        "SHA256SUMS", "capture/shard_00.frames.zst", "capture/shard_00.idx",
        "capture/shard_01.frames.zst", "capture/shard_01.idx", "seal.json",
    ]  # fmt: skip
    assert list(open_bundle(run).frames()) == frames
    assert [one.done for one in archive(run)] == [False, False]
    assert [one.done for one in restore(run)] == [True, True]
    assert contents(run) == before
    assert [one.done for one in restore(run)] == [False, False]


def test_every_reader_opens_an_archived_shard(tmp_path: Path) -> None:
    run = sealed_run(tmp_path / "run")
    plain = open_bundle(run)
    scanned = list(scan_shard(plain.shards()[0].frames_path, plain.shards()[0].idx_path))
    list(archive(run))
    assert shard_ids(run) == [0, 1]
    shard = open_bundle(run).shards()[0]
    assert list(scan_shard(shard.frames_path, shard.idx_path)) == scanned
    assert list(shard.frames(7, 9)) == scanned[7:9]
    assert (len(shard), shard.pairs(), shard.version) == (30, 30, 2)
    assert shard.columns()["rx_mono_ns"].tolist() == list(range(1_000, 1_030))


def test_chunks_end_where_frames_do(tmp_path: Path) -> None:
    run = sealed_run(tmp_path / "run", frames=50, payload=bytes(range(256)) * 400)
    ends = {frame.end for _, _, frame in open_bundle(run).frames()}
    list(archive(run, level=1))
    with SeekableReader(run / "capture/shard_00.frames.zst") as reader:
        cuts = list(reader._here)[1:]
    assert len(cuts) == 5
    assert set(cuts) <= ends
    assert max(b - a for a, b in zip([0, *cuts], cuts, strict=False)) <= 1 << 20


def test_what_is_not_sealed_is_left_alone(tmp_path: Path) -> None:
    run = sealed_run(tmp_path / "run")
    (run / "seal.json").unlink()
    with pytest.raises(NotSealed):
        list(archive(run))
    assert not (run / ".archive").exists()


@pytest.mark.parametrize("name", ["capture/shard_00.frames", "SHA256SUMS"])
def test_what_is_not_as_sealed_is_left_alone(tmp_path: Path, name: str) -> None:
    run = sealed_run(tmp_path / "run")
    data = bytearray((run / name).read_bytes())
    data[60] ^= 1
    (run / name).write_bytes(data)
    before = contents(run)
    with pytest.raises(BundleError) as raised:
        list(archive(run))
    assert raised.value.exit_code == 4
    assert contents(run) == before


def test_a_damaged_archive_is_not_restored(tmp_path: Path) -> None:
    run = sealed_run(tmp_path / "run")
    list(archive(run))
    path = run / "capture/shard_00.frames.zst"
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 1
    path.write_bytes(data)
    with pytest.raises(CorruptArchive):
        list(restore(run))
    assert path.read_bytes() == data
    assert not (run / "capture/shard_00.frames").exists()


def test_an_idx_that_lies_moves_only_the_cuts(tmp_path: Path) -> None:
    run = sealed_run(tmp_path / "run")
    idx = run / "capture/shard_00.idx"
    plain = (run / "capture/shard_00.frames").read_bytes()
    idx.write_bytes(b"\xff" * 32 + idx.read_bytes()[32:])
    list(archive(run))
    with SeekableReader(run / "capture/shard_00.frames.zst") as reader:
        assert reader.read(len(plain)) == plain


def test_only_one_works_at_a_time(tmp_path: Path) -> None:
    run = sealed_run(tmp_path / "run")
    (run / ".archive").mkdir()
    with RunLock(run / ".archive"), pytest.raises(RunLocked):
        list(archive(run))


def test_without_a_library_it_says_what_to_install(tmp_path: Path) -> None:
    run = sealed_run(tmp_path / "run")
    list(archive(run))
    script = (
        "import sys; sys.modules['zstandard'] = sys.modules['compression.zstd'] = None\n"
        "from pm_frames import open_bundle\n"
        "from pm_frames.errors import MissingLibrary\n"
        f"try: list(open_bundle({str(run)!r}).frames())\n"
        "except MissingLibrary as error: print(error.exit_code, error)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    assert done.stdout.startswith("2 ")
    assert "pip install 'pm-frames[zstd]'" in done.stdout


class Broken(OsFiles):
    """The real system, one of whose calls fails, and perhaps all after it."""

    def __init__(self, fail_at: int, code: int, *, for_ever: bool) -> None:
        self.calls = 0
        self._fail_at, self._code, self._for_ever = fail_at, code, for_ever

    def _call(self) -> None:
        self.calls += 1
        if self.calls == self._fail_at or (self._for_ever and self.calls > self._fail_at):
            raise OSError(self._code, "planned")

    def open_append(self, path: Path) -> int:
        self._call()
        return super().open_append(path)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        self._call()
        return super().write(fd, data)

    def sync(self, fd: int) -> None:
        self._call()  # nothing waits for the device: no power is cut here

    def close(self, fd: int) -> None:
        super().close(fd)
        self._call()

    def replace(self, source: Path, target: Path) -> None:
        self._call()
        super().replace(source, target)

    def unlink(self, path: Path) -> None:
        self._call()
        super().unlink(path)

    def sync_directory(self, path: Path) -> None:
        self._call()


@pytest.mark.parametrize("for_ever", [False, True], ids=["once", "for_ever"])
@pytest.mark.parametrize("direction", [archive, restore])
def test_every_call_failing_loses_nothing(
    tmp_path: Path,
    direction: object,
    for_ever: bool,
) -> None:
    """After each failure the frames can be read, and the next call gets there."""
    run = sealed_run(tmp_path / "run")
    plain = contents(run)
    frames = list(open_bundle(run).frames())
    work, back = (archive, restore) if direction is archive else (restore, archive)
    if work is restore:
        list(archive(run))
    calls = 0
    while True:
        calls += 1
        system = Broken(calls, errno.ENOSPC, for_ever=for_ever)
        try:
            list(work(run, files=system))
        except WriteFailed:
            pass
        else:
            break
        assert list(open_bundle(run).frames()) == frames
        assert not (run / ".archive").exists()
        list(work(run))
        assert all(
            (archived_path(one.frames_path) if work is archive else one.frames_path).exists()
            for one in open_bundle(run).shards()
        )
        list(back(run))
    assert calls > 14  # every call of two shards has failed
    list(restore(run))
    assert contents(run) == plain


@pytest.mark.parametrize("calls", range(1, 18, 1 if FULL else 3))
def test_a_process_that_dies_between_two_calls_leaves_a_whole_form(
    tmp_path: Path, calls: int
) -> None:
    script = (
        "import os, sys\nfrom pathlib import Path\n"
        "from pm_frames.archive import archive\nfrom pm_frames.files import OsFiles\n"
        f"left = {calls}\n"
        "class Dying(OsFiles):\n"
        "    def __getattribute__(self, name):\n"
        "        global left\n        left -= 1\n"
        "        if left == 0: os._exit(9)\n"
        "        return super().__getattribute__(name)\n"
        "list(archive(Path(sys.argv[1]), files=Dying()))\n"
    )
    run = sealed_run(tmp_path / "run")
    plain, frames = contents(run), list(open_bundle(run).frames())
    done = subprocess.run([sys.executable, "-c", script, str(run)], check=False)
    assert done.returncode == 9
    assert list(open_bundle(run).frames()) == frames
    list(archive(run))
    list(restore(run))
    assert contents(run) == plain
