"""Power cuts at random instants under load: what was called durable is there when the power is back.

The run is on a disk image of its own; FS_IOC_SHUTDOWN stops that file system with nothing flushed, not
even its journal, and the process is killed. The image is mounted again and judged by two witnesses
outside of it: the venue's log of what it sent, and shared memory that says which frames the recorder
called durable. `PM_TEST_CUTS` sets how many (3 when it is not set), `PM_TEST_SEED` the instants. Needs
root on Linux, and loop devices.
"""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest
from trials import mounts, survivors, witnessed_capture
from trials.venue_log import lines_of_venue, logs_of, wait_until

from pm_frames import read_frames

CUTS = int(os.environ.get("PM_TEST_CUTS", "3"))
SEED = int(os.environ.get("PM_TEST_SEED", "20260101"))
SHARDS = 4
IMAGE_BYTES = {"ext4": 128 << 20, "xfs": 320 << 20}
# What a power cut may leave: what a kill may, zeros where bytes had not reached the device, and of what was
# not synced yet the idx without the frames.
TOLERATED = {"PMV004", "PMV021", "PMV022", "PMV041", "PMV042", "PMV043", "PMV061", "PMV064"}

pytestmark = pytest.mark.skipif(
    mounts.why_not("mkfs.ext4") is not None, reason=str(mounts.why_not("mkfs.ext4"))
)


@pytest.fixture
def kinds(tmp_path: Path) -> list[str]:
    """The file systems that can be made, mounted and cut off here."""
    usable, problems = [], []
    for kind, size_bytes in IMAGE_BYTES.items():
        if (problem := mounts.why_not(f"mkfs.{kind}")) is None:
            try:
                mounts.make_image(tmp_path / "image", kind, size_bytes)
                with mounts.mounted_image(tmp_path / "image", tmp_path / "disk") as point:
                    mounts.cut_power(point)
            except (mounts.CannotMount, OSError) as error:
                problem = str(error)
        if problem is None:
            usable.append(kind)
        else:
            problems.append(f"{kind}: {problem}")
    if not usable:
        pytest.skip(f"no file system can be cut off here: {'; '.join(problems)}")
    print("", *(f"not tried: {problem}" for problem in problems), sep="\n")
    return usable


@pytest.mark.timeout(300 + 20 * CUTS)
def test_a_power_cut_loses_nothing_that_was_called_durable(
    venue: Callable, universe: Callable, verify: Callable, kinds: list[str], tmp_path: Path
) -> None:
    sent_dir = tmp_path / "sent"
    served = venue(
        "--seed", "23", "--markets", "40", "--rate", "3000", "--lifecycle-seconds", "0", "--sent-log", str(sent_dir)
    )  # fmt: skip
    flags = [*served.flags, "--universe", str(universe(served.gamma)), "--ws-shards", str(SHARDS)]
    rng = random.Random(SEED)
    counts: Counter[str] = Counter()
    losses_ms: list[float] = []
    counters, image, point = tmp_path / "counters", tmp_path / "image", tmp_path / "disk"
    for cut in range(CUTS):
        kind = kinds[cut % len(kinds)]
        seen = len(lines_of_venue(sent_dir))
        counters.write_bytes(bytes(witnessed_capture.COUNTERS_BYTES))
        mounts.make_image(image, kind, IMAGE_BYTES[kind])
        with mounts.mounted_image(image, point):
            announced = _capture_until_cut(counters, point, flags, rng)
            cut_ns = time.perf_counter_ns()
        told = witnessed_capture.read(counters, SHARDS)
        where = f"cut {cut} of PM_TEST_SEED={SEED} on {kind}"
        with mounts.mounted_image(image, point):
            run_dir = point / "runs" / "cut"
            counts[f"cuts on {kind}"] += 1
            if not announced:
                counts["cuts before the run was announced"] += 1
                assert not any(one.durable for one in told), where
                continue
            code, report = verify(run_dir)
            found = Counter((finding["code"], finding["file"]) for finding in report["findings"])
            assert code == 3, (where, report["findings"])
            assert {name for name, _ in found} <= TOLERATED, (where, report["findings"])
            assert max(found.values()) == 1, (where, report["findings"])
            for name, _ in found:
                counts[f"{name} of pm-verify"] += 1
            addresses = survivors.connected(run_dir)
            logs = logs_of(sent_dir, set(addresses.values()), seen)
            for shard_id, one in enumerate(told):
                sent = logs.get(addresses.get(shard_id, ""))
                if sent is None:
                    # The record of its connection comes before its frames, on the device too.
                    assert not one.durable, f"{where}: shard {shard_id}"
                    continue
                shard = survivors.judge_shard(run_dir, shard_id, sent, one.written)
                assert shard.first_difference is None, f"{where}: shard {shard_id}"
                assert shard.whole >= one.durable, f"{where}: shard {shard_id}: {one}, {shard}"
                counts["frames written"] += shard.returned
                counts["frames called durable"] += one.durable
                counts["frames that survived"] += shard.whole
                if shard.whole < shard.returned:
                    frames = enumerate(read_frames(sent))
                    lost = next(frame for ordinal, frame in frames if ordinal == shard.whole)
                    losses_ms.append((cut_ns - lost.rx_mono_ns) / 1e6)
    served.stop()
    print(
        f"\n{CUTS} power cuts, seed {SEED}:",
        *(f"{n:>12,} {name}" for name, n in sorted(counts.items())),
        sep="\n  ",
    )
    if losses_ms:
        losses_ms.sort()
        middle = losses_ms[len(losses_ms) // 2]
        print(
            f"  lost of a shard, never durable: median {middle:.0f} ms, most {losses_ms[-1]:.0f} ms"
        )
    assert counts["frames called durable"] > 0


def _capture_until_cut(counters: Path, point: Path, flags: list[str], rng: random.Random) -> bool:
    """Capture onto a disk and cut it off; return whether the run had been announced."""
    process = subprocess.Popen(
        [sys.executable, witnessed_capture.__file__, str(counters), "--run-id", "cut",
         "--data-dir", str(point), "--min-free-disk-gb", "0", *flags],
        stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
    )  # fmt: skip
    assert process.stdout is not None
    line = ""
    try:
        if rng.random() < 0.15:
            time.sleep(rng.uniform(0.2, 1.0))  # before, or just as, it begins
        else:
            line = process.stdout.readline()
            assert line, "the capture did not begin"
            if rng.random() < 0.9:
                wait_until(
                    lambda: any(one.durable for one in witnessed_capture.read(counters, SHARDS)),
                    "the first durable frame",
                )
            time.sleep(rng.uniform(0, 1.2))
        mounts.cut_power(point)
    finally:
        process.kill()
        rest, _ = process.communicate()
    return bool(line or rest)
