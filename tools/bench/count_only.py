"""The yardsticks for a capture: clients that count what arrives and keep nothing.

    python count_only.py "websockets counter" PORT CONNECTIONS FRAMES_PER_CONNECTION [uvloop]

The client is `websockets counter`, `picows counter` or `nautilus counter`. Prints
{"frames": …, "seconds": …}, timed from the first frame to the last, or {"missing": …} for a client that is
not installed.
"""

import asyncio
import json
import sys
import time


def request(token: int) -> str:
    return json.dumps({"assets_ids": [str(token)], "type": "market"})


def address(port: int) -> str:
    return f"ws://127.0.0.1:{port}/ws/market"


async def websockets_counter(port: int, token: int, frames: int, stamps: list[float]) -> None:
    from websockets.asyncio.client import connect

    async with connect(address(port), compression=None, proxy=None, ping_interval=None) as ws:
        await ws.send(request(token))
        await ws.recv(decode=False)
        stamps.append(time.perf_counter())
        for _ in range(frames):
            await ws.recv(decode=False)
        stamps.append(time.perf_counter())


class Tally:
    """Count to the end, stamp the first and the last."""

    def __init__(self, frames: int, stamps: list[float]) -> None:
        self.left = frames
        self.stamps = stamps
        self.done = asyncio.get_running_loop().create_future()

    def count(self) -> None:
        if self.left == 0:
            self.stamps.append(time.perf_counter())
            self.done.set_result(None)
        self.left -= 1


async def picows_counter(port: int, token: int, frames: int, stamps: list[float]) -> None:
    from picows import WSFrame, WSListener, WSMsgType, WSTransport, ws_connect

    tally = Tally(frames, stamps)

    class Counter(WSListener):
        def on_ws_frame(self, transport: WSTransport, frame: WSFrame) -> None:
            if tally.left == frames:
                stamps.append(time.perf_counter())
            tally.count()

    transport, _ = await ws_connect(Counter, address(port))
    transport.send(WSMsgType.TEXT, request(token).encode())
    await tally.done
    transport.disconnect()


async def nautilus_counter(port: int, token: int, frames: int, stamps: list[float]) -> None:
    from nautilus_trader.core.nautilus_pyo3 import WebSocketClient, WebSocketConfig

    tally = Tally(frames, stamps)

    def handler(_: bytes) -> None:
        if tally.left == frames:
            stamps.append(time.perf_counter())
        tally.count()

    config = WebSocketConfig(url=address(port), headers=[])
    loop = asyncio.get_running_loop()
    client = await WebSocketClient.connect(loop_=loop, config=config, handler=handler)
    await client.send_text(request(token).encode())
    await tally.done
    await client.disconnect()


CLIENTS = {
    "websockets counter": ("websockets", websockets_counter),
    "picows counter": ("picows", picows_counter),
    "nautilus counter": ("nautilus_trader", nautilus_counter),
}


async def main(client: str, port: int, connections: int, frames: int) -> None:
    module, count = CLIENTS[client]
    try:
        __import__(module)
    except ImportError as error:
        version = ".".join(map(str, sys.version_info[:2]))
        print(json.dumps({"missing": f"{error} (Python {version})"}))
        return
    stamps: list[float] = []
    await asyncio.gather(*(count(port, token, frames, stamps) for token in range(connections)))
    print(json.dumps({"frames": connections * frames, "seconds": max(stamps) - min(stamps)}))


if __name__ == "__main__":
    factory = None
    if "uvloop" in sys.argv[5:]:
        import uvloop

        factory = uvloop.new_event_loop
    with asyncio.Runner(loop_factory=factory) as runner:
        runner.run(main(sys.argv[1], *map(int, sys.argv[2:5])))
