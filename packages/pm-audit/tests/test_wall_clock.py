"""Wall times across a step of the clock, there and back."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pm_audit.wall_clock import WallClock, rfc3339, wall_text

S = 10**9


def stepped() -> WallClock:
    clock = WallClock()
    clock.add(0, 100 * S)
    clock.add(10 * S, 110 * S + 50_000)  # within 100 µs: the same clock
    clock.add(20 * S, 3_720 * S)  # an hour forward
    clock.add(30 * S, 131 * S)  # and back
    return clock


def test_each_anchor_holds_to_the_next() -> None:
    clock = stepped()
    assert len(clock) == 3
    assert clock.wall_ns(15 * S) == 115 * S
    assert clock.wall_ns(20 * S) == 3_720 * S
    assert clock.wall_ns(31 * S) == 132 * S


@given(st.integers(0, 60 * S))
def test_the_first_moment_of_a_wall_time(mono: int) -> None:
    clock = stepped()
    wall = clock.wall_ns(mono)
    assert wall is not None
    first = clock.mono_ns(wall)
    assert first is not None
    assert first <= mono
    found = clock.wall_ns(first)
    assert found is not None
    assert found >= wall


def test_without_an_anchor_there_is_no_wall_time() -> None:
    assert WallClock().wall_ns(1) is None
    assert WallClock().mono_ns(1) is None
    assert wall_text(None) == wall_text(-1) == wall_text(2**63) == wall_text(True) == "-"
    assert WallClock().text(7) == "mono 7"


def test_rfc3339() -> None:
    assert rfc3339(1_760_000_000_123_456_789) == "2025-10-09T08:53:20.123456789Z"
    assert rfc3339(1_760_000_000_123_456_789, digits=3) == "2025-10-09T08:53:20.123Z"
    assert rfc3339(1_760_000_000_123_456_789, digits=0) == "2025-10-09T08:53:20Z"
