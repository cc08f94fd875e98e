"""A run that is still being written: judged as it grows, and never blamed for what is only not finished.

A writer appends frames before their entries, so a whole entry vouches that its frame is there: only records
with an entry are judged, and what follows the last is not yet. Whatever seems wrong is looked at again in
the next round before it is said. Between two rounds the watermark is held to its promise: once it was W, no
record stamped before W comes to light.
"""

from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from pm_frames.bundle import RunState, run_state
from pm_frames.checksum import crc32
from pm_frames.layout import IDX, MAGIC_SIZE, VERSION_OF, Version, idx_size
from pm_frames.paths import MANIFEST, WATERMARK, shard_ids, shard_paths
from pm_frames.scan import Start
from pm_frames.watermark import read_watermark
from pm_verify.diagnosis import diagnose
from pm_verify.documents import read_document
from pm_verify.examine import fastest_engine, take_agreement
from pm_verify.findings import Code, Scene, Tally
from pm_verify.opening import ShardBytes, open_shard_bytes
from pm_verify.report import Report
from pm_verify.shard_result import ShardResult
from pm_verify.sweep import NOTHING, Agreement, Checksum, sweep, unread
from pm_verify.verify import report_on

LOOK_SECONDS: Final = 0.2


class Bounded:
    """The bytes of a file from `start` to before `end`, whatever is appended meanwhile."""

    def __init__(self, source: ShardBytes, start: int, end: int) -> None:
        self._file = source.file
        self._file.seek(start)
        self._left = end - start

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, fewer than `size` only at the end."""
        data = self._file.read(min(size, self._left))
        self._left -= len(data)
        return data


class LiveShard:
    """One shard as far as it has been judged."""

    def __init__(self, run_dir: Path, shard: int, *, checksum: Checksum) -> None:
        self._paths = shard_paths(run_dir, shard)
        self._scene = Scene(run_dir, shard)
        self._checksum = checksum
        self._suspect: int | None = None
        self._version: Version | None = None
        self._agreed: Agreement = NOTHING
        names = [path.relative_to(run_dir).as_posix() for path in self._paths]
        self.result = ShardResult(shard, names[0], names[1])
        self.damaged = False

    def look(self, watermark_before_ns: int) -> None:
        """Judge what has come since the last look; before that look the watermark was the one given."""
        if self.damaged:
            return
        with ExitStack() as stack:
            try:
                idx = open_shard_bytes(self._paths[1])
                stack.enter_context(idx.file)
                frames = open_shard_bytes(self._paths[0])
                stack.enter_context(frames.file)
            except FileNotFoundError:
                return  # being created
            if self._version is None:
                magic = frames.file.read(MAGIC_SIZE)
                if len(magic) < MAGIC_SIZE:
                    return
                self._version = VERSION_OF.get(magic)
            if self._version is not None:
                self._judge(frames, idx, self._version, watermark_before_ns)
            elif idx.size:
                self._doubt()

    def _judge(
        self, frames: ShardBytes, idx: ShardBytes, version: Version, watermark_before_ns: int
    ) -> None:
        begun = self._agreed
        end = idx.size - idx.size % idx_size(version)
        if end <= begun.idx_end:
            return
        self._agreed = sweep(
            Bounded(frames, begun.frames_end, frames.size),
            Bounded(idx, begun.idx_end, end),
            version,
            engine=fastest_engine(),
            checksum=self._checksum,
            agreement=begun,
        )
        if self._agreed.records > begun.records:
            idx.file.seek(begun.idx_end)
            first_ns = IDX[version].unpack(idx.file.read(idx_size(version)))[1]
            if first_ns < watermark_before_ns:
                self._blame_watermark(begun, first_ns, watermark_before_ns)
        if self._agreed.idx_end < end:
            self._doubt()
        else:
            self._suspect = None

    def _blame_watermark(self, begun: Agreement, stamp_ns: int, watermark_ns: int) -> None:
        self.result.add(
            self._scene.finding(
                Code.WATERMARK_PASSED,
                WATERMARK,
                ordinal=begun.records,
                expected=watermark_ns,
                found=stamp_ns,
            )
        )

    def _doubt(self) -> None:
        """Suspect the next record; if it was suspected in the last look already, say what is wrong."""
        if self._suspect != self._agreed.records:
            self._suspect = self._agreed.records
            return
        mono = take_agreement(self.result, self._agreed, self._version)
        start = Start(self._agreed.frames_end, self._agreed.records, mono)
        diagnose(self.result, self._scene, *self._paths, growing=True, start=start)
        self.damaged = bool(self.result.tally.counts)

    def finish(self) -> ShardResult:
        """Return what is known of the shard."""
        if not self.damaged:
            self.result.rx_mono_ns_first = self.result.rx_wall_ns_utc_first = None
            take_agreement(self.result, self._agreed, self._version)
            self.result.frames_bytes = self._agreed.frames_end
            self.result.idx_bytes = self._agreed.idx_end
        return self.result

    @property
    def records(self) -> int:
        """Return how many records have been judged sound."""
        return self._agreed.records


class LiveRun:
    """A run directory under a capture that writes it."""

    def __init__(self, run_dir: Path, *, quick: bool = False) -> None:
        self.run_dir = run_dir
        self._checksum: Checksum = unread if quick else crc32
        self._quick = quick
        self._shards: dict[int, LiveShard] = {}
        self._watermark_ns = 0

    def look(self) -> bool:
        """Judge what has come since the last look; return whether the run is still being written."""
        running = run_state(self.run_dir) is RunState.RUNNING
        watermark_ns = read_watermark(self.run_dir / WATERMARK) or 0
        for shard in shard_ids(self.run_dir):
            if shard not in self._shards:
                self._shards[shard] = LiveShard(self.run_dir, shard, checksum=self._checksum)
        for live in self._shards.values():
            live.look(self._watermark_ns)
        self._watermark_ns = watermark_ns
        return running

    @property
    def records(self) -> int:
        """Return how many records have been judged sound."""
        return sum(shard.records for shard in self._shards.values())

    def report(self) -> Report:
        """Return what can be said of the run so far."""
        run_id = read_document(self.run_dir, MANIFEST).text("run_id")
        results = [self._shards[shard].finish() for shard in sorted(self._shards)]
        report = report_on(
            results, Tally(), run_dir=str(self.run_dir), run_id=run_id, state="running"
        )
        return replace(report, quick=self._quick)


def follow(
    run: LiveRun,
    *,
    clock: Callable[[], float],
    pause: Callable[[float], None],
    seconds: float | None = None,
    told: Callable[[int], None] | None = None,
) -> bool:
    """Look at a run until it ends, or for some seconds; return whether it is still being written.

    `told` is told how many records are sound after each look.
    """
    begun = clock()
    while run.look():
        if told is not None:
            told(run.records)
        if seconds is not None and clock() - begun >= seconds:
            return True
        pause(LOOK_SECONDS)
    return False
