"""pm-capture with a witness of its writes that outlives the process: a counter in shared memory.

    python tools/trials/witnessed_capture.py COUNTERS_FILE [flags of pm-capture]

The recorder gets its own `Files` (the seam that pm_frames has for tests): after each write to a shard's
file has returned, the bytes written so far are stored in a mapped file. The mapping belongs to the
kernel, so what was stored is there after kill -9; nothing of the product is changed but the argument
`files` of `Recorder`.
"""

import functools
import mmap
import re
import sys
from pathlib import Path

import pm_capture.daemon
from pm_capture.__main__ import main
from pm_capture.recorder import Recorder
from pm_frames.files import OsFiles

SHARD_FILE = re.compile(r"shard_(\d+)\.(frames|idx)")
SHARDS_MAX = 64
COUNTERS_BYTES = SHARDS_MAX * 2 * 8


class CountedFiles(OsFiles):
    """The real operating system, which also counts the bytes whose write has returned."""

    def __init__(self, counters: memoryview) -> None:
        self._counters = counters
        self._slots: dict[int, int] = {}

    def open_append(self, path: Path) -> int:
        fd = super().open_append(path)
        if (match := SHARD_FILE.fullmatch(path.name)) is not None:
            self._slots[fd] = 2 * int(match[1]) + (match[2] == "idx")
        return fd

    def write(self, fd: int, data: bytes | memoryview) -> int:
        taken = super().write(fd, data)
        if (slot := self._slots.get(fd)) is not None:
            self._counters[slot] += taken  # one aligned store of eight bytes
        return taken


if __name__ == "__main__":
    with open(sys.argv[1], "r+b") as file:
        mapped = mmap.mmap(file.fileno(), COUNTERS_BYTES)
    files = CountedFiles(memoryview(mapped).cast("Q"))
    pm_capture.daemon.Recorder = functools.partial(Recorder, files=files)  # type: ignore[misc]
    sys.exit(main(sys.argv[2:]))
