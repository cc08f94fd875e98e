"""The summary of a replay: one JSON object with documented keys, or a page for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from pm_frames.command import ExitCode
from pm_frames.events import EndReason, Kind, RunState
from pm_replay.pipeline import Result


def exit_code(result: Result, *, strict_schema: bool, following: bool = False) -> int:
    """Return 0 for a clean replay, the error's code for damage, 3 for an unsealed run or findings.

    Who is `following` a run and has enough of it leaves it running, and that is clean.
    """
    if result.error is not None:
        return result.error.exit_code
    if result.run_state in (RunState.CRASHED, RunState.FATAL):
        return ExitCode.FINDINGS
    if result.run_state == RunState.RUNNING and not following:
        return ExitCode.FINDINGS
    if strict_schema and result.engine.decoder.sentinel.surprises:
        return ExitCode.FINDINGS
    return ExitCode.OK


def summary(
    result: Result,
    run_id: str,
    *,
    elapsed_ms: int | None,
    profile: str,
    code: int,
    follow: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the summary; every key is there, whatever happened.

    `elapsed_ms` None: what depends on the machine, and on what is installed there, is 0.
    """
    engine = result.engine
    error = result.error
    return {
        "ok": error is None and result.reason in (EndReason.WHOLE, EndReason.LIMIT),
        "mode": "replay",
        "run_id": run_id,
        "run_state": result.run_state.name.lower(),
        "end_reason": result.reason.name.lower(),
        "exit_code": int(code),
        "profile": profile,
        "frames": result.frames,
        "quick_frames": 0 if elapsed_ms is None else engine.quick,
        "records": result.records,
        "canonical_events": engine.seq,
        "event_hash": result.writer.event_hash,
        "elapsed_ms": elapsed_ms or 0,
        "first_mono_ns": result.first_mono_ns,
        "last_mono_ns": result.last_mono_ns,
        "kinds": {
            kind.name.lower(): engine.tops() if kind is Kind.TOB else engine.kinds[kind]
            for kind in Kind
            if 16 <= kind < 32
        },
        "continuity": {
            "basis": result.basis.value,
            "oddities": dict(sorted(engine.continuity.oddities.items())),
        },
        "counts": dict(sorted(engine.counts.items())),
        "decode": engine.decoder.summary(),
        "oracles": engine.oracles.summary(),
        "follow": follow,
        "checkpoints": {
            "interval": result.writer.checkpoints.interval,
            "hashes": list(result.writer.checkpoints.hashes),
        },
        "errors": [] if error is None else [str(error)],
        "error": None if error is None else str(error),
    }


def page(line: dict[str, Any]) -> Iterator[str]:
    """Yield the lines of the page for people; what a terminal would obey is escaped."""
    for text in _lines(line):
        yield "".join(each if each.isprintable() else ascii(each)[1:-1] for each in text)


def _lines(line: dict[str, Any]) -> Iterator[str]:
    yield f"run {line['run_id']}: {line['run_state']}, read to its end: {line['end_reason']}"
    yield (
        f"{line['frames']} frames, {line['canonical_events']} events in {line['elapsed_ms']} ms, "
        f"event hash {line['event_hash']}"
    )
    kinds = ", ".join(f"{name} {count}" for name, count in line["kinds"].items() if count)
    yield f"events: {kinds or 'none'}"
    for name, found in line["oracles"].items():
        counts = ", ".join(f"{what} {n}" for what, n in found.items() if what != "examples")
        yield f"{name}: {counts}"
    for name in ("decode_errors", "schema_errors"):
        if line["decode"][name]:
            yield f"{name}: {line['decode'][name]}"
    for one in line["decode"]["surprises"]:
        yield f"schema: {one['event_type']}: {one['what']} (shard {one['shard']}, frame {one['frame']})"
    if line["continuity"]["basis"] == "flags":
        yield "no runlog that names tokens: continuity is judged by the flags of the frames, losses may go unseen"
    if line["error"]:
        yield f"stopped: {line['error']}"
