"""How well suspected freezes are told from quiet: freezes are planted, and what pm-audit says is counted.

    python tools/trials/freezes.py [--seeds 1 2 3] [--seconds 60] [--rate 60]

A venue of 60 markets, of which the quietest say something every few seconds; at seeded moments single connections
freeze for some seconds (no data, PING is answered). pm-audit reads the bundle alone. A planted freeze counts
as detected if the mask has at least half of it; an interval of the mask that touches no planted freeze of
its connection is a false positive. Quiet tokens are the half that says least. One JSON line a seed, the sum last.
"""

import argparse
import json
import random
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path
from typing import NamedTuple

from pm_frames import open_bundle
from pm_frames.peek import peek
from pm_frames.runlog import read_runlog

BIN = Path(sys.executable).parent
S = 10**9
SHARDS = 6
HOUR_NS = 3600 * S


class Planted(NamedTuple):
    """A connection says nothing from `at_s` after its opening, for `seconds`."""

    connection: int
    at_s: float
    seconds: float


def plan(seed: int, seconds: float) -> list[Planted]:
    """Return the freezes of a seed: one in each of three connections, apart from each other in time."""
    rng = random.Random(seed)
    slot = (seconds - 10) / 3
    return [
        Planted(number, 8 + slot * place + rng.uniform(0, slot - 7), rng.uniform(3, 6))
        for place, number in enumerate(rng.sample(range(1, SHARDS + 1), 3))
    ]


def script(planted: list[Planted]) -> str:
    """Return the fault script of pm-mock."""
    return "".join(
        f'[[fault]]\nkind = "freeze"\nsince = "open"\ncount = 1\nconnection = {one.connection}\n'
        f"at = {one.at_s:.3f}\nseconds = {one.seconds:.3f}\n"
        for one in planted
    )


def record(home: Path, seed: int, options: argparse.Namespace) -> tuple[Path, list[Planted]]:
    """Capture a venue with planted freezes; return the bundle and what was planted."""
    planted = plan(seed, options.seconds)
    (home / "faults.toml").write_text(script(planted), encoding="utf-8")
    mock = [BIN / "pm-mock", "serve", "--seed", str(seed), "--markets", "60"]
    mock += ["--rate", str(options.rate), "--faults", home / "faults.toml"]
    mock += ["--sent-log", home / "sent"]
    with subprocess.Popen(mock, stdout=subprocess.PIPE, text=True) as venue:
        try:
            urls = json.loads(venue.stdout.readline())
            subprocess.run(
                [BIN / "pm-capture", "--run-id", "freezes", "--data-dir", home,
                 "--min-free-disk-gb", "0", "--gamma-base-url", urls["gamma_base_url"],
                 "--clob-ws-url", urls["ws_url"], "--ws-shards", str(SHARDS),
                 "--duration-seconds", str(options.seconds)],
                check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
        finally:
            venue.send_signal(signal.SIGINT)
            venue.communicate(timeout=30)
    return home / "runs" / "freezes", planted


def windows(run_dir: Path, home: Path, planted: list[Planted]) -> dict[int, list[tuple[int, int]]]:
    """Return by shard when it was frozen, in mono ns: the venue's log knows which socket was which."""
    opened = {}
    for one in read_runlog(run_dir / "runlog.ndjson"):
        if one["record_type"] == "ws_connect":
            opened[one["local_address"]] = one["shard_id"], one["ts_mono_ns"]
    frozen: dict[int, list[tuple[int, int]]] = {}
    lines = (home / "sent" / "connections.ndjson").read_text(encoding="utf-8").splitlines()
    for line in map(json.loads, lines):
        for one in planted:
            if line["connection"] == one.connection and line["remote"] in opened:
                shard_id, at = opened[line["remote"]]
                start = at + round(one.at_s * S)
                frozen.setdefault(shard_id, []).append((start, start + round(one.seconds * S)))
    return frozen


def judge(run_dir: Path, frozen: dict[int, list[tuple[int, int]]]) -> Counter[str]:
    """Compare the mask of pm-audit with what was planted."""
    done = subprocess.run(
        [BIN / "pm-audit", "freezes", run_dir, "--json"], capture_output=True, check=False
    )
    mask = json.loads(done.stdout)
    said: Counter[str] = Counter()
    for shard in open_bundle(run_dir).shards():
        for frame in shard.frames():
            said.update(peek(frame.payload).token_ids)
    by_rate = sorted(said, key=lambda token: (said[token], token))
    quiet = set(by_rate[: len(by_rate) // 2])
    counts: Counter[str] = Counter(
        planted=0, detected=0, false_positives=0, quiet_false_positives=0
    )
    for shard_id, times in frozen.items():
        for start, stop in times:
            counts["planted"] += 1
            counts["detected"] += any(
                one["shard_id"] == shard_id
                and 2 * (min(stop, one["to_mono_ns"]) - max(start, one["from_mono_ns"]))
                >= stop - start
                for one in mask["intervals"]
            )
    for one in mask["intervals"]:
        touches = any(
            one["from_mono_ns"] < stop and start < one["to_mono_ns"]
            for start, stop in frozen.get(one["shard_id"], [])
        )
        counts["false_positives"] += not touches
        counts["quiet_false_positives"] += not touches and one["token_id"] in quiet
    counts["intervals"] = len(mask["intervals"])
    counts["live_ns"] = mask["live_ns"]
    counts["quiet_live_ns"] = mask["live_ns"] * len(quiet) // max(1, len(said))
    counts["quiet_messages"] = sum(said[token] for token in quiet)
    counts["quiet_tokens"] = len(quiet)
    return counts


def told(counts: Counter[str], **more: object) -> str:
    """Return the counts as one JSON line."""
    hours, quiet = counts["live_ns"] / HOUR_NS, counts["quiet_live_ns"] / HOUR_NS
    return json.dumps({
        **more, **counts, "token_hours": round(hours, 3), "quiet_token_hours": round(quiet, 3),
        "false_positives_per_token_hour": round(counts["false_positives"] / hours, 4),
        "quiet_false_positives_per_token_hour": round(counts["quiet_false_positives"] / quiet, 4),
        "quiet_mean_silence_s": round(counts["quiet_live_ns"] / S / max(1, counts["quiet_messages"]), 3),
    })  # fmt: skip


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--rate", type=float, default=60.0)
    options = parser.parse_args()
    total: Counter[str] = Counter()
    for seed in options.seeds:
        with tempfile.TemporaryDirectory() as folder:
            run_dir, planted = record(Path(folder), seed, options)
            counts = judge(run_dir, windows(run_dir, Path(folder), planted))
        print(told(counts, seed=seed), flush=True)
        total += counts
    print(told(total, seeds=options.seeds))
    return 0 if total["detected"] == total["planted"] else 3


if __name__ == "__main__":
    sys.exit(main())
