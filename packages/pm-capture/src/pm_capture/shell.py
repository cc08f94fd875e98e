"""What the process lends to its runs: its clocks, its environment, and where words go."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pm_capture.shard_link import Open
from pm_capture.transport import open_connection


@dataclass(frozen=True, slots=True)
class Shell:
    """The process as its runs see it."""

    say: Callable[[str], None]  # words for people
    status: Callable[[Mapping[str, object], int], None] | None = field(default=None, kw_only=True)
    announce: Callable[[Path], None]  # a run directory, when its manifest is written
    environ: Mapping[str, str]
    event_loop: str
    transport: str = field(default="websockets", kw_only=True)
    open: Open = field(default=open_connection, kw_only=True)
    monotonic: Callable[[], int] = time.perf_counter_ns
    wall: Callable[[], int] = time.time_ns
    # Called when all that lives as long as a run is made, and again when a run is gone.
    settle: Callable[[], None] = lambda: None
