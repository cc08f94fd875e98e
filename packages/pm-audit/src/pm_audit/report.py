"""The audit of one run: a verdict with named reasons, as JSON or as a page that a person reads."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from pm_audit.evidence import Evidence
from pm_audit.gates import Gate, Profile, Status
from pm_frames.command import ExitCode

HEARTBEAT_KEYS: Final = (
    "threshold_seconds",
    "hb_count",
    "gaps_over_threshold",
    "max_gap_seconds",
    "top_gaps",
)


class Audit(NamedTuple):
    """Every gate of one run, judged."""

    evidence: Evidence
    profile: Profile
    gates: tuple[Gate, ...]

    @property
    def failed(self) -> tuple[Gate, ...]:
        """The gates that fail the run."""
        return tuple(gate for gate in self.gates if gate.status is Status.FAILED)

    @property
    def exit_code(self) -> ExitCode:
        """OK, or FINDINGS if any gate fails."""
        return ExitCode.FINDINGS if self.failed else ExitCode.OK

    def as_json(self) -> dict[str, object]:
        """Return everything as JSON values."""
        gates = {gate.name: gate.as_json() for gate in self.gates}
        # Where people look for them first.
        top = {key: gates["heartbeat"].pop(key) for key in HEARTBEAT_KEYS}
        return {
            "ok": not self.failed,
            "exit_code": int(self.exit_code),
            "run_dir": str(self.evidence.run_dir),
            "run_id": self.evidence.run_id,
            "state": str(self.evidence.state),
            "profile": str(self.profile),
            "reasons": [
                {"gate": gate.name, **reason._asdict()}
                for gate in self.failed
                for reason in gate.reasons
            ],
            **top,
            "gates": gates,
            "verdict": self.verdict(),
        }

    def verdict(self) -> str:
        """Return the answer as one plain sentence."""
        name = f"profile {self.profile}"
        if not self.failed:
            counted = sum(gate.status is Status.PASSED for gate in self.gates)
            also = {Status.NOT_APPLICABLE: "not applicable", Status.NOT_COUNTED: "not counted"}
            rest = "".join(
                f", {count} {words}"
                for status, words in also.items()
                if (count := sum(gate.status is status for gate in self.gates))
            )
            return f"credible ({name}): {counted} gates passed{rest}"
        return f"NOT credible ({name}): {', '.join(gate.name for gate in self.failed)} failed"


_WORDS = {
    Status.PASSED: "passed",
    Status.FAILED: "FAILED",
    Status.NOT_COUNTED: "not counted",
    Status.NOT_APPLICABLE: "not applicable",
}


def page(audit: Audit) -> Iterator[str]:
    """Yield the lines of the audit for a terminal."""
    yield f"{audit.evidence.run_dir}: {audit.evidence.state}"
    yield ""
    for gate in audit.gates:
        words = [reason.message for reason in gate.reasons] or [gate.note or _figure(gate)]
        for line, text in enumerate(words):
            yield f"  {gate.name if not line else '':<12}{_WORDS[gate.status] if not line else '':<16}{text}"
    yield ""
    yield audit.verdict() + "."


def _figure(gate: Gate) -> str:
    figures = gate.figures
    if gate.name == "heartbeat":
        longest = figures["max_gap_seconds"]
        shown = "no gap" if longest is None else f"longest gap {longest:.3f} s"
        return f"{figures['hb_count']:,} heartbeats, {shown}"
    if gate.name == "reconnects":
        planned = sum(figures["planned_disconnects"].values())
        return f"no connection was lost; {planned} planned disconnects"
    if gate.name == "loop_lag":
        return f"p99 {figures['p99_ms']:.3f} ms, max {figures['max_ms']:.3f} ms"
    if gate.name == "pressure":
        return f"longest row under pressure: {figures['worst_streak']} intervals"
    if gate.name == "crc":
        return f"{figures['records'] or 0:,} frames, no mismatch"
    return {"drops": "none", "fatal": "no fatal.json"}[gate.name]
