"""Make a sound bundle of a damaged one: never in place, nothing thrown away, everything told.

The output holds what can be proved, `quarantine/` the bytes that cannot, `parent/` the ends of the parent
(its seal, its fatal.json), and `repair.json` says what was done. It is verified before it gets its name, so
there is no repair that does not verify.
"""

import json
import os
import shutil
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from pm_frames.bundle import RunState
from pm_frames.command import ExitCode, UsageError
from pm_frames.errors import BundleError, RunLocked, WriteFailed
from pm_frames.files import Files, OsFiles
from pm_frames.layout import Version
from pm_frames.paths import (
    FATAL,
    LATENCY_REPORT,
    LATENCY_REPORT_TEXT,
    LOCK,
    MISSING_TOKENS,
    PARENT,
    QUARANTINE,
    REPAIR,
    RESERVE,
    RUNLOG,
    SEAL,
    SOURCE,
    SUMS,
    WATERMARK,
    shard_paths,
)
from pm_frames.window import Window
from pm_verify.documents import decode_object
from pm_verify.evidence import Evidence
from pm_verify.examine import Task
from pm_verify.findings import Code, Finding
from pm_verify.modes import Mode, weigh
from pm_verify.quarantine import Dropped, Quarantine
from pm_verify.report import Report, sorted_counts
from pm_verify.runlog_claims import LINE_BYTES_MAX
from pm_verify.salvage import AFTER_POINT, SalvagedShard, ShardSalvage, begins_with
from pm_verify.sealing import seal_bundle, write_durable
from pm_verify.sums import file_digest
from pm_verify.verify import assess, deciding_side, verify_run

REPAIR_VERSION: Final = 1
STOP_REASON: Final = "repair"
LEFT_BEHIND: Final = frozenset({LOCK, RESERVE, WATERMARK})
SCRATCH: Final = "universe/.next/"
# A repair that leaves nothing out can mend these: the close that is missing, and an index that is.
LOSSLESS: Final = frozenset(
    {
        Code.UNSEALED,
        Code.FATAL,
        Code.IDX_SHORT,
        Code.IDX_TORN,
        Code.IDX_MISSING,
        Code.SHARD_NOT_OPENED,
    }
)
# They speak of the end of the parent, which is not that of the repair.
OF_THE_END: Final = frozenset(
    {SEAL, SUMS, FATAL, MISSING_TOKENS, LATENCY_REPORT, LATENCY_REPORT_TEXT, REPAIR}
)
# The maps of a slice name frames of the parent by their ordinals.
OF_THE_END_PREFIXES: Final = (
    "last_frames_shard_",
    f"{PARENT}/",
    f"{QUARANTINE}/",
    f"{SOURCE}/",
)


class NotRepairable(BundleError):
    """The bundle, or the mode, does not allow a repair; the message says what stands in the way."""


@dataclass(frozen=True, slots=True)
class Repaired:
    """What a repair did. `out` is None where there was nothing to do; then nothing was written."""

    parent: Report
    out: Path | None = None
    record: dict[str, object] = field(default_factory=dict)
    lossy: bool = False

    @property
    def exit_code(self) -> ExitCode:
        """0 where nothing was lost, 3 where something was."""
        return ExitCode.FINDINGS if self.lossy else ExitCode.OK

    def as_json(self) -> dict[str, object]:
        """Return what was done as JSON values, in short; repair.json has all of it."""
        return {
            "out": str(self.out) if self.out else None,
            "exit_code": int(self.exit_code),
            "lossy": self.lossy,
            **{key: self.record.get(key) for key in ("mode", "parent", "shards")},
            "dropped_bytes": self._dropped_bytes(),
        }

    def sentence(self) -> str:
        """Return what was done as one plain sentence."""
        if self.out is None:
            return f"{self.parent.run_dir}: nothing to repair, {self.parent.verdict()}."
        size = self._dropped_bytes()
        left_out = f"{size:,} bytes were left out" if size else "nothing was left out"
        told = f"; {self.out / REPAIR} tells every one of them" if self.lossy else ""
        return f"{self.out}: repaired and verified, {left_out}{told}."

    def _dropped_bytes(self) -> int:
        dropped = self.record.get("dropped", [])
        assert isinstance(dropped, list)
        return sum(one["end"] - one["offset"] for one in dropped)


def repair_run(
    run_dir: Path,
    out: Path,
    *,
    now_wall_ns: int,
    mode: Mode = Mode.SALVAGE,
    version: str = "",
    jobs: int | Callable[[list[Task]], int] = 1,
    watch: Callable[[list[Task]], Callable[[int], None]] | None = None,
    files: Files | None = None,
) -> Repaired:
    """Repair a run into the new directory `out`.

    `mode` says what may be left out: nothing (strict), what a crash leaves (tolerate-tail), everything from
    the first damage on, in all shards alike (point-in-time), or only what cannot be proved (salvage).
    `now_wall_ns` and `version`, that of this program, go into repair.json. Raises `NotRepairable`,
    `RunLocked` for a run that is being written, `UsageError` where `out` cannot be, `WriteFailed`.
    """
    files = OsFiles() if files is None else files
    partial = out.with_name(f"{out.name}.partial")
    for path in (out, partial):
        if path.exists():
            raise UsageError("exists; a repair overwrites nothing", path=path)
    if out.resolve().is_relative_to(run_dir.resolve()):
        raise UsageError("a repair is written outside of the run that it repairs", path=out)
    evidence, report = assess(run_dir, digest=True, jobs=jobs, watch=watch)
    if evidence.state is RunState.RUNNING:
        raise RunLocked("the run is being written: stop the capture first", path=run_dir)
    if not report.counts:
        return Repaired(report)
    _refuse(run_dir, evidence, report, mode)
    try:
        partial.mkdir(parents=True)
        work = _Work(evidence, report, partial, mode, files)
        record = work.run(now_wall_ns, version)
        _check(partial)
        os.replace(partial, out)
        files.sync_directory(out.resolve().parent)
    except OSError as error:
        raise WriteFailed(f"the repair failed: {error.strerror}", path=partial) from error
    return Repaired(report, out, record, work.lossy)


def _refuse(run_dir: Path, evidence: Evidence, report: Report, mode: Mode) -> None:
    """Raise where the mode forbids what would have to be left out, or a copy alone could help."""
    if evidence.never_began():
        raise UsageError("nothing was recorded before the crash: nothing to repair", path=run_dir)
    in_the_way = [finding for finding in report.sorts if _forbids(finding, mode)]
    if in_the_way:
        worst = in_the_way[0]
        kind = UsageError if worst.exit_code is ExitCode.USAGE else NotRepairable
        said = "; ".join(f"{one.code.id} {one.file}: {one.message}" for one in in_the_way[:3])
        text = f"not repairable in the mode {mode}: {said}. Next: {worst.fix}"
        raise kind(text, path=run_dir)
    if report.weight(mode) is ExitCode.CORRUPT and mode is Mode.POINT_IN_TIME:
        raise NotRepairable("damaged from the first frame on: no instant is left", path=run_dir)


def _forbids(finding: Finding, mode: Mode) -> bool:
    if mode is Mode.STRICT:
        return finding.code not in LOSSLESS
    return weigh(finding, mode) in (ExitCode.CORRUPT, ExitCode.USAGE)


def _check(partial: Path) -> None:
    """Raise unless the repair verifies: one that does not is a defect of this program."""
    report = verify_run(partial)
    if report.counts:
        raise NotRepairable(
            f"the repair does not verify, which is a defect of pm-verify: {report.verdict()}",
            path=partial,
        )


class _Work:
    """One repair under way: what is kept, what is left out, and the record of both."""

    def __init__(
        self, evidence: Evidence, report: Report, out: Path, mode: Mode, files: Files
    ) -> None:
        self._evidence = evidence
        self._report = report
        self._out = out
        self._files = files
        self._mode = mode
        self._limit = report.point_in_time_mono_ns if mode is Mode.POINT_IN_TIME else None
        self._dropped: list[Dropped] = []
        self._shards: dict[int, SalvagedShard] = {}
        self._idx: dict[int, str] = {}
        self._digests: dict[str, str] = {}

    @property
    def lossy(self) -> bool:
        """Return whether anything that may have been recorded is not in the repair, or not proved."""
        return bool(self._dropped) or any(shard.lossy for shard in self._shards.values())

    def run(self, now_wall_ns: int, version: str) -> dict[str, object]:
        """Write everything; return what repair.json says. Raises OSError."""
        (self._out / "capture").mkdir()
        self._salvage_shards()
        self._copy_the_rest()
        record = self._record(now_wall_ns, version)
        text = json.dumps(record, indent=2).encode("utf-8") + b"\n"
        write_durable(self._files, self._out / REPAIR, text)
        self._sync()
        runlog = self._evidence.runlog
        seal_bundle(
            self._out,
            run_id=str(self._evidence.run_id),
            stop_reason=(None if self._limit is not None else runlog.stop_reason) or STOP_REASON,
            closed=self._closed(),
            shards=self._shards.values(),
            files=self._files,
        )
        self._files.sync_directory(self._out)
        return record

    def _salvage_shards(self) -> None:
        run_dir, evidence = self._evidence.run_dir, self._evidence
        for pair in evidence.pairs:
            result = evidence.results[pair.shard]
            sources = [run_dir / name if name else None for name in (pair.frames, pair.idx)]
            targets = shard_paths(self._out, pair.shard)
            name = targets[0].relative_to(self._out).as_posix()
            quarantine = Quarantine(self._out, name)
            salvage = ShardSalvage(
                pair.shard,
                result,
                (sources[0], sources[1]),
                targets,
                quarantine,
                right_side=deciding_side(evidence, result),
                limit_mono_ns=self._limit,
            )
            try:
                self._shards[pair.shard] = salvage.run()
            finally:
                quarantine.close()
            self._dropped += quarantine.ranges
            self._idx[pair.shard] = self._keep_index(sources[1], targets[1])
            for file, digest in (
                (pair.frames, result.frames_sha256),
                (pair.idx, result.idx_sha256),
            ):
                if file and digest:
                    self._digests[file] = digest
        for shard in sorted(evidence.assigned_tokens().keys() - self._shards.keys()):
            self._create_empty(shard)

    def _create_empty(self, shard: int) -> None:
        """Give a shard that had not opened when the run ended the files of one without frames."""
        if not self._evidence.assigned_tokens()[shard]:
            return
        for path in shard_paths(self._out, shard):
            path.touch()
        self._shards[shard] = SalvagedShard(shard, Version.V2)
        self._idx[shard] = "created"

    def _keep_index(self, source: Path | None, target: Path) -> str:
        """Say where the entries come from; an index that was not simply continued is kept whole."""
        if source is None:
            return "rebuilt"
        if begins_with(target, source):
            same = target.stat().st_size == source.stat().st_size
            return "kept" if same else "completed"
        kept = self._out / QUARANTINE / target.relative_to(self._out)
        kept.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(source, kept)
        return "corrected"

    def _copy_the_rest(self) -> None:
        shard_files = {name for pair in self._evidence.pairs for name in (pair.frames, pair.idx)}
        for name in self._evidence.files:
            if name in shard_files or name in LEFT_BEHIND or name.startswith(SCRATCH):
                continue
            source = self._evidence.run_dir / name
            of_the_end = name in OF_THE_END or name.startswith(OF_THE_END_PREFIXES)
            target = self._out / (f"{PARENT}/{name}" if of_the_end else name)
            target.parent.mkdir(parents=True, exist_ok=True)
            self._digests[name] = file_digest(source)
            if name == RUNLOG or (name.startswith("metrics/") and name.endswith(".ndjson")):
                self._copy_lines(source, target, name)
            else:
                shutil.copyfile(source, target)

    def _copy_lines(self, source: Path, target: Path, name: str) -> None:
        """Copy whole lines; of the runlog only records, and none after the limit."""
        quarantine = Quarantine(self._out, name)
        with Window(source) as window, source.open("rb") as lines, target.open("xb") as out:
            offset = 0
            while line := lines.readline(LINE_BYTES_MAX):
                reason = self._objection(line) if name == RUNLOG else _torn(line)
                if reason is None:
                    out.write(line)
                else:
                    quarantine.take(window, offset, offset + len(line), reason)
                offset += len(line)
        quarantine.close()
        self._dropped += quarantine.ranges

    def _objection(self, line: bytes) -> str | None:
        if torn := _torn(line):
            return torn
        try:
            record = decode_object(line)
        except ValueError:
            return Code.RUNLOG_DAMAGED.name.lower()
        if not isinstance(record.get("record_type"), str):
            return Code.RUNLOG_DAMAGED.name.lower()
        stamp = record.get("ts_mono_ns")
        if self._limit is not None and isinstance(stamp, int) and stamp > self._limit:
            return AFTER_POINT
        return None

    def _closed(self) -> tuple[int, int]:
        """Return the last instant that the bundle knows of, on both clocks."""
        stamps = [self._evidence.runlog.last_stamp or (0, 0)]
        stamps += [
            (shard.last[0], shard.last[1] or 0)
            for shard in self._shards.values()
            if shard.last is not None
        ]
        return max(stamps)

    def _record(self, now_wall_ns: int, version: str) -> dict[str, object]:
        seal = self._evidence.seal
        shards = {
            str(shard.shard): {
                "frames": shard.frames,
                "salvaged": shard.marked,
                "restored": shard.restored,
                "idx": self._idx[shard.shard],
            }
            for shard in self._shards.values()
        }
        made = self._shards.values()
        return {
            "repair_version": REPAIR_VERSION,
            "repaired_wall_ns_utc": now_wall_ns,
            "pm_verify": version,
            "mode": str(self._mode),
            "lossy": self.lossy,
            "point_in_time_mono_ns": self._limit,
            "parent": {
                "run_id": self._evidence.run_id,
                "directory": self._evidence.run_dir.resolve().name,
                "state": str(self._evidence.state),
                "seal_sha256": seal.text("seal_sha256"),
                "exit_code": int(self._report.weight(Mode.STRICT)),
                "finding_counts": {
                    code.id: count for code, count in sorted_counts(self._report.counts)
                },
                "sha256": dict(sorted(self._digests.items())),
            },
            "shards": shards,
            "unproved": self._unproved(),
            "dropped": [one.as_json() for one in self._dropped],
            "lost_entries": [one.as_json() for shard in made for one in shard.lost_entries],
            "choices": [one.as_json() for shard in made for one in shard.choices],
        }

    def _unproved(self) -> list[str]:
        """Return the files that miss their digest without anything that says where."""
        return sorted(
            name
            for name, expected in self._evidence.sums.digests.items()
            if self._digests.get(name, expected) != expected and not self._evidence.says_where(name)
        )

    def _sync(self) -> None:
        """Make everything durable, files before the directories that name them."""
        for directory, _, names in os.walk(self._out, topdown=False):
            for name in names:
                fd = os.open(Path(directory, name), os.O_RDWR | getattr(os, "O_BINARY", 0))
                try:
                    self._files.sync(fd)
                finally:
                    os.close(fd)
            self._files.sync_directory(Path(directory))


def _torn(line: bytes) -> str | None:
    return None if line.endswith(b"\n") else Code.RUNLOG_TORN.name.lower()
