"""What a run observes of itself between two heartbeats."""

from pm_capture.actions import GiveUp, Note
from pm_capture.collector import Pauses
from pm_capture.disk_watch import DiskFigures
from pm_capture.reasons import FatalReason
from pm_capture.vitals import Guards, Vitals
from pm_frames.histogram import LogHistogram

S = 1_000_000_000
NONE = Pauses(0, 0, 0)


def test_an_interval_begins_anew_after_it_was_told() -> None:
    vitals = Vitals(Guards())
    assert vitals.told(NONE)["disk_free_bytes"] is None
    vitals.ticked(2_000_000, (0, 0, 1))
    vitals.ticked(1_000_000, (2, 2, 3))
    vitals.disk_measured(DiskFigures(10, 7, 3, 5))
    vitals.tick_done(99)
    told = vitals.told(Pauses(2, 30, 20))
    lag = LogHistogram.from_dict(told.pop("loop_lag_ns"))  # type: ignore[arg-type]
    assert (lag.count, lag.min, lag.max) == (2, 1_000_000, 2_000_000)
    assert told == {
        "loop_lag_ms_max_last_interval": 2.0, "hb_tick_work_ns": 99, "gc_pauses_count": 2,
        "gc_pauses_ns_total": 30, "gc_pauses_ns_max": 20, "clock_steps_total": 0,
        "disk_total_bytes": 10, "disk_used_bytes": 7, "disk_free_bytes": 3, "disk_check_ns": 5,
        "disk_check_performed": True,
    }  # fmt: skip
    told = vitals.told(NONE)
    assert (told["loop_lag_ms_max_last_interval"], told["disk_check_performed"]) == (0.0, False)
    assert told["disk_free_bytes"] == 3


def test_a_stall_counts_every_tick_that_it_swallowed() -> None:
    vitals = Vitals(Guards())
    for number in range(90):
        vitals.ticked(0, (number, number, number))
    vitals.ticked(1_000_000_000, (91, 91, 91))
    lag = LogHistogram.from_dict(vitals.told(NONE)["loop_lag_ns"])  # type: ignore[arg-type]
    assert (lag.count, lag.max) == (101, 1_000_000_000)
    assert lag.quantile(95) >= 500_000_000


def test_guards_speak_through_it() -> None:
    vitals = Vitals(Guards(free_bytes_min=5, backpressure_ns=10))
    [low] = vitals.disk_measured(DiskFigures(10, 9, 1, 1))
    assert isinstance(low, GiveUp)
    assert low.reason is FatalReason.LOW_DISK
    beat = {"backpressure_ns_p99": 4, "reads": 1, "metrics_errors": 0}
    for _ in range(2):
        assert vitals.beaten(ingest_ns_p99=11, **beat) == []
    [stall] = vitals.beaten(ingest_ns_p99=11, **beat)
    assert isinstance(stall, GiveUp)
    assert stall.reason is FatalReason.BACKPRESSURE_STALL
    assert vitals.backpressure_ns_p99 == 4
    vitals.ticked(0, (0, 0, 1))
    [step] = vitals.ticked(0, (S, 3 * S, S + 1))
    assert isinstance(step, Note)


def test_failing_metrics_are_noted_when_they_begin_to_fail() -> None:
    vitals = Vitals(Guards())
    seen = []
    for errors in (0, 2, 5, 5, 6, 6):
        beat = {"ingest_ns_p99": 0, "backpressure_ns_p99": 0, "reads": 0, "metrics_errors": errors}
        seen.append(vitals.beaten(**beat))
    noted = [Note("metrics_writer_error", {"errors_total": errors}) for errors in (2, 6)]
    assert seen == [[], [noted[0]], [], [], [noted[1]], []]
