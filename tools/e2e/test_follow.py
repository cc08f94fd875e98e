"""A real capture, followed while it is written: what was read live is the merge of what it left."""

import os
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from pm_frames import RunState, open_bundle
from pm_frames.follow import follow
from pm_frames.frames import Frame
from pm_frames.merge import Item
from pm_frames.paths import SEAL

# Connections are lost, so that the runlog has something to say.
FAULT = '[[fault]]\nkind = "close"\ncode = 1006\nsince = "open"\nat = 0.4\ncount = 3\n'
BUSY = ["--seed", "3", "--markets", "12", "--rate", "1500", "--lifecycle-seconds", "1"]
POLL_S = 0.005

Merged = list[tuple[int, int, Item]]


def followed(
    venue: Callable, capture: Callable, folder: Path, *flags: str, kill_at: int | None = None
) -> tuple[Path, Merged, int]:
    """Follow a capture to its end; gives what was read, and how much of it before the seal.

    With `kill_at` the capture is killed when so many items have been read.
    """
    (folder / "faults.toml").write_text(FAULT)
    served = venue(*BUSY, "--faults", str(folder / "faults.toml"))
    process = capture(served, "live", "--ws-shards", "3", *flags)
    run = Path(process.stdout.readline().strip())
    items: Merged = []
    live = 0
    for item in follow(run, wait=lambda: time.sleep(POLL_S)):
        items.append(item)
        if not (run / SEAL).exists():
            live = len(items)
        if len(items) == kill_at:
            process.kill()
    process.communicate(timeout=60)
    return run, items, live


def assert_is_the_merge(run: Path, items: Merged) -> None:
    assert items == list(open_bundle(run).timeline(torn_ok=True))
    kinds = {item["record_type"] for _, _, item in items if not isinstance(item, Frame)}
    assert {"ws_connect", "subscribe_attempt", "disconnect"} <= kinds
    assert len({shard for shard, _, _ in items}) > 2


def test_what_was_followed_is_the_merge_of_the_sealed_run(
    venue: Callable, capture: Callable, tmp_path: Path
) -> None:
    run, items, live = followed(venue, capture, tmp_path, "--duration-seconds", "2")
    assert open_bundle(run).state() is RunState.ENDED
    assert_is_the_merge(run, items)
    assert live >= 0.9 * len(items)


@pytest.mark.skipif(os.name == "nt", reason="no kill -9")
def test_what_was_followed_is_the_merge_of_a_killed_run(
    venue: Callable, capture: Callable, tmp_path: Path
) -> None:
    run, items, _ = followed(venue, capture, tmp_path, kill_at=1500)
    assert open_bundle(run).state() is RunState.CRASHED
    assert_is_the_merge(run, items)
