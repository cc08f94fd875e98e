"""The venue of a bench, by its blocks and by a client that leaves."""

import socket
import threading

import pytest
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.uri import parse_uri

from pm_capture.bench.server import BLOCK_BYTES, Client, Gone, blocks, subscribers
from pm_capture.offline.fixtures import Message


def test_blocks_hold_every_pass_once() -> None:
    messages = [Message(1, b"a" * 60_000), Message(1, b"b")]
    one = b"".join(Frame(Opcode.TEXT, each.payload).serialize(mask=False) for each in messages)
    assert BLOCK_BYTES // len(one) == 4
    for passes in (1, 3, 4, 5, 8, 9):
        assert b"".join(blocks(messages, passes)) == one * passes
    assert max(map(len, blocks(messages, 9))) <= BLOCK_BYTES
    assert list(blocks([], 5)) == []


def test_a_client_that_leaves_before_the_proof_is_gone() -> None:
    listener = socket.create_server(("127.0.0.1", 0))
    port = listener.getsockname()[1]
    left = threading.Event()

    def leave() -> None:
        protocol = ClientProtocol(parse_uri(f"ws://127.0.0.1:{port}/"))
        with socket.create_connection(("127.0.0.1", port)) as client:
            protocol.send_request(protocol.connect())
            client.sendall(b"".join(protocol.data_to_send()))
            while not protocol.events_received():
                protocol.receive_data(client.recv(65536))
            protocol.send_text(b'{"assets_ids":["1","2"],"type":"market"}')
            client.sendall(b"".join(protocol.data_to_send()))
            while b"only" not in client.recv(65536):
                pass
        left.set()

    thread = threading.Thread(target=leave)
    thread.start()
    with listener:
        [client] = subscribers(listener, ["1", "2"])
    assert isinstance(client, Client)
    assert client.subscribed == {"1", "2"}
    with pytest.raises((Gone, OSError)), client.connection:
        client.send([Message(1, b"only")], 1)
    thread.join()
    assert left.is_set()
