"""pm-verify against mcap's Python reader, md5sum and itself with two processes, in the same run.

    python tools/bench/bench_verify.py [--frames N] [--rounds N]

A shard of price changes of about 600 bytes, written by pm-frames; the same messages in an MCAP file without
compression, read with its checksums on. Everything is read once before anything is timed, so what is
measured is work and not the disk. The best of the rounds counts, which take turns. The ratios are what may be
quoted; absolute figures belong to the machine.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from pm_frames import ShardWriter
from pm_frames.checksum import IMPLEMENTATION

T0_MONO, T0_WALL = 5_000_000_000, 1_760_000_000_000_000_000
GOALS = {"fast over mcap": 12.0, "fast over md5sum": 2.0, "two processes over one": 1.7}
VERIFY = """
import sys, time
from pathlib import Path
from pm_verify.examine import Task, fastest_engine
from pm_verify.pool import examine_all
from pm_verify.sweep import plain
if sys.argv[1] == "plain":
    import zlib
    import pm_verify.examine
    pm_verify.examine.crc32 = zlib.crc32
engine = plain if sys.argv[1] == "plain" else fastest_engine()
quick, jobs = sys.argv[1] == "quick", int(sys.argv[2])
tasks = [Task(None, n, f"{p}.frames", f"{p}.idx", quick=quick) for n, p in enumerate(sys.argv[3:])]
if __name__ == "__main__":
    began = time.perf_counter()
    results = examine_all(tasks, jobs=jobs, engine=engine if jobs == 1 else None)
    seconds = time.perf_counter() - began
    assert all(result.ok for result in results), results
    print(sum(result.records for result in results), seconds)
"""


def message(number: int) -> bytes:
    """Return a price change of about 600 bytes, no two alike."""
    changes = [
        {
            "asset_id": f"{(number * 7919 + leg) % 32:077d}",
            "price": f"0.{number % 90 + 10}", "size": f"{number % 100_003}.{leg}", "side": "BUY",
            "hash": f"{number * 2654435761 + leg:040x}", "best_bid": "0.41", "best_ask": "0.42",
        }
        for leg in range(2)
    ]  # fmt: skip
    value = {"market": f"0x{number:064x}", "price_changes": changes, "event_type": "price_change"}
    return json.dumps({**value, "timestamp": str(1_760_000_000_000 + number)}).encode()


def write_shard(folder: Path, shard: int, frames: int) -> Path:
    writer = ShardWriter(folder, shard)
    for first in range(0, frames, 50):
        batch = [(1, message(number)) for number in range(first, min(first + 50, frames))]
        writer.append(batch, rx_mono_ns=T0_MONO + first, rx_wall_ns_utc=T0_WALL + first)
    writer.close()
    return writer.frames_path.with_suffix("")


def write_mcap(path: Path, frames: int) -> None:
    from mcap.writer import CompressionType, Writer

    with path.open("wb") as file:
        writer = Writer(file, compression=CompressionType.NONE)
        writer.start()
        schema = writer.register_schema("raw", "jsonschema", b"{}")
        channel = writer.register_channel("raw", "json", schema)
        for number in range(frames):
            stamp = T0_WALL + number
            writer.add_message(channel, log_time=stamp, publish_time=stamp, data=message(number))
        writer.finish()


def timed(command: list[str]) -> float:
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return time.perf_counter() - began


def verified(kind: str, jobs: int, stems: list[Path], script: Path) -> tuple[float, int]:
    """Return the seconds of reading, without start-up, and the frames."""
    command = [sys.executable, str(script), kind, str(jobs), *map(str, stems)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    frames, seconds = done.stdout.split()
    return float(seconds), int(frames)


def read_mcap(path: Path, frames: int) -> float:
    from mcap.reader import make_reader

    began = time.perf_counter()
    with path.open("rb") as file:
        count = sum(1 for _ in make_reader(file, validate_crcs=True).iter_messages())
    assert count == frames, count
    return time.perf_counter() - began


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--frames", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    peer_frames = options.frames // 10
    with tempfile.TemporaryDirectory(prefix="bench-verify-") as directory:
        folder = Path(directory)
        script = folder / "verify_shards.py"
        script.write_text(VERIFY, encoding="utf-8")
        stems = [write_shard(folder, 0, options.frames)]
        halves = [write_shard(folder, shard, options.frames // 2) for shard in (1, 2)]
        write_mcap(folder / "peer.mcap", peer_frames)
        size = stems[0].with_suffix(".frames").stat().st_size
        runs: dict[str, Callable[[], float]] = {
            "fast": lambda: verified("fast", 1, stems, script)[0],
            "plain": lambda: verified("plain", 1, stems, script)[0],
            "quick": lambda: verified("quick", 1, stems, script)[0],
            "one process, two shards": lambda: verified("fast", 1, halves, script)[0],
            "two processes, two shards": lambda: verified("fast", 2, halves, script)[0],
            "md5sum": lambda: timed(["md5sum", str(stems[0].with_suffix(".frames"))]),
            "mcap": lambda: (
                read_mcap(folder / "peer.mcap", peer_frames) * (options.frames / peer_frames)
            ),
        }
        best = {name: float("inf") for name in runs}
        for _ in range(options.rounds):
            for name, run in runs.items():
                best[name] = min(best[name], run())
    print(f"{options.frames:,} frames, {size / 1e6:,.0f} MB; crc32 of {IMPLEMENTATION}")
    for name, seconds in best.items():
        rate = options.frames / seconds
        print(f"{name:>26}: {rate / 1e6:6.2f}M frames/s  {size / seconds / 1e9:5.2f} GB/s")
    ratios = {
        "fast over mcap": best["mcap"] / best["fast"],
        "fast over md5sum": best["md5sum"] / best["fast"],
        # Start-up included; this one needs an idle machine.
        "two processes over one": best["one process, two shards"]
        / best["two processes, two shards"],
    }
    for name, ratio in ratios.items():
        print(f"{name:>26}: {ratio:6.2f} x (goal {GOALS[name]})")
    print(
        f"largest process: {resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss // 1024} MiB; load {os.getloadavg()}"
    )
    missed = [name for name, goal in GOALS.items() if ratios[name] < goal]
    for name in missed:
        print(f"missed: {name} (goal {GOALS[name]})")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
