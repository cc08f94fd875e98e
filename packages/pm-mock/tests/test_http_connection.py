import h11
import pytest

from pm_mock.http_connection import BODY_MAX, HttpConnection, Malformed, Upgrade
from pm_mock.http_message import Request, Response, json_response

GET = b"GET /book?token_id=1 HTTP/1.1\r\nHost: x\r\n\r\n"
POST = b"POST /books HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\n[{}]"
UPGRADE = (
    b"GET /ws/market?a=b HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


def parsed(data: bytes) -> tuple[int, bytes]:
    """Status and body, as a client reads them."""
    client = h11.Connection(h11.CLIENT)
    client.send(h11.Request(method="GET", target="/", headers=[("Host", "x")]))
    client.send(h11.EndOfMessage())
    client.receive_data(data)
    status, body = 0, b""
    while not isinstance(event := client.next_event(), h11.EndOfMessage):
        if isinstance(event, h11.Response):
            status = event.status_code
        if isinstance(event, h11.Data):
            body += bytes(event.data)
    return status, body


@pytest.mark.parametrize("chunk", [1, 7, 4096])
def test_requests_arrive_in_any_pieces_and_the_connection_is_kept(chunk: int) -> None:
    connection = HttpConnection()
    seen = []
    data = GET + POST + GET
    for start in range(0, len(data), chunk):
        connection.data_received(data[start : start + chunk])
        while (event := connection.next_event()) is not None:
            assert isinstance(event, Request)
            seen.append((event.method, event.path, event.body))
            assert parsed(connection.respond(json_response(len(seen)))) == (
                200,
                str(len(seen)).encode(),
            )
    assert seen == [("GET", "/book", b""), ("POST", "/books", b"[{}]"), ("GET", "/book", b"")]
    assert not connection.finished


def test_an_upgrade_keeps_its_head_and_what_follows() -> None:
    connection = HttpConnection()
    connection.data_received(UPGRADE + b"\x81\x00")
    event = connection.next_event()
    assert isinstance(event, Upgrade)
    assert event.path == "/ws/market"
    assert event.trailing == b"\x81\x00"
    assert event.head.startswith(b"GET /ws/market?a=b HTTP/1.1\r\n")
    assert b"\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n" in event.head


def test_a_refused_upgrade_is_answered_in_http() -> None:
    connection = HttpConnection()
    connection.data_received(UPGRADE)
    assert isinstance(connection.next_event(), Upgrade)
    assert parsed(connection.respond(Response(503, b"{}"), close=True)) == (503, b"{}")


def test_connection_close_is_respected() -> None:
    connection = HttpConnection()
    connection.data_received(b"GET /ok HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
    assert isinstance(connection.next_event(), Request)
    connection.respond(json_response("OK"))
    assert connection.finished


def test_head_has_no_body() -> None:
    connection = HttpConnection()
    connection.data_received(b"HEAD /ok HTTP/1.1\r\nHost: x\r\n\r\n")
    assert isinstance(connection.next_event(), Request)
    assert connection.respond(json_response("OK")).endswith(b"\r\n\r\n")


def test_what_is_not_http_is_refused() -> None:
    connection = HttpConnection()
    connection.data_received(b"\x16\x03\x01\x02\x00\r\n\r\n")
    event = connection.next_event()
    assert isinstance(event, Malformed)
    assert event.response.status == 400
    assert b"400" in connection.respond(event.response, close=True)


def test_a_body_has_a_limit() -> None:
    connection = HttpConnection()
    head = f"POST /books HTTP/1.1\r\nHost: x\r\nContent-Length: {BODY_MAX + 1}\r\n\r\n"
    connection.data_received(head.encode() + b"x" * (BODY_MAX + 1))
    event = connection.next_event()
    assert isinstance(event, Malformed)
    assert event.response.status == 413


def test_the_end_of_the_client_is_no_event() -> None:
    connection = HttpConnection()
    connection.data_received(b"")
    assert connection.next_event() is None
