"""Whatever a client sends, it gets an answer or none, and nothing is raised."""

import json

from hypothesis import given
from hypothesis import strategies as st

from pm_mock.channel import Channel
from pm_mock.http_connection import HttpConnection, Malformed, Upgrade
from pm_mock.http_message import json_response
from pm_mock.websocket import WebSocket

HANDSHAKE = (
    b"GET /ws/market HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
REQUEST_PARTS = st.sampled_from(
    [
        b"GET /book?token_id=1 HTTP/1.1\r\n",
        b"POST //[::1?%zz=&a HTTP/1.0\r\n",
        b"Host: x\r\n",
        b"Content-Length: 3\r\n",
        b"Transfer-Encoding: chunked\r\n",
        b"Expect: 100-continue\r\n",
        b"Connection: close\r\n",
        b"Upgrade: websocket\r\n",
        b"\r\n",
        b"abc",
        b"3\r\nabc\r\n0\r\n\r\n",
    ]
)


@given(st.lists(st.one_of(REQUEST_PARTS, st.binary(max_size=30)), max_size=12))
def test_http(parts: list[bytes]) -> None:
    connection = HttpConnection()
    for part in parts:
        if connection.finished:
            return
        connection.data_received(part)
        while (event := connection.next_event()) is not None:
            if isinstance(event, Upgrade):
                WebSocket(event.head)
                return
            if isinstance(event, Malformed):
                assert connection.respond(event.response, close=True).startswith(b"HTTP/1.1 ")
                return
            assert connection.respond(json_response(None)).startswith(b"HTTP/1.1 200 ")


@given(st.lists(st.binary(max_size=40), max_size=8))
def test_websocket_frames(chunks: list[bytes]) -> None:
    websocket = WebSocket(HANDSHAKE)
    for chunk in chunks:
        websocket.data_received(chunk)
        _, ended = websocket.data_to_send()
        if ended:
            return


MEMBERS = st.fixed_dictionaries(
    {},
    optional={
        "assets_ids": st.one_of(
            st.lists(st.sampled_from(["1", "2", "3"]), max_size=4), st.integers()
        ),
        "type": st.sampled_from(["market", "MARKET", "user", None]),
        "operation": st.sampled_from(["subscribe", "unsubscribe", "other", None]),
        "initial_dump": st.booleans(),
        "custom_feature_enabled": st.one_of(st.booleans(), st.none(), st.text(max_size=2)),
        "level": st.integers(-1, 9),
    },
)


@given(
    st.lists(st.one_of(MEMBERS.map(json.dumps), st.text(max_size=20), st.just("PING")), max_size=15)
)
def test_messages(texts: list[str]) -> None:
    """Only PONG and INVALID OPERATION are answered; tokens are only those that were asked for."""
    channel = Channel(1)
    for text in texts:
        channel.text_received(text)
    answers = {payload for item in channel.outbox for payload in item.payloads}
    assert answers <= {b"PONG", b"INVALID OPERATION"}
    assert set(channel.tokens) <= {"1", "2", "3"}
    assert channel.subscribed or not channel.tokens
