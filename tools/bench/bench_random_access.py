"""Random access: a minute of one market out of a large bundle, from its checkpoints.

    python tools/bench/bench_random_access.py [--gigabytes 1] [--minutes 5] [--bundle DIR]

Each measure is a whole `pm-replay` process, start-up included, of one token and a minute chosen by a seed. The first
of them makes the checkpoints, in one pass. `warm` reads a bundle and a cache that the page cache holds; for `cold`
both are thrown out of it before each. The slowest of the minutes counts. The trial is `--gigabytes 10`, which needs as
much room on the disk; a sealed bundle of `big_bundle.py` can be named instead.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from big_bundle import MARKETS, SHARDS, STEP, S, make_bundle, seal_bundle, tokens_of

from pm_frames import open_bundle

GOAL_S = 5.0
FRAME_BYTES = 652  # with its idx entry, as big_bundle.py makes them


def replay(run: Path, cache: Path, token: str, minute: int) -> tuple[float, float, dict]:
    """Return the seconds of one replay, those of its CPU, and its summary."""
    window = ["--token", token, "--from", f"+{minute}m", "--to", f"+{minute + 1}m"]
    command = ["pm-replay", str(run), *window, "--cache-dir", str(cache), "--json"]
    began, cpu = time.perf_counter(), os.times()
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    after = os.times()
    used = after.children_user + after.children_system - cpu.children_user - cpu.children_system
    return time.perf_counter() - began, used, json.loads(done.stdout)


def throw_out(folder: Path) -> None:
    """Have the kernel forget what it holds of the files in a folder."""
    for path in folder.rglob("*"):
        if path.is_file():
            with path.open("rb") as file:
                os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def measure(run: Path, minutes: int) -> int:
    """Print the figures of a bundle; return the exit code."""
    frames = sum(shard.pairs() for shard in open_bundle(run).shards())
    size = sum(path.stat().st_size for path in run.rglob("*") if path.is_file())
    whole = frames * STEP // (60 * S)
    print(f"{frames:,} frames, {size / 1e9:.2f} GB, {whole} minutes; load {os.getloadavg()}")
    choice = random.Random(1)
    asked = [
        (tokens_of(choice.randrange(SHARDS))[choice.randrange(2 * MARKETS)], choice.randrange(whole))
        for _ in range(minutes)
    ]  # fmt: skip
    with tempfile.TemporaryDirectory(prefix="checkpoints-") as name:
        cache = Path(name)
        seconds, used, _ = replay(run, cache, tokens_of(0)[0], max(1, whole - 1))
        [made] = cache.iterdir()
        print(
            f"first: {seconds:.1f} s ({used:.1f} of CPU); its checkpoints are {made.stat().st_size / 1e6:.1f} MB"
        )
        slowest = {}
        for kind in ("warm", "cold"):
            if kind == "cold" and not hasattr(os, "posix_fadvise"):
                print("cold: skipped, this system has no posix_fadvise")
                continue
            taken = []
            for token, minute in asked:
                if kind == "cold":
                    throw_out(run)
                    throw_out(cache)
                seconds, used, summary = replay(run, cache, token, minute)
                assert summary["ok"], summary["error"]
                taken.append(seconds)
                print(
                    f"{kind}: minute {minute:4} {seconds:6.2f} s ({used:.2f} of CPU), {summary['frames']:,} frames read,"
                    f" {summary['canonical_events']:,} events"
                )
            slowest[kind] = max(taken)
    for kind, seconds in slowest.items():
        print(f"{kind}: at most {seconds:.2f} s (goal {GOAL_S:g})")
    return 1 if max(slowest.values()) > GOAL_S else 0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--gigabytes", type=float, default=1.0)
    parser.add_argument("--minutes", type=int, default=5)
    parser.add_argument("--bundle", type=Path, metavar="DIR")
    parser.add_argument("--folder", type=Path, help="where the bundle is made")
    options, _ = parser.parse_known_args()  # what other benches are told is not for this one
    if options.bundle is not None:
        return measure(options.bundle, options.minutes)
    with tempfile.TemporaryDirectory(prefix="random-access-", dir=options.folder) as name:
        run = make_bundle(Path(name) / "big", round(options.gigabytes * 1e9 / FRAME_BYTES))
        seal_bundle(run)
        return measure(run, options.minutes)


if __name__ == "__main__":
    sys.exit(main())
