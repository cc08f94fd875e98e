"""The loss ledger: every nanosecond of every token, from its first subscription to the end, in one state.

States and causes are those of `pm_frames.continuity`, and time is that of `pm_frames.ledger`. Added here:

- `Loss`: why a token was not live. Waiting for a book counts as what made the wait necessary, so the
  time from a fault to the book after it is one loss.
- Pointers: the runlog line or the frame that began a state, and the one that ended it.

Streaming: memory is one entry a token, whatever the length of the run.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Mapping
from enum import StrEnum
from typing import Any, Final, NamedTuple

from pm_audit.timeline import Hole, Record, Timeline
from pm_frames.continuity import Basis, Continuity, State, Transition
from pm_frames.frames import Frame
from pm_frames.layout import Flag
from pm_frames.ledger import Interval, Ledger
from pm_frames.peek import peek

BOOK: Final = b'"book"'
DAMAGE: Final = "damage:"  # begins the cause of a hole


class Loss(StrEnum):
    """Why a token's book could not be trusted; `NONE` is a live one."""

    NONE = "none"
    FIRST_BOOK = "first_book"  # asked for, and the first book of this subscription is not here yet
    PLANNED = "planned"  # a change of ours
    FAULT = "fault"  # a lost connection
    DAMAGE = "damage"  # frames that cannot be read any more, or that a repair has left out
    UNSUBSCRIBED = "unsubscribed"  # not asked for
    UNKNOWN = "unknown"  # a new connection, and no runlog that names tokens


_LOSS: Final[Mapping[State, Loss]] = {
    State.LIVE: Loss.NONE,
    State.RECONNECTING: Loss.FAULT,
    State.PLANNED_CHANGE: Loss.PLANNED,
    State.UNSUBSCRIBED: Loss.UNSUBSCRIBED,
    State.UNKNOWN: Loss.UNKNOWN,
    State.ENDED: Loss.NONE,
}
_WAITING: Final = frozenset(
    {State.AWAITING_SNAPSHOT, State.PLANNED_CHANGE, State.RECONNECTING, State.UNKNOWN}
)


class Pointer(NamedTuple):
    """Where something is on record: a runlog line, or a frame of a shard; `end` is the end of the bundle."""

    source: str
    shard_id: int | None = None
    ordinal: int | None = None
    offset: int | None = None

    def __str__(self) -> str:
        if self.source == "runlog":
            return f"runlog:{self.ordinal}"
        if self.source == "end":
            return "end"
        return f"shard_{self.shard_id:02d}@{self.offset}"

    def as_json(self) -> dict[str, object]:
        """Return what applies as JSON values."""
        return {name: value for name, value in self._asdict().items() if value is not None}


class Entry(NamedTuple):
    """A token was in one state from `start_mono_ns` to before `end_mono_ns`; never empty."""

    token_id: str
    state: State
    loss: Loss
    start_mono_ns: int
    end_mono_ns: int
    cause: str
    shard_id: int
    begun_by: Pointer
    ended_by: Pointer


class _Open(NamedTuple):
    """What began the state that a token is in."""

    loss: Loss
    pointer: Pointer


class Window(NamedTuple):
    """Only this counts, from `start` to before `stop` in mono ns; None has no such bound."""

    start: int | None = None
    stop: int | None = None

    def cut(self, start: int, stop: int) -> tuple[int, int]:
        """Return the part of an interval that lies in the window; empty where stop is not after start."""
        return max(start, self.start or 0), stop if self.stop is None else min(stop, self.stop)


class Sums:
    """Time by state and by loss in ns: of tokens, and of the shards that they were on."""

    def __init__(self) -> None:
        self.tokens: dict[str, Counter[tuple[State, Loss]]] = {}
        self.shards: dict[int, Counter[tuple[State, Loss]]] = {}
        self.spans: dict[str, tuple[int, int]] = {}
        self.gaps: Counter[Loss] = Counter()

    def add(self, entry: Entry) -> None:
        """Account for an entry."""
        key, length = (entry.state, entry.loss), entry.end_mono_ns - entry.start_mono_ns
        for account in (
            self.tokens.setdefault(entry.token_id, Counter()),
            self.shards.setdefault(entry.shard_id, Counter()),
        ):
            account[key] += length
        first = self.spans.get(entry.token_id, (entry.start_mono_ns, 0))[0]
        self.spans[entry.token_id] = first, entry.end_mono_ns
        self.gaps[entry.loss] += 1

    def run(self) -> Counter[tuple[State, Loss]]:
        """Return the sum over all shards, which is that over all tokens."""
        total: Counter[tuple[State, Loss]] = Counter()
        for account in self.shards.values():
            total.update(account)
        return total


class LossLedger:
    """Feed the items of a `Timeline` in order, then `close`; entries go to `sink` as they end."""

    def __init__(
        self, basis: Basis, sink: Callable[[Entry], None], window: Window | None = None
    ) -> None:
        self.continuity = Continuity(basis)
        self._ledger = Ledger()
        self._sink = sink
        self._window = window or Window()
        self._open: dict[str, _Open] = {}
        self._live_since: dict[str, int] = {}
        self._shard: dict[str, int] = {}
        self._on_shard: defaultdict[int, set[str]] = defaultdict(set)
        self._waiting: defaultdict[int, set[str]] = defaultdict(set)
        self._last: dict[int, int] = {}
        self._by_flags = basis is Basis.FLAGS

    def frame(self, shard_id: int, ordinal: int, frame: Frame) -> None:
        """Take a frame: only its books matter, and only where a token waits for one."""
        if self._by_flags:
            if frame.flags & Flag.FIRST:
                since = self._last.get(shard_id)
                self._apply(
                    self.continuity.first_of_connection(
                        shard_id, frame.rx_mono_ns, since_mono_ns=since
                    ),
                    Pointer("frame", shard_id, ordinal, frame.offset),
                )
            self._last[shard_id] = frame.rx_mono_ns
        elif not self._waiting.get(shard_id):
            return
        payload = frame.payload
        # A backslash could hide the word, which only an escape in the value could.
        if BOOK in payload or b"\\" in payload:
            pointer = Pointer("frame", shard_id, ordinal, frame.offset)
            for token_id in book_tokens(payload):
                self._book(token_id, shard_id, frame.rx_mono_ns, pointer)

    def record(self, line: int, record: Mapping[str, Any]) -> None:
        """Take a continuity record of the runlog."""
        self._apply(self.continuity.record(record), Pointer("runlog", ordinal=line))
        token_ids = record.get("token_ids")
        for token_id in token_ids if isinstance(token_ids, list) else ():
            if isinstance(token_id, str):
                self._follow(token_id)

    def hole(self, hole: Hole) -> None:
        """Take lost frames."""
        at = hole.at_mono_ns
        since = at if hole.since_mono_ns is None else min(hole.since_mono_ns, at)
        moved = self.continuity.hole(
            hole.shard_id, at, since_mono_ns=since, cause=f"{DAMAGE}{hole.kind}"
        )
        self._apply(moved, Pointer("frame", hole.shard_id, hole.ordinal, hole.offset))

    def close(self, at_mono_ns: int, cause: str) -> None:
        """End every token, if no `capture_stop` has."""
        if all(state is State.ENDED for state in self.continuity.states().values()):
            return
        self._apply(self.continuity.close(at_mono_ns, cause=cause), Pointer("end"))

    @property
    def live_tokens(self) -> Mapping[str, int]:
        """The live tokens, and since when each is."""
        return self._live_since

    def live_since(self, token_id: str) -> int | None:
        """Return since when a token is live, None if it is not."""
        return self._live_since.get(token_id)

    def live_on(self, shard_id: int) -> list[str]:
        """Return the live tokens of a shard, sorted."""
        on_shard = self._on_shard.get(shard_id, ())
        return sorted(token_id for token_id in on_shard if token_id in self._live_since)

    def _book(self, token_id: str, shard_id: int, at: int, pointer: Pointer) -> None:
        self._apply(self.continuity.book(token_id, shard_id, at), pointer)
        if self._by_flags:
            self._follow(token_id)

    def _apply(self, transitions: list[Transition], pointer: Pointer) -> None:
        for transition in transitions:
            self._transition(transition, pointer)

    def _transition(self, transition: Transition, pointer: Pointer) -> None:
        token_id, state = transition.token_id, transition.state
        before = self._open.get(token_id)
        for interval in self._ledger.add([transition]):
            assert before is not None
            self._emit(interval, before, pointer)
        self._open[token_id] = _Open(self._loss_of(transition, before), pointer)
        self._move(token_id, transition.shard_id, state, transition.at_mono_ns)

    def _emit(self, interval: Interval, begun: _Open, ended_by: Pointer) -> None:
        start, end = self._window.cut(interval.start_mono_ns, interval.end_mono_ns)
        if start < end:
            self._sink(
                Entry(
                    interval.token_id, interval.state, begun.loss, start, end, interval.cause,
                    interval.shard_id, begun.pointer, ended_by,
                )
            )  # fmt: skip

    def _loss_of(self, transition: Transition, before: _Open | None) -> Loss:
        if transition.cause.startswith(DAMAGE):
            return Loss.DAMAGE
        if transition.state is not State.AWAITING_SNAPSHOT:
            return _LOSS[transition.state]
        if before is None or before.loss is Loss.UNSUBSCRIBED:
            return Loss.FIRST_BOOK
        # Asked for again while live: a request of ours.
        return Loss.PLANNED if before.loss is Loss.NONE else before.loss

    def _move(self, token_id: str, shard_id: int, state: State, at_mono_ns: int) -> None:
        self._place(token_id, shard_id)
        if state is State.LIVE:
            self._live_since[token_id] = at_mono_ns
        else:
            self._live_since.pop(token_id, None)
        if state in _WAITING:
            self._waiting[shard_id].add(token_id)
        else:
            self._waiting[shard_id].discard(token_id)

    def _follow(self, token_id: str) -> None:
        """Keep up with a token that another shard has claimed without a change of its state."""
        shard_id = self.continuity.shard_of(token_id)
        before = self._shard.get(token_id)
        if shard_id is not None and before is not None and before != shard_id:
            waits = token_id in self._waiting[before]
            self._place(token_id, shard_id)
            if waits:
                self._waiting[shard_id].add(token_id)

    def _place(self, token_id: str, shard_id: int) -> None:
        before = self._shard.get(token_id)
        if before is not None and before != shard_id:
            self._on_shard[before].discard(token_id)
            self._waiting[before].discard(token_id)
        self._shard[token_id] = shard_id
        self._on_shard[shard_id].add(token_id)


def book_tokens(payload: bytes) -> list[str]:
    """Return the tokens of which a payload holds a book."""
    seen = peek(payload)
    if "book" not in seen.event_types:
        return []
    if all(kind == "book" for kind in seen.event_types):
        return list(seen.token_ids)
    # Events of several types in one message: only decoding tells whose the books are.
    try:
        events = json.loads(payload)
    except ValueError:
        return []
    found = events if isinstance(events, list) else [events]
    return [
        one["asset_id"]
        for one in found
        if isinstance(one, dict)
        and one.get("event_type") == "book"
        and isinstance(one.get("asset_id"), str)
    ]


def keep_account(
    timeline: Timeline,
    sink: Callable[[Entry], None],
    *,
    window: Window | None = None,
    cause: str = "crash",
    end_mono_ns: int = 0,
) -> LossLedger:
    """Read a bundle once and send the entries of its ledger to `sink`; return the closed ledger.

    Tokens of a run without a `capture_stop` end for `cause` at its last stamp, or at `end_mono_ns` if that
    is later. Damage is accounted for, never raised.
    """
    ledger = LossLedger(timeline.basis, sink, window)
    for shard_id, ordinal, item in timeline:
        if isinstance(item, Frame):
            ledger.frame(shard_id, ordinal, item)
        elif isinstance(item, Record):
            ledger.record(ordinal, item)
        else:
            ledger.hole(item)
    ledger.close(max(timeline.end_mono_ns(), end_mono_ns), cause)
    return ledger
