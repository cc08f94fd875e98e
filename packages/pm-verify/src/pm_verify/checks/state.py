"""How did the run end, if it has?"""

from collections.abc import Iterator

from pm_frames.bundle import RunState
from pm_frames.paths import FATAL, LOCK, SEAL
from pm_verify.evidence import Evidence
from pm_verify.findings import Code, Finding


def check_state(evidence: Evidence) -> Iterator[Finding]:
    """Say when a run is not one that ended and was sealed."""
    scene = evidence.scene
    if evidence.state is RunState.RUNNING:
        yield scene.finding(Code.RUNNING, LOCK)
    if evidence.fatal.present:
        reason = evidence.fatal.text("fatal_reason") or "no readable reason"
        message = evidence.fatal.text("fatal_message") or evidence.fatal.problem or ""
        yield scene.finding(Code.FATAL, FATAL, detail=f"{reason} {message}".strip())
    if evidence.state is RunState.CRASHED:
        detail = "SHA256SUMS is there: killed between the two" if evidence.sums.present else ""
        if evidence.never_began():
            detail = "crashed before it began: no manifest.json, and not a byte recorded"
        yield scene.finding(Code.UNSEALED, SEAL, detail=detail)
