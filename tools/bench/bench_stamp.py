"""When is a frame stamped? pm-capture's stamp against one taken after `await recv()`.

    python tools/bench/bench_stamp.py [--rounds N]

`bursts.py` writes the monotonic clock into each frame, a moment before it hands a burst of them to the
kernel; both processes read the same clock. The lag of a stamp is the time since then. Single frames come
2,000 times a second, bursts of 500 every 50 ms. All clients in turn, in the same run; what may be quoted is
the ratio of the median lags.

Two lines, on Linux, say what is left to win. `kernel` is the receive time that the kernel itself gives to a
segment (SO_TIMESTAMPNS): what comes before is building and sending, which counts for all alike, so a second
ratio tells the lags without it. `bare socket` is a stamp right after the read of a loop that does nothing
but wait in epoll and read: Python cannot be sooner.
"""

import argparse
import asyncio
import select
import socket
import statistics
import struct
import sys
from collections.abc import Callable, Coroutine, Sequence
from time import perf_counter_ns, time_ns
from typing import Any

from bursts import PADDING
from loopback import sender

from pm_capture.carriers import carrier
from pm_capture.shard_session import Ended
from pm_capture.stamper import Stamper
from pm_capture.transport import Connection

# (name, frames in a burst, bursts, goal as a ratio of the medians)
SHAPES = (("single frames", 1, 4000, 0.6), ("bursts of 500", 500, 60, 0.25))

SO_TIMESTAMPNS = 35  # the number of Linux, which Python does not name
KERNEL, BARE, BASE = "kernel", "bare socket", "after recv()"
UPGRADE = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)
FRAME_BYTES = 4 + 20 + len(PADDING)


def lag(stamp: int, payload: bytes) -> int:
    return stamp - int(payload[:20])


async def after_recv(port: int, frames: int) -> list[int]:
    """Stamp where most programs do."""
    from websockets.asyncio.client import connect

    stamper = Stamper(perf_counter_ns, time_ns)
    lags = []
    async with connect(
        f"ws://127.0.0.1:{port}/", compression=None, proxy=None, ping_interval=None
    ) as ws:
        for _ in range(frames):
            payload = await ws.recv(decode=False)
            lags.append(lag(stamper.frames()[0], payload))
    return lags


class Lags:
    """A `transport.Sink` that keeps lags, as `ShardLink` keeps frames."""

    def __init__(self, frames: int) -> None:
        self.stamp = Stamper(perf_counter_ns, time_ns).frames
        self.lags: list[int] = []
        self.done = asyncio.get_running_loop().create_future()
        self._frames = frames

    def opened(self, connection: Connection) -> None:
        pass

    def received(
        self, connection: Connection, frames: Sequence[tuple[int, bytes]], stamp: tuple[int, int]
    ) -> None:
        self.lags += [lag(stamp[0], payload) for _, payload in frames]
        if len(self.lags) >= self._frames and not self.done.done():
            self.done.set_result(None)

    def lost(self, connection: Connection, ended: Ended) -> None:
        if not self.done.done():
            self.done.set_exception(ConnectionError(str(ended)))


def by(transport: str) -> Callable[[int, int], Coroutine[Any, Any, list[int]]]:
    async def at_the_read(port: int, frames: int) -> list[int]:
        sink = Lags(frames)
        _, open_connection = carrier(transport)
        url = f"ws://127.0.0.1:{port}/"
        connection: Any = await open_connection(url, sink, open_seconds=10, user_agent="bench")
        await sink.done
        connection.drop()
        return sink.lags

    return at_the_read


def by_hand(port: int, frames: int, *, kernel: bool) -> list[int]:
    """Read without a library; the kernel stamps a read with the time of its last segment."""
    lags: list[int] = []
    with socket.create_connection(("127.0.0.1", port)) as connection, select.epoll() as waiting:
        connection.setsockopt(socket.SOL_SOCKET, SO_TIMESTAMPNS, kernel)
        connection.sendall(UPGRADE)
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(65536)
        rest = bytearray(head.partition(b"\r\n\r\n")[2])
        waiting.register(connection, select.EPOLLIN)
        buffer = bytearray(1 << 18)
        while len(lags) < frames:
            waiting.poll()
            if kernel:
                size, ancillary, _, _ = connection.recvmsg_into([buffer], 64)
                seconds, ns = struct.unpack("qq", ancillary[0][2][:16])
                ahead_ns = time_ns() - perf_counter_ns()  # of the wall clock, which is the kernel's
                stamp = seconds * 10**9 + ns - ahead_ns
            else:
                size = connection.recv_into(buffer)
                stamp = perf_counter_ns()
            rest += memoryview(buffer)[:size]
            whole = len(rest) // FRAME_BYTES * FRAME_BYTES
            lags += [lag(stamp, bytes(rest[at : at + 20])) for at in range(4, whole, FRAME_BYTES)]
            del rest[:whole]
    return lags


def measured(factory: Callable[[], Any], burst: int, bursts: int) -> dict[str, float]:
    """Return the median lag of every client, in ns."""
    frames = burst * bursts
    medians = {}
    if sys.platform == "linux":
        for name in (KERNEL, BARE):
            with sender("bursts.py", burst, bursts) as port:
                medians[name] = statistics.median(by_hand(port, frames, kernel=name == KERNEL))
    clients = {BASE: after_recv, "websockets": by("websockets"), "picows": by("picows")}
    for name, client in clients.items():
        with (
            sender("bursts.py", burst, bursts) as port,
            asyncio.Runner(loop_factory=factory) as runner,
        ):
            medians[name] = statistics.median(runner.run(client(port, frames)))
    return medians


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options, _ = parser.parse_known_args()  # what other benches are told is not for this one
    import uvloop

    missed = []
    for shape, burst, bursts, goal in SHAPES:
        for loop, factory in (
            ("asyncio", asyncio.new_event_loop),
            ("uvloop", uvloop.new_event_loop),
        ):
            rounds = [measured(factory, burst, bursts) for _ in range(options.rounds)]
            for name in rounds[0]:
                us = statistics.median(each[name] for each in rounds) / 1000
                ratio = statistics.median(each[name] / each[BASE] for each in rounds)
                words = "" if name == BASE else f" | ratio {ratio:.2f}"
                if name not in {BASE, KERNEL, BARE}:
                    missed += [f"{shape}, {loop}, {name}"] * (ratio > goal)
                    words += f" (goal {goal})"
                if KERNEL in rounds[0] and name not in {BASE, KERNEL}:
                    after = statistics.median(
                        (each[name] - each[KERNEL]) / (each[BASE] - each[KERNEL]) for each in rounds
                    )
                    words += f", {after:.2f} since the kernel had it"
                print(
                    f"stamp     {shape}, {loop:8} {name:13} {us:8,.0f} µs median{words}", flush=True
                )
    for name in missed:
        print(f"missed: {name}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
