"""The yardstick for a capture: a bare websockets `recv()` loop that counts and keeps nothing.

    python count_only.py PORT CONNECTIONS FRAMES_PER_CONNECTION [uvloop]

Prints {"frames": …, "seconds": …}, timed from the first frame to the last.
"""

import asyncio
import json
import sys
import time

from websockets.asyncio.client import connect


async def count(port: int, token: int, frames: int, stamps: list[float]) -> None:
    async with connect(
        f"ws://127.0.0.1:{port}/ws/market", compression=None, proxy=None, ping_interval=None
    ) as ws:
        await ws.send(json.dumps({"assets_ids": [str(token)], "type": "market"}))
        await ws.recv(decode=False)
        stamps.append(time.perf_counter())
        for _ in range(frames):
            await ws.recv(decode=False)
        stamps.append(time.perf_counter())


async def main(port: int, connections: int, frames: int) -> None:
    stamps: list[float] = []
    await asyncio.gather(*(count(port, token, frames, stamps) for token in range(connections)))
    print(json.dumps({"frames": connections * frames, "seconds": max(stamps) - min(stamps)}))


if __name__ == "__main__":
    factory = None
    if "uvloop" in sys.argv[4:]:
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main(*map(int, sys.argv[1:4])))
