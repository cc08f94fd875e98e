"""Verify a run, a pair of files, or a stream: read it, run every check, report."""

import dataclasses
from collections.abc import Iterable
from pathlib import Path

from pm_frames.bundle import RunState
from pm_verify.checks import CHECKS
from pm_verify.checks.sums import shard_digests
from pm_verify.evidence import Evidence, gather
from pm_verify.examine import Task, examine
from pm_verify.findings import Code, Finding, Scene, Tally
from pm_verify.report import Report
from pm_verify.shard_result import ShardResult
from pm_verify.stream import examine_stream
from pm_verify.sweep import Engine, Readable

UNDECIDED = frozenset({Code.IDX_RX_MONO, Code.IDX_RX_WALL})


def verify_run(run_dir: Path, *, engine: Engine | None = None) -> Report:
    """Verify a run bundle. What is wrong with it is in the report; nothing about it is raised."""
    evidence = gather(run_dir)
    if not evidence.manifest.present and not evidence.pairs:
        return refusal(run_dir, Code.NO_RUN, "manifest.json")
    if not evidence.pairs and evidence.state in (RunState.CRASHED, RunState.FATAL):
        return refusal(run_dir, Code.NO_FRAMES, "capture", run_id=evidence.run_id)
    if evidence.never_began():
        # An index without its .frames is what a power cut makes of two files that are being created.
        begun = tuple(pair for pair in evidence.pairs if pair.frames)
        evidence = dataclasses.replace(evidence, pairs=begun)
    tasks = (
        Task(
            run_dir,
            pair.shard,
            pair.frames,
            pair.idx,
            growing=evidence.state is RunState.RUNNING,
            digest=bool(evidence.sums.digests),
        )
        for pair in evidence.pairs
    )
    results = {task.shard: examine(task, engine=engine) for task in tasks if task.shard is not None}
    evidence = dataclasses.replace(evidence, results=results)
    tally = Tally()
    for check in CHECKS:
        tally.extend(check(evidence))
    decide(evidence)
    return report_on(
        results.values(),
        tally,
        run_dir=str(run_dir),
        run_id=evidence.run_id,
        state=str(evidence.state),
    )


def verify_files(frames: Path, idx: Path | None, *, engine: Engine | None = None) -> Report:
    """Verify one .frames file, against its index if one is given."""
    missing = [path for path in (frames, idx) if path is not None and not path.is_file()]
    if missing:
        return refusal(None, Code.NO_FRAMES, str(missing[0]))
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
    return Report(run_dir, run_id, state, summaries, (*findings, *tally.listed), counts)


def decide(evidence: Evidence) -> None:
    """Say which side is right where header and index state different stamps, if a sum can tell."""
    digests, stated = shard_digests(evidence), evidence.sums.digests
    for result in evidence.results.values():
        right = [
            name
            for name in (result.frames_path, result.idx_path)
            if name and name in stated and digests.get(name) == stated[name]
        ]
        if len(right) == 1:
            result.tally.listed = [_decided(item, right[0]) for item in result.tally.listed]


def _decided(finding: Finding, right: str) -> Finding:
    if finding.code not in UNDECIDED:
        return finding
    return dataclasses.replace(
        finding,
        message=f"{finding.message}; by SHA256SUMS {right} is as it was written",
        fix=f"believe {right}, and restore the other file from a copy",
    )
