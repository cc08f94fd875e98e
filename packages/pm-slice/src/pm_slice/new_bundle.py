"""A sealed bundle that is being made: written aside, sealed, durable, and only then there under its name."""

import hashlib
import json
import shutil
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

from pm_frames import paths
from pm_frames.command import UsageError
from pm_frames.errors import WriteFailed
from pm_frames.files import Files, OsFiles
from pm_frames.frames import Frame
from pm_frames.index import encode_entry, entry_of, write_all
from pm_frames.layout import HEADER, MAGIC, Version

EXISTS: Final = "exists; nothing is overwritten without --force"
AT_ONCE: Final = 1 << 20  # bytes that one write takes


class NewFile:
    """One file of the bundle, written forwards, its digest taken on the way."""

    def __init__(self, bundle: "NewBundle", name: str) -> None:
        self.size = 0
        self._bundle = bundle
        self._name = name
        self._path = bundle.scratch / name
        self._digest = hashlib.sha256()
        self._waiting: list[bytes] = []
        self._waiting_bytes = 0
        bundle.make_directory(self._path.parent)
        with bundle.refusals(self._path):
            self._fd = bundle.files.open_append(self._path)
        bundle.opened.append(self._fd)

    def add(self, data: bytes) -> None:
        """Append bytes. Raises `WriteFailed`."""
        self._waiting.append(data)
        self._waiting_bytes += len(data)
        self.size += len(data)
        if self._waiting_bytes >= AT_ONCE:
            self.flush()

    def flush(self) -> None:
        """Hand everything to the system."""
        data = b"".join(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        self._digest.update(data)
        with self._bundle.refusals(self._path):
            write_all(self._bundle.files, self._fd, data, self._path)

    def close(self) -> None:
        """Make the file durable and note its digest for SHA256SUMS."""
        self.flush()
        with self._bundle.refusals(self._path):
            self._bundle.files.sync(self._fd)
            self._bundle.opened.remove(self._fd)
            self._bundle.files.close(self._fd)
        self._bundle.digests[self._name] = self._digest.hexdigest()


class NewShard:
    """Copies frames as they are into a new shard: header, payload and flags; only offsets are new."""

    def __init__(self, bundle: "NewBundle", shard_id: int, version: Version) -> None:
        self.version = version
        self.frames = 0
        self.first: Frame | None = None
        self.last: Frame | None = None
        stem = f"{paths.CAPTURE}/shard_{shard_id:02d}"
        self._frames_file = NewFile(bundle, f"{stem}.frames")
        self._idx_file = NewFile(bundle, f"{stem}.idx")

    def add(self, frame: Frame) -> None:
        """Append a frame. Raises `WriteFailed`."""
        stamps: tuple[int, ...] = (frame.rx_mono_ns,)
        if frame.rx_wall_ns_utc is not None:
            stamps += (frame.rx_wall_ns_utc,)
        version, payload = self.version, frame.payload
        self._idx_file.add(
            encode_entry(entry_of(frame)._replace(offset_frames=self._frames_file.size), version)
        )
        self._frames_file.add(
            HEADER[version].pack(
                MAGIC[version], version, frame.flags, *stamps, len(payload), frame.crc32
            )
        )
        self._frames_file.add(payload)
        self.frames += 1
        self.first = self.first or frame
        self.last = frame

    def close(self) -> dict[str, int | None]:
        """Make both files durable; return what the seal says of the shard."""
        self._frames_file.close()
        self._idx_file.close()
        first, last = self.first, self.last
        return {
            "frames": self.frames,
            "frames_bytes": self._frames_file.size,
            "idx_bytes": self._idx_file.size,
            "rx_mono_ns_first": first.rx_mono_ns if first else None,
            "rx_mono_ns_last": last.rx_mono_ns if last else None,
            "rx_wall_ns_utc_first": first.rx_wall_ns_utc if first else None,
            "rx_wall_ns_utc_last": last.rx_wall_ns_utc if last else None,
        }


class NewBundle:
    """Made at `.NAME.partial` beside its place; without `seal` nothing stays of it."""

    def __init__(
        self,
        target: Path,
        files: Files | None = None,
        *,
        replaces: bool = False,
        sources: Iterable[Path] = (),
    ) -> None:
        """Raises `UsageError` if there is something at `target`, or left of one who died there.

        `replaces`: then a slice or a merged bundle that is there goes when this one is whole, and what is left of
        one who died goes at once; nothing else, and none of the `sources`.
        """
        self.target = target
        self.scratch = target.with_name(f".{target.name}.partial")
        self.files: Files = OsFiles() if files is None else files
        self.digests: dict[str, str] = {}
        self.opened: list[int] = []
        self._shards: dict[int, dict[str, int | None]] = {}
        self._directories: list[Path] = []
        self._replaces = replaces
        if replaces:
            _check_replaceable(target, sources)
        for path in () if replaces else (self.target, self.scratch):
            if path.exists():
                raise UsageError(EXISTS, path=path)
        with self.refusals(target):
            target.parent.mkdir(parents=True, exist_ok=True)

    def __enter__(self) -> Self:
        with self.refusals(self.scratch):
            if self._replaces and self.scratch.is_dir():
                shutil.rmtree(self.scratch)
            try:
                self.scratch.mkdir()
            except FileExistsError as error:
                raise UsageError(EXISTS, path=self.scratch) from error
        self._directories.append(self.scratch)
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        for fd in self.opened:
            try:
                self.files.close(fd)
            except OSError:
                pass  # what is being thrown away anyway
        self.opened.clear()
        shutil.rmtree(self.scratch, ignore_errors=True)

    def make_directory(self, path: Path) -> None:
        """Make a folder of the bundle, if it is not there yet."""
        if path not in self._directories:
            with self.refusals(path):
                path.mkdir()
            self._directories.append(path)

    def file(self, name: str) -> NewFile:
        """Begin a file; `name` is relative to the bundle."""
        return NewFile(self, name)

    def add_file(self, name: str, data: bytes) -> None:
        """Write a whole small file."""
        new = self.file(name)
        new.add(data)
        new.close()

    def add_json(self, name: str, document: Mapping[str, Any]) -> None:
        """Write a JSON object for people and programs."""
        self.add_file(name, _json(document))

    def copy_file(self, name: str, source: Path) -> None:
        """Copy a file as it is."""
        new = self.file(name)
        with open(source, "rb") as file:
            while data := file.read(AT_ONCE):
                new.add(data)
        new.close()

    def shard(self, shard_id: int, version: Version) -> NewShard:
        """Begin a shard."""
        return NewShard(self, shard_id, version)

    def close_shard(self, shard_id: int, shard: NewShard) -> None:
        """End a shard; the seal will count it."""
        self._shards[shard_id] = shard.close()

    def seal(self, run_id: str, stop_reason: str, closed: tuple[int, int]) -> dict[str, Any]:
        """Write SHA256SUMS and the seal, make all names durable, and put the bundle in its place.

        `closed` is now, as (monotonic ns, wall ns). Returns the seal.
        """
        text = "".join(f"{self.digests[name]}  {name}\n" for name in sorted(self.digests)).encode()
        self.add_file(paths.SUMS, text)
        seal: dict[str, Any] = {
            "seal_version": 1,
            "run_id": run_id,
            "stop_reason": stop_reason,
            "closed_wall_ns_utc": closed[1],
            "closed_mono_ns": closed[0],
            "sha256sums_sha256": hashlib.sha256(text).hexdigest(),
            "frames_total": sum(shard["frames"] or 0 for shard in self._shards.values()),
            "bytes_total": sum(shard["frames_bytes"] or 0 for shard in self._shards.values()),
            "shards": {str(number): self._shards[number] for number in sorted(self._shards)},
        }
        canonical = json.dumps(seal, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        seal["seal_sha256"] = hashlib.sha256(canonical.encode()).hexdigest()
        self._sync_directories()
        self.add_file(paths.SEAL, _json(seal))
        with self.refusals(self.target):
            self.files.sync_directory(self.scratch)
            if not self.target.exists():
                self.files.replace(self.scratch, self.target)
            elif self._replaces:
                self._replace()
            else:
                raise UsageError(EXISTS, path=self.target)
            self.files.sync_directory(self.target.parent)
        return seal

    def _replace(self) -> None:
        """Put the bundle in the place of another one, which stays there if that fails."""
        aside = self.target.with_name(f".{self.target.name}.replaced")
        shutil.rmtree(aside, ignore_errors=True)  # of one who died here
        self.files.replace(self.target, aside)
        try:
            self.files.replace(self.scratch, self.target)
        except OSError:
            self.files.replace(aside, self.target)
            raise
        shutil.rmtree(aside, ignore_errors=True)

    def _sync_directories(self) -> None:
        for directory in self._directories:
            with self.refusals(directory):
                self.files.sync_directory(directory)

    @contextmanager
    def refusals(self, path: Path) -> Iterator[None]:
        """Turn what the system refuses into `WriteFailed`."""
        try:
            yield
        except OSError as error:
            raise WriteFailed(f"cannot write: {error.strerror}", path=path) from error


def _check_replaceable(target: Path, sources: Iterable[Path]) -> None:
    """Raise `UsageError` if what is at `target` could not be made again, or is needed to make this."""
    place = target.resolve()
    for source in sources:
        found = source.resolve()
        if found == place or place in found.parents or found in place.parents:
            raise UsageError("it is made of what it would replace", path=target, found=str(source))
    is_there = target.is_symlink() or target.exists()
    is_ours = any((target / name).is_file() for name in (paths.SLICE, paths.MERGE))
    if is_there and (target.is_symlink() or not is_ours):
        raise UsageError("exists; --force replaces slices and merged bundles only", path=target)


def _json(document: Mapping[str, Any]) -> bytes:
    return json.dumps(document, indent=2, ensure_ascii=False).encode("utf-8") + b"\n"
