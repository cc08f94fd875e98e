"""Socket to disk: pm-capture against a bare websockets `recv()` loop that only counts.

    python tools/bench/bench_capture.py [--frames N] [--rounds N]

Eight loopback connections fed by `firehose.py`, both clients in turn, in the same run. The ratio is
what may be quoted; absolute figures belong to the machine. CPU is user + system time of the whole
client process, start-up included, as the operating system accounts for it.
"""

import argparse
import hashlib
import json
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
CONNECTIONS = 8


def universe(path: Path) -> None:
    """Write a universe whose eight markets fall into eight different shards."""
    markets: dict[int, dict] = {}
    number = 0
    while len(markets) < CONNECTIONS:
        condition = f"0x{number:064x}"
        shard = int.from_bytes(hashlib.sha256(condition.encode()).digest()[:8], "big") % CONNECTIONS
        if shard not in markets:
            tokens = [
                {"token_id": str(10 * number + leg), "outcome": name}
                for leg, name in enumerate(("Yes", "No"), 1)
            ]
            markets[shard] = {
                "market_id": str(number), "condition_id": condition, "slug": f"bench-{number}", "question": "?",
                "category": None, "event_id": None, "event_slug": None, "neg_risk": False, "neg_risk_augmented": False,
                "neg_risk_market_id": None, "tick_size": "0.01", "min_size": "5", "fees_enabled": False,
                "fee_schedule": None, "seconds_delay": None, "end_date": None, "version": "v1", "tokens": tokens,
            }  # fmt: skip
        number += 1
    document = {
        "universe_version": 0, "kind": "full", "created_wall_ns_utc": 0, "created_mono_ns": 0,
        "selection": {"universe_mode": "active-binary", "capture_use_market_filters": False, "market_regex_effective": None},
        "stats": {}, "markets": list(markets.values()),
    }  # fmt: skip
    path.write_text(json.dumps(document), encoding="utf-8")


def finish(process: subprocess.Popen) -> float:
    """Wait for a client; return the CPU seconds that it used."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, process.returncode
    return usage.ru_utime + usage.ru_stime


def counted(port: int, frames: int, loop: str) -> tuple[float, float]:
    process = subprocess.Popen(
        [
            sys.executable,
            str(HERE / "count_only.py"),
            str(port),
            str(CONNECTIONS),
            str(frames),
            loop,
        ],
        stdout=subprocess.PIPE,
    )
    assert process.stdout is not None
    result = json.loads(process.stdout.read())
    cpu = finish(process)
    return result["frames"] / result["seconds"], cpu / result["frames"]


def recorded(port: int, frames: int, loop: str, folder: Path) -> tuple[float, float]:
    """Record until every frame is in the index, then stop with SIGINT."""
    universe(folder / "universe.json")
    command = [
        str(BIN / "pm-capture"),
        "--min-free-disk-gb",
        "0",
        "--run-id",
        "bench",
        "--data-dir",
        str(folder),
        "--ws-shards",
        str(CONNECTIONS),
    ]
    command += [
        "--universe",
        str(folder / "universe.json"),
        "--clob-ws-url",
        f"ws://127.0.0.1:{port}/ws/market",
    ]
    command += [] if loop == "uvloop" else ["--no-uvloop"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    wanted = CONNECTIONS * (frames + 1) * 32
    while sum(path.stat().st_size for path in folder.glob("runs/bench/capture/*.idx")) < wanted:
        assert process.poll() is None, process.stderr and process.stderr.read()
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    cpu = finish(process)
    seal = json.loads((folder / "runs/bench/seal.json").read_text(encoding="utf-8"))
    first = min(shard["rx_mono_ns_first"] for shard in seal["shards"].values())
    indexed = [path.read_bytes()[-32 * 8 :] for path in folder.glob("runs/bench/capture/*.idx")]
    # The last frames may be PONGs from after the burst: take the newest stamp of a frame that is longer.
    last = max(
        int.from_bytes(entry[8:16], "little")
        for tail in indexed
        for entry in (tail[at : at + 32] for at in range(0, len(tail), 32))
        if int.from_bytes(entry[24:28], "little") > 4
    )
    return CONNECTIONS * frames / ((last - first) / 1e9), cpu / (CONNECTIONS * frames)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=60_000, help="frames per connection")
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    firehose = subprocess.Popen(
        [sys.executable, str(HERE / "firehose.py"), str(options.frames)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert firehose.stdout is not None
    port = int(firehose.stdout.readline())
    try:
        for loop in ("asyncio", "uvloop"):
            rows: list[tuple[float, float, float, float]] = []
            for _ in range(options.rounds):
                with tempfile.TemporaryDirectory() as folder:
                    rows.append(
                        (
                            *recorded(port, options.frames, loop, Path(folder)),
                            *counted(port, options.frames, loop),
                        )
                    )
            ours, our_cpu, theirs, their_cpu = (
                statistics.median(column) for column in zip(*rows, strict=True)
            )
            ratio = statistics.median(row[0] / row[2] for row in rows)
            print(
                f"{loop:8} pm-capture {ours:9,.0f} frames/s {our_cpu * 1e6:5.2f} µs CPU/frame"
                f" | recv() loop {theirs:9,.0f} frames/s {their_cpu * 1e6:5.2f} µs | ratio {ratio:.2f}"
            )
    finally:
        firehose.kill()
        firehose.wait()
    return 0


if __name__ == "__main__":
    sys.exit(main())
