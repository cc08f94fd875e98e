"""The HTTP side of a connection, sans-IO, until the client asks for a WebSocket.

IDLE ──request──► IDLE …        ──upgrade──► the bytes go to `pm_mock.websocket`
"""

from typing import NamedTuple

import h11

from pm_mock.http_message import Request, Response, error, request

BODY_MAX = 1 << 20


class Upgrade(NamedTuple):
    """A WebSocket handshake: its path, its head as bytes, and what followed the head."""

    path: str
    head: bytes
    trailing: bytes


class Malformed(NamedTuple):
    """Something that is not acceptable HTTP; after `response` the connection ends."""

    response: Response


class HttpConnection:
    """Turns bytes into requests and responses into bytes, one at a time."""

    def __init__(self) -> None:
        self._h11 = h11.Connection(h11.SERVER)
        self._request: h11.Request | None = None
        self._body = b""

    @property
    def finished(self) -> bool:
        """Whether the connection is to be closed: nothing can follow on it."""
        return self._h11.our_state in (h11.MUST_CLOSE, h11.CLOSED, h11.ERROR)

    def data_received(self, data: bytes) -> None:
        """Take bytes of the client; empty bytes mean its end."""
        self._h11.receive_data(data)

    def next_event(self) -> Request | Upgrade | Malformed | None:
        """The next thing to answer, None if more bytes are needed. Answer it before asking again."""
        try:
            while True:
                event = self._h11.next_event()
                match event:
                    case h11.Request():
                        if _wants_websocket(event):
                            return self._upgrade(event)
                        self._request, self._body = event, b""
                        if self._h11.they_are_waiting_for_100_continue:
                            return Malformed(error(417, "Expect is not supported"))
                    case h11.Data():
                        self._body += bytes(event.data)
                        if len(self._body) > BODY_MAX:
                            return Malformed(error(413, f"body above {BODY_MAX} bytes"))
                    case h11.EndOfMessage():
                        assert self._request is not None
                        return request(
                            self._request.method.decode(),
                            self._request.target.decode("latin-1"),
                            self._body,
                        )
                    case _:
                        return None
        except h11.RemoteProtocolError as problem:
            return Malformed(error(problem.error_status_hint, str(problem)))

    def respond(self, response: Response, *, close: bool = False) -> bytes:
        """The bytes of a response; with `close` the connection ends after it."""
        headers = [
            ("Content-Type", response.content_type),
            ("Content-Length", str(len(response.body))),
            *response.headers,
        ]
        if close:
            headers.append(("Connection", "close"))
        sent = self._h11.send(h11.Response(status_code=response.status, headers=headers)) or b""
        is_head = self._request is not None and self._request.method == b"HEAD"
        if not is_head:
            sent += self._h11.send(h11.Data(data=response.body)) or b""
        sent += self._h11.send(h11.EndOfMessage()) or b""
        if self._h11.our_state is h11.DONE and self._h11.their_state is h11.DONE:
            self._h11.start_next_cycle()
        return sent

    def _upgrade(self, event: h11.Request) -> Upgrade:
        target = event.target.decode("latin-1")
        lines = [f"GET {target} HTTP/1.1".encode("latin-1")]
        lines += [name + b": " + value for name, value in event.headers]
        trailing, _ = self._h11.trailing_data
        return Upgrade(target.partition("?")[0], b"\r\n".join(lines) + b"\r\n\r\n", bytes(trailing))


def _wants_websocket(event: h11.Request) -> bool:
    return event.method == b"GET" and any(
        name == b"upgrade" and value.lower() == b"websocket" for name, value in event.headers
    )
