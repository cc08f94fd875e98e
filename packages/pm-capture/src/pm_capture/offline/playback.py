"""Fixtures in the place of the venue: connections without a socket, for `shard_link`.

Subscribing is what makes messages come, as on the real channel, and every shard gets those of its own
tokens, `passes` times over. A connection that is given up and opened again goes on where it stood.
"""

import asyncio
import contextlib
import json
from collections.abc import Callable, Iterator, Sequence

from pm_capture.offline.fixtures import Message, addressed, sent_to
from pm_capture.shard_session import Ended, Opened
from pm_capture.transport import Connection, Sink
from pm_frames import Flag

FIRST = int(Flag.FIRST)
# Between two turns of the event loop, which are when heartbeats, signals and other shards have theirs.
MESSAGES_PER_TURN = 64

CLOSED = Ended(1000, "", close_was_clean=True)
DROPPED = Ended(None, "", close_was_clean=False)


class Player:
    """The venue of one run: `open` is its `Dial.open`."""

    def __init__(
        self,
        messages: Sequence[Message],
        token_ids: Sequence[str],
        *,
        passes: int,
        connections: int,
        ended: Callable[[], None],
    ) -> None:
        """`ended` is called once, when so many connections have got everything."""
        self._pairs = addressed(messages, token_ids)
        self._passes = passes
        self._connections = connections
        self._ended = ended
        self._streams: dict[frozenset[str], Iterator[Message]] = {}
        self._complete: set[frozenset[str]] = set()

    async def open(
        self, url: str, sink: Sink, *, open_seconds: float, user_agent: str
    ) -> "PlayedConnection":
        """Open a connection; nothing can go wrong, so the time and the name do not matter."""
        del open_seconds, user_agent
        connection = PlayedConnection(self, sink, url)
        sink.opened(connection)
        connection.play()
        return connection

    def stream(self, token_ids: frozenset[str]) -> Iterator[Message]:
        """Return what is still to come for these tokens."""
        if token_ids not in self._streams:
            self._streams[token_ids] = self._all(token_ids)
        return self._streams[token_ids]

    def complete(self, token_ids: frozenset[str]) -> None:
        """Take note that a connection has got everything."""
        if token_ids in self._complete:
            return
        self._complete.add(token_ids)
        if len(self._complete) == self._connections:
            self._ended()

    def _all(self, token_ids: frozenset[str]) -> Iterator[Message]:
        one_pass = sent_to(token_ids, self._pairs)
        for _ in range(self._passes):
            yield from one_pass


class PlayedConnection(Connection):
    """A connection as `shard_link` sees it."""

    def __init__(self, player: Player, sink: Sink, url: str) -> None:
        self._player = player
        self._sink = sink
        self._url = url
        self._subscribed: set[str] = set()
        self._playing: asyncio.Task[None] | None = None
        self._over = False

    def play(self) -> None:
        """Begin; what is to be subscribed has been, with `Sink.opened`."""
        if not self._over:
            self._playing = asyncio.get_running_loop().create_task(self._play())

    async def _play(self) -> None:
        sink = self._sink
        token_ids = frozenset(self._subscribed)
        first = FIRST
        for number, (flags, payload) in enumerate(self._player.stream(token_ids), 1):
            sink.received(self, [(flags | first, payload)], sink.stamp())
            first = 0
            if self._over:
                return
            if number % MESSAGES_PER_TURN == 0:
                await asyncio.sleep(0)
        self._player.complete(token_ids)

    def send_now(self, text: str) -> None:
        """Take a request of the client."""
        with contextlib.suppress(ValueError):  # PING
            request = json.loads(text)
            if request.get("operation") == "unsubscribe":
                self._subscribed.difference_update(request["assets_ids"])
            else:
                self._subscribed.update(request["assets_ids"])

    def drop(self) -> None:
        self._end(DROPPED)

    async def close(self, *, reason: str) -> None:
        del reason
        self._end(CLOSED)

    async def wait_closed(self) -> None:
        if self._playing is not None:
            await asyncio.gather(self._playing, return_exceptions=True)

    def described(self, url: str, connect_ns: int) -> Opened:
        return Opened(url=url, local_address="", remote_address=self._url, connect_ns=connect_ns)

    def _end(self, ended: Ended) -> None:
        if self._over:
            return
        self._over = True
        if self._playing is not None and self._playing is not asyncio.current_task():
            self._playing.cancel()
        # As a socket does it: later, from the event loop.
        asyncio.get_running_loop().call_soon(self._sink.lost, self, ended)
