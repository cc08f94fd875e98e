"""The shell of one shard: its socket, its timer, and the one place where actions are performed.

Record first, react after: frames go to the recorder before the session sees them. Every call into the
session happens in the event loop, and whatever goes wrong in one is reported as fatal, never swallowed.
"""

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Protocol

from websockets.exceptions import WebSocketException

from pm_capture.actions import Action, Close, Connect, GiveUp, Note, Reconnect, SendText
from pm_capture.fatal import GivenUp
from pm_capture.masking import masked
from pm_capture.reassignment import Reassignment
from pm_capture.recorder import Recorder
from pm_capture.shard_session import Ended, ShardSession
from pm_capture.transport import Connection, Sink, describe_failure, open_connection

NS_PER_S = 1_000_000_000


class Open(Protocol):
    """Open a connection: `transport.open_connection`, or what stands in for it."""

    async def __call__(
        self, url: str, sink: Sink, *, open_seconds: float, user_agent: str
    ) -> object: ...


@dataclass(frozen=True, slots=True)
class Dial:
    """How to open a connection."""

    url: str
    open_seconds: float
    user_agent: str
    open: Open = open_connection


class ShardLink:
    """Own the socket and the timer of one session; implements `transport.Sink`."""

    def __init__(
        self,
        session: ShardSession,
        recorder: Recorder,
        dial: Dial,
        *,
        failed: Callable[[BaseException], None],
        say: Callable[[str], None],
    ) -> None:
        """`failed` is told of every error that the run cannot survive; `say` takes words for people."""
        self.session = session
        self.connection: Connection | None = None
        self._recorder = recorder
        self._stamper = recorder.stamper
        self._dial = dial
        self._failed = failed
        self._say = say
        self._began_ns = 0
        self._attempt: asyncio.Task[None] | None = None
        self._closing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._ended = False

    # What the daemon asks.

    def start(self) -> None:
        """Begin."""
        self._follow(lambda now: self.session.start(now))

    def stop(self) -> None:
        """Close with a handshake; `wait_closed` returns when that is done."""
        self._ended = True
        if self.connection is None and self._attempt is not None:
            self._attempt.cancel()
        self._follow(lambda _: self.session.stop())

    def reassign(self, change: Reassignment) -> None:
        """Give the shard other tokens, on its live connection if it has one."""
        self._follow(lambda now: self.session.reassign(change, now))

    def abandon(self) -> None:
        """Drop everything without a record: the run is over, and its last record says why."""
        self._ended = True
        self._disarm()
        if self._attempt is not None:
            self._attempt.cancel()
        if self.connection is not None:
            connection, self.connection = self.connection, None
            connection.drop()

    async def wait_closed(self) -> None:
        """Return when nothing of this shard is under way any more."""
        if self._attempt is not None:
            await asyncio.gather(self._attempt, return_exceptions=True)
        if self._closing is not None:
            await asyncio.gather(self._closing, return_exceptions=True)
        if self.connection is not None:
            await self.connection.wait_closed()
        self._disarm()

    # What the transport tells.

    def stamp(self) -> tuple[int, int]:
        return self._stamper.frames()

    def opened(self, connection: Connection) -> None:
        if self._ended:
            connection.drop()
            return
        self.connection = connection
        shard_id = self.session.shard_id

        def connected(now: int) -> list[Action]:
            opened = connection.described(str(masked(self._dial.url)), now - self._began_ns)
            self._say(f"shard {shard_id}: connected to {opened.remote_address}")
            return self.session.connected(opened, now)

        self._follow(connected)

    def received(
        self,
        connection: Connection,
        frames: Sequence[tuple[int, bytes]],
        stamp: tuple[int, int],
    ) -> None:
        if connection is not self.connection:
            return
        try:
            self._recorder.frames(self.session.shard_id, frames, stamp)
            actions = self.session.frames_received(frames, stamp[0])
            # Traffic only moves deadlines later, so without actions the timer stands as it is.
            if actions:
                self._perform(actions)
                self._arm()
            self._recorder.reacted()
        except Exception as error:
            self._failed(error)

    def lost(self, connection: Connection, ended: Ended) -> None:
        if connection is not self.connection:
            return
        self.connection = None
        self._follow(lambda now: self.session.disconnected(ended, now))

    # Inside.

    def _follow(self, feed: Callable[[int], Iterable[Action]]) -> None:
        """Feed the session, perform what it says, and set the timer anew."""
        try:
            self._perform(feed(self._stamper.now()))
            self._arm()
        except Exception as error:
            self._failed(error)

    def _perform(self, actions: Iterable[Action]) -> None:
        connection = self.connection
        for action in actions:
            match action:
                case Note():
                    self._recorder.note(action.record_type, action.fields)
                    self._tell(action)
                case SendText() if connection is not None:
                    connection.send_now(action.text)
                case Reconnect() if connection is not None:
                    connection.drop()
                case Close() if connection is not None:
                    closing = connection.close(reason=action.reason)
                    self._closing = asyncio.get_running_loop().create_task(closing)
                case GiveUp():
                    self._failed(GivenUp(action.reason, action.message))
                case Connect():
                    self._attempt = asyncio.get_running_loop().create_task(self._open())

    async def _open(self) -> None:
        self._began_ns = self._stamper.now()
        dial = self._dial
        try:
            await dial.open(
                dial.url, self, open_seconds=dial.open_seconds, user_agent=dial.user_agent
            )
        except (OSError, EOFError, WebSocketException) as error:
            kind, words = describe_failure(error)
            self._follow(lambda now: self.session.connect_failed(kind, words, now))
        except Exception as error:
            self._failed(error)

    def _arm(self) -> None:
        self._disarm()
        due = self.session.deadline()
        if due is not None:
            delay_ns = max(0, due - self._stamper.now())
            loop = asyncio.get_running_loop()
            # After a stall the timers are late, and so are the reads. Two more turns of the loop let
            # bytes that are already here be read before anybody concludes that nothing came: asyncio
            # polls its sockets before a turn's callbacks, uvloop between them.
            self._timer = loop.call_later(
                delay_ns / NS_PER_S, loop.call_soon, loop.call_soon, self._due
            )

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        if not self._ended:
            self._follow(self.session.deadline_reached)

    def _tell(self, note: Note) -> None:
        fields = note.fields
        shard_id = self.session.shard_id
        match note.record_type:
            case "disconnect" if not fields["planned"]:
                self._say(f"shard {shard_id}: connection lost: {fields['reason']}")
            case "connect_failed":
                backoff_s = int(str(fields["backoff_ns"])) / NS_PER_S
                words = f"{fields['error']}: {fields['message']}"
                self._say(f"shard {shard_id}: no connection: {words}; again in {backoff_s:.2f} s")
            case "snapshot_overdue":
                self._say(f"shard {shard_id}: {fields['token_count']} tokens without a first book")
