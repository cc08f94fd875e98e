"""Whether a token's book can be trusted, moment by moment: one pure machine per token.

Fed by the continuity records of the runlog and by the books that arrive, in merge order. States are
causal: each depends only on what was fed before it. A transition takes place at `at_mono_ns`; when its
cause began (the last frame of a lost connection) is `since_mono_ns`, and `pm_frames.ledger` accounts for
time from there.

The table is `NEXT`, in words:

- SUBSCRIBE reaches the tokens that a `subscribe_attempt` names, no others: a token that was live stays
  live when another is added on the same socket.
- UNSUBSCRIBE reaches the tokens that an `unsubscribe` names.
- FAULT and PLANNED reach the tokens that are subscribed on the connection that a `disconnect` ends.
- BOOK reaches a token that is subscribed on the connection of the shard on which the book arrived.
- FIRST stands in for all of these where no runlog names tokens (`Bundle.continuity_basis`): the first frame of a new connection makes
  every token of its shard unknown until a book.
- HOLE reaches the tokens that are subscribed on a shard of which frames are lost, as before a frame that a
  repair has marked: a book that was live is unknown until the next one.
- STOP reaches every token: `capture_stop`, or `close` for a run that crashed.

Total: whatever is fed, in whatever order, nothing is raised. What makes no sense is left out and counted
in `oddities`.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from enum import Enum, IntEnum
from typing import Any, Final, NamedTuple, TypeGuard

from pm_frames.records import CONTINUITY


class State(IntEnum):
    """What is known of a token's book; the numbers are those of the event stream."""

    UNSUBSCRIBED = 0  # not asked for
    AWAITING_SNAPSHOT = 1  # asked for, no book yet
    LIVE = 2  # every change since the last book arrived on one connection
    RECONNECTING = 3  # the connection was lost by a fault
    PLANNED_CHANGE = 4  # we gave the connection up; until the book on the next one
    ENDED = 5  # the run is over
    UNKNOWN = 7  # frames are lost (or no runlog, and a new connection), and no book since


class Input(Enum):
    """What can happen to a token."""

    SUBSCRIBE = "subscribe"
    UNSUBSCRIBE = "unsubscribe"
    BOOK = "book"
    FAULT = "fault"
    PLANNED = "planned"
    FIRST = "first"
    HOLE = "hole"
    STOP = "stop"


_U, _A, _L, _R, _P, _E, _X = State
_INPUTS: Final = tuple(Input)

# Rows by state; columns in the order of Input.
NEXT: Final[Mapping[State, Mapping[Input, State]]] = {
    state: dict(zip(_INPUTS, row, strict=True))
    for state, row in {
        _U: (_A, _U, _U, _U, _U, _U, _U, _E),
        _A: (_A, _U, _L, _R, _P, _X, _A, _E),
        # Asked for again while live: what the venue does to the stream is not known, so wait.
        _L: (_A, _U, _L, _R, _P, _X, _X, _E),
        _R: (_A, _U, _R, _R, _P, _X, _R, _E),
        # A planned gap is planned up to its book, the subscription in between included.
        _P: (_P, _U, _L, _R, _P, _X, _P, _E),
        _E: (_E, _E, _E, _E, _E, _E, _E, _E),
        _X: (_A, _U, _L, _R, _P, _X, _X, _E),
    }.items()
}


def transition_table() -> str:
    """Return `NEXT` as Markdown; an empty cell means no change."""
    lines = [
        "| state | " + " | ".join(kind.name for kind in Input) + " |",
        "|---" * (len(_INPUTS) + 1) + "|",
    ]
    for state, row in NEXT.items():
        cells = ("" if row[kind] is state else f"`{row[kind].name}`" for kind in Input)
        lines.append(f"| `{state.name}` ({int(state)}) | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


class Basis(Enum):
    """What continuity is judged by: the runlog, or (where there is none) the flags of the frames."""

    RUNLOG = "runlog"
    FLAGS = "flags"


class Transition(NamedTuple):
    """A token's state changed.

    `cause` is the record type that did it, or `book`, `first_of_connection`, or what `hole` or `close` was given.
    `since_mono_ns` is never after `at_mono_ns`.
    """

    token_id: str
    state: State
    at_mono_ns: int
    since_mono_ns: int
    cause: str
    shard_id: int


class _Token:
    __slots__ = ("shard", "state", "subscribed")

    def __init__(self, state: State, shard: _Shard) -> None:
        self.state = state
        self.shard = shard
        self.subscribed = False  # on the connection that the shard has now


class _Shard:
    __slots__ = ("connection", "open", "shard_id", "tokens")

    def __init__(self, shard_id: int) -> None:
        self.shard_id = shard_id
        self.connection = 0
        self.open = False
        self.tokens: dict[str, _Token] = {}


class _When(NamedTuple):
    at: int
    since: int
    cause: str


class Continuity:
    """The states of all tokens of one run."""

    def __init__(self, basis: Basis = Basis.RUNLOG) -> None:
        self.basis = basis
        self.oddities: Counter[str] = Counter()
        self.now_mono_ns = 0  # the latest stamp that was fed
        self._ended = False
        self._tokens: dict[str, _Token] = {}
        self._shards: dict[int, _Shard] = {}
        self._on: Final[Mapping[str, Callable[[_Shard, Mapping[str, Any]], list[Transition]]]] = {
            "ws_connect": self._ws_connect,
            "subscribe_attempt": self._subscribe_attempt,
            "unsubscribe": self._unsubscribe,
            "disconnect": self._disconnect,
        }

    def state(self, token_id: str) -> State:
        """Return the state of a token; one never heard of is unsubscribed, unknown without a runlog."""
        token = self._tokens.get(token_id)
        if token is not None:
            return token.state
        return State.UNSUBSCRIBED if self.basis is Basis.RUNLOG else State.UNKNOWN

    def states(self) -> dict[str, State]:
        """Return the states of all tokens that were ever subscribed (or had a book)."""
        return {token_id: token.state for token_id, token in self._tokens.items()}

    def shard_of(self, token_id: str) -> int | None:
        """Return the shard that a token was subscribed on last."""
        token = self._tokens.get(token_id)
        return None if token is None else token.shard.shard_id

    def recall(self, token_id: str, state: State) -> None:
        """Set the state of a token that the records have named, as the books left it that are not fed."""
        token = self._tokens.get(token_id)
        if token is not None:
            token.state = state

    def record(self, record: Mapping[str, Any]) -> list[Transition]:
        """Feed a runlog record and return what it changed; types without meaning here change nothing."""
        kind = record.get("record_type")
        if not isinstance(kind, str) or kind not in CONTINUITY:
            return []
        stamp = record.get("ts_mono_ns")
        shard_id = record.get("shard_id")
        if not _is_count(stamp):
            self.oddities["malformed_records"] += 1
        elif kind == "capture_stop":
            return self.close(stamp, cause="capture_stop")
        elif not _is_count(shard_id):
            self.oddities["malformed_records"] += 1
        elif not self._after_end():
            self._at(stamp)
            return self._on[kind](self._shard(shard_id), record)
        return []

    def book(self, token_id: str, shard_id: int, rx_mono_ns: int) -> list[Transition]:
        """Feed a `book` that arrived; one for a token that is not subscribed there is only counted."""
        token = self._tokens.get(token_id)
        if token is not None and token.state is State.LIVE and token.shard.shard_id == shard_id:
            return []  # nearly every book: a refresh after a trade
        if self._after_end():
            return []
        at = self._at(rx_mono_ns)
        if self.basis is Basis.FLAGS:
            token = self._claim(token_id, self._shard(shard_id))
        elif token is None or token.state is State.UNSUBSCRIBED:
            self.oddities["books_unsubscribed"] += 1
            return []
        elif token.shard.shard_id != shard_id:
            self.oddities["books_of_another_shard"] += 1
            return []
        elif not token.subscribed:
            self.oddities["books_before_subscribe"] += 1
            return []
        return self._apply([(token_id, token)], Input.BOOK, _When(at, at, "book"))

    def first_of_connection(
        self, shard_id: int, rx_mono_ns: int, *, since_mono_ns: int | None = None
    ) -> list[Transition]:
        """Feed the first frame of a connection, where the basis is the flags; else nothing happens.

        `since_mono_ns` is the stamp of the frame before it in the shard, if there is one.
        """
        if self.basis is not Basis.FLAGS or self._after_end():
            return []
        at = self._at(rx_mono_ns)
        since = at if since_mono_ns is None else min(since_mono_ns, at)
        when = _When(at, since, "first_of_connection")
        return self._apply(self._shard(shard_id).tokens.items(), Input.FIRST, when)

    def hole(
        self,
        shard_id: int,
        rx_mono_ns: int,
        *,
        since_mono_ns: int | None = None,
        cause: str = "hole",
    ) -> list[Transition]:
        """Feed the loss of frames of a shard, before whatever follows it there, which is at `rx_mono_ns`.

        A frame with the flag SALVAGED has a hole before it. `since_mono_ns` is the stamp of the frame before
        the hole, None where there is none.
        """
        if self._after_end():
            return []
        at = self._at(rx_mono_ns)
        when = _When(at, at if since_mono_ns is None else min(since_mono_ns, at), cause)
        by_flags = self.basis is Basis.FLAGS
        reached = [
            (token_id, token)
            for token_id, token in self._shard(shard_id).tokens.items()
            if token.subscribed or by_flags
        ]
        return self._apply(reached, Input.HOLE, when)

    def close(self, at_mono_ns: int, *, cause: str = "crash") -> list[Transition]:
        """End every token: at `capture_stop`, or at the last stamp of a run that has none."""
        if self._after_end():
            return []
        at = self._at(at_mono_ns)
        self._ended = True
        return self._apply(self._tokens.items(), Input.STOP, _When(at, at, cause))

    def _ws_connect(self, shard: _Shard, record: Mapping[str, Any]) -> list[Transition]:
        number = record.get("connection")
        if not _is_count(number) or number <= shard.connection:
            self.oddities["stale_records"] += 1
            return []
        return self._opened(shard, number, "ws_connect")

    def _opened(self, shard: _Shard, number: int, cause: str) -> list[Transition]:
        # A connection that was never said to end has ended when the next one opens.
        lost: list[Transition] = []
        if shard.open:
            self.oddities["implied_disconnects"] += 1
            lost = self._lost(shard, Input.FAULT, _When(self.now_mono_ns, self.now_mono_ns, cause))
        shard.connection = number
        shard.open = True
        return lost

    def _subscribe_attempt(self, shard: _Shard, record: Mapping[str, Any]) -> list[Transition]:
        token_ids = self._token_ids(record)
        if token_ids is None:
            return []
        done: list[Transition] = []
        if not self._is_current(shard, record):
            number = record.get("connection")
            if not _is_count(number) or number <= shard.connection:
                self.oddities["stale_records"] += 1
                return []
            self.oddities["implied_connects"] += 1
            done = self._opened(shard, number, "subscribe_attempt")
        named = []
        for token_id in token_ids:
            token = self._claim(token_id, shard)
            token.subscribed = True
            named.append((token_id, token))
        when = _When(self.now_mono_ns, self.now_mono_ns, "subscribe_attempt")
        return done + self._apply(named, Input.SUBSCRIBE, when)

    def _unsubscribe(self, shard: _Shard, record: Mapping[str, Any]) -> list[Transition]:
        token_ids = self._token_ids(record)
        if token_ids is None:
            return []
        # Also when the connection is gone: a token can be given up while its shard is down.
        if record.get("connection") != shard.connection:
            self.oddities["stale_records"] += 1
            return []
        named = []
        for token_id in token_ids:
            token = shard.tokens.get(token_id)
            if token is None:
                self.oddities["unsubscribes_unknown"] += 1
                continue
            token.subscribed = False
            named.append((token_id, token))
        when = _When(self.now_mono_ns, self.now_mono_ns, "unsubscribe")
        return self._apply(named, Input.UNSUBSCRIBE, when)

    def _disconnect(self, shard: _Shard, record: Mapping[str, Any]) -> list[Transition]:
        if not self._is_current(shard, record):
            self.oddities["stale_records"] += 1
            return []
        at = self.now_mono_ns
        since = record.get("since_mono_ns")
        planned = record.get("planned") is True
        # A clean handshake of ours: all that the venue had sent before has arrived.
        whole = planned and record.get("close_was_clean") is True
        when = _When(at, min(since, at) if _is_count(since) and not whole else at, "disconnect")
        shard.open = False
        return self._lost(shard, Input.PLANNED if planned else Input.FAULT, when)

    def _lost(self, shard: _Shard, kind: Input, when: _When) -> list[Transition]:
        had = [(token_id, token) for token_id, token in shard.tokens.items() if token.subscribed]
        for _, token in had:
            token.subscribed = False
        return self._apply(had, kind, when)

    def _apply(
        self, tokens: Iterable[tuple[str, _Token]], kind: Input, when: _When
    ) -> list[Transition]:
        done = []
        for token_id, token in tokens:
            state = NEXT[token.state][kind]
            if state is not token.state:
                token.state = state
                done.append(Transition(token_id, state, *when, token.shard.shard_id))
        return done

    def _claim(self, token_id: str, shard: _Shard) -> _Token:
        """Return a token as one of this shard's: a token belongs to the shard that named it last."""
        token = self._tokens.get(token_id)
        if token is None:
            token = self._tokens[token_id] = _Token(self.state(token_id), shard)
        elif token.shard is not shard:
            self.oddities["shard_changes"] += 1
            del token.shard.tokens[token_id]
            token.shard = shard
            token.subscribed = False
        shard.tokens[token_id] = token
        return token

    def _shard(self, shard_id: int) -> _Shard:
        shard = self._shards.get(shard_id)
        if shard is None:
            shard = self._shards[shard_id] = _Shard(shard_id)
        return shard

    def _is_current(self, shard: _Shard, record: Mapping[str, Any]) -> bool:
        """Return whether a record is of the connection that is open."""
        return shard.open and record.get("connection") == shard.connection

    def _token_ids(self, record: Mapping[str, Any]) -> list[str] | None:
        token_ids = record.get("token_ids")
        if isinstance(token_ids, list) and all(isinstance(one, str) for one in token_ids):
            return token_ids
        self.oddities["malformed_records"] += 1
        return None

    def _after_end(self) -> bool:
        if self._ended:
            self.oddities["after_the_end"] += 1
        return self._ended

    def _at(self, stamp: int) -> int:
        if stamp < self.now_mono_ns:
            self.oddities["decreasing_stamps"] += 1
        else:
            self.now_mono_ns = stamp
        return self.now_mono_ns


def _is_count(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0
