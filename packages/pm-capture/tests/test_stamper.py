"""The order of stamps, with clocks that are lists."""

from hypothesis import given
from hypothesis import strategies as st

from pm_capture.stamper import Precision, Stamper, precision


def stamper(*readings: int) -> Stamper:
    mono = iter(readings)
    wall = iter(range(1000, 2000))
    return Stamper(lambda: next(mono), lambda: next(wall))


def test_a_clock_that_goes_on_is_passed_on() -> None:
    stamps = stamper(10, 20, 30)
    assert stamps.frames() == (10, 1000)
    assert stamps.record() == (20, 1001)
    assert stamps.watermark() == 30


def test_a_record_is_later_than_every_frame_even_when_the_clock_stands() -> None:
    stamps = stamper(10, 10, 10)
    assert stamps.frames()[0] == 10
    assert stamps.record()[0] == 11
    assert stamps.frames()[0] == 11


def test_what_follows_a_watermark_is_later() -> None:
    stamps = stamper(10, 10, 10, 10)
    assert stamps.frames()[0] == 10
    assert stamps.watermark() == 10
    assert stamps.frames()[0] == 11
    assert stamps.record()[0] == 12


def test_now_stamps_nothing() -> None:
    stamps = stamper(10, 50, 20)
    stamps.frames()
    assert stamps.now() == 50
    assert stamps.frames()[0] == 20


@given(st.lists(st.tuples(st.sampled_from("frw"), st.integers(0, 30)), max_size=40))
def test_the_three_promises_hold_for_any_clock(calls: list[tuple[str, int]]) -> None:
    stamps = stamper(*(reading for _, reading in calls))
    last = -1
    mark = -1
    for call, _ in calls:
        if call == "f":
            now = stamps.frames()[0]
            assert now >= last
        elif call == "r":
            now = stamps.record()[0]
            assert now > last
        else:
            mark = stamps.watermark()
            assert mark >= last
            continue
        assert now > mark
        last = now


def test_precision_of_a_clock() -> None:
    assert precision([5, 5, 7, 100]) == Precision(4, 2, 93, 1)
    assert precision([5, 5, 7, 100]).ok
    coarse = precision([0, 0, 15_600_000, 15_600_000])
    assert coarse == Precision(4, 15_600_000, 15_600_000, 15_600_000)
    assert coarse.any_non_ms
    assert not precision([0, 16_000_000, 31_000_000]).any_non_ms
    assert not coarse.ok
    assert not precision([3, 3, 3]).ok
