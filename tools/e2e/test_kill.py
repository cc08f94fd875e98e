"""Kills and signals at random instants under load.

kill -9: no frame is lost whose write had returned. The judges stand outside the bundle: the venue's log
of what it sent, and a counter in shared memory of the writes that had returned. `PM_TEST_KILLS` sets how
many (12 when it is not set), `PM_TEST_SIGNALS` the same for SIGINT and SIGTERM (20), `PM_TEST_SEED` the
instants.
"""

import functools
import json
import os
import random
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from trials import survivors, witnessed_capture
from trials.venue_log import lines_of_venue, logs_of, wait_until

pytestmark = pytest.mark.skipif(os.name == "nt", reason="POSIX signals")

KILLS = int(os.environ.get("PM_TEST_KILLS", "12"))
SIGNALS = int(os.environ.get("PM_TEST_SIGNALS", "20"))
SEED = int(os.environ.get("PM_TEST_SEED", "20260101"))
SHARDS = 4
# What a kill may leave: an unsealed run, one torn record at the end of a file, an index that is short.
TOLERATED = {"PMV004", "PMV021", "PMV041", "PMV042", "PMV061"}


def any_written(counters: Path) -> bool:
    return any(counters.read_bytes())


@pytest.mark.timeout(300 + 10 * KILLS)
def test_a_kill_loses_no_frame_whose_write_had_returned(
    venue: Callable, universe: Callable, verify: Callable, tmp_path: Path
) -> None:
    sent_dir = tmp_path / "sent"
    served = venue(
        "--seed", "17", "--markets", "60", "--rate", "0", "--lifecycle-seconds", "0", "--sent-log", str(sent_dir)
    )  # fmt: skip
    flags = [*served.flags, "--universe", str(universe(served.gamma)), "--ws-shards", str(SHARDS)]
    rng = random.Random(SEED)
    counts: Counter[str] = Counter()
    seen = 0  # lines of connections.ndjson that belong to earlier kills
    for kill in range(KILLS):
        run_id = f"kill-{kill}"
        counters = tmp_path / "counters"
        counters.write_bytes(bytes(witnessed_capture.COUNTERS_BYTES))
        process = subprocess.Popen(
            [sys.executable, witnessed_capture.__file__, str(counters), "--run-id", run_id,
             "--data-dir", str(tmp_path), "--min-free-disk-gb", "0", *flags],
            stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        try:
            run_dir = Path(process.stdout.readline().strip())
            if rng.random() < 0.9:  # else also before and while it connects
                wait_until(functools.partial(any_written, counters), "the first write")
            time.sleep(rng.uniform(0, 0.3))
        finally:
            process.kill()
            process.communicate()
        returned = witnessed_capture.read(counters, SHARDS)
        addresses = survivors.connected(run_dir)
        logs = logs_of(sent_dir, set(addresses.values()), seen)
        where = f"kill {kill} of PM_TEST_SEED={SEED}, {run_dir}"
        for shard_id in range(SHARDS):
            sent = logs.get(addresses.get(shard_id, ""))
            shard = survivors.judge_shard(run_dir, shard_id, sent, returned[shard_id].written)
            assert shard.problems == [], where
            counts["frames captured"] += shard.whole
            counts["frames whose write had returned"] += shard.returned
            counts["frames lost"] += shard.lost
            counts["torn tails"] += shard.torn_bytes > 0
            counts["short idx"] += shard.entries < shard.whole
            counts["shards with frames"] += shard.whole > 0
        code, report = verify(run_dir)
        found = Counter((finding["code"], finding["file"]) for finding in report["findings"])
        assert code == 3, (where, report["findings"])
        assert {code for code, _ in found} <= TOLERATED, (where, report["findings"])
        assert max(found.values()) == 1, (where, report["findings"])
        counts["torn tails located by pm-verify"] += sum(c == "PMV021" for c, _ in found)
        counts["short idx located by pm-verify"] += sum(c in {"PMV041", "PMV042"} for c, _ in found)
        shutil.rmtree(run_dir)
        for path in logs.values():
            path.unlink(missing_ok=True)
            path.with_suffix(".idx").unlink(missing_ok=True)
        seen = len(lines_of_venue(sent_dir))
    served.stop()
    print(
        f"\n{KILLS} kills, seed {SEED}:",
        *(f"{n:>12,} {name}" for name, n in counts.items()),
        sep="\n  ",
    )
    assert counts["frames whose write had returned"] > 0
    assert counts["frames lost"] == 0
    assert counts["torn tails"] == counts["torn tails located by pm-verify"]


@pytest.mark.timeout(300 + 10 * SIGNALS)
def test_a_signal_at_any_instant_seals_the_run(
    venue: Callable,
    capture: Callable,
    universe: Callable,
    program: Callable[[str], str],
    tmp_path: Path,
) -> None:
    served = venue("--seed", "19", "--markets", "20", "--rate", "5000", "--lifecycle-seconds", "0")
    path = universe(served.gamma)
    rng = random.Random(SEED)
    runs = []
    for instant in range(SIGNALS):
        number = rng.choice([signal.SIGINT, signal.SIGTERM])
        capturing = capture(
            served, f"signal-{instant}", "--universe", str(path), "--ws-shards", str(SHARDS)
        )
        runs.append(capturing.stdout.readline().strip())
        delay_s = rng.uniform(0, 0.4)
        time.sleep(delay_s)
        capturing.send_signal(number)
        capturing.communicate(timeout=60)
        where = f"{number.name} {delay_s:.3f} s after the start, PM_TEST_SEED={SEED}: {runs[-1]}"
        assert capturing.returncode == 0, where
        assert (Path(runs[-1]) / "seal.json").is_file(), where
    done = subprocess.run(
        [program("pm-verify"), *runs, "--json"], capture_output=True, timeout=300, check=False
    )
    assert done.returncode == 0, done.stdout.decode() + done.stderr.decode()
    records = [
        json.loads((Path(run) / "seal.json").read_text(encoding="utf-8"))["frames_total"]
        for run in runs
    ]
    print(f"\n{len(runs)} signals, seed {SEED}: all sealed and verified, {sum(records):,} frames")


def test_a_killed_capture_takes_its_discovery_with_it(
    program: Callable[[str], str], tmp_path: Path
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes the question, never answers
        silent.settimeout(60)
        url = f"http://127.0.0.1:{silent.getsockname()[1]}"
        capturing = subprocess.Popen(
            [program("pm-capture"), "--run-id", "k", "--data-dir", str(tmp_path),
             "--gamma-base-url", url], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        asking, _ = silent.accept()
        with asking:
            asking.settimeout(10)
            assert asking.recv(4096).startswith(b"GET ")
            capturing.kill()
            capturing.wait()
            began = time.monotonic()
            assert asking.recv(4096) == b"", "pm-universe is still asking"
    print(
        f"\npm-universe ended {1000 * (time.monotonic() - began):.0f} ms after pm-capture was killed"
    )
