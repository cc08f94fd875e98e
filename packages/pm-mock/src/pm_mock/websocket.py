"""The WebSocket side of a connection, sans-IO, on the `websockets` library's own state machine.

Data frames do not go through it on their way out: they are framed once for all subscribers
(`pm_mock.wire`). Handshake, control frames and everything incoming do.
"""

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.protocol import State
from websockets.server import ServerProtocol

MESSAGE_MAX = 16 << 20


class WebSocket:
    """One connection, from the head of its handshake on. Compression is not offered."""

    def __init__(self, head: bytes) -> None:
        self._protocol = ServerProtocol(max_size=MESSAGE_MAX)
        self._fragments: list[bytes] = []
        self._fragmented_text = False
        self._protocol.receive_data(head)
        events = self._protocol.events_received()
        self.accepted = False
        if events and isinstance(events[0], Request):
            response = self._protocol.accept(events[0])
            self._protocol.send_response(response)
            self.accepted = response.status_code == 101

    @property
    def open(self) -> bool:
        """Whether data may still be sent."""
        return self._protocol.state is State.OPEN

    @property
    def peer_closed(self) -> bool:
        """Whether the client has sent a close frame."""
        return self._protocol.close_rcvd is not None

    def data_received(self, data: bytes) -> list[str | bytes]:
        """Take bytes; returns the whole messages that they complete, text as `str`."""
        self._protocol.receive_data(data)
        return self._messages()

    def eof_received(self) -> None:
        """The client has ended its side."""
        self._protocol.receive_eof()

    def data_to_send(self) -> tuple[bytes, bool]:
        """What the protocol itself has to send, and whether the connection ends after it."""
        chunks = self._protocol.data_to_send()
        return b"".join(chunks), b"" in chunks

    def close(self, code: int, reason: str) -> None:
        """Begin the closing handshake, unless it has begun."""
        if self._protocol.state is State.OPEN:
            self._protocol.send_close(code, reason)

    def _messages(self) -> list[str | bytes]:
        messages: list[str | bytes] = []
        for event in self._protocol.events_received():
            assert isinstance(event, Frame)
            if event.opcode in (Opcode.TEXT, Opcode.BINARY):
                self._fragments = []
                self._fragmented_text = event.opcode is Opcode.TEXT
            elif event.opcode is not Opcode.CONT:
                continue
            self._fragments.append(bytes(event.data))
            if event.fin:
                message = b"".join(self._fragments)
                self._fragments = []
                try:
                    messages.append(message.decode() if self._fragmented_text else message)
                except UnicodeDecodeError:
                    self._protocol.fail(1007, "invalid UTF-8")
                    return messages
        return messages
