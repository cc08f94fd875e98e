"""The socket side: a websockets connection that hands over frames as the bytes of one read arrive.

Stamps are taken first thing in `data_received`, before anything is parsed, so no queue of the library
lies between the arrival and its stamp. All frames that a read completes are handed over together, with
that one stamp, before the call returns to the event loop; nothing is buffered in between, except the
fragments of a message that is not complete.

The library's keepalive is off: the venue's is the text `PING`, and it is a policy of ours.
"""

import ipaddress
import ssl
from collections.abc import Sequence
from typing import Any, Protocol, cast
from urllib.parse import urlsplit

from websockets.asyncio.client import ClientConnection, connect
from websockets.asyncio.connection import broadcast
from websockets.client import ClientProtocol
from websockets.exceptions import InvalidHandshake
from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode
from websockets.protocol import Event

from pm_capture.shard_session import Ended, Opened
from pm_capture.wire import RAW, FrameSplitter, HeadSplitter
from pm_frames import Flag
from pm_frames.layout import PAYLOAD_MAX

# How long a closing handshake may take when the run ends; the venue's answer is the proof that nothing
# that it had sent is still under way.
CLOSE_SECONDS = 2.0
PONG = b"PONG"
PONG_MAX = 8  # a line end included; looked at here so that nearly no frame is looked at further

DATA = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})
TYPE_FLAG = {Opcode.TEXT: int(Flag.TEXT), Opcode.BINARY: int(Flag.BINARY)}
FIRST = int(Flag.FIRST)
KEEPALIVE = int(Flag.KEEPALIVE)


class Connection(Protocol):
    """What a shard asks of its connection, whatever carries it."""

    def send_now(self, text: str) -> None:
        """Hand a text frame on before returning; dropped if the connection is closing."""

    def drop(self) -> None:
        """Close without a handshake; `Sink.lost` follows from the event loop."""

    async def close(self, *, reason: str) -> None:
        """Close with a handshake, still telling what arrives; then `Sink.lost`."""

    async def wait_closed(self) -> None:
        """Return when nothing is under way any more."""

    def described(self, url: str, connect_ns: int) -> Opened:
        """Return what a `ws_connect` record tells."""


class Sink(Protocol):
    """What a connection tells. Calls come from the event loop and must not raise."""

    def stamp(self) -> tuple[int, int]:
        """Read both clocks."""

    def opened(self, connection: Connection) -> None:
        """The handshake is done; frames follow. Sending is possible."""

    def received(
        self,
        connection: Connection,
        frames: Sequence[tuple[int, bytes]],
        stamp: tuple[int, int],
    ) -> None:
        """One read completed these (flags, payload) pairs."""

    def lost(self, connection: Connection, ended: Ended) -> None:
        """The connection is gone; `opened` had been called."""


class CapturingConnection(ClientConnection):
    """A client connection without a receive queue: `recv()` never returns on it."""

    def __init__(self, protocol: ClientProtocol, *, sink: Sink, **kwargs: Any) -> None:
        super().__init__(protocol, **kwargs)
        self._sink = sink
        self._announced = False
        self._head = HeadSplitter()
        self._splitter = FrameSplitter(PAYLOAD_MAX)
        self._completed: list[tuple[int, bytes]] = []
        self._any_frame = False
        # Of a message under way: its type flag and the fragments so far.
        self._fragments: list[bytes] = []
        self._fragmented_flag = 0

    def data_received(self, data: bytes) -> None:
        """Record what this read completes; called by the event loop."""
        stamp = self._sink.stamp()
        if not self._announced:
            rest = self._shake_hands(data)
            if not rest:
                return
            data = rest
            # Frames that came in one read with the handshake are stamped after its record.
            stamp = self._sink.stamp()
        completed = self._completed
        for flag, payload in self._splitter.feed(data):
            if flag == RAW:
                super().data_received(payload)
            else:
                if len(payload) < PONG_MAX:
                    flag = with_keepalive(flag, payload)
                completed.append((flag, payload))
        if completed:
            if not self._any_frame:
                self._any_frame = True
                completed[0] = (completed[0][0] | FIRST, completed[0][1])
            self._completed = []
            self._sink.received(self, completed, stamp)
        if self.protocol.close_rcvd is not None or self.protocol.parser_exc is not None:
            # Nothing that still comes would be read: the venue has sent its close frame, or bytes that
            # are not WebSocket. Waiting for it to close as well would only make the gap longer; what
            # the library answered is flushed before the transport closes.
            self.transport.close()

    def process_event(self, event: Event) -> None:
        """Collect the data frames that the library parsed: fragments, whose message is put together."""
        if not isinstance(event, WireFrame) or event.opcode not in DATA:
            super().process_event(event)
            return
        if event.opcode is not Opcode.CONT:
            self._fragmented_flag = TYPE_FLAG[event.opcode]
        self._fragments.append(bytes(event.data))
        if event.fin:
            payload = b"".join(self._fragments)
            self._completed.append((with_keepalive(self._fragmented_flag, payload), payload))
            self._fragments.clear()

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell how it ended; called by the event loop."""
        super().connection_lost(exc)
        if self._announced:
            self._sink.lost(self, self._ended(exc))

    def _shake_hands(self, data: bytes) -> bytes:
        """Feed the HTTP response to the library; return what follows it."""
        head, rest = self._head.feed(data)
        super().data_received(head)
        if rest is None:
            return b""
        if self.response is None or self.protocol.handshake_exc is not None:
            super().data_received(rest)  # the body of a refusal; `connect` raises
            return b""
        self._announced = True
        self._sink.opened(self)
        return rest

    def send_now(self, text: str) -> None:
        """Hand a text frame to the transport before returning; dropped if the connection is closing."""
        broadcast([self], text)

    def drop(self) -> None:
        """Close without a handshake; what the kernel still holds is not read."""
        self.transport.abort()

    def described(self, url: str, connect_ns: int) -> Opened:
        """Return what a `ws_connect` record tells of this connection."""
        return Opened(
            url=url,
            local_address=address(self.transport.get_extra_info("sockname")),
            remote_address=address(self.transport.get_extra_info("peername")),
            connect_ns=connect_ns,
        )

    def _ended(self, exc: Exception | None) -> Ended:
        protocol = self.protocol
        broken = exc or protocol.parser_exc
        # The end of the stream without a close frame is the peer's doing, not an exception of ours.
        error = None if broken is None or isinstance(broken, EOFError) else words(broken)
        return Ended(
            close_code=protocol.close_code,
            close_reason=protocol.close_reason or "",
            close_was_clean=protocol.close_rcvd is not None and protocol.close_sent is not None,
            error=error,
        )


async def open_connection(
    url: str, sink: Sink, *, open_seconds: float, user_agent: str
) -> CapturingConnection:
    """Connect; `sink.opened` has been called when this returns.

    Raises OSError, TimeoutError, or what `describe_failure` makes words of.
    """

    def make(protocol: ClientProtocol, **kwargs: Any) -> CapturingConnection:
        return CapturingConnection(protocol, sink=sink, **kwargs)

    connection = connect(
        url,
        create_connection=cast("type[ClientConnection]", make),
        compression=None,
        ping_interval=None,
        open_timeout=open_seconds,
        close_timeout=CLOSE_SECONDS,
        max_size=PAYLOAD_MAX,
        max_queue=None,
        proxy=None if is_loopback(url) else True,
        user_agent_header=user_agent,
    )
    try:
        return cast("CapturingConnection", await connection)
    except OSError:
        raise  # a certificate that does not hold is a ValueError too
    except ValueError as error:
        # The library lets what a redirect of the remote side names reach its URL parser unchecked.
        raise InvalidHandshake(f"unusable answer: {error}") from error


def is_loopback(url: str) -> bool:
    """Return whether a URL names this machine, which no proxy can reach for us."""
    host = urlsplit(url).hostname or ""
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def describe_failure(error: BaseException) -> tuple[str, str]:
    """Return the kind and the words of a failed attempt, for its record."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return type(error).__name__, error.verify_message
    return type(error).__name__, words(error)


def with_keepalive(flag: int, payload: bytes) -> int:
    return flag | KEEPALIVE if len(payload) < PONG_MAX and payload.strip() == PONG else flag


def words(error: BaseException) -> str:
    return str(error) or type(error).__name__


def address(name: object) -> str:
    if not isinstance(name, tuple):
        return ""
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
