"""The socket side with picows, for whoever installs the extra: the same law as `transport`.

picows reads the socket and cuts frames in C; what may stand where, what is answered, and what a connection
ended with is decided here as the websockets library decides it, so that a run does not show which of the
two carried it. A test sends the same bytes through both and compares what is told.

`_Reads` stands between the socket and picows. It reads both clocks before picows sees a byte, and learns
with which exception a connection is lost, which picows keeps to itself.

What differs: a length in more bytes than it needs is refused (RFC 6455 section 5.2 says MUST, websockets
takes it), and the words of errors are those of picows.
"""

import asyncio
import logging
from typing import cast

from picows import (
    WSError,
    WSFrame,
    WSInvalidStatusError,
    WSListener,
    WSMsgType,
    WSTransport,
    ws_connect,
)
from python_socks import ProxyError
from websockets.asyncio.client import get_proxy  # type: ignore[attr-defined]  # moved between versions
from websockets.datastructures import Headers
from websockets.exceptions import InvalidHandshake, InvalidStatus, ProtocolError
from websockets.frames import Close, CloseCode
from websockets.http11 import Response
from websockets.uri import parse_uri

from pm_capture.shard_session import Ended, Opened
from pm_capture.transport import (
    CLOSE_SECONDS,
    FIRST,
    PONG_MAX,
    Sink,
    address,
    is_loopback,
    with_keepalive,
    words,
)
from pm_frames import Flag
from pm_frames.layout import PAYLOAD_MAX

REDIRECTS_MAX = 10
READ_BYTES = 1 << 18  # at once, and as much again may wait for its end
TEXT, BINARY = int(Flag.TEXT), int(Flag.BINARY)
# Plain members: comparing identities is all that can be afforded for each frame.
WS_TEXT, WS_BINARY, WS_CONT = WSMsgType.TEXT, WSMsgType.BINARY, WSMsgType.CONTINUATION
WS_PING, WS_CLOSE = WSMsgType.PING, WSMsgType.CLOSE
# Its words would go to stderr between ours, and everything it has to tell is in the records.
SILENT = logging.Logger("picows", logging.CRITICAL + 1)


class PicowsConnection(WSListener):
    """One connection: what picows calls, and a `transport.Connection` for the shard."""

    def __init__(self, sink: Sink) -> None:
        self.abandoned = False  # the attempt was given up before the handshake was done
        self._sink = sink
        self._completed: list[tuple[int, bytes]] = []
        self._complete = self._completed.append
        self._stamp = (0, 0)
        self._any_frame = False
        self._fragments: list[bytes] = []
        self._fragment_bytes = 0
        self._fragmented_flag = 0  # of a message under way; 0: there is none
        self._close_sent = False
        self._close_received: Close | None = None
        self._error: str | None = None
        self._deaf = False  # nothing that still comes is a message
        self._expects_any = True  # neither of the two: any message may begin
        self._closed = asyncio.get_running_loop().create_future()

    # What picows calls.

    def on_ws_connected(self, ws: WSTransport) -> None:
        self._ws = ws
        self._transport = ws.underlying_transport
        if self.abandoned:
            self._transport.abort()
            return
        inner = cast("asyncio.BufferedProtocol", self._transport.get_protocol())
        self._transport.set_protocol(_Reads(self, inner))
        self._sink.opened(self)
        # Frames that came in one read with the handshake are stamped after its record.
        self._stamp = self._sink.stamp()

    def on_ws_frame(self, ws: WSTransport, frame: WSFrame) -> None:
        if (
            frame.msg_type is WS_TEXT
            and frame.fin
            and self._expects_any
            and not (frame.rsv1 or frame.rsv2 or frame.rsv3)
        ):
            payload = frame.get_payload_as_bytes()
            flags = TEXT if len(payload) >= PONG_MAX else with_keepalive(TEXT, payload)
            self._complete((flags, payload))
        elif not self._deaf:
            self._take(frame)
        if frame.last_in_buffer:
            self._hand_over()

    def pause_writing(self) -> None:
        """Let it be: what is sent is small, and nothing waits for it."""

    def resume_writing(self) -> None:
        """See `pause_writing`."""

    # What `_Reads` calls.

    def read_begins(self) -> None:
        """Stamp what picows is about to be given."""
        self._stamp = self._sink.stamp()

    def read_ended(self) -> None:
        """Look whether picows found something that is not WebSocket; it has sent a close frame then."""
        if self._ws.is_close_frame_sent and not self._deaf:
            self._close_sent = True
            self._be_deaf()
            sent = self._ws.close_handshake.sent
            self._error = "not WebSocket" if sent is None else sent.reason or "not WebSocket"
            self._transport.close()

    def lost(self, exc: Exception | None) -> None:
        """Tell how it ended."""
        if self._closed.done():
            return
        self._closed.set_result(None)
        received = self._close_received
        self._sink.lost(
            self,
            Ended(
                close_code=CloseCode.ABNORMAL_CLOSURE if received is None else received.code,
                close_reason="" if received is None else received.reason,
                close_was_clean=received is not None and self._close_sent,
                error=self._error if exc is None else words(exc),
            ),
        )

    # What the shard calls.

    def send_now(self, text: str) -> None:
        if not self._close_sent and not self._transport.is_closing():
            self._ws.send(WS_TEXT, text.encode())

    def drop(self) -> None:
        self._transport.abort()

    async def close(self, *, reason: str) -> None:
        if not self._transport.is_closing():
            self._send_close(Close(CloseCode.NORMAL_CLOSURE, reason))
        try:
            async with asyncio.timeout(CLOSE_SECONDS):
                await asyncio.shield(self._closed)
        except TimeoutError:
            self._transport.abort()
            await self.wait_closed()

    async def wait_closed(self) -> None:
        await asyncio.shield(self._closed)

    def described(self, url: str, connect_ns: int) -> Opened:
        return Opened(
            url=url,
            local_address=address(self._transport.get_extra_info("sockname")),
            remote_address=address(self._transport.get_extra_info("peername")),
            connect_ns=connect_ns,
        )

    # Inside.

    def _hand_over(self) -> None:
        completed = self._completed.copy()
        if not completed:
            return
        self._completed.clear()
        if not self._any_frame:
            self._any_frame = True
            completed[0] = (completed[0][0] | FIRST, completed[0][1])
        self._sink.received(self, completed, self._stamp)

    def _take(self, frame: WSFrame) -> None:
        """Take any frame but a plain text; what may not stand here ends the connection."""
        try:
            if frame.rsv1 or frame.rsv2 or frame.rsv3:
                raise ProtocolError("reserved bits must be 0")
            kind = frame.msg_type
            if kind is WS_TEXT or kind is WS_BINARY or kind is WS_CONT:
                self._take_data(frame)
            elif kind is WS_PING:
                self._ws.send_pong(frame.get_payload_as_bytes())
            elif kind is WS_CLOSE:
                # Nothing that still comes would be read; see `transport`.
                self._be_deaf()
                self._close_received = Close.parse(frame.get_payload_as_bytes())
                self._send_close(self._close_received)
                self._transport.close()
        except ProtocolError as error:
            self._refuse(CloseCode.PROTOCOL_ERROR, error)
        except UnicodeDecodeError as error:
            self._refuse(CloseCode.INVALID_DATA, error)

    def _take_data(self, frame: WSFrame) -> None:
        if (frame.msg_type is WS_CONT) != bool(self._fragmented_flag):
            raise ProtocolError("unexpected continuation frame or expected one")
        if frame.msg_type is not WS_CONT:
            self._fragmented_flag = TEXT if frame.msg_type is WS_TEXT else BINARY
            self._expects_any = False
        self._fragments.append(frame.get_payload_as_bytes())
        self._fragment_bytes += frame.payload_size
        if self._fragment_bytes > PAYLOAD_MAX:
            self._refuse(
                CloseCode.MESSAGE_TOO_BIG,
                ValueError(f"{self._fragment_bytes} bytes in fragments, over {PAYLOAD_MAX}"),
            )
        elif frame.fin:
            payload = b"".join(self._fragments)
            self._completed.append((with_keepalive(self._fragmented_flag, payload), payload))
            self._fragments.clear()
            self._fragment_bytes = self._fragmented_flag = 0
            self._expects_any = True

    def _refuse(self, code: CloseCode, error: Exception) -> None:
        self._be_deaf()
        self._error = words(error)
        self._send_close(Close(code, ""))
        self._transport.close()

    def _be_deaf(self) -> None:
        self._deaf = True
        self._expects_any = False

    def _send_close(self, close: Close) -> None:
        if not self._close_sent:
            self._close_sent = True
            empty = close.code == CloseCode.NO_STATUS_RCVD  # a code that must not be sent
            self._ws.send(WS_CLOSE, b"" if empty else close.serialize())


class _Reads(asyncio.BufferedProtocol):
    """Pass what is read on to picows, and stamp it first."""

    def __init__(self, connection: PicowsConnection, inner: asyncio.BufferedProtocol) -> None:
        self._connection = connection
        self._inner = inner

    def get_buffer(self, sizehint: int) -> memoryview:
        # The kernel holds megabytes when we are behind, and picows would take them in one read: its
        # buffer doubles whenever one fills it, for good, and everything would get one stamp.
        return cast("memoryview", self._inner.get_buffer(sizehint))[:READ_BYTES]

    def buffer_updated(self, nbytes: int) -> None:
        self._connection.read_begins()
        self._inner.buffer_updated(nbytes)
        self._connection.read_ended()

    def eof_received(self) -> bool:
        return False  # the transport closes itself

    def connection_lost(self, exc: Exception | None) -> None:
        # picows is not told: it would keep its error in a future that nobody asks.
        self._connection.lost(exc)


async def open_connection(
    url: str, sink: Sink, *, open_seconds: float, user_agent: str
) -> PicowsConnection:
    """Connect; `sink.opened` has been called when this returns.

    Raises what `transport.open_connection` raises.
    """
    made: list[PicowsConnection] = []
    given_up = False

    def make() -> PicowsConnection:
        connection = PicowsConnection(sink)
        connection.abandoned = given_up
        made.append(connection)
        return connection

    try:
        async with asyncio.timeout(open_seconds):
            await ws_connect(
                make,
                url,
                websocket_handshake_timeout=open_seconds,
                logger_name=SILENT,
                enable_auto_pong=False,
                max_frame_size=PAYLOAD_MAX,
                extra_headers={"User-Agent": user_agent},
                max_redirects=REDIRECTS_MAX,
                proxy=None if is_loopback(url) else get_proxy(parse_uri(url)),
                read_buffer_init_size=2 * READ_BYTES,
            )
    except TimeoutError as error:
        given_up = True
        raise TimeoutError("timed out during opening handshake") from error
    except asyncio.CancelledError:
        given_up = True
        raise
    except OSError:
        raise  # see `transport`
    except WSInvalidStatusError as error:
        if error.response is None:
            raise InvalidHandshake(words(error)) from error
        raise InvalidStatus(Response(int(error.response.status), "", Headers())) from error
    except (WSError, ProxyError, ValueError) as error:
        raise InvalidHandshake(f"unusable answer: {words(error)}") from error
    if not made:
        raise EOFError("connection closed while the handshake was under way")
    return made[-1]
