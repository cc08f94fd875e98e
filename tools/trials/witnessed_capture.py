"""pm-capture with a witness that outlives it, and its disk: counters in shared memory.

    python tools/trials/witnessed_capture.py COUNTERS_FILE [flags of pm-capture]

The recorder gets its own `Files` (the seam that pm_frames has for tests): after each write to a shard's
file has returned, the bytes written so far are stored in a mapped file. So is, after each sync, how many
frames the recorder calls durable. The mapping belongs to the kernel, so what was stored is there after
kill -9; nothing of the product is changed.
"""

import mmap
import re
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pm_capture.opening
from pm_capture.__main__ import main
from pm_capture.recorder import Recorder
from pm_frames.files import OsFiles

SHARD_FILE = re.compile(r"shard_(\d+)\.(frames|idx)")
SHARDS_MAX = 64
SLOTS = 3  # of each shard: bytes of .frames, bytes of .idx, durable frames
COUNTERS_BYTES = SHARDS_MAX * SLOTS * 8


class Told(NamedTuple):
    """What the counters say of one shard."""

    written: tuple[int, int]  # bytes of .frames and .idx whose write had returned
    durable: int  # frames that were said to be durable


def read(path: Path, shards: int) -> list[Told]:
    """Read the counters of the first shards."""
    counters = memoryview(path.read_bytes()).cast("Q")
    return [
        Told((counters[at], counters[at + 1]), counters[at + 2])
        for at in range(0, SLOTS * shards, SLOTS)
    ]


class CountedFiles(OsFiles):
    """The real operating system, which also counts the bytes whose write has returned."""

    def __init__(self, counters: memoryview) -> None:
        self._counters = counters
        self._slots: dict[int, int] = {}

    def open_append(self, path: Path) -> int:
        fd = super().open_append(path)
        if (match := SHARD_FILE.fullmatch(path.name)) is not None:
            self._slots[fd] = SLOTS * int(match[1]) + (match[2] == "idx")
        return fd

    def write(self, fd: int, data: bytes | memoryview) -> int:
        taken = super().write(fd, data)
        if (slot := self._slots.get(fd)) is not None:
            self._counters[slot] += taken  # one aligned store of eight bytes
        return taken


def witnessed(counters: memoryview) -> type[Recorder]:
    """Return a recorder that counts in `counters`."""

    class WitnessedRecorder(Recorder):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs, files=CountedFiles(counters))

        def sync(self) -> int:
            try:
                return super().sync()
            finally:
                for shard in tuple(self.shards):
                    counters[SLOTS * shard.shard_id + 2] = shard.durable_frames

    return WitnessedRecorder


if __name__ == "__main__":
    with open(sys.argv[1], "r+b") as file:
        mapped = mmap.mmap(file.fileno(), COUNTERS_BYTES)
    pm_capture.opening.Recorder = witnessed(memoryview(mapped).cast("Q"))  # type: ignore[misc]
    sys.exit(main(sys.argv[2:]))
