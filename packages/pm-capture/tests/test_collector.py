"""Garbage collections are measured."""

import gc
import itertools

from pm_capture.collector import GcPauses


def test_pauses_are_counted_between_start_and_stop() -> None:
    ticks = itertools.count(0, 7)
    pauses = GcPauses(lambda: next(ticks))
    gc.disable()
    try:
        pauses.start()
        gc.collect()
        gc.collect()
        assert pauses.taken() == (2, 14, 7)
        assert pauses.taken() == (0, 0, 0)
        pauses.stop()
        pauses.stop()
        gc.collect()
        assert pauses.taken() == (0, 0, 0)
    finally:
        gc.enable()
