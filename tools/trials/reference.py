"""What a connection that nothing happened to heard, looked up in the capture that was tormented.

Each event of a token that a shard had at that moment is captured, or inside a declared gap, or inside a
silence shorter than the watchdog: that alone nobody can see from the outside. A token that a refresh
brings counts from its first frame, because until then it is declared to be without a book. And what the
venue lists or resolves reaches the capture soon, unless Gamma failed meanwhile.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import witness
from trials.assignments import FOREVER, Assignments, Span
from trials.chaos_laws import CLOSED, NS_PER_S, SILENCES, SLACK_NS, Trial
from trials.chaos_script import REFERENCE, SHORT_SECONDS, Trouble

from pm_frames import open_bundle, read_frames
from pm_frames.peek import Peek, peek
from pm_frames.runlog import read_runlog

# A refresh is due every second and a half, takes one, and changes one shard after the other.
FOLLOWED_NS = 8 * NS_PER_S
# How long after a trouble the discovery that it struck may still fail, its timeout included.
AFTERMATH_NS = 9 * NS_PER_S
# By this much the start of the venue may be misjudged, and a request be under way.
ONSET_NS = 2 * NS_PER_S
# A token that a shard has had for so long has been asked for on several connections.
FIRST_FRAME_NS = 12 * NS_PER_S


@dataclass(slots=True)
class Unheard:
    """Events that the reference heard: what became of them in the capture."""

    heard: int = 0
    captured: int = 0
    in_gap: int = 0
    in_short_silence: int = 0
    unassigned: int = 0  # of tokens that no shard had then, or that still waited for a first frame
    undeclared: int = 0
    first_undeclared: str = ""


@dataclass(slots=True)
class _Captured:
    """The frames of a bundle, as far as they are asked for here."""

    hashes: dict[int, set[int]] = field(default_factory=dict)
    begins: dict[Span, int] = field(default_factory=dict)  # first frame of each stay, monotonic ns


def compare(
    run_dir: Path, sent_dir: Path, found: Sequence[Trial], assigned: Assignments
) -> tuple[Unheard, list[str]]:
    """Look up each event that the venue sent to the reference connection in the capture."""
    spans: dict[str, list[Span]] = {}
    for span in assigned.spans:
        spans.setdefault(span.token_id, []).append(span)
    captured = _read(run_dir, spans)
    by_shard: dict[int, list[Trial]] = {}
    for trial in found:
        by_shard.setdefault(trial.shard_id, []).append(trial)
    gaps = {shard_id: declared_gaps(members) for shard_id, members in by_shard.items()}
    silent = {shard_id: short_silences(members) for shard_id, members in by_shard.items()}
    told = Unheard()
    for frame in read_frames(sent_dir / f"connection_{REFERENCE:04d}.frames"):
        seen = peek(frame.payload)
        if not seen.token_ids or is_answer(frame.payload, seen):
            continue
        mono, wall = frame.rx_mono_ns, frame.rx_wall_ns_utc or 0
        told.heard += 1
        spans_now = [
            span
            for token in seen.token_ids
            for span in spans.get(token, ())
            if captured.begins.get(span, FOREVER) <= mono < span.to_ns
        ]
        if not spans_now:
            told.unassigned += 1
            continue
        shard_id = spans_now[0].shard_id  # the tokens of one market are never in two shards
        if hash(frame.payload) in captured.hashes[shard_id]:
            told.captured += 1
        elif any(begin <= wall <= end for begin, end in gaps[shard_id]):
            told.in_gap += 1
        elif any(begin <= mono <= end for begin, end in silent[shard_id]):
            told.in_short_silence += 1
        else:
            told.undeclared += 1
            if not told.first_undeclared:
                told.first_undeclared = _where(shard_id, mono, by_shard[shard_id])
    last = max((trial.verdict.connection.ended_mono_ns for trial in found), default=0)
    return told, [
        f"{span.token_id} was in shard {span.shard_id} for {lasted / NS_PER_S:.1f} s without a frame"
        for span in assigned.spans
        if (lasted := min(span.to_ns, last) - span.from_ns) > FIRST_FRAME_NS
        and span.from_ns  # of the first assignment some may be silent from the start
        and span not in captured.begins
    ]


def is_answer(payload: bytes, seen: Peek) -> bool:
    """Whether a frame answers a subscription of the reference: an array of nothing but books."""
    return payload.startswith(b"[") and set(seen.event_types) == {"book"}


def _read(run_dir: Path, spans: dict[str, list[Span]]) -> _Captured:
    captured = _Captured()
    for shard in open_bundle(run_dir).shards():
        hashes = captured.hashes[shard.shard_id] = set()
        for frame in shard.frames():
            hashes.add(hash(frame.payload))
            for token in peek(frame.payload).token_ids:
                for span in spans.get(token, ()):
                    if span.shard_id == shard.shard_id and span.from_ns <= frame.rx_mono_ns:
                        captured.begins.setdefault(span, frame.rx_mono_ns)
    return captured


def declared_gaps(members: Sequence[Trial]) -> list[tuple[int, int]]:
    """The gaps of a shard in wall ns: from the last certain frame to the first data that follows."""
    gaps = []
    begin: int | None = 0
    for trial in members:
        if trial.first_data_rx_wall_ns is None:
            continue  # a connection that brought nothing ends no gap
        if begin is not None:
            gaps.append((begin, trial.first_data_rx_wall_ns))
        begin = trial.certain_until_wall_ns
    return [*gaps, (begin or 0, witness.FOREVER)]


def short_silences(members: Sequence[Trial]) -> list[tuple[int, int]]:
    """Silences in monotonic ns that ended, or whose connection was ended, before a watchdog barked."""
    found = []
    for trial in members:
        if trial.fate.kind not in SILENCES:
            continue
        begin = trial.silence_ns
        if trial.fate.kind == "short_freeze":
            found.append((begin, begin + round(SHORT_SECONDS * NS_PER_S) + SLACK_NS))
        elif trial.verdict.connection.trigger in {*CLOSED, "stop"}:
            found.append((begin, trial.closed_ns))
    return found


def _where(shard_id: int, mono_ns: int, members: Sequence[Trial]) -> str:
    current = [t for t in members if t.verdict.connection.opened_mono_ns <= mono_ns][-1]
    connection = current.verdict.connection
    return (
        f"shard {shard_id} connection {connection.number} ({current.fate.kind} at "
        f"{current.fate.at} s, ended by {connection.trigger}): an event "
        f"{(mono_ns - current.opened_ns) / NS_PER_S:.3f} s after its opening; the gap is declared from "
        f"{(connection.since_mono_ns - current.opened_ns) / NS_PER_S:.3f} s on"
    )


# The refresh.


@dataclass(slots=True)
class Followed:
    """What became of the markets that came and went while the capture ran."""

    listed: int = 0
    resolved: int = 0
    refreshed: int = 0  # generations that were put in force
    failed: int = 0
    slowest_ns: int = 0
    problems: list[str] = field(default_factory=list)


def troubled(troubles: Iterable[Trouble], venue_start_ns: int) -> list[tuple[int, int]]:
    """When a discovery may fail because Gamma does, in monotonic ns."""
    return [
        (
            venue_start_ns + round(one.begin * NS_PER_S) - ONSET_NS,
            venue_start_ns + round(one.end * NS_PER_S) + AFTERMATH_NS,
        )
        for one in troubles
    ]


def follow(
    run_dir: Path, sent_dir: Path, assigned: Assignments, excused: Sequence[tuple[int, int]]
) -> Followed:
    """Compare the life of the markets, as the reference was told it, with the assignments."""
    told = Followed()
    begin, end = _refreshes(run_dir, excused, told)
    stays = {span.token_id: span for span in assigned.spans}
    for mono, is_listed, tokens in _life(sent_dir):
        if not begin <= mono <= end:
            continue
        told.listed += is_listed
        told.resolved += not is_listed
        for token in tokens:
            stay = stays.get(token)
            if is_listed:
                done = stay.from_ns if stay else FOREVER
            else:
                done = stay.to_ns if stay else mono  # what was never there need not go
            until = min(done, end)
            late = (until - mono) - _overlap(excused, mono, until)
            if late > FOLLOWED_NS:
                what = "listed" if is_listed else "resolved"
                told.problems.append(f"{token} was {what}, and {late / NS_PER_S:.1f} s passed")
            elif done != FOREVER:
                told.slowest_ns = max(told.slowest_ns, late)
    return told


def _refreshes(
    run_dir: Path, excused: Sequence[tuple[int, int]], told: Followed
) -> tuple[int, int]:
    """Count what became of the refreshes; return when the run began and ended."""
    begin = end = 0
    for record in read_runlog(open_bundle(run_dir).runlog_path):
        mono = record["ts_mono_ns"]
        match record["record_type"]:
            case "capture_start":
                begin = mono
            case "universe_refresh" if record["universe_file"] is not None:
                told.refreshed += 1
            case "universe_refresh_error":
                told.failed += 1
                if not any(since <= mono <= until for since, until in excused):
                    message = record["message"]
                    told.problems.append(f"a refresh failed while Gamma was well: {message}")
            case "capture_stop":
                end = mono
    return begin, end


def _life(sent_dir: Path) -> Iterator[tuple[int, bool, list[str]]]:
    for frame in read_frames(sent_dir / f"connection_{REFERENCE:04d}.frames"):
        seen = peek(frame.payload)
        if seen.globals_only:
            event = json.loads(frame.payload)
            yield frame.rx_mono_ns, event["event_type"] == "new_market", event["assets_ids"]


def _overlap(intervals: Iterable[tuple[int, int]], begin: int, end: int) -> int:
    """How much of a time lies in the intervals, which may touch one another."""
    covered, at = 0, begin
    for since, until in sorted(intervals):
        since, until = max(since, at), min(until, end)
        if until > since:
            covered += until - since
            at = until
    return covered
