"""The shell: sockets, clocks, signals and the one timer. Every decision is the venue's.

A turn feeds the venue what happened, writes out what it wants written, and arms the timer for its
deadline. A connection begins as HTTP and may become a WebSocket.
"""

import asyncio
import gc
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

from pm_frames.errors import BundleError
from pm_mock.faultplan import ABNORMAL
from pm_mock.http_connection import HttpConnection, Malformed, Upgrade
from pm_mock.http_message import Request, error
from pm_mock.sentlog import SentLog, SentLogFailed
from pm_mock.venue import Output, Venue
from pm_mock.websocket import WebSocket

# Unsent bytes of one connection above which nothing more is generated, and below which it goes on.
HIGH_WATER = 1 << 18
LOW_WATER = 1 << 16

MakeVenue = Callable[[int, int], Venue]


class Interrupted(Exception):
    """A second signal ended the venue before it had said goodbye to everyone."""

    def __init__(self, number: int) -> None:
        super().__init__(f"interrupted by a second signal ({number})")
        self.number = number


class Server:
    """Serves a venue on one listening socket until it is stopped."""

    def __init__(self, venue: Venue, sent_log: SentLog | None, wall_offset_ns: int) -> None:
        self.venue = venue
        self.sent_log = sent_log
        self.connections: dict[int, Connection] = {}
        self.transports: dict[asyncio.Transport, None] = {}
        self.stopped = asyncio.Event()
        self.failure: SentLogFailed | BundleError | Interrupted | None = None
        self.frames_sent = 0
        self.bytes_sent = 0
        self._wall_offset_ns = wall_offset_ns
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.Handle | None = None
        self._timer_ns: int | None = None

    def turn(self) -> None:
        """Write what the venue wants written and arm the timer."""
        for output in self.venue.outputs():
            if (connection := self.connections.get(output.number)) is not None:
                self._perform(connection, output)
        if self.venue.stopping and not self.connections:
            self.stopped.set()
        self._arm()

    def stop(self) -> None:
        """Stop cleanly: close every connection, then end."""
        self.venue.stop(time.perf_counter_ns())
        self.turn()

    def signalled(self, number: int) -> None:
        """A first signal stops cleanly, a second one at once."""
        if not self.venue.stopping:
            self.stop()
            return
        self.failure = self.failure or Interrupted(number)
        self.stopped.set()

    def log_closed(self, number: int, how: str) -> None:
        """Note the end of a connection in the sent log."""
        if self.sent_log is not None:
            self._logged(lambda log: log.closed(number, mono_ns=time.perf_counter_ns(), how=how))

    def log_opened(self, number: int, remote: str, *, mono_ns: int, refused: bool) -> None:
        """Note a handshake in the sent log, at the instant from which its faults count."""
        if refused:
            self._logged(lambda log: log.refused(number, remote=remote, mono_ns=mono_ns))
        else:
            self._logged(lambda log: log.opened(number, remote=remote, mono_ns=mono_ns))

    def _perform(self, connection: "Connection", output: Output) -> None:
        if output.items and not connection.transport.is_closing():
            now = time.perf_counter_ns()
            connection.transport.write(b"".join([item.wire for item in output.items]))
            payloads = [payload for item in output.items for payload in item.payloads]
            self.frames_sent += len(payloads)
            self.bytes_sent += sum(map(len, payloads))
            if self.sent_log is not None:
                wall = now + self._wall_offset_ns
                self._logged(
                    lambda log: log.sent(output.number, payloads, mono_ns=now, wall_ns=wall)
                )
        if output.ending is not None:
            connection.end(output.ending.code, output.ending.reason, output.ending.how)

    def _logged(self, write: Callable[[SentLog], None]) -> None:
        if self.sent_log is None or isinstance(self.failure, SentLogFailed):
            return
        try:
            write(self.sent_log)
        except SentLogFailed as problem:
            self.failure = problem
            self.stopped.set()

    def _arm(self) -> None:
        """Wake up at the venue's deadline; a wake-up that is early does nothing and arms again."""
        due = self.venue.deadline()
        if self._timer is not None:
            if due is not None and self._timer_ns is not None and self._timer_ns <= due:
                return
            self._timer.cancel()
            self._timer = None
        if due is None or self.stopped.is_set():
            return
        self._timer_ns = due
        delay_ns = due - time.perf_counter_ns()
        if delay_ns <= 0:
            self._timer = self._loop.call_soon(self._wake)
        else:
            self._timer = self._loop.call_later(delay_ns / 1e9, self._wake)

    def _wake(self) -> None:
        self._timer = None
        try:
            self.venue.deadline_reached(time.perf_counter_ns())
        except BundleError as problem:
            self.failure = problem
            self.stopped.set()
        self.turn()


class Connection(asyncio.Protocol):
    """One TCP connection."""

    transport: asyncio.Transport

    def __init__(self, server: Server) -> None:
        self._server = server
        self._http = HttpConnection()
        self._websocket: WebSocket | None = None
        self._number = 0
        self._how = ""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        transport.set_write_buffer_limits(high=HIGH_WATER, low=LOW_WATER)
        self.transport = transport
        self._server.transports[transport] = None

    def data_received(self, data: bytes) -> None:
        if self._websocket is not None:
            self._websocket_data(self._websocket, data)
            self._server.turn()
            return
        self._http.data_received(data)
        while not self.transport.is_closing() and self._websocket is None:
            event = self._http.next_event()
            if event is None:
                return
            self._answer(event)

    def eof_received(self) -> bool:
        if self._websocket is not None:
            self._websocket.eof_received()
        return False

    def pause_writing(self) -> None:
        self._server.venue.blocked(self._number, blocked=True)

    def resume_writing(self) -> None:
        self._server.venue.blocked(self._number, blocked=False)
        self._server.turn()

    def connection_lost(self, exc: Exception | None) -> None:
        self._server.transports.pop(self.transport, None)
        if self._websocket is None:
            return
        peer = "peer" if self._websocket.peer_closed else "lost"
        del self._server.connections[self._number]
        self._server.venue.connection_closed(self._number)
        self._server.log_closed(self._number, self._how or peer)
        self._server.turn()

    def end(self, code: int, reason: str, how: str) -> None:
        """End the WebSocket: code 1006 drops it, any other begins the closing handshake."""
        assert self._websocket is not None
        self._how = self._how or how
        if code == ABNORMAL:
            self.transport.abort()
            return
        self._websocket.close(code, reason)
        self._flush_websocket(self._websocket)

    def _answer(self, event: Request | Upgrade | Malformed) -> None:
        now = time.perf_counter_ns()
        match event:
            case Upgrade():
                self._upgrade(event, now)
                return
            case Malformed(response):
                sent = self._http.respond(response, close=True)
            case _:
                sent = self._http.respond(self._server.venue.respond(event, now))
        self.transport.write(sent)
        if isinstance(event, Malformed) or self._http.finished:
            self.transport.close()

    def _upgrade(self, event: Upgrade, now: int) -> None:
        host, port = self.transport.get_extra_info("peername")[:2]
        remote = f"{host}:{port}"
        number, refusal = self._server.venue.handshake(event.path, now)
        if refusal is not None:
            self._server.log_opened(number, remote, mono_ns=now, refused=True)
            if refusal == 0:
                self.transport.abort()
                return
            answer = error(refusal, "connection refused")
            self.transport.write(self._http.respond(answer, close=True))
            self.transport.close()
            return
        websocket = WebSocket(event.head)
        if not websocket.accepted:
            self._server.log_opened(number, remote, mono_ns=now, refused=True)
            self._flush_websocket(websocket)
            self.transport.close()
            return
        self._number, self._websocket = number, websocket
        self._server.connections[number] = self
        self._server.log_opened(number, remote, mono_ns=now, refused=False)
        self._server.venue.connection_opened(number, now)
        self._websocket_data(websocket, event.trailing)
        self._server.turn()

    def _websocket_data(self, websocket: WebSocket, data: bytes) -> None:
        venue = self._server.venue
        for message in websocket.data_received(data):
            if isinstance(message, str):
                venue.text_received(self._number, message, time.perf_counter_ns())
            else:
                venue.binary_received(self._number)
        self._flush_websocket(websocket)

    def _flush_websocket(self, websocket: WebSocket) -> None:
        data, ended = websocket.data_to_send()
        if data and not self.transport.is_closing():
            self.transport.write(data)
        if ended:
            self.transport.close()


class Running(NamedTuple):
    """A venue that accepts connections."""

    host: str
    port: int
    server: Server


async def serve(
    make_venue: MakeVenue,
    *,
    host: str,
    port: int,
    sent_log_dir: Path | None,
    on_ready: Callable[[Running], None],
) -> dict[str, int | float]:
    """Serve until a signal or the venue's own end; returns the counts of what happened.

    `make_venue` takes the start (monotonic ns) and what to add to make wall time of it. Raises `OSError` if
    the address cannot be had, `SentLogFailed`, `Interrupted`, and `BundleError` from a bundle that turns
    out damaged.
    """
    loop = asyncio.get_running_loop()
    start_ns = time.perf_counter_ns()
    wall_offset_ns = time.time_ns() - start_ns
    sent_log = SentLog(sent_log_dir) if sent_log_dir is not None else None
    server = Server(make_venue(start_ns, wall_offset_ns), sent_log, wall_offset_ns)
    listener = await loop.create_server(lambda: Connection(server), host, port)
    _on_signals(loop, server.signalled)
    # What exists now stays for good: the collector need not look at it again.
    gc.collect()
    gc.freeze()
    address = listener.sockets[0].getsockname()
    on_ready(Running(address[0], address[1], server))
    server.turn()
    await server.stopped.wait()
    listener.close()
    for transport in list(server.transports):
        transport.abort()
    await asyncio.sleep(0)
    gc.unfreeze()
    if sent_log is not None:
        sent_log.close()
    if server.failure is not None:
        raise server.failure
    return {
        "frames_sent": server.frames_sent,
        "bytes_sent": server.bytes_sent,
        **server.venue.counts(),
        "elapsed_seconds": round((time.perf_counter_ns() - start_ns) / 1e9, 3),
    }


def _on_signals(loop: asyncio.AbstractEventLoop, signalled: Callable[[int], None]) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):
        try:
            loop.add_signal_handler(number, signalled, number)
        except NotImplementedError:  # Windows
            signal.signal(number, lambda got, _: loop.call_soon_threadsafe(signalled, got))
