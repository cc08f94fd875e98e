"""Suspected freezes: a connection, or a token on it, that fell silent while its siblings went on.

Two passes over a bundle, the first to learn what is usual (`Learner`), the second to judge (`Judge`); both
see the same silences, because both are a `Listener`. This is hindsight, so it is a mask beside the ledger
and never part of it. docs/spec/mask.md says how, and what it cannot see.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from enum import StrEnum
from typing import NamedTuple

from pm_audit.figures import whole
from pm_audit.loss import Entry, LossLedger, Window, book_tokens
from pm_audit.silence import Evidence, Habit, Rule
from pm_audit.timeline import Hole, Record, Timeline
from pm_frames.bundle import Bundle
from pm_frames.continuity import Basis, State
from pm_frames.frames import Frame
from pm_frames.peek import peek
from pm_frames.provenance import EmitWindow


class Reason(StrEnum):
    """Who fell silent."""

    SHARD = "shard_silent"  # nothing of any of its tokens came, while other shards went on
    TOKEN = "token_silent"  # its own shard went on without it, until it spoke again


class Suspicion(NamedTuple):
    """A token's book is suspect from `from_mono_ns` to before `to_mono_ns`, when a book made it right.

    The silence itself began one ns before `from_mono_ns`; `evidence` tells how long it was.
    """

    token_id: str
    from_mono_ns: int
    to_mono_ns: int
    reason: Reason
    shard_id: int
    ended_by: str
    evidence: Evidence


class _Voice(NamedTuple):
    """When somebody was heard last: the stamp, and the siblings' messages up to then."""

    at_mono_ns: int
    siblings: int


def _length(start: _Voice, now: _Voice) -> tuple[int, int]:
    """Return a silence in ns and in messages of the siblings."""
    return now.at_mono_ns - start.at_mono_ns, now.siblings - start.siblings


class Listener:
    """Hears who speaks when, on one pass; subclasses do something about the silences between."""

    def __init__(self, basis: Basis, window: EmitWindow | None = None) -> None:
        self._from, self._before = window or EmitWindow(0, None)
        self.ledger = LossLedger(basis, self._left, Window(self._from, self._before))
        self.messages = 0
        self._on_shard: dict[int, int] = {}
        self._shard_voice: dict[int, _Voice] = {}
        self._token_voice: dict[str, _Voice] = {}

    def listen(self, timeline: Timeline) -> None:
        """Take a whole bundle."""
        for shard_id, ordinal, item in timeline:
            if isinstance(item, Frame):
                self.ledger.frame(shard_id, ordinal, item)
                self._frame(shard_id, item)
            elif isinstance(item, Record):
                self._record(item)
                self.ledger.record(ordinal, item)
            else:
                self._hole(item)
        for shard_id in list(self._shard_voice):
            self._shard_ends(shard_id, timeline.end_mono_ns())
        self.ledger.close(timeline.end_mono_ns(), "end")

    def shard_silence(self, shard_id: int, start: _Voice, now: _Voice, *, spoke: bool) -> None:
        """A shard has said nothing between two moments; `spoke` tells that a message ends it."""
        raise NotImplementedError

    def token_silence(self, token_id: str, shard_id: int, start: _Voice, now: _Voice) -> None:
        """A live token has said nothing between two of its messages."""
        raise NotImplementedError

    def heard(self, shard_id: int, tokens: Iterable[str], frame: Frame) -> None:
        """A frame that names these tokens has been taken into account."""
        raise NotImplementedError

    def _frame(self, shard_id: int, frame: Frame) -> None:
        tokens = peek(frame.payload).token_ids
        if not tokens:  # PONG, new_market and the like vouch for no token
            return
        at = frame.rx_mono_ns
        if at < self._from:  # the lead-in of a slice holds books, not all that was said
            return
        on_shard = self._on_shard.get(shard_id, 0)
        now = _Voice(at, self.messages - on_shard)
        if (before := self._shard_voice.get(shard_id)) is not None:
            self.shard_silence(shard_id, before, now, spoke=True)
        self._shard_voice[shard_id] = now
        self.messages += 1
        self._on_shard[shard_id] = on_shard = on_shard + 1
        for token_id in tokens:
            since = self.ledger.live_since(token_id)
            if since is None:
                self._token_voice.pop(token_id, None)
                continue
            # The other messages of its own shard prove that the connection was alive.
            spoken = self._token_voice.get(token_id)
            if spoken is not None and spoken.at_mono_ns >= since:
                self.token_silence(token_id, shard_id, spoken, _Voice(at, on_shard - 1))
            self._token_voice[token_id] = _Voice(at, on_shard)
        self.heard(shard_id, tokens, frame)

    def _record(self, record: Record) -> None:
        shard_id = whole(record, "shard_id")
        if record["record_type"] == "disconnect" and shard_id is not None:
            at = record["ts_mono_ns"]
            since = whole(record, "since_mono_ns")
            self._shard_ends(shard_id, at if since is None else min(since, at))
        elif record["record_type"] == "ws_connect" and shard_id is not None:
            self._shard_voice.pop(shard_id, None)

    def _shard_ends(self, shard_id: int, at_mono_ns: int) -> None:
        if self._before is not None:  # a slice knows of nothing after its window
            at_mono_ns = min(at_mono_ns, self._before)
        voice = self._shard_voice.pop(shard_id, None)
        if voice is not None and at_mono_ns > voice.at_mono_ns:
            now = _Voice(at_mono_ns, self.messages - self._on_shard.get(shard_id, 0))
            self.shard_silence(shard_id, voice, now, spoke=False)

    def _hole(self, hole: Hole) -> None:
        # What was said meanwhile is not known, so this is no silence.
        self._shard_voice.pop(hole.shard_id, None)
        self.ledger.hole(hole)

    def _left(self, entry: Entry) -> None:
        """A token has left a state."""


class Learner(Listener):
    """The first pass: what is usual."""

    def __init__(self, basis: Basis, window: EmitWindow | None = None) -> None:
        super().__init__(basis, window)
        self.shard_habits: defaultdict[int, Habit] = defaultdict(Habit)
        self.token_habits: defaultdict[str, Habit] = defaultdict(Habit)
        self.live_ns = 0

    def shard_silence(self, shard_id: int, start: _Voice, now: _Voice, *, spoke: bool) -> None:
        if spoke:
            self.shard_habits[shard_id].learn(*_length(start, now))

    def token_silence(self, token_id: str, shard_id: int, start: _Voice, now: _Voice) -> None:
        self.token_habits[token_id].learn(*_length(start, now))

    def heard(self, shard_id: int, tokens: Iterable[str], frame: Frame) -> None:
        self.shard_habits[shard_id].messages += 1
        for token_id in tokens:
            self.token_habits[token_id].messages += 1

    def _left(self, entry: Entry) -> None:
        if entry.state is State.LIVE:
            self.live_ns += entry.end_mono_ns - entry.start_mono_ns

    def siblings_of_shard(self, shard_id: int) -> int:
        """Return the messages of all other shards."""
        return self.messages - self._on_shard.get(shard_id, 0)

    def siblings_of_token(self, token_id: str, shard_id: int) -> int:
        """Return the messages of a shard that did not name a token."""
        return self._on_shard.get(shard_id, 0) - self.token_habits[token_id].messages


class Judge(Listener):
    """The second pass: which silences are not usual, and until when the tokens are suspect."""

    def __init__(
        self, basis: Basis, learned: Learner, rule: Rule, window: EmitWindow | None = None
    ) -> None:
        super().__init__(basis, window)
        self._learned = learned
        self._rule = rule
        self._open: dict[str, Suspicion] = {}
        self._open_on: dict[int, set[str]] = {}
        self.found: list[Suspicion] = []

    def shard_silence(self, shard_id: int, start: _Voice, now: _Voice, *, spoke: bool) -> None:
        if now.at_mono_ns - start.at_mono_ns < self._rule.silence_min_ns:
            return
        evidence = self._learned.shard_habits[shard_id].judge(
            *_length(start, now), self._learned.siblings_of_shard(shard_id), self._rule
        )
        if evidence is not None:
            for token_id in self.ledger.live_on(shard_id):
                # It may have come alive with the very frame that ends the silence.
                since = self.ledger.live_since(token_id)
                if since is not None and since < now.at_mono_ns:
                    start_ns = max(since, start.at_mono_ns)
                    self._suspect(token_id, shard_id, start_ns, Reason.SHARD, evidence)

    def token_silence(self, token_id: str, shard_id: int, start: _Voice, now: _Voice) -> None:
        if now.at_mono_ns - start.at_mono_ns < self._rule.silence_min_ns:
            return
        evidence = self._learned.token_habits[token_id].judge(
            *_length(start, now), self._learned.siblings_of_token(token_id, shard_id), self._rule
        )
        if evidence is not None:
            self._suspect(token_id, shard_id, start.at_mono_ns, Reason.TOKEN, evidence)

    def heard(self, shard_id: int, tokens: Iterable[str], frame: Frame) -> None:
        suspects = self._open_on.get(shard_id)
        if suspects and b"book" in frame.payload:
            for token_id in book_tokens(frame.payload):
                self._clear(token_id, frame.rx_mono_ns, "book")

    def _suspect(
        self, token_id: str, shard_id: int, start_ns: int, reason: Reason, evidence: Evidence
    ) -> None:
        if token_id not in self._open:  # what is suspect already stays so until its book
            self._open[token_id] = Suspicion(
                token_id, start_ns + 1, start_ns + 1, reason, shard_id, "", evidence
            )
            self._open_on.setdefault(shard_id, set()).add(token_id)

    def _clear(self, token_id: str, at_mono_ns: int, ended_by: str) -> None:
        opened = self._open.pop(token_id, None)
        if opened is None:
            return
        self._open_on[opened.shard_id].discard(token_id)
        if at_mono_ns > opened.from_mono_ns:
            self.found.append(opened._replace(to_mono_ns=at_mono_ns, ended_by=ended_by))

    def _left(self, entry: Entry) -> None:
        if entry.state is State.LIVE:
            self._clear(entry.token_id, entry.end_mono_ns, str(entry.ended_by))


class Freezes(NamedTuple):
    """What was found in one run, and what was looked at."""

    suspicions: tuple[Suspicion, ...]
    rule: Rule
    basis: Basis
    messages: int
    tokens_heard: int
    tokens_judged: int
    shards_judged: int
    live_ns: int


def find_freezes(bundle: Bundle, rule: Rule | None = None) -> Freezes:
    """Read a bundle twice and return its suspected freezes, ordered by start and token."""
    rule = rule or Rule()
    first = Timeline(bundle)
    basis = Basis.RUNLOG if first.has_runlog else Basis.FLAGS
    window = bundle.emit_window
    learner = Learner(basis, window)
    learner.listen(first)
    judge = Judge(basis, learner, rule, window)
    judge.listen(Timeline(bundle))
    ordered = sorted(judge.found, key=lambda one: (one.from_mono_ns, one.token_id))
    return Freezes(
        tuple(ordered), rule, basis, learner.messages, len(learner.token_habits),
        _judged(learner.token_habits.values(), rule), _judged(learner.shard_habits.values(), rule),
        learner.live_ns,
    )  # fmt: skip


def _judged(habits: Iterable[Habit], rule: Rule) -> int:
    """Return how many have been heard often enough to be judged."""
    return sum(habit.times.count >= rule.lengths_min for habit in habits)
