"""repair.json of a bundle that a repair has made."""

from collections.abc import Iterator

from pm_frames.paths import REPAIR
from pm_verify.evidence import Evidence
from pm_verify.findings import Code, Finding


def check_repair(evidence: Evidence) -> Iterator[Finding]:
    """Check that repair.json, if there is one, says what was repaired."""
    repair = evidence.repair
    if not repair.present:
        return
    problem = repair.problem
    if problem is None and repair.integer("repair_version") is None:
        problem = "has no integer repair_version"
    if problem:
        yield evidence.scene.finding(Code.REPAIR_DAMAGED, REPAIR, detail=problem)
