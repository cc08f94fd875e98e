"""The runlog itself, and what it claims about the frames."""

from collections.abc import Iterable, Iterator

from pm_frames.bundle import RunState
from pm_frames.paths import RUNLOG
from pm_verify.evidence import Evidence, part_shards
from pm_verify.findings import Code, Finding, Scene
from pm_verify.runlog_claims import Counts


def check_runlog(evidence: Evidence) -> Iterator[Finding]:
    """Check that every line is a record; only the last may be incomplete, after a crash."""
    scene, claims = evidence.scene, evidence.runlog
    if not claims.present and not evidence.repaired:
        yield scene.finding(Code.RUNLOG_MISSING, RUNLOG)
    if claims.problem:
        yield scene.finding(Code.UNREADABLE, RUNLOG, detail=claims.problem)
    for line in claims.bad_lines:
        if line.torn and evidence.state is RunState.RUNNING:
            continue
        yield scene.finding(
            Code.RUNLOG_TORN if line.torn else Code.RUNLOG_DAMAGED,
            RUNLOG,
            detail=f"line {line.number} {line.reason}",
            span=(line.offset, line.end),
        )


def check_claims(evidence: Evidence) -> Iterator[Finding]:
    """Check that the frames are here which the runlog counted, and the last that it names.

    This is all that can tell a pair from which whole frames were cut consistently, when no seal
    states the counts. After a repair the counts are those of its parent, and what became of them is in
    repair.json; the repair has a seal of its own. Those of a slice are those of the whole run.
    """
    if evidence.repaired or evidence.sliced:
        return
    yield from _check_counts(evidence, evidence.runlog, evidence.results.keys())
    for part, counts in sorted(evidence.runlog.parts.items()):
        shards = part_shards(evidence.merge, part)
        if shards is not None:
            yield from _check_counts(evidence, counts, shards, f"of part {part}")
    yield from _check_last_stamps(evidence)


def _check_counts(
    evidence: Evidence, claims: Counts, shards: Iterable[int], detail: str = ""
) -> Iterator[Finding]:
    known = evidence.frames_known(shards)
    if known < claims.durable_frames_total:
        yield evidence.scene.finding(
            Code.DURABLE_FRAMES_LOST,
            "capture",
            detail=detail,
            expected=claims.durable_frames_total,
            found=known,
        )
    elif known < claims.frames_total:
        yield evidence.scene.finding(
            Code.RECORDED_FRAMES_LOST,
            "capture",
            detail=detail,
            expected=claims.frames_total,
            found=known,
        )
    if claims.stop_frames is not None and known > claims.stop_frames:
        yield evidence.scene.finding(
            Code.FRAMES_UNCOUNTED,
            "capture",
            detail=detail,
            expected=claims.stop_frames,
            found=known,
        )


def _check_last_stamps(evidence: Evidence) -> Iterator[Finding]:
    for shard, stamp in sorted(evidence.runlog.last_stamps.items()):
        result = evidence.results.get(shard)
        last = result.rx_mono_ns_last if result else None
        if result and (last is None or last < stamp):
            yield Scene(evidence.run_dir, shard).finding(
                Code.RECORDED_FRAMES_LOST,
                result.frames_path or "capture",
                detail="a disconnect names a later last frame than the file has",
                expected=stamp,
                found=last,
            )
