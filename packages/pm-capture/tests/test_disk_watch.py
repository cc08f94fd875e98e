"""The disk is measured in a thread of its own."""

import itertools
import shutil
import threading
from pathlib import Path

from pm_capture.disk_watch import DiskFigures, DiskWatch

WAIT_SECONDS = 30


def test_measures_at_once_and_again(tmp_path: Path) -> None:
    twice = threading.Event()
    seen: list[tuple[str, DiskFigures]] = []

    def measured(figures: DiskFigures) -> None:
        seen.append((threading.current_thread().name, figures))
        if len(seen) == 2:
            twice.set()

    ticks = itertools.count()
    watch = DiskWatch(tmp_path, measured, now=lambda: next(ticks), interval_seconds=0.001)
    watch.start()
    assert twice.wait(WAIT_SECONDS)
    watch.stop()
    name, figures = seen[0]
    assert name == "disk-watch"
    assert (figures.total_bytes, figures.check_ns) == (shutil.disk_usage(tmp_path).total, 1)


def test_what_cannot_be_measured_is_tried_again(tmp_path: Path) -> None:
    there = threading.Event()
    path = tmp_path / "later"
    tried = threading.Event()

    def now() -> int:
        tried.set()
        return 0

    watch = DiskWatch(path, lambda _: there.set(), now=now, interval_seconds=0.001)
    watch.start()
    assert tried.wait(WAIT_SECONDS)
    path.mkdir()
    assert there.wait(WAIT_SECONDS)
    watch.stop()


def test_stopping_before_starting_does_nothing(tmp_path: Path) -> None:
    DiskWatch(tmp_path, lambda _: None, now=lambda: 0, interval_seconds=1).stop()
