"""The life of one shard: one connection at a time, subscribed, watched, and opened again when lost.

    IDLE ──start──► CONNECTING ──connected──► OPEN ──Reconnect/Close──► CLOSING
                     ▲      └─connect_failed─► WAITING ◄──disconnected──┴──┘
                     └────────deadline────────────┘
    stop: OPEN ──► CLOSING ──disconnected──► STOPPED; from anywhere else STOPPED at once

A shard without tokens stays IDLE, and comes back to it when a refresh takes its last one: a connection
would only bring global messages. A refresh changes the tokens of a live connection by `operation`
messages that name what comes and what goes; nothing is asked of the tokens that stay.

This is the only module that knows every policy. They are consulted in a fixed order (keepalive,
confirm, data-idle, snapshot) and the first `Reconnect` ends the consultation. The session is fed
*after* the recorder: whatever happens here, the frame is on disk.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import Enum, auto

from pm_capture import subscribe
from pm_capture.actions import (
    Action,
    Close,
    Connect,
    Note,
    Reconnect,
    Resubscribe,
    SendText,
    Trigger,
)
from pm_capture.census import PRICE_CHANGE_ENDS, Census
from pm_capture.policies.backoff import Backoff
from pm_capture.policies.budget import Budget
from pm_capture.policies.confirm import Confirm
from pm_capture.policies.coverage import Coverage
from pm_capture.policies.data_idle import DataIdle
from pm_capture.policies.keepalive import Keepalive
from pm_capture.policies.snapshot import Snapshot
from pm_capture.reasons import FatalReason
from pm_capture.reassignment import Reassignment
from pm_capture.resolved import resolved_tokens
from pm_capture.subscribe import SubscribeCaps
from pm_frames.histogram import LogHistogram
from pm_frames.peek import first_token, peek

# PONG, `[]`, `INVALID OPERATION`: no event of the venue is as short as this.
CONTROL_BYTES_MAX = 32
INVALID_OPERATION = b"INVALID OPERATION"
BOOK = b'"book"'


class State(Enum):
    """Where a shard is; the transitions are in the module's text."""

    IDLE = auto()
    CONNECTING = auto()
    OPEN = auto()
    CLOSING = auto()
    WAITING = auto()
    STOPPED = auto()


@dataclass(frozen=True, slots=True)
class Policies:
    """The machines of one shard, each made for it alone."""

    keepalive: Keepalive
    confirm: Confirm
    data_idle: DataIdle
    snapshot: Snapshot
    backoff: Backoff
    grace_ns: int = 0  # how long a token that is added need not have a book to count
    # What may happen before the run is given up; by default any number of times.
    storm: Budget = field(
        default_factory=lambda: Budget(FatalReason.RECONNECT_STORM, faults_max=0, heal_ns=1)
    )
    unconfirmed: Budget = field(
        default_factory=lambda: Budget(FatalReason.SUBSCRIBE_CONFIRM_FAIL, faults_max=0, heal_ns=1)
    )


@dataclass(frozen=True, slots=True)
class Opened:
    """What the shell knows of a connection that it has just opened."""

    url: str
    local_address: str
    remote_address: str
    connect_ns: int


@dataclass(frozen=True, slots=True)
class Ended:
    """How a connection ended. `error` is None when no exception was behind it."""

    close_code: int | None
    close_reason: str
    close_was_clean: bool
    error: str | None = None


class ShardSession:
    """Compose the policies of one shard; every verb returns what the shell has to do, in order."""

    def __init__(
        self,
        shard_id: int,
        token_ids: Sequence[str],
        *,
        caps: SubscribeCaps,
        policies: Policies,
    ) -> None:
        self.shard_id = shard_id
        self.token_ids = tuple(token_ids)
        self.state = State.IDLE
        self.policies = policies
        self.connection = 0  # number of the newest connection; 0 before the first
        self.reconnects = 0  # faults only
        self.coverage = Coverage(token_ids, grace_ns=policies.grace_ns)
        self.census = Census()
        self.startup_connect_ns: int | None = None
        self.down_incidents = 0
        self.down_durations = LogHistogram()  # of incidents that are over, in ns
        self._down_ns = 0
        self._down_since: int | None = None
        self._started_at: int | None = None
        self._opened_at = 0
        self._attempt = 0
        self._retry_at: int | None = None
        self._cause: Reconnect | None = None
        self._stopping = False
        self._assigned = frozenset(token_ids)
        # Tokens that the runlog says are asked for; they may have to be taken back there.
        self._asked: set[str] = set()
        self.unanswered: set[str] = set(token_ids)  # no book on the connection that there is now
        self.resolved: set[str] = set()  # of a market that is over: no book comes again
        self._caps = caps

    # What the shell tells.

    def start(self, now: int) -> list[Action]:
        """Begin. A shard without tokens waits for some."""
        self._started_at = now
        return self._connect() if self.token_ids else []

    def connected(self, opened: Opened, now: int) -> list[Action]:
        """Subscribe on a connection whose handshake has just succeeded."""
        self.state = State.OPEN
        self.connection += 1
        self._opened_at = now
        self._count_up(now)
        fields = {
            "url": opened.url,
            "local_address": opened.local_address,
            "remote_address": opened.remote_address,
            "connect_ns": opened.connect_ns,
            "attempt": self._attempt,
        }
        self._attempt = 0
        self.policies.keepalive.opened(now)
        self.policies.data_idle.opened(now)
        self.policies.confirm.subscribed(now)
        actions: list[Action] = [self._note("ws_connect", fields)]
        if not self.token_ids:
            return [*actions, self._close_unused()]
        for index, group in enumerate(subscribe.groups(self.token_ids, self._caps)):
            text = subscribe.subscribe(group) if index else subscribe.initial(group)
            actions += self._subscribe(group, text, index, "operation" if index else "initial")
        self.policies.snapshot.asked(self.token_ids, now)
        self.unanswered = set(self.token_ids)
        return actions

    def connect_failed(self, error: str, message: str, now: int) -> list[Action]:
        """Wait before the next attempt."""
        if self.state is not State.CONNECTING:
            return []
        backoff_ns = self._wait(now)
        fields = {"attempt": self._attempt, "error": error, "message": message}
        return [
            Note("connect_failed", {"shard_id": self.shard_id, **fields, "backoff_ns": backoff_ns})
        ]

    def frames_received(self, frames: Sequence[tuple[int, bytes]], now: int) -> list[Action]:
        """React to frames that are already recorded; `now` is their stamp."""
        others = self.census.received(frames)
        if self.census.resolutions:
            for payload in self.census.resolutions_taken():
                self.resolved |= self._assigned & resolved_tokens(payload)
        if self.state is not State.OPEN:
            return []
        self.policies.keepalive.frame_received()
        for payload in others:
            if len(payload) <= CONTROL_BYTES_MAX and payload.strip() == INVALID_OPERATION:
                refused = Reconnect(
                    Trigger.INVALID_OPERATION, "the venue answered INVALID OPERATION"
                )
                return self._expand([refused], now)
        actions: list[Action] = []
        policies = self.policies
        if policies.confirm.waiting or policies.snapshot.waiting or self.unanswered:
            actions = self._watch(frames, now)
        # Of the data in one read the newest is enough to show that the connection delivers.
        for _, payload in reversed(frames):
            if len(payload) > CONTROL_BYTES_MAX and self._names_assigned(payload):
                self.policies.data_idle.data_received(now)
                break
        return actions

    def disconnected(self, ended: Ended, now: int) -> list[Action]:
        """Account for a connection that is gone.

        `since_mono_ns` is added by the recorder, unless the cause knows an earlier moment.
        """
        cause = self._cause or Reconnect(
            Trigger.PEER_CLOSED if ended.error is None else Trigger.EXCEPTION,
            ended.error or "the peer closed the connection",
        )
        self._cause = None
        planned = cause.trigger in {Trigger.STOP, Trigger.REFRESH}
        close = {
            "close_code": ended.close_code,
            "close_reason": ended.close_reason,
            "close_was_clean": ended.close_was_clean,
        }
        why = {"trigger": str(cause.trigger), "reason": cause.reason}
        lost: dict[str, object] = {"connected_ns": now - self._opened_at}
        if cause.since_mono_ns is not None:
            lost["since_mono_ns"] = cause.since_mono_ns
        actions: list[Action] = [
            self._note("disconnect", {"planned": planned, **why, **close, **lost})
        ]
        if cause.trigger is Trigger.STOP or self._stopping:
            # What the policies knew last is what the last metrics tell.
            self.state = State.STOPPED
            return actions
        self._forget_connection()
        if planned:
            self.state = State.IDLE
            return actions + (self._connect() if self.token_ids else [])
        self.reconnects += 1
        self.down_incidents += 1
        self._down_since = now
        fields = {**why, **close, "reconnects": self.reconnects, "backoff_ns": self._wait(now)}
        actions.append(Note("reconnect", {"shard_id": self.shard_id, **fields}))
        if cause.trigger is Trigger.CONFIRM:
            what = f"shard {self.shard_id}: subscription not confirmed"
            actions += self.policies.unconfirmed.fault(what, now)
        what = f"shard {self.shard_id}: connection lost"
        return actions + self.policies.storm.fault(what, now)

    def reassign(self, change: Reassignment, now: int) -> list[Action]:
        """Take tokens off and put tokens on; nothing is asked of the others.

        Without a live connection only the records are written: the next one subscribes to what is
        wanted then.
        """
        if self._stopping:
            return []
        before = len(self.token_ids)
        kept = change.kept(self.token_ids)
        self.token_ids = (*kept, *change.added)
        self._assigned = frozenset(self.token_ids)
        self.coverage.removed_tokens(change.removed)
        self.coverage.new_tokens(change.added, now)
        policies = self.policies
        policies.snapshot.forgotten(change.removed)
        self.unanswered -= set(change.removed)
        self.resolved -= set(change.removed)
        self.unanswered |= set(change.added)
        begin = change.begin(before, len(self.token_ids))
        actions: list[Action] = [self._note("shard_refresh_begin", begin)]
        is_live = self.state is State.OPEN
        actions += self._take_off(change.removed, is_live=is_live)
        if is_live and self.token_ids:
            actions += self._put_on(change.added, now)
            if not kept:
                # Nothing that was asked for before can confirm this connection any more.
                policies.confirm.subscribed(now)
                policies.data_idle.opened(now)
        elif is_live:
            actions.append(self._close_unused())
        elif self.state is State.IDLE and self.token_ids:
            actions += self._connect()
        end = change.applied(
            token_count=len(self.token_ids),
            live=is_live and bool(self.token_ids),
            confirm_reset=is_live and not kept,
            confirm_events_seen=policies.confirm.events_seen,
        )
        return [*actions, self._note("shard_refresh_applied", end)]

    def stop(self) -> list[Action]:
        """End for good. An open connection is closed with a handshake, so that nothing is lost."""
        self._stopping = True
        if self.state is State.OPEN:
            self._cause = Reconnect(Trigger.STOP, "the run ends")
            self.state = State.CLOSING
            return [Close("the run ends")]
        if self.state is not State.CLOSING:
            self.state = State.STOPPED
        return []

    # The timer.

    def deadline(self) -> int | None:
        """Earliest moment at which `deadline_reached` would do something."""
        if self.state is State.WAITING:
            return self._retry_at
        if self.state is not State.OPEN:
            return None
        pending = [due for machine in self._timed() if (due := machine.deadline()) is not None]
        return min(pending, default=None)

    def deadline_reached(self, now: int) -> list[Action]:
        """Do what is due; nothing when called early."""
        if self.state is State.WAITING:
            if self._retry_at is None or now < self._retry_at:
                return []
            if not self.token_ids:
                self.state = State.IDLE
                return []
            return self._connect()
        actions: list[Action] = []
        for machine in self._timed():
            if self.state is State.OPEN:
                actions += self._expand(machine.deadline_reached(now), now)
        return actions

    def down_ns(self, now: int) -> int:
        """Time without a connection since the first one, in ns."""
        return self._down_ns + (0 if self._down_since is None else now - self._down_since)

    # Inside.

    def _timed(self) -> tuple[Keepalive, Confirm, DataIdle, Snapshot]:
        policies = self.policies
        return policies.keepalive, policies.confirm, policies.data_idle, policies.snapshot

    def _connect(self) -> list[Action]:
        self.state = State.CONNECTING
        self._retry_at = None
        self._attempt += 1
        return [Connect(self._attempt)]

    def _wait(self, now: int) -> int:
        self.state = State.WAITING
        backoff_ns = self.policies.backoff.failed(now)
        self._retry_at = now + backoff_ns
        return backoff_ns

    def _watch(self, frames: Sequence[tuple[int, bytes]], now: int) -> list[Action]:
        """Look into every frame that may bring what a policy still waits for."""
        events = 0
        confirming = self.policies.confirm.waiting
        for _, payload in frames:
            # A first book is all that can still matter once the shard is confirmed, and these searches
            # spare what is none.
            if len(payload) <= CONTROL_BYTES_MAX or not (
                confirming or (not payload.endswith(PRICE_CHANGE_ENDS) and BOOK in payload)
            ):
                continue
            seen = peek(payload)
            named = self._assigned.intersection(seen.token_ids)
            if named:
                events += len(seen.event_types)
                if "book" in seen.event_types:
                    self.coverage.books_received(named)
                    self.policies.snapshot.books_received(named)
                    self.unanswered -= named
        if not events:
            return []
        return self._expand(self.policies.confirm.events_received(events, now), now)

    def _names_assigned(self, payload: bytes) -> bool:
        first = first_token(payload)
        if first is None or first in self._assigned:
            return first is not None
        return not self._assigned.isdisjoint(peek(payload).token_ids)

    def _expand(self, actions: Iterable[Action], now: int) -> list[Action]:
        """Turn what a policy said into what the shell can perform, and follow the state."""
        expanded: list[Action] = []
        for action in actions:
            match action:
                case Note():
                    expanded.append(self._note(action.record_type, action.fields))
                case Resubscribe():
                    expanded += self._resubscribe(action.token_ids, now)
                case Reconnect():
                    self.state = State.CLOSING
                    self._cause = action
                    self._forget_connection()
                    expanded.append(action)
                case _:
                    expanded.append(action)
        return expanded

    def _resubscribe(self, token_ids: Sequence[str], now: int) -> list[Action]:
        # Naming a token that is subscribed already is refused as a duplicate, so it is taken off first.
        actions: list[Action] = []
        for index, group in enumerate(subscribe.groups(token_ids, self._caps)):
            fields = {"token_count": len(group), "token_ids": list(group)}
            actions.append(self._note("unsubscribe", fields))
            actions.append(SendText(subscribe.unsubscribe(group)))
            actions += self._subscribe(group, subscribe.subscribe(group), index, "operation")
        self.policies.snapshot.asked(token_ids, now)
        return actions

    def _take_off(self, token_ids: Sequence[str], *, is_live: bool) -> list[Action]:
        # Also without a connection: a token that is given up is not waiting for the next one.
        asked = [token_id for token_id in token_ids if token_id in self._asked]
        actions: list[Action] = []
        for group in subscribe.groups(asked, self._caps):
            fields = {"token_count": len(group), "token_ids": list(group)}
            actions.append(self._note("unsubscribe", fields))
            if is_live:
                actions.append(SendText(subscribe.unsubscribe(group)))
        self._asked.difference_update(asked)
        return actions

    def _put_on(self, token_ids: Sequence[str], now: int) -> list[Action]:
        actions: list[Action] = []
        for index, group in enumerate(subscribe.groups(token_ids, self._caps)):
            actions += self._subscribe(group, subscribe.subscribe(group), index, "operation")
        self.policies.snapshot.asked(token_ids, now)
        return actions

    def _close_unused(self) -> Action:
        reason = "a refresh has left the shard without tokens"
        self._cause = Reconnect(Trigger.REFRESH, reason)
        self.state = State.CLOSING
        return Close(reason)

    def _subscribe(
        self, group: Sequence[str], text: str, index: int, variant: str
    ) -> tuple[Action, Action]:
        fields = {
            "variant": variant,
            "group_index": index,
            "token_count": len(group),
            "payload_bytes": len(text.encode()),
            "token_ids": list(group),
        }
        self._asked.update(group)
        # The record goes first: a request that is not on record must never have been sent.
        return self._note("subscribe_attempt", fields), SendText(text)

    def _note(self, record_type: str, fields: Mapping[str, object]) -> Note:
        return Note(
            record_type, {"shard_id": self.shard_id, "connection": self.connection, **fields}
        )

    def _forget_connection(self) -> None:
        self.policies.keepalive.closed()
        self.policies.confirm.closed()
        self.policies.data_idle.closed()
        self.policies.snapshot.closed()

    def _count_up(self, now: int) -> None:
        if self.startup_connect_ns is None and self._started_at is not None:
            self.startup_connect_ns = now - self._started_at
        if self._down_since is not None:
            self._down_ns += now - self._down_since
            self.down_durations.record(now - self._down_since)
            self._down_since = None
