"""Socket to disk: pm-capture against a bare websockets `recv()` loop that only counts.

    python tools/bench/bench_capture.py [--frames N] [--rounds N]

Eight loopback connections fed by `firehose.py`, all clients in turn, in the same run. The ratio is what may
be quoted; absolute figures belong to the machine. CPU is user + system time of the whole client process,
start-up included, as the operating system accounts for it. Below the captures stand other clients that
only count: picows, which is what its transport could reach at best, and that of NautilusTrader.
"""

import argparse
import json
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from loopback import CONNECTIONS, HERE, captured, finish, sender, start_capture

# How many times as fast as the yardstick the whole path is to be, by transport, with uvloop.
GOALS = {"websockets": 1.15, "picows": 2.5}
Rate = tuple[float, float]  # frames a second, CPU seconds a frame


def counted(client: str, port: int, frames: int, loop: str) -> Rate | None:
    """Count with a client; None where it is not installed, after its words."""
    words = [str(HERE / "count_only.py"), client, str(port), str(CONNECTIONS), str(frames), loop]
    process = subprocess.Popen([sys.executable, *words], stdout=subprocess.PIPE)
    assert process.stdout is not None
    result = json.loads(process.stdout.read())
    cpu = finish(process)
    if "missing" in result:
        print(f"{loop:8} {client:24} not measured: {result['missing']}")
        return None
    return result["frames"] / result["seconds"], cpu / result["frames"]


def recorded(transport: str, port: int, frames: int, loop: str) -> Rate:
    """Record until every frame is in the index, then stop with SIGINT."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        process = start_capture(port, folder, loop, transport)
        wanted = CONNECTIONS * (frames + 1) * 32
        while sum(path.stat().st_size for path in captured(folder)) < wanted:
            assert process.poll() is None, process.stderr and process.stderr.read()
            time.sleep(0.02)
        process.send_signal(signal.SIGINT)
        cpu = finish(process)
        seal = json.loads((folder / "runs/bench/seal.json").read_text(encoding="utf-8"))
        first = min(shard["rx_mono_ns_first"] for shard in seal["shards"].values())
        tails = [path.read_bytes()[-32 * 8 :] for path in captured(folder)]
    # The last frames may be PONGs from after the burst: take the newest stamp of a frame that is longer.
    last = max(
        int.from_bytes(entry[8:16], "little")
        for tail in tails
        for entry in (tail[at : at + 32] for at in range(0, len(tail), 32))
        if int.from_bytes(entry[24:28], "little") > 4
    )
    return CONNECTIONS * frames / ((last - first) / 1e9), cpu / (CONNECTIONS * frames)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=60_000, help="frames per connection")
    parser.add_argument("--rounds", type=int, default=3)
    options, _ = parser.parse_known_args()  # what other benches are told is not for this one
    missed = []
    with sender("firehose.py", options.frames) as port:
        for loop in ("asyncio", "uvloop"):
            peers = ["picows counter"] + ["nautilus counter"] * (loop == "asyncio")
            rows: dict[str, list[Rate]] = {}
            yardstick: list[Rate] = []
            for _ in range(options.rounds):
                base = counted("websockets counter", port, options.frames, loop)
                assert base is not None
                yardstick.append(base)
                for name in GOALS:
                    rate = recorded(name, port, options.frames, loop)
                    rows.setdefault(f"pm-capture, {name}", []).append(rate)
                for name in list(peers):
                    # The slowest peer would take as long as all others together.
                    count = options.frames // 6 if "nautilus" in name else options.frames
                    if (found := counted(name, port, count // 1000 * 1000, loop)) is None:
                        peers.remove(name)
                    else:
                        rows.setdefault(name, []).append(found)
            rates, costs = (statistics.median(each) for each in zip(*yardstick, strict=True))
            print(
                f"{loop:8} {'recv() loop':24} {rates:9,.0f} frames/s {costs * 1e6:5.2f} µs CPU/frame"
            )
            for name, found in rows.items():
                rate, cpu = (statistics.median(each) for each in zip(*found, strict=True))
                pairs = zip(found, yardstick, strict=False)
                ratio = statistics.median(one[0] / base[0] for one, base in pairs)
                goal = GOALS.get(name.removeprefix("pm-capture, ")) if loop == "uvloop" else None
                verdict = "" if goal is None else f" (goal {goal})"
                missed += [name] if goal is not None and ratio < goal else []
                print(
                    f"{loop:8} {name:24} {rate:9,.0f} frames/s {cpu * 1e6:5.2f} µs CPU/frame"
                    f" | ratio {ratio:.2f}{verdict}",
                    flush=True,
                )
    for name in missed:
        print(f"missed: {name}")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
