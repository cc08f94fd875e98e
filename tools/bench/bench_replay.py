"""Frames to events: how many a second on one core, the merge alone, memory by size, and nautilus in the same run.

    python tools/bench/bench_replay.py [--frames N] [--rounds N]

Measured are the engine that pm-replay takes for a large run, which needs numba, and the one that it takes else; the
goals are for the former, and for the latter where numba is not installed. Compiled code is loaded before the time is
taken (once for a run, about half a second; compiled once for an installation), as days are what is replayed with it.
Seconds are CPU seconds of the process, user and system, checksums, books, oracles and both digests included. The
best of the rounds counts: what else runs on the machine only adds. The peer needs Python 3.12 (tools/requirements/bench.in).
"""

import argparse
import importlib.util
import json
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterator
from pathlib import Path

from replay_bundle import write_bundle

from pm_frames.checksum import IMPLEMENTATION
from pm_frames.frames import Frame
from pm_frames.merge import merge, merge_blocks
from pm_frames.rows import FrameRow

HERE = Path(__file__).resolve().parent
BOOKS = 40  # of a thousand mixed frames
CHANGES_PER_DAY = 2_400_000_000  # of the whole venue
CHANGES_PER_FRAME = 2
GOALS = {
    "price_change": 200_000,
    "mixed": 110_000,
    "merge": 3_000_000,
    "peer ratio": 5,
    "flat memory": 0.9,  # of one bundle, as a share of that of four times the frames
}

ONE_REPLAY = """
import json, re, resource, sys, time
from pathlib import Path
from pm_frames import open_bundle
from pm_replay.pipeline import COMPILED_FROM_BYTES, Request, fastest_engine, replay
from pm_replay.telling import Options
path, how, depth, warm = sys.argv[1:]
engine = fastest_engine(COMPILED_FROM_BYTES if how == "compiled" else 0)
request = Request(options=Options(depth=depth == "depth"))
replay(open_bundle(warm), request, None, make_engine=engine)
bundle = open_bundle(path)
begun = time.process_time()
result = replay(bundle, request, None, make_engine=engine)
spent = time.process_time() - begun
unit = 1 if sys.platform == "darwin" else 1024
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit
if Path("/proc/self/status").exists():  # there the peak is not that of the parent, too
    peak = int(re.search(r"VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]) * 1024
print(json.dumps({
    "frames": result.frames, "quick": result.engine.quick, "cpu_s": spent, "hash": result.writer.event_hash,
    "disagree": result.engine.oracles.summary()["bbo"]["disagree"], "error": str(result.error or ""),
    "rss_mib": peak / 2**20,
}))
"""


def run(*command: str) -> dict:
    done = subprocess.run([sys.executable, *command], check=True, capture_output=True, text=True)
    return json.loads(done.stdout)


class Stamps:
    """A shard in memory: the merge is measured, not the reading."""

    def __init__(self, shard_id: int, blocks: list[list[FrameRow]]) -> None:
        self.shard_id = shard_id
        self.frames_path = Path(f"shard_{shard_id:02d}.frames")
        self._blocks = blocks

    def frames(self) -> Iterator[Frame]:
        return (Frame(0, 2, row[3], row[0], 0, 0, row[4]) for rows in self._blocks for row in rows)

    def blocks(self) -> Generator[list[FrameRow], None, None]:
        yield from self._blocks


def merge_rates(records: int, shards: int = 8, block: int = 400) -> tuple[float, float]:
    """Return records a CPU second of the block merge and of the heap, over the same stamps."""
    rows = [
        [(7 * number + shard, shard, number, 1, b"") for number in range(records // shards)]
        for shard in range(shards)
    ]
    sources = [
        Stamps(shard, [each[i : i + block] for i in range(0, len(each), block)])
        for shard, each in enumerate(rows)
    ]
    begun = time.process_time()
    count = sum(map(len, merge_blocks(sources)))
    blocks = count / (time.process_time() - begun)
    begun = time.process_time()
    assert sum(1 for _ in merge(sources)) == count
    return blocks, count / (time.process_time() - begun)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--frames", type=int, default=200_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    print(
        f"Python {platform.python_version()}, checksums by {IMPLEMENTATION}, CPU seconds, best of {options.rounds}"
    )
    peer = importlib.util.find_spec("nautilus_trader") is not None
    engine = "compiled" if importlib.util.find_spec("numba") is not None else "small"
    rates: dict[str, float] = {}
    with tempfile.TemporaryDirectory() as folder:
        runs = {name: Path(folder) / name for name in ("price_change", "mixed", "large")}
        write_bundle(runs["price_change"], frames=options.frames)
        write_bundle(runs["mixed"], frames=options.frames // 2, books=BOOKS)
        write_bundle(runs["large"], frames=options.frames * 4)
        write_bundle(Path(folder) / "warm", frames=1_000)
        ways = {  # bundle, engine, what is told
            "price_change": ("price_change", engine, "tops"),
            "mixed": ("mixed", engine, "tops"),
            "price_change with depth": ("price_change", engine, "depth"),
            "price_change, not compiled": ("price_change", "small", "tops"),
            "mixed, not compiled": ("mixed", "small", "tops"),
            "price_change with depth, not compiled": ("price_change", "small", "depth"),
        }
        found: dict[str, list[dict]] = {name: [] for name in (*ways, "large")}
        theirs: list[float] = []

        def one(run_name: str, how: str, depth: str) -> dict:
            return run("-c", ONE_REPLAY, str(runs[run_name]), how, depth, f"{folder}/warm")

        one("mixed", engine, "tops")  # whoever is first may have to compile
        found["large"].append(one("large", engine, "tops"))
        for _ in range(options.rounds):
            for name, way in ways.items():
                found[name].append(one(*way))
            if peer:
                line = run(str(HERE / "nautilus_replay.py"), str(runs["price_change"]), "30000")
                theirs.append(line["frames"] / line["cpu_s"])
        hashes: dict[str, set[str]] = {}
        for name, lines in found.items():
            assert not any(line["disagree"] or line["error"] for line in lines)
            rates[name] = max(line["frames"] / line["cpu_s"] for line in lines)
            if name in ways:
                hashes.setdefault(ways[name][0], set()).update(line["hash"] for line in lines)
        assert all(len(each) == 1 for each in hashes.values()), "two replays of one bundle differ"
    for name in ways:
        quick = found[name][0]["quick"] / found[name][0]["frames"]
        print(f"{name}: {rates[name]:,.0f} frames/s; {quick:.1%} took the hot path")
    rates["merge"], heap = max(merge_rates(options.frames * 4) for _ in range(options.rounds))
    print(f"merge: {rates['merge']:,.0f} records/s, {rates['merge'] / heap:.2f} x the heap")
    small, large = (
        min(line["rss_mib"] for line in found[name]) for name in ("price_change", "large")
    )
    rates["flat memory"] = small / large
    print(f"memory: {small:.1f} MiB, four times the frames {large:.1f} MiB")
    if theirs:
        rates["peer ratio"] = rates["price_change"] / max(theirs)
        print(
            f"nautilus_trader: {max(theirs):,.0f} price_change frames/s; ratio {rates['peer ratio']:.2f}"
        )
    else:
        print("nautilus_trader: not here (Python 3.12 and tools/requirements/bench.lock)")
    hours = CHANGES_PER_DAY / CHANGES_PER_FRAME / rates["price_change"] / 3600
    print(
        f"a day of the whole venue: {hours:.1f} h on one core, {hours / 2:.1f} h on two, each a bundle of half the tokens"
    )
    missed = [name for name, goal in GOALS.items() if rates.get(name, goal) < goal]
    for name in missed:
        print(f"missed: {name} (goal {GOALS[name]:,})")
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
