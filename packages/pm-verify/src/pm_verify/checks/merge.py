"""merge.json of a bundle that was made of several."""

from collections.abc import Iterator

from pm_frames.paths import MERGE
from pm_verify.evidence import Evidence, part_shards
from pm_verify.findings import Code, Finding


def check_merge(evidence: Evidence) -> Iterator[Finding]:
    """Check that merge.json, if there is one, accounts for the run and for each shard once."""
    merge, scene = evidence.merge, evidence.scene
    if not merge.present:
        return
    parts = merge.values.get("parts")
    shards = [
        part_shards(merge, part) for part in range(len(parts) if isinstance(parts, list) else 0)
    ]
    problem = merge.problem
    if problem is None and merge.integer("merge_version") is None:
        problem = "has no integer merge_version"
    if problem is None and (not shards or None in shards):
        problem = "has no parts with their shards"
    if problem is not None:
        yield scene.finding(Code.MERGE_DAMAGED, MERGE, detail=problem)
        return
    stated = sorted(shard for each in shards for shard in each or ())
    for name, expected, found in (
        ("run_id", evidence.run_id, merge.text("run_id")),
        ("the shards of all parts", sorted(evidence.results), stated),
    ):
        if expected != found and not evidence.repaired:
            yield scene.finding(
                Code.MERGE_DISAGREES, MERGE, detail=name, expected=expected, found=found
            )
