"""Which shards should have files, and which have them?"""

from collections.abc import Iterator

from pm_frames.bundle import RunState
from pm_verify.evidence import Evidence
from pm_verify.findings import Code, Finding, Scene


def check_shard_files(evidence: Evidence) -> Iterator[Finding]:
    """Compare the shards that the run announces with the files that are there.

    A shard without tokens may have empty files or none. A bundle that announces no shard (of another
    maker, or without its manifest) is not judged.
    """
    there = {pair.shard for pair in evidence.pairs}
    assigned = evidence.assigned_tokens()
    announced = assigned.keys() | evidence.runlog.announced
    needed = {shard for shard, tokens in assigned.items() if tokens} | evidence.runlog.announced
    for shard in sorted(needed - there):
        yield from _missing(evidence, shard)
    for pair in evidence.pairs if announced else ():
        if pair.shard not in announced:
            yield Scene(evidence.run_dir, pair.shard).finding(
                Code.SHARD_UNANNOUNCED,
                pair.frames or pair.idx or "capture",
                expected=sorted(announced),
                found=pair.shard,
            )


def _missing(evidence: Evidence, shard: int) -> Iterator[Finding]:
    """Tell a shard that lost its files from one whose run ended before it had any."""
    scene = Scene(evidence.run_dir, shard)
    file = f"capture/shard_{shard:02}.frames"
    if evidence.state is RunState.ENDED or shard in evidence.runlog.announced:
        yield scene.finding(Code.SHARD_MISSING, file, expected=file)
    elif not evidence.runlog.present:
        yield scene.finding(Code.SHARD_MISSING, file, detail="and no runlog to tell why")
    elif evidence.state is not RunState.RUNNING:
        yield scene.finding(Code.SHARD_NOT_OPENED, file)
