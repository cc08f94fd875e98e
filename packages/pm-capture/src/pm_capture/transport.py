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
from websockets.frames import Frame as WireFrame
from websockets.frames import Opcode
from websockets.protocol import Event

from pm_capture.shard_session import Ended, Opened
from pm_frames import Flag
from pm_frames.layout import PAYLOAD_MAX

# How long a closing handshake may take when the run ends; the venue's answer is the proof that nothing
# that it had sent is still under way.
CLOSE_SECONDS = 2.0
PONG = b"PONG"

DATA = frozenset({Opcode.TEXT, Opcode.BINARY, Opcode.CONT})
TYPE_FLAG = {Opcode.TEXT: int(Flag.TEXT), Opcode.BINARY: int(Flag.BINARY)}
KEEPALIVE = int(Flag.KEEPALIVE)


class Sink(Protocol):
    """What a connection tells. Calls come from the event loop and must not raise."""

    def stamp(self) -> tuple[int, int]:
        """Read both clocks."""

    def opened(self, connection: "CapturingConnection") -> None:
        """The handshake is done; frames follow. Sending is possible."""

    def received(
        self,
        connection: "CapturingConnection",
        frames: Sequence[tuple[int, bytes]],
        stamp: tuple[int, int],
    ) -> None:
        """One read completed these (flags, payload) pairs."""

    def lost(self, connection: "CapturingConnection", ended: Ended) -> None:
        """The connection is gone; `opened` had been called."""


class CapturingConnection(ClientConnection):
    """A client connection without a receive queue: `recv()` never returns on it."""

    def __init__(self, protocol: ClientProtocol, *, sink: Sink, **kwargs: Any) -> None:
        super().__init__(protocol, **kwargs)
        self._sink = sink
        self._announced = False
        self._first = int(Flag.FIRST)
        self._completed: list[tuple[int, bytes]] = []
        # Of a message under way: its type flag and the fragments so far.
        self._fragments: list[bytes] = []
        self._fragmented_flags = 0

    def data_received(self, data: bytes) -> None:
        """Record what this read completes; called by the event loop."""
        stamp = self._sink.stamp()
        super().data_received(data)
        if not self._announced and self.response is not None:
            if self.protocol.handshake_exc is not None:
                return  # refused; `connect` raises
            self._announced = True
            self._sink.opened(self)
            # Frames that came in one read with the handshake are stamped after its record.
            stamp = self._sink.stamp()
        if self._completed:
            completed, self._completed = self._completed, []
            self._sink.received(self, completed, stamp)
        if self.protocol.close_rcvd is not None:
            # The venue sends nothing after its close frame. Waiting for it to close the connection as
            # well would only make the gap longer; our answer is flushed before the transport closes.
            self.transport.close()

    def process_event(self, event: Event) -> None:
        """Collect data frames; leave everything else to the library."""
        if not isinstance(event, WireFrame) or event.opcode not in DATA:
            super().process_event(event)
            return
        if event.opcode is Opcode.CONT:
            self._fragments.append(bytes(event.data))
            if not event.fin:
                return
            flags, payload = self._fragmented_flags, b"".join(self._fragments)
            self._fragments.clear()
        elif event.fin:
            flags, payload = TYPE_FLAG[event.opcode], bytes(event.data)
        else:
            self._fragmented_flags = TYPE_FLAG[event.opcode]
            self._fragments.append(bytes(event.data))
            return
        if len(payload) < 8 and payload.strip() == PONG:
            flags |= KEEPALIVE
        self._completed.append((flags | self._first, payload))
        self._first = 0

    def connection_lost(self, exc: Exception | None) -> None:
        """Tell how it ended; called by the event loop."""
        super().connection_lost(exc)
        if self._announced:
            self._sink.lost(self, self._ended(exc))

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
            local_address=_address(self.transport.get_extra_info("sockname")),
            remote_address=_address(self.transport.get_extra_info("peername")),
            connect_ns=connect_ns,
        )

    def _ended(self, exc: Exception | None) -> Ended:
        protocol = self.protocol
        broken = exc or protocol.parser_exc
        # The end of the stream without a close frame is the peer's doing, not an exception of ours.
        error = None if broken is None or isinstance(broken, EOFError) else _words(broken)
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

    connection = await connect(
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
    return cast("CapturingConnection", connection)


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
    return type(error).__name__, _words(error)


def _words(error: BaseException) -> str:
    return str(error) or type(error).__name__


def _address(name: object) -> str:
    if not isinstance(name, tuple):
        return ""
    host, port = name[:2]
    return f"[{host}]:{port}" if ":" in str(host) else f"{host}:{port}"
