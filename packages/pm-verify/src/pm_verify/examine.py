"""Read one shard once and say everything about it."""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from pm_frames.checksum import crc32
from pm_frames.errors import CorruptArchive
from pm_frames.layout import IDX, MAGIC_SIZE, VERSION_OF, Version, idx_size
from pm_frames.paths import archived_path
from pm_frames.scan import Start
from pm_verify.diagnosis import diagnose
from pm_verify.findings import Code, Scene
from pm_verify.hashing import Reader
from pm_verify.opening import open_shard_bytes, shard_bytes_size
from pm_verify.shard_result import ShardResult
from pm_verify.sweep import NOTHING, Agreement, Engine, plain, sweep, unread

FAST_BYTES_MIN: Final = 1 << 20


@dataclass(frozen=True, slots=True)
class Task:
    """One shard to read: plain values, so that another process can do it.

    `frames` and `idx` are relative to `root` (or to the working directory without one), None where
    there is no such file; that is a finding where `idx_expected`. `growing` forgives what is only not
    finished yet; `digest` asks for the SHA-256 of both files, taken from the same reading; `quick` leaves
    payloads unjudged for as long as everything else agrees.
    """

    root: Path | None
    shard: int | None
    frames: str | None
    idx: str | None
    idx_expected: bool = True
    growing: bool = False
    digest: bool = False
    quick: bool = False

    def size(self) -> int:
        """Return the bytes of both files, 0 for one that cannot be asked."""
        names = (self.frames, self.idx)
        return sum(shard_bytes_size(self.path(name)) for name in names if name)

    def path(self, name: str) -> Path:
        """Return where one of the two files is."""
        return self.root / name if self.root else Path(name)


def fastest_engine() -> Engine:
    """Return the engine for batches: with numpy where it is installed."""
    try:
        from pm_verify.vectorised import vectorised
    except ImportError:
        return plain
    return vectorised


def engine_for(size: int) -> Engine:
    """Return the engine that is done first with so many bytes: loading numpy takes longer than a small file."""
    return plain if size < FAST_BYTES_MIN else fastest_engine()


def examine(
    task: Task, *, engine: Engine | None = None, tell: Callable[[int], None] | None = None
) -> ShardResult:
    """Read a shard and judge every byte of it. What cannot be read is a finding, never an error.

    `tell` is told the bytes of every read. Raises `MissingLibrary` where an archived shard cannot be read here.
    """
    scene = Scene(task.root, task.shard)
    result = ShardResult(
        task.shard,
        frames_path=task.frames,
        idx_path=task.idx,
        idx_expected=task.idx_expected,
    )
    try:
        if task.frames is None:
            _judge_lonely_index(task, scene, result)
        else:
            _judge_frames(task, task.frames, scene, result, engine or engine_for(task.size()), tell)
    except OSError as error:
        file = _name_in(task, error.filename)
        result.add(scene.finding(Code.UNREADABLE, file, detail=str(error.strerror)))
    except CorruptArchive as error:
        assert task.frames is not None
        _blame_archive(task.frames, scene, result, error)
    return result


def _blame_archive(name: str, scene: Scene, result: ShardResult, error: CorruptArchive) -> None:
    """Say where an archive cannot be read; what is behind that place is not judged."""
    offset = error.offset or 0
    result.note_frames_error(result.last_good_offset)
    result.sound_until_mono_ns = result.rx_mono_ns_last or 0
    result.add(
        scene.finding(
            Code.ARCHIVE_DAMAGED,
            archived_path(Path(name)).as_posix(),
            detail=str(error.args[0]),
            ordinal=result.records,
            span=(offset, offset),
            expected=error.expected,
            found=error.found,
        )
    )


def _name_in(task: Task, filename: object) -> str:
    for name in (task.idx, task.frames):
        if name is not None and str(filename) == str(task.path(name)):
            return name
    return task.frames or task.idx or "capture"


def _judge_lonely_index(task: Task, scene: Scene, result: ShardResult) -> None:
    assert task.idx is not None
    size = task.path(task.idx).stat().st_size
    result.idx_bytes = size
    result.idx_records = size // idx_size(Version.V2)
    result.note_idx_error(0)
    file = task.idx.removesuffix(".idx") + ".frames"
    result.add(scene.finding(Code.FRAMES_MISSING, file, expected=file))


def _judge_frames(
    task: Task,
    name: str,
    scene: Scene,
    result: ShardResult,
    engine: Engine,
    tell: Callable[[int], None] | None,
) -> None:
    with ExitStack() as stack:
        idx = None
        if task.idx is not None:
            # The index first: in a bundle that grows, frames are written before their entries.
            source = open_shard_bytes(task.path(task.idx))
            result.idx_bytes = source.size
            idx = stack.enter_context(Reader(source, hashing=task.digest))
        source = open_shard_bytes(task.path(name))
        result.frames_bytes = source.size
        version = VERSION_OF.get(source.file.read(MAGIC_SIZE))
        source.file.seek(0)
        frames = stack.enter_context(Reader(source, hashing=task.digest, tell=tell))
        agreement = NOTHING
        if idx is not None and version is not None:
            checksum = unread if task.quick else crc32
            agreement = sweep(frames, idx, version, engine=engine, checksum=checksum)
        mono = take_agreement(result, agreement, version)
        if frames.damage is not None:
            raise frames.damage
        if _covers(agreement, result) and idx is not None:
            # In a bundle that grows, what came after the sizes were taken was read and judged too.
            result.frames_bytes, result.idx_bytes = agreement.frames_end, agreement.idx_end
        else:
            idx_path = task.path(task.idx) if task.idx else None
            start = Start(agreement.frames_end, agreement.records, mono)
            diagnose(result, scene, task.path(name), idx_path, growing=task.growing, start=start)
        result.frames_sha256 = frames.digest()
        result.idx_sha256 = idx.digest() if idx else None
    if idx is None and task.idx_expected:
        file = name.removesuffix(".frames") + ".idx"
        result.note_idx_error(0)
        result.add(scene.finding(Code.IDX_MISSING, file, expected=file))


def _covers(agreement: Agreement, result: ShardResult) -> bool:
    return agreement.frames_end >= result.frames_bytes and agreement.idx_end >= result.idx_bytes


def take_agreement(result: ShardResult, agreement: Agreement, version: Version | None) -> int:
    """Put what frames and index agree on into the result; return the stamp of its last record."""
    result.agreed = agreement
    result.records = result.idx_records = agreement.records
    result.last_good_offset = agreement.frames_end
    if version is None or not agreement.records:
        return 0
    result.schema_versions = [int(version)]
    for entry in (agreement.first, agreement.last):
        fields = IDX[version].unpack(entry)
        result.note_stamps(fields[1], fields[2] if version is Version.V2 else None)
    return result.rx_mono_ns_last or 0
