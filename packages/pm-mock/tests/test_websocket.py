from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from pm_mock.websocket import MESSAGE_MAX, WebSocket
from pm_mock.wire import text_frame


def pair() -> tuple[ClientProtocol, WebSocket]:
    """A client of the library and our side, after the handshake."""
    client = ClientProtocol(parse_uri("ws://x/ws/market"), max_size=None)
    client.send_request(client.connect())
    ours = WebSocket(b"".join(client.data_to_send()))
    assert ours.accepted
    data, ended = ours.data_to_send()
    client.receive_data(data)
    client.events_received()
    assert not ended
    return client, ours


def to_us(client: ClientProtocol, ours: WebSocket) -> list[str | bytes]:
    return ours.data_received(b"".join(client.data_to_send()))


def test_messages_are_whole_even_in_fragments() -> None:
    client, ours = pair()
    client.send_text(b"PING")
    client.send_text(b'{"assets', fin=False)
    client.send_ping(b"between")
    client.send_continuation(b'_ids":[]}', fin=True)
    client.send_binary(b"\x00")
    assert to_us(client, ours) == ["PING", '{"assets_ids":[]}', b"\x00"]
    client.receive_data(ours.data_to_send()[0])
    pong = client.events_received()[0]
    assert isinstance(pong, Frame)
    assert (pong.opcode, pong.data) == (Opcode.PONG, b"between")


def test_frames_built_by_hand_are_understood() -> None:
    client, _ = pair()
    client.receive_data(text_frame("é".encode() * 40_000))
    [message] = client.events_received()
    assert isinstance(message, Frame)
    assert message.data == "é".encode() * 40_000


def test_we_close_and_the_peer_answers() -> None:
    client, ours = pair()
    ours.close(1001, "going away")
    ours.close(1000, "once is enough")
    data, ended = ours.data_to_send()
    assert not ended
    client.receive_data(data)
    assert (client.close_rcvd and client.close_rcvd.code) == 1001
    assert not ours.peer_closed
    to_us(client, ours)
    assert ours.peer_closed
    assert ours.data_to_send()[1], "the server ends the connection"
    assert not ours.open


def test_the_peer_closes() -> None:
    client, ours = pair()
    client.send_close(1000)
    assert to_us(client, ours) == []
    assert ours.peer_closed
    data, ended = ours.data_to_send()
    assert data
    assert ended


def test_a_peer_that_breaks_the_protocol_is_told_so() -> None:
    _, ours = pair()
    assert ours.data_received(b"\x81\x01x") == []  # not masked
    data, ended = ours.data_to_send()
    assert data[:2] == b"\x88" + bytes([len(data) - 2])
    assert int.from_bytes(data[2:4], "big") == 1002
    assert ended


def test_text_that_is_not_utf8_ends_the_connection() -> None:
    client, ours = pair()
    client.send_text(b"\xff")
    assert to_us(client, ours) == []
    assert int.from_bytes(ours.data_to_send()[0][2:4], "big") == 1007


def test_a_message_has_a_limit() -> None:
    client, ours = pair()
    client.send_text(b"x" * (MESSAGE_MAX + 1))
    assert to_us(client, ours) == []
    assert int.from_bytes(ours.data_to_send()[0][2:4], "big") == 1009


def test_a_bad_handshake_is_answered_and_refused() -> None:
    ours = WebSocket(b"GET /ws/market HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\n\r\n")
    assert not ours.accepted
    data, ended = ours.data_to_send()
    assert data.startswith(b"HTTP/1.1 4")
    assert ended


def test_the_end_of_the_peer() -> None:
    _, ours = pair()
    ours.eof_received()
    assert not ours.open
    assert not ours.peer_closed
