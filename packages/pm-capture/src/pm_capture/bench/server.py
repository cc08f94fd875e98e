"""The venue of a bench: a process that sends prebuilt frames as fast as the sockets take them.

    python -m pm_capture.bench.server FIXTURES_DIR PASSES TOKEN...

Its first line on stdout is its port. When every token has been subscribed to, each connection is sent its
fixtures, PASSES times over, and then a ping; and when that is answered, another. A client answers a ping
while it takes apart the read that holds it, so the second answer says that everything before it has been
written. The second line tells what was sent, and the clock before the first byte and after the last
answer. Then the connections stay open until the client ends them. One thread a connection with blocking
sockets: the sender is never the limit.
"""

import json
import queue
import selectors
import socket
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from pathlib import Path

from websockets.frames import Frame, Opcode
from websockets.http11 import Request
from websockets.server import ServerProtocol

from pm_capture.offline.fixtures import Message, addressed, read_fixtures, sent_to

BLOCK_BYTES = 256 * 1024
READ_BYTES = 65536
PROOFS = (b"1", b"2")


class Gone(Exception):
    """The client has closed its connection before it got everything."""


class Client:
    """One connection, after it was accepted."""

    def __init__(self, connection: socket.socket) -> None:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.connection = connection
        self.subscribed: set[str] = set()
        self._protocol = ServerProtocol()
        self._answers: set[bytes] = set()

    def receive(self) -> None:
        """Take what one read brings. Raises `Gone` at the end of the stream, or OSError."""
        data = self.connection.recv(READ_BYTES)
        if not data:
            raise Gone
        protocol = self._protocol
        protocol.receive_data(data)
        for event in protocol.events_received():
            if isinstance(event, Request):
                protocol.send_response(protocol.accept(event))
            elif isinstance(event, Frame) and event.opcode is Opcode.PONG:
                self._answers.add(bytes(event.data))
            elif isinstance(event, Frame) and b"assets_ids" in event.data:
                self.subscribed.update(json.loads(bytes(event.data))["assets_ids"])
        for chunk in protocol.data_to_send():
            self.connection.sendall(chunk)

    def send(self, one_pass: Sequence[Message], passes: int) -> None:
        """Send everything, and return when the client has written it. Raises `Gone` or OSError."""
        for block in blocks(one_pass, passes):
            self.connection.sendall(block)
        for proof in PROOFS:
            self.connection.sendall(Frame(Opcode.PING, proof).serialize(mask=False))
            while proof not in self._answers:
                self.receive()

    def until_gone(self) -> None:
        """Answer the closing handshake. Raises `Gone` or OSError, as it has to end."""
        while True:
            self.receive()
            if self._protocol.close_expected():
                self.connection.shutdown(socket.SHUT_WR)


def blocks(one_pass: Sequence[Message], passes: int) -> Iterator[bytes]:
    """Yield the frames of all passes, in chunks that are worth a system call."""
    wire = b"".join(
        Frame(Opcode.TEXT, message.payload).serialize(mask=False) for message in one_pass
    )
    if not wire:
        return
    at_once = max(1, BLOCK_BYTES // len(wire))
    block = wire * at_once
    for _ in range(passes // at_once):
        yield block
    yield wire * (passes % at_once)


def subscribers(listener: socket.socket, token_ids: Sequence[str]) -> list[Client]:
    """Accept connections until every token is subscribed to. Raises `Gone` or OSError."""
    clients: list[Client] = []
    with selectors.DefaultSelector() as selector:
        selector.register(listener, selectors.EVENT_READ)
        while not set(token_ids) <= set[str]().union(*(each.subscribed for each in clients)):
            for key, _ in selector.select():
                if key.fileobj is listener:
                    clients.append(Client(listener.accept()[0]))
                    selector.register(clients[-1].connection, selectors.EVENT_READ, clients[-1])
                else:
                    key.data.receive()
    return clients


def main(arguments: Sequence[str]) -> int:
    """Serve one bench; return 0 when everything was sent and is known to be written."""
    directory, passes, *token_ids = arguments
    pairs = addressed(read_fixtures(Path(directory)).messages, token_ids)
    with socket.create_server(("127.0.0.1", 0)) as listener:
        _tell({"port": listener.getsockname()[1]})
        try:
            clients = subscribers(listener, token_ids)
        except (Gone, OSError):
            return 3
    shares = [sent_to(client.subscribed, pairs) for client in clients]
    ends: queue.SimpleQueue[int | None] = queue.SimpleQueue()

    def serve(client: Client, one_pass: Sequence[Message]) -> None:
        ended: int | None = None
        try:
            client.send(one_pass, int(passes))
            ended = time.perf_counter_ns()
            ends.put(ended)
            client.until_gone()
        except (Gone, OSError):
            if ended is None:
                ends.put(None)
        finally:
            client.connection.close()

    began = time.perf_counter_ns()
    threads = [
        threading.Thread(target=serve, args=each) for each in zip(clients, shares, strict=True)
    ]
    for thread in threads:
        thread.start()
    ended = [ends.get() for _ in threads]
    told = [end for end in ended if end is not None]
    if len(told) == len(ended):
        _tell(
            {
                "connections": len(clients),
                "frames": int(passes) * sum(map(len, shares)),
                "began_ns": began,
                "ended_ns": max(told),
            }
        )
    for thread in threads:
        thread.join()
    return 0 if len(told) == len(ended) else 3


def _tell(fields: dict[str, int]) -> None:
    sys.stdout.write(json.dumps(fields) + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
