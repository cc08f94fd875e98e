"""When is a frame stamped? pm-capture's stamp against one taken after `await recv()`.

    python tools/bench/bench_stamp.py [--rounds N]

`bursts.py` writes the monotonic clock into each frame, a moment before it hands a burst of them to the
kernel; both processes read the same clock. The lag of a stamp is the time since then. Single frames come
2,000 times a second, bursts of 500 every 50 ms. All clients in turn, in the same run; what may be quoted is
the ratio of the median lags. The lag has a floor that nobody can go below, building and sending a burst; it
counts for all alike, so the ratios are, if anything, too high.
"""

import argparse
import asyncio
import statistics
import sys
from collections.abc import Callable, Coroutine, Sequence
from time import perf_counter_ns, time_ns
from typing import Any

from loopback import sender

from pm_capture.carriers import carrier
from pm_capture.shard_session import Ended
from pm_capture.stamper import Stamper
from pm_capture.transport import Connection

# (name, frames in a burst, bursts, goal as a ratio of the medians)
SHAPES = (("single frames", 1, 4000, 0.6), ("bursts of 500", 500, 60, 0.25))


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


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    options, _ = parser.parse_known_args()  # what other benches are told is not for this one
    import uvloop

    clients = {"after recv()": after_recv, "websockets": by("websockets"), "picows": by("picows")}
    missed = []
    for shape, burst, bursts, goal in SHAPES:
        for loop, factory in (
            ("asyncio", asyncio.new_event_loop),
            ("uvloop", uvloop.new_event_loop),
        ):
            medians: dict[str, list[float]] = {name: [] for name in clients}
            for _ in range(options.rounds):
                for name, client in clients.items():
                    with (
                        sender("bursts.py", burst, bursts) as port,
                        asyncio.Runner(loop_factory=factory) as runner,
                    ):
                        lags = runner.run(client(port, burst * bursts))
                    medians[name].append(statistics.median(lags))
            for name, found in medians.items():
                pairs = zip(found, medians["after recv()"], strict=True)
                ratio = statistics.median(one / base for one, base in pairs)
                judged = name != "after recv()"
                missed += [f"{shape}, {loop}, {name}"] * (judged and ratio > goal)
                words = f" | ratio {ratio:.2f} (goal {goal})" if judged else ""
                us = statistics.median(found) / 1000
                print(
                    f"stamp     {shape}, {loop:8} {name:13} {us:8,.0f} µs median{words}", flush=True
                )
    for name in missed:
        print(f"missed: {name}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
