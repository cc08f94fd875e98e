"""Suspected freezes: a connection, or a token on it, that fell silent while its siblings went on.

One pass over a bundle learns what is usual, and whether anything was not (`Learner`); only then a second one finds
out what and until when (`Judge`). This is hindsight, so it is a mask beside the ledger
and never part of it. docs/spec/mask.md says how, and what it cannot see.
"""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum
from typing import Final, NamedTuple

from pm_audit.figures import whole
from pm_audit.loss import Entry, LossLedger, Window, book_tokens
from pm_audit.silence import Evidence, Habit, Rule
from pm_audit.timeline import Hole, Record, Timeline
from pm_frames.bundle import Bundle
from pm_frames.continuity import Basis, State
from pm_frames.frames import Frame
from pm_frames.peek import token_ids_in
from pm_frames.provenance import EmitWindow

_NEVER: Final = -1


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


class _Speaker:
    """A shard or a token: when it was heard last, and the siblings' messages up to then."""

    __slots__ = ("at", "habit", "key", "name", "on", "siblings")

    def __init__(self, key: bytes, on: int, habit: Habit) -> None:
        self.key = key
        self.name = key.decode("utf-8", "replace")  # as `peek` has it, and so the ledger
        self.on = on  # the shard
        self.habit = habit
        self.at = _NEVER
        self.siblings = 0


class Listener:
    """Hears who speaks when, on one pass; `_long_…` is told of silences of the least length that counts.

    Both passes hear the same silences, because both are this.
    """

    def __init__(self, basis: Basis, rule: Rule, window: EmitWindow | None) -> None:
        self._from, self._before = window or EmitWindow(0, None)
        self.ledger = LossLedger(basis, self._left, Window(self._from, self._before))
        self.messages = 0
        self.shards: dict[int, _Speaker] = {}
        self.tokens: dict[bytes, _Speaker] = {}
        self._rule = rule
        self._silence_min_ns = rule.silence_min_ns

    _learning = False

    def listen(self, timeline: Timeline) -> None:
        """Take a whole bundle."""
        hear, keep_account = self._frame, self.ledger.frame
        for shard_id, ordinal, item in timeline:
            if type(item) is Frame:
                keep_account(shard_id, ordinal, item)
                hear(shard_id, item)
            elif isinstance(item, Record):
                self._record(item)
                self.ledger.record(ordinal, item)
            elif isinstance(item, Hole):
                self._hole(item)
        for shard_id in self.shards:
            self._shard_ends(shard_id, timeline.end_mono_ns())
        self.ledger.close(timeline.end_mono_ns(), "end")

    def _frame(self, shard_id: int, frame: Frame) -> None:  # noqa: C901  # runs for every frame
        token_ids = token_ids_in(frame.payload)
        if not token_ids:  # PONG, new_market and the like vouch for no token
            return
        at = frame.rx_mono_ns
        if at < self._from:  # the lead-in of a slice holds books, not all that was said
            return
        shard = self.shards.get(shard_id)
        if shard is None:
            shard = self.shards[shard_id] = _Speaker(b"", shard_id, Habit())
        learning, silence_min_ns = self._learning, self._silence_min_ns
        habit = shard.habit
        siblings = self.messages - habit.messages
        if shard.at != _NEVER:
            silence, meanwhile = at - shard.at, siblings - shard.siblings
            if learning:
                habit.times.add(silence)
                habit.siblings.add(meanwhile)
            if silence >= silence_min_ns:
                self._long_on_shard(shard, silence, meanwhile, at)
        shard.at, shard.siblings = at, siblings
        self.messages += 1
        habit.messages += 1
        on_shard = habit.messages
        live_since = self.ledger.live_tokens
        for token_id in token_ids:
            token = self.tokens.get(token_id)
            if token is None:
                token = self._new_token(token_id)
            habit = token.habit
            habit.messages += 1
            since = live_since.get(token.name)
            if since is None:
                token.at = _NEVER
                continue
            # The other messages of its own shard prove that the connection was alive.
            if token.at >= since and token.on == shard_id:
                silence, meanwhile = at - token.at, on_shard - 1 - token.siblings
                if learning:
                    habit.times.add(silence)
                    habit.siblings.add(meanwhile)
                if silence >= silence_min_ns:
                    self._long_of_token(token, silence, meanwhile)
            token.at, token.siblings, token.on = at, on_shard, shard_id
        self._heard(shard_id, frame)

    def _new_token(self, token_id: bytes) -> _Speaker:
        token = self.tokens[token_id] = _Speaker(token_id, -1, Habit())
        return token

    def _record(self, record: Record) -> None:
        shard_id = whole(record, "shard_id")
        if record["record_type"] == "disconnect" and shard_id is not None:
            at = record["ts_mono_ns"]
            since = whole(record, "since_mono_ns")
            self._shard_ends(shard_id, at if since is None else min(since, at))
        elif record["record_type"] == "ws_connect" and shard_id in self.shards:
            self.shards[shard_id].at = _NEVER

    def _shard_ends(self, shard_id: int, at_mono_ns: int) -> None:
        if self._before is not None:  # a slice knows of nothing after its window
            at_mono_ns = min(at_mono_ns, self._before)
        shard = self.shards.get(shard_id)
        if shard is None or shard.at == _NEVER:
            return
        silence = at_mono_ns - shard.at
        if silence >= self._rule.silence_min_ns:
            meanwhile = self.messages - shard.habit.messages - shard.siblings
            self._long_on_shard(shard, silence, meanwhile, at_mono_ns)
        shard.at = _NEVER

    def _hole(self, hole: Hole) -> None:
        # What was said meanwhile is not known, so this is no silence.
        if (shard := self.shards.get(hole.shard_id)) is not None:
            shard.at = _NEVER
        self.ledger.hole(hole)

    def _long_on_shard(self, shard: _Speaker, silence: int, meanwhile: int, until: int) -> None:
        """A shard was silent up to `until`, which need not be a message of its own."""
        raise NotImplementedError

    def _long_of_token(self, token: _Speaker, silence: int, meanwhile: int) -> None:
        """A live token was silent between two of its messages."""
        raise NotImplementedError

    def _heard(self, shard_id: int, frame: Frame) -> None:
        """A frame that names tokens has been taken into account."""

    def _left(self, entry: Entry) -> None:
        """A token has left a state."""


class Learner(Listener):
    """The first pass: what is usual, and who may have been silent for longer."""

    _learning = True

    def __init__(self, basis: Basis, rule: Rule, window: EmitWindow | None = None) -> None:
        super().__init__(basis, rule, window)
        self.live_ns = 0

    def _long_on_shard(self, shard: _Speaker, silence: int, meanwhile: int, until: int) -> None:
        shard.habit.remember(silence, meanwhile)

    def _long_of_token(self, token: _Speaker, silence: int, meanwhile: int) -> None:
        token.habit.remember(silence, meanwhile)

    def _left(self, entry: Entry) -> None:
        if entry.state is State.LIVE:
            self.live_ns += entry.end_mono_ns - entry.start_mono_ns

    def siblings_of_shard(self, shard_id: int) -> int:
        """Return the messages of all other shards."""
        return self.messages - self.shards[shard_id].habit.messages

    def siblings_of_token(self, token_id: bytes, shard_id: int) -> int:
        """Return the messages of a shard that did not name a token."""
        on_shard = self.shards[shard_id].habit.messages
        return on_shard - self.tokens[token_id].habit.messages

    def suspects_any(self) -> bool:
        """Return whether any silence was too long; if not, there is nothing to look for again."""
        return any(
            shard.habit.can_be_judged(self.siblings_of_shard(shard_id), self._rule)
            for shard_id, shard in self.shards.items()
        ) or any(
            token.habit.can_be_judged(self.siblings_of_token(token_id, shard_id), self._rule)
            for token_id, token in self.tokens.items()
            for shard_id in self.shards
        )


class Judge(Listener):
    """The second pass: which silences are not usual, and until when the tokens are suspect."""

    def __init__(
        self, basis: Basis, learned: Learner, rule: Rule, window: EmitWindow | None = None
    ) -> None:
        super().__init__(basis, rule, window)
        self._learned = learned
        self._open: dict[str, Suspicion] = {}
        self._open_on: dict[int, set[str]] = {}
        self.found: list[Suspicion] = []

    def _long_on_shard(self, shard: _Speaker, silence: int, meanwhile: int, until: int) -> None:
        learned = self._learned
        evidence = learned.shards[shard.on].habit.judge(
            silence, meanwhile, learned.siblings_of_shard(shard.on), self._rule
        )
        if evidence is not None:
            for token_id in self.ledger.live_on(shard.on):
                # It may have come alive with the very frame that ends the silence.
                since = self.ledger.live_since(token_id)
                if since is not None and since < until:
                    start_ns = max(since, shard.at)
                    self._suspect(token_id, shard.on, start_ns, Reason.SHARD, evidence)

    def _long_of_token(self, token: _Speaker, silence: int, meanwhile: int) -> None:
        token_id, learned = token.key, self._learned
        evidence = learned.tokens[token_id].habit.judge(
            silence, meanwhile, learned.siblings_of_token(token_id, token.on), self._rule
        )
        if evidence is not None:
            self._suspect(token.name, token.on, token.at, Reason.TOKEN, evidence)

    def _heard(self, shard_id: int, frame: Frame) -> None:
        if self._open_on.get(shard_id) and b"book" in frame.payload:
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
    """Read a bundle, twice if anything is suspect; return its suspected freezes by start and token.

    Raises `BundleError` where a `slice.json` does not say what counts.
    """
    rule = rule or Rule()
    window = bundle.emit_window
    first = Timeline(bundle)
    basis = first.basis
    learner = Learner(basis, rule, window)
    learner.listen(first)
    found: list[Suspicion] = []
    if learner.suspects_any():
        judge = Judge(basis, learner, rule, window)
        judge.listen(Timeline(bundle))
        found = sorted(judge.found, key=lambda one: (one.from_mono_ns, one.token_id))
    return Freezes(
        tuple(found), rule, basis, learner.messages, len(learner.tokens),
        _judged(learner.tokens.values(), rule), _judged(learner.shards.values(), rule),
        learner.live_ns,
    )  # fmt: skip


def _judged(speakers: Iterable[_Speaker], rule: Rule) -> int:
    """Return how many have been heard often enough to be judged."""
    return sum(speaker.habit.times.count >= rule.lengths_min for speaker in speakers)
