"""The venue, sans-IO: connections, requests, faults and a source, driven by `now` (monotonic ns).

The shell feeds what happened and calls `deadline_reached` when `deadline` comes. After every feed it takes
`outputs`: for each connection what is to be written and, if it is to end, how.
"""

from collections.abc import Iterable, Iterator
from typing import NamedTuple, Protocol

from pm_mock.catalogue import Catalogue
from pm_mock.channel import Channel, Gate, Subscribe, Unsubscribe
from pm_mock.clob import Clob
from pm_mock.faultplan import ABNORMAL
from pm_mock.faults import CloseConnection, Faults, SendGarbage, SetGate
from pm_mock.gamma import Gamma
from pm_mock.http_message import Request, Response, error, json_response
from pm_mock.hub import Hub
from pm_mock.pace import SECOND_NS
from pm_mock.wire import Outgoing, outgoing

MARKET_PATH = "/ws/market"
CLOSE_TIMEOUT_NS = 2 * SECOND_NS
GOING_AWAY = 1001
NS_PER_MS = 1_000_000


class Source(Protocol):
    """Where the messages come from."""

    catalogue: Catalogue

    def subscribed(self, channel: Channel, request: Subscribe, now_ns: int) -> None:
        """Answer a subscription; `request.tokens` are those that are served."""

    def closed(self, channel: Channel) -> None:
        """Forget a connection."""

    def summary_of(self, token: str) -> bytes | None:
        """The text of `GET /book`."""

    def wall_ms(self, now_ns: int) -> int | None:
        """The venue's time (ms since 1970); None for that of this machine."""

    def deadline(self) -> int | None:
        """When there is something to send."""

    def deadline_reached(self, now_ns: int) -> None:
        """Queue what is due, a bounded amount."""

    def closings(self) -> Iterable[CloseConnection]:
        """Take the connections that end by what was due."""

    def counts(self) -> dict[str, int]:
        """Figures for the last line of the program."""


class Ending(NamedTuple):
    """How the venue ends a connection: with a close frame, or dropping it (code 1006)."""

    code: int
    reason: str
    how: str


class Output(NamedTuple):
    """What is to be written to a connection, in order, and how it ends after that."""

    number: int
    items: list[Outgoing]
    ending: Ending | None


class Venue:
    """All of a venue but its sockets and clocks. `wall_offset_ns` makes wall time of `now`."""

    def __init__(
        self,
        source: Source,
        hub: Hub,
        faults: Faults,
        *,
        start_ns: int,
        wall_offset_ns: int,
        duration_ns: int | None = None,
    ) -> None:
        self._source = source
        self._hub = hub
        self._faults = faults
        self._wall_offset_ns = wall_offset_ns
        self._stop_ns = None if duration_ns is None else start_ns + duration_ns
        self._gamma = Gamma(source.catalogue)
        self._clob = Clob(source.catalogue, source.summary_of)
        self._channels: dict[int, Channel] = {}
        self._endings: dict[int, Ending] = {}
        self._abandon_ns: dict[int, int] = {}
        self._handshakes = 0
        self._requests = 0
        self.stopping = False

    # -- requests -------------------------------------------------------------------------------

    def respond(self, request: Request, now_ns: int) -> Response:
        """Answer a plain HTTP request."""
        self._requests += 1
        if request.path == "/api/geoblock":
            return json_response(
                {"blocked": False, "ip": "127.0.0.1", "country": "IE", "region": "L"}
            )
        if request.path.startswith(("/markets", "/events")):
            if request.method != "GET":
                return error(405, "method not allowed")
            spoiled = self._faults.spoiled(request.path, now_ns)
            answer = spoiled or self._gamma.respond(request)
        else:
            wall_ms = self._source.wall_ms(now_ns)
            if wall_ms is None:
                wall_ms = (now_ns + self._wall_offset_ns) // NS_PER_MS
            answer = self._clob.respond(request, wall_ms)
        return answer or error(404, f"no such endpoint: {request.method} {request.path}")

    # -- connections ----------------------------------------------------------------------------

    def handshake(self, path: str, now_ns: int) -> tuple[int, int | None]:
        """Take a WebSocket handshake: its number, and the status that refuses it or None.

        Status 0 means to drop the TCP connection.
        """
        self._handshakes += 1
        number = self._handshakes
        if path != MARKET_PATH:
            return number, 404
        return number, self._faults.refusal(number, now_ns)

    def connection_opened(self, number: int, now_ns: int) -> None:
        """A handshake was accepted."""
        self._channels[number] = Channel(number)
        self._faults.connection_opened(number, now_ns)

    def text_received(self, number: int, text: str, now_ns: int) -> None:
        """A client sent a text message."""
        channel = self._channels.get(number)
        if channel is None or number in self._abandon_ns:
            return
        match channel.text_received(text):
            case Subscribe() as wanted:
                served = tuple(one for one in wanted.tokens if not self._faults.starved(one))
                self._hub.subscribe(channel, served)
                # A frozen venue answers a subscription with silence, and has no answer for it later.
                self._source.subscribed(channel, wanted._replace(tokens=served), now_ns)
            case Unsubscribe(tokens):
                self._hub.unsubscribe(channel, tokens)

    def binary_received(self, number: int) -> None:
        """A client sent a binary message, which the venue does not understand."""
        if (channel := self._channels.get(number)) is not None:
            channel.invalid()

    def blocked(self, number: int, *, blocked: bool) -> None:
        """The unsent bytes of a connection went above, or came below, their limit."""
        if (channel := self._channels.get(number)) is not None:
            self._hub.set_blocked(channel, blocked=blocked)

    def connection_closed(self, number: int) -> None:
        """A connection is gone."""
        channel = self._channels.pop(number, None)
        if channel is None:
            return
        self._endings.pop(number, None)
        self._abandon_ns.pop(number, None)
        self._hub.remove(channel)
        self._source.closed(channel)
        self._faults.connection_closed(number)

    def stop(self, now_ns: int) -> None:
        """Close every connection; nothing is generated any more."""
        self.stopping = True
        for number in self._channels:
            self._end(number, Ending(GOING_AWAY, "", "shutdown"), now_ns)

    # -- time -----------------------------------------------------------------------------------

    def deadline(self) -> int | None:
        """When `deadline_reached` has something to do."""
        deadlines = [min(self._abandon_ns.values(), default=None)]
        if not self.stopping:
            deadlines += [self._source.deadline(), self._faults.deadline(), self._stop_ns]
        return min((due for due in deadlines if due is not None), default=None)

    def deadline_reached(self, now_ns: int) -> None:
        """Do what is due; early calls do nothing."""
        for number, due_ns in list(self._abandon_ns.items()):
            if due_ns <= now_ns:
                self._endings[number] = Ending(ABNORMAL, "", "no answer to our close frame")
                del self._abandon_ns[number]
        if self.stopping:
            return
        if self._stop_ns is not None and self._stop_ns <= now_ns:
            self.stop(now_ns)
            return
        for action in self._faults.deadline_reached(now_ns):
            match action:
                case CloseConnection(number, code, reason):
                    self._end(number, Ending(code, reason, "fault"), now_ns)
                case SetGate(number, gate):
                    self._set_gate(number, gate)
                case SendGarbage(number, text):
                    self._channels[number].send(outgoing(text.encode()))
        self._source.deadline_reached(now_ns)
        for number, code, reason in self._source.closings():
            self._end(number, Ending(code, reason, "recorded"), now_ns)

    def outputs(self) -> Iterator[Output]:
        """Take what is to be done: each output is given once."""
        for number, channel in list(self._channels.items()):
            ending = self._endings.pop(number, None)
            if channel.outbox or ending is not None:
                items, channel.outbox = channel.outbox, []
                yield Output(number, items, ending)

    def counts(self) -> dict[str, int]:
        """Figures for the last line of the program."""
        return {
            "http_requests": self._requests,
            "handshakes": self._handshakes,
            "faults": self._faults.struck,
            **self._source.counts(),
        }

    def _end(self, number: int, ending: Ending, now_ns: int) -> None:
        if number in self._abandon_ns:
            return
        channel = self._channels[number]
        self._endings[number] = ending
        self._abandon_ns[number] = now_ns + CLOSE_TIMEOUT_NS
        # What is queued goes out first; nothing may follow the close frame.
        channel.gate = Gate.MUTE
        self._hub.remove(channel)
        self._source.closed(channel)

    def _set_gate(self, number: int, gate: Gate) -> None:
        if number not in self._abandon_ns:
            self._channels[number].gate = gate
