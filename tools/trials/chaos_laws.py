"""What must hold of a capture that was tormented by script, beyond what `witness` says of it.

For each gap that the bundle declares, the venue's own log has to show why: it ended the connection, or
it was silent for at least the time that the watchdog grants, or it said INVALID OPERATION. Nothing may
be declared long before anything was lost, and not longer than until the next connection. And what a
reference connection heard that the capture did not has to lie inside a declared gap, or inside a
silence that is shorter than the watchdog: that alone nobody can see from the outside.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import witness
from trials.assignments import Assignments
from trials.chaos_script import Fate

from pm_frames import open_bundle, read_frames
from pm_frames.peek import peek
from pm_frames.runlog import read_runlog

NS_PER_S = 1_000_000_000
INVALID = b"INVALID OPERATION"
CLOSED = {"peer_closed", "exception"}
SILENCES = {"freeze", "mute", "stillborn", "short_freeze"}
# How far timers of the venue may be late.
SLACK_NS = NS_PER_S // 5
# How long before its arrival a frame without a time of the venue's (PONG) may have been sent.
TRANSIT_NS = NS_PER_S // 10


@dataclass(frozen=True, slots=True)
class Limits:
    """The patience of the watchdogs, and the resolution of the heartbeat; all in ns."""

    idle_ns: int
    ping_timeout_ns: int
    resolution_ns: int = NS_PER_S


@dataclass(slots=True)
class Trial:
    """One connection before all judges. Times in monotonic ns."""

    verdict: witness.Verdict
    number: int  # of its handshake, as the venue counts
    how: str
    fate: Fate
    opened_ns: int
    closed_ns: int
    first_missing_ns: int | None = None
    last_sent_ns: int = 0
    last_data_ns: int | None = None
    invalid_ns: int | None = None
    first_data_rx_wall_ns: int | None = None
    last_rx_ns: int | None = None
    last_data_rx_ns: int | None = None
    certain_until_wall_ns: int = 0

    @property
    def shard_id(self) -> int:
        return self.verdict.connection.shard_id

    @property
    def silence_ns(self) -> int:
        """Since when a connection with such a fate is silent."""
        return self.opened_ns + (
            0 if self.fate.kind == "stillborn" else round(self.fate.at * NS_PER_S)
        )


def trials(
    run_dir: Path, sent_dir: Path, fates: dict[int, Fate], assigned: Assignments
) -> list[Trial]:
    """Everything that is known of each connection, in the order of `witness.judge`."""
    entries = witness.sent_entries(sent_dir)
    found = []
    for verdict in witness.judge(run_dir, sent_dir):
        connection = verdict.connection
        entry = witness.entry_of(connection, entries)
        trial = Trial(
            verdict,
            entry["connection"],
            entry["how"],
            fates[entry["connection"]],
            entry["opened_mono_ns"],
            entry["closed_mono_ns"],
        )
        _hear_venue(trial, sent_dir, assigned)
        found.append(trial)
    for shard_id in assigned.shard_ids:
        _hear_capture(run_dir, [t for t in found if t.shard_id == shard_id], assigned)
    return found


def _hear_venue(trial: Trial, sent_dir: Path, assigned: Assignments) -> None:
    path = sent_dir / f"connection_{trial.number:04d}.frames"
    for ordinal, frame in enumerate(read_frames(path)):
        if ordinal == trial.verdict.captured:
            trial.first_missing_ns = frame.rx_mono_ns
        trial.last_sent_ns = frame.rx_mono_ns
        if frame.payload == INVALID:
            trial.invalid_ns = frame.rx_mono_ns
        else:
            # What is under way while its token is given up is no longer data when it arrives.
            named = assigned.at(trial.shard_id, frame.rx_mono_ns).intersection(
                peek(frame.payload).token_ids
            )
            if named & assigned.at(trial.shard_id, frame.rx_mono_ns + TRANSIT_NS):
                trial.last_data_ns = frame.rx_mono_ns


def _hear_capture(run_dir: Path, members: Sequence[Trial], assigned: Assignments) -> None:
    if not members:
        return
    by_number = {trial.verdict.connection.number: trial for trial in members}
    connections = [trial.verdict.connection for trial in members]
    for number, frame in witness.captured_frames(run_dir, connections):
        trial = by_number[number]
        trial.last_rx_ns = frame.rx_mono_ns
        if frame.rx_mono_ns <= trial.verdict.connection.since_mono_ns:
            trial.certain_until_wall_ns = (
                witness.venue_time_ns(frame)
                if b'"timestamp"' in frame.payload
                else (frame.rx_wall_ns_utc or 0) - TRANSIT_NS
            )
        tokens = assigned.at(trial.shard_id, frame.rx_mono_ns)
        if not tokens.isdisjoint(peek(frame.payload).token_ids):
            trial.last_data_rx_ns = frame.rx_mono_ns
            if trial.first_data_rx_wall_ns is None:
                trial.first_data_rx_wall_ns = frame.rx_wall_ns_utc


def problems(trial: Trial, following: Trial | None, limits: Limits) -> Iterator[str]:
    """What is wrong with the prefix, the missing frames, and the gap after one connection."""
    verdict, connection = trial.verdict, trial.verdict.connection
    if verdict.first_difference is not None:
        yield f"differs from what was sent at frame {verdict.first_difference}"
    if verdict.missing_outside_gap:
        yield f"{verdict.missing_outside_gap} frames are missing outside every declared gap"
    if connection.ended_planned:
        return
    why = unexplained(trial, limits)
    if why is not None:
        yield f"a gap is declared ({connection.trigger}) without a cause: {why}"
    # A data-idle watchdog knows since when nothing came; else the last frame is the last certainty.
    last = trial.last_data_rx_ns if connection.trigger == "data_idle_timeout" else trial.last_rx_ns
    since = connection.since_mono_ns
    if last is not None and since != last:
        yield f"the gap begins {(since - last) / NS_PER_S:+.6f} s from the last certain frame"
    begins = [trial.closed_ns, trial.first_missing_ns, trial.invalid_ns]
    if trial.how != "fault" and trial.invalid_ns is None:
        begins.append(trial.last_data_ns or trial.opened_ns)
    lost_from = min(ns for ns in begins if ns is not None)
    if lost_from - since > limits.resolution_ns:
        yield f"the gap begins {(lost_from - since) / NS_PER_S:.3f} s before anything was lost"
    if following is not None:
        late = following.verdict.connection.opened_mono_ns - following.opened_ns
        if late > limits.resolution_ns:
            yield f"the gap ends {late / NS_PER_S:.3f} s after the next connection began"


def unexplained(trial: Trial, limits: Limits) -> str | None:
    """Why the venue's log does not account for the end of a connection; None if it does."""
    connection = trial.verdict.connection
    ended = connection.ended_mono_ns
    match connection.trigger:
        case "peer_closed" | "exception":
            return None if trial.how == "fault" else f"the venue did not end it ({trial.how})"
        case "data_idle_timeout":
            if trial.fate.kind not in SILENCES:
                return f"its fate was {trial.fate.kind}"
            quiet = ended - (trial.last_data_ns or trial.opened_ns)
            return None if quiet >= limits.idle_ns else f"data was sent {quiet} ns before"
        case "ping_timeout":
            if trial.fate.kind != "mute":
                return f"its fate was {trial.fate.kind}"
            quiet = ended - trial.last_sent_ns
            return (
                None if quiet >= limits.ping_timeout_ns else f"a frame was sent {quiet} ns before"
            )
        case "confirm_timeout":
            return None if trial.last_data_ns is None else "data had been sent"
        case "invalid_operation":
            return None if trial.invalid_ns is not None else "the venue did not say so"
        case other:
            return f"{other} is not expected here"


def refusals(run_dir: Path, sent_dir: Path) -> tuple[int, int]:
    """How many attempts the runlog calls failed, and how many the venue refused."""
    failed = sum(
        record["record_type"] == "connect_failed"
        for record in read_runlog(open_bundle(run_dir).runlog_path)
    )
    lines = (sent_dir / "connections.ndjson").read_text(encoding="utf-8").splitlines()
    return failed, sum(json.loads(line)["how"] == "refused" for line in lines)


def row(trial: Trial) -> str:
    """One line of the table."""
    verdict, connection = trial.verdict, trial.verdict.connection
    gap = "" if connection.ended_planned else f"{_gap_s(trial):8.3f}"
    return (
        f"{connection.shard_id:>5} {connection.number:>4} {trial.number:>5}  {trial.fate.kind:<12} "
        f"{connection.trigger:<18} {trial.how:<8} {verdict.sent:>8,} {verdict.captured:>8,} "
        f"{verdict.missing:>7,} {verdict.missing_outside_gap:>10,} {gap:>8}"
    )


HEADING = (
    "shard conn venue  fate         trigger            how          sent captured missing "
    "unexplained    gap s"
)


def _gap_s(trial: Trial) -> float:
    connection = trial.verdict.connection
    if connection.next_opened_wall_ns == witness.FOREVER:
        return float("nan")
    shift = connection.opened_wall_ns - connection.opened_mono_ns
    return (connection.next_opened_wall_ns - shift - connection.since_mono_ns) / NS_PER_S
