"""Addresses, failures, and loopback; what goes over sockets is in test_daemon.py."""

import asyncio
import ssl
from collections.abc import Sequence

import pytest
from websockets.exceptions import InvalidHandshake

from pm_capture.shard_session import Ended
from pm_capture.transport import (
    Connection,
    describe_failure,
    is_loopback,
    open_connection,
)


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("ws://127.0.0.1:1/ws", True),
        ("ws://127.9.9.9/", True),
        ("ws://[::1]:80/", True),
        ("ws://localhost:80/", True),
        ("wss://a.localhost/", True),
        ("wss://ws-subscriptions-clob.polymarket.com/ws/market", False),
        ("ws://10.0.0.1/", False),
        ("ws://localhost.example.org/", False),
    ],
)
def test_loopback_needs_no_proxy(url: str, loopback: bool) -> None:
    assert is_loopback(url) is loopback


def test_failures_have_a_kind_and_words() -> None:
    assert describe_failure(ConnectionRefusedError(111, "refused")) == (
        "ConnectionRefusedError",
        "[Errno 111] refused",
    )
    assert describe_failure(TimeoutError()) == ("TimeoutError", "TimeoutError")
    error = ssl.SSLCertVerificationError(1, "x")
    error.verify_message = "certificate has expired"
    assert describe_failure(error) == ("SSLCertVerificationError", "certificate has expired")


class Told:
    """A sink of an attempt that fails: only clocks are read."""

    def stamp(self) -> tuple[int, int]:
        return (0, 0)

    def opened(self, connection: Connection) -> None:
        raise AssertionError("no handshake was completed")

    def received(
        self,
        connection: Connection,
        frames: Sequence[tuple[int, bytes]],
        stamp: tuple[int, int],
    ) -> None:
        raise AssertionError("no frame was sent")

    def lost(self, connection: Connection, ended: Ended) -> None:
        raise AssertionError("no connection was opened")


@pytest.mark.parametrize("location", ["ws://[::1", "ws://127.0.0.1:99999/", "ws://127.0.0.1:x/"])
def test_a_redirect_to_nowhere_is_a_failed_attempt(location: str) -> None:
    """A broken proxy on one reconnect of one shard must not end the run."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        head = f"HTTP/1.1 302 Found\r\nLocation: {location}\r\nContent-Length: 0\r\n\r\n"
        writer.write(head.encode())
        await writer.drain()
        writer.close()

    async def attempt() -> None:
        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            port = server.sockets[0].getsockname()[1]
            await open_connection(
                f"ws://127.0.0.1:{port}/", Told(), open_seconds=10.0, user_agent="test"
            )

    with pytest.raises(InvalidHandshake, match="unusable answer"):
        asyncio.run(attempt())
