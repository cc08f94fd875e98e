"""Verify a run, a pair of files, or a stream: read it, run every check, report."""

import dataclasses
from collections.abc import Callable, Iterable
from pathlib import Path

from pm_frames.bundle import RunState
from pm_frames.paths import ARCHIVED, archived_path
from pm_frames.seekable import codec
from pm_verify.checks import CHECKS
from pm_verify.checks.sums import shard_digests
from pm_verify.evidence import Evidence, gather
from pm_verify.examine import Task, examine
from pm_verify.findings import UNDECIDED, Code, Finding, Scene, Tally
from pm_verify.modes import Mode
from pm_verify.pool import examine_all
from pm_verify.report import Report
from pm_verify.shard_result import ShardResult
from pm_verify.stream import examine_stream
from pm_verify.sweep import Engine, Readable


def verify_run(
    run_dir: Path,
    *,
    engine: Engine | None = None,
    mode: Mode = Mode.STRICT,
    quick: bool = False,
    jobs: int | Callable[[list[Task]], int] = 1,
    watch: Callable[[list[Task]], Callable[[int], None]] | None = None,
) -> Report:
    """Verify a run bundle. What is wrong with it is in the report; nothing about it is raised.

    Raises `MissingLibrary` where frames are archived and no zstd library is installed.

    `mode` weighs what is found. `quick` looks at structure and headers, not at payloads and digests. `jobs` processes read the shards,
    or as many as a function of them says; the report does not depend on it. `watch` is told of the
    shards and returns what is told of the bytes read.
    """
    _, report = assess(run_dir, engine=engine, quick=quick, jobs=jobs, watch=watch)
    return dataclasses.replace(report, mode=mode)


def assess(
    run_dir: Path,
    *,
    engine: Engine | None = None,
    quick: bool = False,
    digest: bool = False,
    jobs: int | Callable[[list[Task]], int] = 1,
    watch: Callable[[list[Task]], Callable[[int], None]] | None = None,
) -> tuple[Evidence, Report]:
    """Return what was found with the evidence for it; see `verify_run`.

    `digest` takes the digests of all shards, also where nothing states what they must be.
    """
    evidence = gather(run_dir)
    if not evidence.manifest.present and not evidence.pairs:
        return evidence, refusal(run_dir, Code.NO_RUN, "manifest.json")
    if not evidence.pairs and evidence.state in (RunState.CRASHED, RunState.FATAL):
        return evidence, refusal(run_dir, Code.NO_FRAMES, "capture", run_id=evidence.run_id)
    if evidence.archived:
        codec()
    if evidence.never_began():
        # An index without its .frames is what a power cut makes of two files that are being created.
        begun = tuple(pair for pair in evidence.pairs if pair.frames)
        evidence = dataclasses.replace(evidence, pairs=begun)
    tasks = [
        Task(
            run_dir,
            pair.shard,
            pair.frames,
            pair.idx,
            growing=evidence.state is RunState.RUNNING,
            digest=(digest or bool(evidence.sums.digests)) and not quick,
            quick=quick,
        )
        for pair in evidence.pairs
    ]
    examined = examine_all(
        tasks,
        jobs=jobs if isinstance(jobs, int) else jobs(tasks),
        engine=engine,
        tell=watch(tasks) if watch else None,
    )
    results = {pair.shard: result for pair, result in zip(evidence.pairs, examined, strict=True)}
    evidence = dataclasses.replace(evidence, results=results, quick=quick)
    tally = Tally()
    for check in CHECKS:
        tally.extend(check(evidence))
    decide(evidence)
    report = report_on(
        results.values(),
        tally,
        run_dir=str(run_dir),
        run_id=evidence.run_id,
        state=str(evidence.state),
    )
    point = point_in_time(evidence)
    return evidence, dataclasses.replace(report, quick=quick, point_in_time_mono_ns=point)


def point_in_time(evidence: Evidence) -> int | None:
    """Return the last instant up to which nothing is missing; None if that is the end, 0 if none is.

    A socket read stamps all its frames alike, so the frames of the last sound stamp may not be all.
    """
    stamps = [
        result.sound_until_mono_ns
        for result in evidence.results.values()
        if result.sound_until_mono_ns is not None
    ]
    stamps += [line.after_mono_ns for line in evidence.runlog.bad_lines if not line.torn]
    return max(min(stamps) - 1, 0) if stamps else None


def verify_files(frames: Path, idx: Path | None, *, engine: Engine | None = None) -> Report:
    """Verify one .frames file, as it is or archived, against its index if one is given.

    Raises `MissingLibrary` where it is archived and no zstd library is installed.
    """
    if frames.suffix == ARCHIVED:
        frames = frames.with_suffix("")
    present = frames
    if not frames.is_file() and archived_path(frames).is_file():
        codec()
        present = archived_path(frames)
    missing = [path for path in (present, idx) if path is not None and not path.is_file()]
    if missing:
        return refusal(None, Code.NO_FILE, str(missing[0]))
    task = Task(None, None, str(frames), str(idx) if idx else None, idx_expected=idx is not None)
    return report_on([examine(task, engine=engine)], Tally(), state="files")


def verify_stream(stream: Readable) -> Report:
    """Verify the bytes of a .frames file as they come. Raises OSError of the stream."""
    return report_on([examine_stream(stream)], Tally(), state="stream")


def refusal(run_dir: Path | None, code: Code, file: str, *, run_id: str | None = None) -> Report:
    """Return the report on something that is not there."""
    tally = Tally()
    tally.add(Scene(run_dir).finding(code, file))
    return report_on(
        [], tally, run_dir=str(run_dir) if run_dir else None, run_id=run_id, state="missing"
    )


def report_on(
    results: Iterable[ShardResult],
    tally: Tally,
    *,
    state: str,
    run_dir: str | None = None,
    run_id: str | None = None,
) -> Report:
    """Put what was found in the shards before what was found in the run."""
    summaries = tuple(results)
    findings = [finding for result in summaries for finding in result.tally.listed]
    counts = tally.counts.copy()
    for result in summaries:
        counts.update(result.tally.counts)
    tallies = [*(result.tally for result in summaries), tally]
    sorts = tuple(finding for one in tallies for finding in one.sorts.values())
    return Report(run_dir, run_id, state, summaries, (*findings, *tally.listed), counts, sorts)


def decide(evidence: Evidence) -> None:
    """Say which side is right where header and index state different stamps, if a sum can tell."""
    for result in evidence.results.values():
        side = deciding_side(evidence, result)
        if side is not None:
            right = result.frames_path if side == "frames" else result.idx_path
            result.tally.listed = [_decided(item, str(right)) for item in result.tally.listed]


def deciding_side(evidence: Evidence, result: ShardResult) -> str | None:
    """Return `frames` or `idx` where SHA256SUMS proves that file of a shard whole, and not the other."""
    digests, stated = shard_digests(evidence), evidence.sums.digests
    whole = {
        side
        for side, name in (("frames", result.frames_path), ("idx", result.idx_path))
        if name and name in stated and digests.get(name) == stated[name]
    }
    return whole.pop() if len(whole) == 1 else None


def _decided(finding: Finding, right: str) -> Finding:
    if finding.code not in UNDECIDED:
        return finding
    return dataclasses.replace(
        finding,
        message=f"{finding.message}; by SHA256SUMS {right} is as it was written",
        fix=f"believe {right}, and restore the other file from a copy",
    )
