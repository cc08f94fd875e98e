"""A writing process is killed in the middle of its work, for real (reliability: kill, segfault, OOM)."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

from pm_frames.damage import Damage
from pm_frames.frames import Frame
from pm_frames.index import rebuild_index
from pm_frames.scan import scan_shard
from pm_frames.shard import Shard

# Writes for ever; after each append it says how many frames are written.
CHILD = """
import os, sys
from pathlib import Path
from pm_frames import ShardWriter
writer = ShardWriter(Path(sys.argv[1]), 0)
sizes = [int(size) for size in sys.argv[2].split(",")]
number = 0
while True:
    batch = []
    for size in sizes:
        batch.append((1, number.to_bytes(4, "little") * (size // 4)))
        number += 1
    writer.append(batch, rx_mono_ns=number, rx_wall_ns_utc=number)
    os.write(1, number.to_bytes(4, "little"))
"""


@pytest.mark.parametrize("seed", range(12))
def test_nothing_that_was_acknowledged_is_lost(tmp_path: Path, seed: int) -> None:
    rng = random.Random(seed)
    sizes = [[8], [600, 0, 600], [4, 70_000], [1_000_000]][seed % 4]
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(tmp_path), ",".join(map(str, sizes))],
        stdout=subprocess.PIPE,
    )
    assert child.stdout is not None
    with child, child.stdout as said:
        heard = said.read(4 * rng.randrange(1, 60))
        child.kill()
        heard += said.read()
    acknowledged = heard[: len(heard) // 4 * 4][-4:]
    frames_path, idx_path = tmp_path / "shard_00.frames", tmp_path / "shard_00.idx"
    items = list(scan_shard(frames_path, idx_path))
    frames = [item for item in items if isinstance(item, Frame)]
    damages = [item for item in items if isinstance(item, Damage)]
    assert len(frames) >= int.from_bytes(acknowledged, "little")
    for number, frame in enumerate(frames):
        assert frame.payload == number.to_bytes(4, "little") * (len(frame.payload) // 4)
    assert all(damage.torn for damage in damages), damages
    assert "idx_long" not in {damage.kind for damage in damages}
    # What is left is a shard: cut to whole frames, its idx rebuilt, it reads strictly to its end.
    with frames_path.open("r+b") as file:
        file.truncate(frames[-1].end)
    idx_path.unlink()
    assert rebuild_index(frames_path, idx_path) == len(frames)
    assert list(Shard(0, frames_path, idx_path).frames()) == frames
