"""A day of many markets as a bundle of any size, and how long one minute of it takes.

python tools/trials/long_day.py DIR [--gigabytes 3] [--minutes 12] [--keep]

Makes DIR/day (frames like the venue's, drawn from a pool so that gigabytes come fast), then asks pm-replay for
minutes at random, each with a market of its own: the first makes the checkpoints, the others use them. Prints
the times. One of the minutes is compared with what is told without checkpoints. DIR is emptied at the end.
"""

import argparse
import json
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path

from bundle_builder import BundleBuilder  # run with tools/ on the path

T0_MONO_NS = 1_000_000_000
T0_WALL_NS = 1_790_000_000_000_000_000
DAY_NS = 24 * 3600 * 10**9
MINUTE_NS = 60 * 10**9
SHARDS = 8
TOGETHER = 64  # frames of one read
VARIANTS = 48  # of the changes of a market


def row(number: int) -> dict:
    tokens = [
        {"token_id": str(10**76 + 2 * number + side), "outcome": outcome}
        for side, outcome in enumerate(("Yes", "No"))
    ]
    return {"condition_id": f"0x{number:064x}", "slug": f"market-{number}", "tokens": tokens}


def payloads_of(market: dict, rng: random.Random) -> tuple[bytes, list[bytes]]:
    """Return the opening books of a market, and messages any of which may follow at any time."""
    yes, no = (each["token_id"] for each in market["tokens"])
    head = {"market": market["condition_id"], "timestamp": str(T0_WALL_NS // 10**6)}

    def level(cents: int, size: int) -> dict[str, str]:
        return {"price": f"{cents / 100:.2f}".rstrip("0"), "size": str(size)}

    def books() -> bytes:
        bids = {cents: rng.randrange(1, 9999) for cents in range(11, 50, 2)}
        asks = {cents: rng.randrange(1, 9999) for cents in range(51, 90, 2)}
        mirrored = [{100 - cents: size for cents, size in side.items()} for side in (asks, bids)]
        return compact(
            [
                head | {"asset_id": token, "hash": rng.randbytes(20).hex(), "event_type": "book"}
                | {"bids": [level(*each) for each in sorted(one.items())]}
                | {"asks": [level(*each) for each in sorted(other.items(), reverse=True)]}
                for token, one, other in ((yes, bids, asks), (no, *mirrored))
            ]
        )  # fmt: skip

    def change() -> bytes:
        cents, size = rng.randrange(11, 50), rng.randrange(1, 9999) * rng.randrange(4)
        both = ((yes, "BUY", cents), (no, "SELL", 100 - cents))
        changes = [
            {"asset_id": token, "side": side, "hash": rng.randbytes(20).hex(), "best_bid": "0.49", "best_ask": "0.51"}
            | level(at, size)
            for token, side, at in both
        ]  # fmt: skip
        return compact(head | {"price_changes": changes, "event_type": "price_change"})

    return books(), [change() for _ in range(VARIANTS)] + [books()]


def compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def make(path: Path, size: int, markets: int, rng: random.Random) -> int:
    rows = [row(number) for number in range(markets)]
    builder = BundleBuilder(
        path, t0_mono_ns=T0_MONO_NS, t0_wall_ns_utc=T0_WALL_NS, markets=rows, origin="made up"
    )
    for shard in range(SHARDS):
        mine = rows[shard::SHARDS]
        builder.connect(shard, [t["token_id"] for each in mine for t in each["tokens"]], T0_MONO_NS)
    pools: list[list[bytes]] = []
    for shard in range(SHARDS):
        made = [payloads_of(each, rng) for each in rows[shard::SHARDS]]
        builder.frames(shard, T0_MONO_NS + 1, [opening for opening, _ in made])
        pools.append([payload for _, pool in made for payload in pool])
    mean = sum(map(len, pools[0])) // len(pools[0]) + 68
    reads = size // (mean * TOGETHER)
    for number in range(reads):
        shard = number % SHARDS
        at = T0_MONO_NS + 2 + DAY_NS * number // reads
        builder.frames(shard, at, rng.choices(pools[shard], k=TOGETHER))
    builder.seal(T0_MONO_NS + DAY_NS + 9)
    return reads * TOGETHER


def minute(path: Path, cache: Path, market: int, start: int, *extra: str) -> tuple[float, bytes]:
    command = [
        sys.executable,
        "-m",
        "pm_replay",
        str(path),
        "--cache-dir",
        str(cache),
        "--events-out",
        "-",
    ]
    command += [
        "--market",
        f"market-{market}",
        "--from",
        f"+{start}ns",
        "--to",
        f"+{start + MINUTE_NS}ns",
    ]
    begun = time.perf_counter()
    done = subprocess.run([*command, *extra], capture_output=True, check=True)
    return time.perf_counter() - begun, done.stdout


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("directory", type=Path)
    parser.add_argument("--gigabytes", type=float, default=3)
    parser.add_argument("--markets", type=int, default=400)
    parser.add_argument("--minutes", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", action="store_true")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    path, cache = options.directory / "day", options.directory / "cache"
    try:
        begun = time.perf_counter()
        frames = make(path, int(options.gigabytes * 10**9), options.markets, rng)
        print(f"{frames} frames made in {time.perf_counter() - begun:.0f} s", flush=True)
        asked = [
            (rng.randrange(options.markets), rng.randrange(DAY_NS - MINUTE_NS))
            for _ in range(options.minutes)
        ]
        # The middle of the day last: what is told there is compared with what is told without.
        asked.append((rng.randrange(options.markets), DAY_NS // 2))
        first, _ = minute(path, cache, *asked[0])
        [file] = cache.iterdir()
        whole = sum(each.stat().st_size for each in path.rglob("*") if each.is_file())
        print(
            f"checkpoints made in {first:.0f} s: {file.stat().st_size / 1e6:.0f} MB "
            f"for {whole / 1e9:.2f} GB",
            flush=True,
        )
        times = []
        for market, start in asked:
            seconds, told = minute(path, cache, market, start)
            times.append(seconds)
            print(
                f"market {market:3} from {start / 1e9:7.0f} s: {seconds:.2f} s, {len(told)} bytes",
                flush=True,
            )
        slow, expected = minute(path, cache, *asked[-1], "--no-cache")
        same = expected == told
        print(
            f"slowest minute {max(times):.2f} s; without checkpoints {slow:.1f} s; equal bytes: {same}"
        )
        return 0 if same and max(times) < 5 else 3
    finally:
        if not options.keep:
            for each in (path, cache):
                shutil.rmtree(each, ignore_errors=True)


if __name__ == "__main__":
    sys.exit(main())
