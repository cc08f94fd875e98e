"""A WebSocket server that sends bursts of frames, each frame with the moment when its burst was begun.

    python bursts.py FRAMES_PER_BURST BURSTS

Prints its port. Whoever connects is sent the bursts, paced, in one system call each; then the connection
stays open and silent. The first 20 digits of a payload are `perf_counter_ns` of this process, which on one
machine is that of all.
"""

import contextlib
import socket
import sys
import time

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

SINGLES_SECONDS = 0.0005
BURSTS_SECONDS = 0.05
PADDING = b" " + b"x" * 578  # about as long as a price change


def accept(connection: socket.socket) -> None:
    protocol = ServerProtocol()
    while True:
        protocol.receive_data(connection.recv(65536))
        for event in protocol.events_received():
            if isinstance(event, Request):
                protocol.send_response(protocol.accept(event))
                for chunk in protocol.data_to_send():
                    connection.sendall(chunk)
                return


def main() -> None:
    frames, bursts = map(int, sys.argv[1:])
    head = Frame(Opcode.TEXT, b"0" * 20 + PADDING).serialize(mask=False)[: -20 - len(PADDING)]
    pause = SINGLES_SECONDS if frames == 1 else BURSTS_SECONDS
    with socket.create_server(("127.0.0.1", 0)) as listener:
        print(listener.getsockname()[1], flush=True)
        connection, _ = listener.accept()
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    accept(connection)
    time.sleep(0.1)  # the client is in its loop now
    due = time.perf_counter()
    with contextlib.suppress(OSError):  # the client has seen enough
        for _ in range(bursts):
            due += pause
            time.sleep(max(0.0, due - time.perf_counter()))
            frame = head + b"%020d" % time.perf_counter_ns() + PADDING
            connection.sendall(frame * frames)
        connection.recv(65536)


if __name__ == "__main__":
    main()
