"""A sealed bundle made smaller, and back: each `.frames` file becomes a `.frames.zst` that readers open as it is.

The seal decides. What is compressed, and what the compressed file gives back, is compared with the digest
under which the run was sealed before the other form is removed, so at every moment at least one form is there
whole and durable. The forms are made in `.archive/`, which a process that dies leaves behind, and are renamed.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple

from pm_frames.bundle import RunState, open_bundle, read_json, run_state
from pm_frames.errors import BundleError, CorruptArchive, MissingFile, WriteFailed
from pm_frames.files import OsFiles, RemovingFiles
from pm_frames.index import read_index, write_all
from pm_frames.layout import HEADER
from pm_frames.lock import RunLock
from pm_frames.paths import ARCHIVED, SEAL, SUMS, WORKPLACE, archived_path
from pm_frames.seekable import CHUNK_MAX, LEVEL, SeekableReader, codec, table
from pm_frames.shard import Shard
from pm_frames.window import SPAN, Window

CHUNK: Final = 1 << 20  # bytes of whole frames that are compressed together


class Archived(NamedTuple):
    """What became of one shard; `done` is False where it was in this form already."""

    shard_id: int
    done: bool
    frames_bytes: int
    archived_bytes: int


class NotSealed(BundleError):
    """Only a run that was closed cleanly states what its files must be; exit code 3."""

    exit_code = 3


def archive(
    run_dir: Path, *, level: int = LEVEL, files: RemovingFiles | None = None
) -> Iterator[Archived]:
    """Archive one shard after the other; each is done, durably, when it is yielded.

    Raises `NotSealed`, `BundleError` where a file is not the sealed one (it stays as it is), `MissingLibrary`,
    `RunLocked` where another process archives the run, `WriteFailed`. Every shard is then in one of its
    forms or in both, and the next call goes on from there.
    """
    compress = codec().compress
    with _Work(run_dir, files) as work:
        for shard in open_bundle(run_dir).shards():
            frames, stored = shard.frames_path, archived_path(shard.frames_path)
            done = frames.exists()
            if done:
                fill = partial(_compress, work, shard, lambda data: compress(data, level))
                work.exchange(frames, stored, fill, frames)
            with SeekableReader(stored) as reader:
                yield Archived(shard.shard_id, done, reader.size, stored.stat().st_size)


def restore(run_dir: Path, *, files: RemovingFiles | None = None) -> Iterator[Archived]:
    """Bring the `.frames` files back, byte for byte; raises what `archive` raises."""
    with _Work(run_dir, files) as work:
        for shard in open_bundle(run_dir).shards():
            frames, stored = shard.frames_path, archived_path(shard.frames_path)
            done = stored.exists()
            size = stored.stat().st_size if done else 0
            if done:
                work.exchange(stored, frames, partial(_copy, work, stored), frames)
            yield Archived(shard.shard_id, done, frames.stat().st_size, size)


class _Work:
    """A sealed run on which one process works: its digests, its lock, its scratch folder."""

    def __init__(self, run_dir: Path, files: RemovingFiles | None) -> None:
        self.run_dir = run_dir
        self.files: RemovingFiles = OsFiles() if files is None else files
        self._folder = run_dir / WORKPLACE
        self._lock = RunLock(self._folder)
        self._sums: dict[str, str] = {}

    def __enter__(self) -> _Work:
        state = run_state(self.run_dir)
        if state is not RunState.ENDED:
            raise NotSealed(
                "only a sealed run is archived: its seal is what proves that nothing is lost",
                path=self.run_dir,
                expected=RunState.ENDED,
                found=state,
            )
        self._sums = _sealed_sums(self.run_dir)
        self._folder.mkdir(exist_ok=True)
        self._lock.acquire()
        for left in self._folder.glob("shard_*"):  # of a process that died here
            left.unlink()
        return self

    def __exit__(self, *_: object) -> None:
        self._lock.release()
        shutil.rmtree(self._folder, ignore_errors=True)

    def exchange(
        self, old: Path, new: Path, fill: Callable[[int, Path], None], frames: Path
    ) -> None:
        """Put `new` in the place of `old`: made aside, compared with the seal, and durable before."""
        scratch = self._folder / new.name
        with _refusals(new):
            fd = self.files.open_append(scratch)
            try:
                fill(fd, scratch)
                self.files.sync(fd)
            finally:
                self.files.close(fd)
            self._compare(scratch, frames)
            self.files.replace(scratch, new)
            self.files.sync_directory(new.parent)
            self.files.unlink(old)
            self.files.sync_directory(old.parent)

    def _compare(self, made: Path, frames: Path) -> None:
        name = frames.relative_to(self.run_dir).as_posix()
        digest = hashlib.sha256()
        with SeekableReader(made) if made.suffix == ARCHIVED else open(made, "rb") as file:
            while data := file.read(SPAN):
                digest.update(data)
        if digest.hexdigest() != self._sums.get(name):
            raise CorruptArchive(
                f"{frames.name} is not what was sealed; it stays as it is",
                path=frames.parent,
                expected=f"sha256 {self._sums.get(name)}",
                found=f"sha256 {digest.hexdigest()}",
            )


def _compress(
    work: _Work, shard: Shard, compress: Callable[[bytes], bytes], fd: int, scratch: Path
) -> None:
    """Write the frames of a shard, as many as fill `CHUNK` together, and the table of them."""
    sizes = []
    with Window(shard.frames_path) as window:
        start = 0
        for end in _cuts(shard, window.size):
            data = window.at(start, end - start)
            packed = compress(data)
            write_all(work.files, fd, packed, scratch)
            sizes.append((len(packed), len(data)))
            start = end
    write_all(work.files, fd, table(sizes), scratch)


def _cuts(shard: Shard, size: int) -> Iterator[int]:
    """Yield where chunks end: after whole frames, by the idx, and at the end of the file.

    An idx that lies moves the cuts and nothing else.
    """
    header_bytes = HEADER[shard.version].size
    start = end = 0
    for entry in read_index(shard.idx_path, shard.version):
        after = entry.offset_frames + header_bytes + entry.payload_len
        if after - start > CHUNK and end > start:
            yield end
            start = end
        if end < after <= min(size, start + CHUNK_MAX):
            end = after
    if end > start:
        yield end
    while end < size:
        end = min(end + CHUNK, size)
        yield end


def _copy(work: _Work, stored: Path, fd: int, scratch: Path) -> None:
    with SeekableReader(stored) as reader:
        while data := reader.read(SPAN):
            write_all(work.files, fd, data, scratch)


@contextmanager
def _refusals(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise WriteFailed(f"refused: {error.strerror}", path=path) from error


def _sealed_sums(run_dir: Path) -> dict[str, str]:
    """Return the digests by file name, if SHA256SUMS is the file that was sealed."""
    path = run_dir / SUMS
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise MissingFile("no such file", path=path) from error
    expected = read_json(run_dir / SEAL).get("sha256sums_sha256")
    found = hashlib.sha256(data).hexdigest()
    if found != expected:
        raise BundleError("not the file that was sealed", path=path, expected=expected, found=found)
    lines = data.decode("utf-8", "replace").splitlines()
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
