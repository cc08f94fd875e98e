"""A WebSocket server that sends prebuilt frames as fast as the socket takes them.

    python firehose.py FRAMES_PER_CONNECTION

Prints its port. Each connection that sends a market subscription gets one `book` array for its first
token and then price_change frames of about 600 bytes, until the count is reached; then the connection
stays open and silent. One thread a connection, blocking sockets: the sender is never the limit.
"""

import contextlib
import json
import socket
import sys
import threading

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

BLOCK_FRAMES = 1000


def wire(payload: bytes) -> bytes:
    return Frame(Opcode.TEXT, payload).serialize(mask=False)


def price_change(token: str, number: int) -> bytes:
    """A frame of the size and shape of the venue's: two changes, mirrored."""
    changes = [
        {
            "asset_id": token,
            "price": f"0.{400 + number % 100}",
            "size": str(number % 9000 + 1),
            "side": side,
            "hash": f"{number:040x}",
            "best_bid": "0.4",
            "best_ask": "0.6",
        }
        for side in ("BUY", "SELL")
    ]
    message = {
        "market": "0x" + "ab" * 32,
        "price_changes": changes,
        "timestamp": str(1_790_000_000_000 + number),
        "event_type": "price_change",
    }
    return json.dumps(message, separators=(", ", ":")).encode()


def book(token: str) -> bytes:
    sides = {"bids": [{"price": "0.4", "size": "1"}], "asks": [{"price": "0.6", "size": "1"}]}
    head = {
        "market": "0x" + "ab" * 32,
        "asset_id": token,
        "timestamp": "1790000000000",
        "hash": "0" * 40,
    }
    return json.dumps([{**head, **sides, "event_type": "book"}], separators=(",", ":")).encode()


def serve(connection: socket.socket, frames: int) -> None:
    protocol = ServerProtocol()
    token = None
    while token is None:
        data = connection.recv(65536)
        if not data:
            return
        protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Request):
                protocol.send_response(protocol.accept(event))
            elif (
                isinstance(event, Frame)
                and event.opcode is Opcode.TEXT
                and b"assets_ids" in event.data
            ):
                token = json.loads(event.data)["assets_ids"][0]
        for chunk in protocol.data_to_send():
            connection.sendall(chunk)
    block = [wire(price_change(token, number)) for number in range(BLOCK_FRAMES)]
    whole = b"".join(block)
    with contextlib.suppress(OSError):  # the client has seen enough
        connection.sendall(wire(book(token)))
        for _ in range(frames // BLOCK_FRAMES):
            connection.sendall(whole)
        while connection.recv(65536):
            pass


def main() -> None:
    frames = int(sys.argv[1])
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        while True:
            connection, _ = listener.accept()
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            threading.Thread(target=serve, args=(connection, frames), daemon=True).start()


if __name__ == "__main__":
    main()
