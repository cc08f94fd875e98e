"""What the benches share: a firehose, a universe for it, and the command line of the capture.

Not a bench itself: `nox -s bench` runs bench_*.py.
"""

import contextlib
import hashlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

HERE = Path(__file__).resolve().parent
BIN = Path(sys.executable).parent
CONNECTIONS = 8


@contextlib.contextmanager
def sender(script: str, *arguments: object) -> Iterator[int]:
    """Run a sender of this folder; yield its port."""
    process = subprocess.Popen(
        [sys.executable, str(HERE / script), *map(str, arguments)],
        stdout=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    try:
        yield int(process.stdout.readline())
    finally:
        process.kill()
        process.wait()


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


def start_capture(
    port: int, folder: Path, loop: str, transport: str, *more: str
) -> subprocess.Popen[bytes]:
    """Start pm-capture on the sender at `port`; its run is FOLDER/runs/bench."""
    universe(folder / "universe.json")
    command = [str(BIN / "pm-capture"), "--run-id", "bench", "--data-dir", str(folder)]
    command += ["--universe", str(folder / "universe.json"), "--min-free-disk-gb", "0"]
    command += ["--ws-shards", str(CONNECTIONS), "--ws-transport", transport, *more]
    command += ["--clob-ws-url", f"ws://127.0.0.1:{port}/ws/market"]
    command += [] if loop == "uvloop" else ["--no-uvloop"]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def captured(folder: Path, suffix: str = "idx") -> list[Path]:
    """Return the files of the run so far."""
    return sorted(folder.glob(f"runs/bench/capture/*.{suffix}"))


def finish(process: subprocess.Popen) -> float:
    """Wait for a client; return the CPU seconds that it used."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    assert process.returncode == 0, process.returncode
    return usage.ru_utime + usage.ru_stime
