"""When a run has become old or large enough: days of it, in no time."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_capture.policies.rotation import RETRY_NS, RETRY_NS_MAX, Rotation
from pm_capture.rotate_limits import RotateLimits

S = 1_000_000_000
H = 3600 * S
GB = 10**9


def test_without_limits_nothing_is_ever_due() -> None:
    rotation = Rotation(None)
    rotation.began(0)
    assert rotation.due(10**6 * H, 10**18) is None


def test_a_week_of_days_and_sizes() -> None:
    rotation = Rotation(RotateLimits(24 * H, 50 * GB))
    # Bytes an hour: six quiet days, and one on which a run is full after ten hours.
    rates = [GB] * 24 * 6 + [5 * GB] * 24
    rotated: list[tuple[int, str]] = []
    began = 0
    rotation.began(0)
    written = 0
    for minute in range(60 * 24 * 7):
        now = minute * 60 * S
        written += rates[minute // 60] // 60
        if (reason := rotation.due(now, written)) is not None:
            rotated.append((now // H, reason))
            began, written = now, 0
            rotation.began(now)
        assert now - began < 24 * H
    assert [hour for hour, reason in rotated if reason == "age"] == [24, 48, 72, 96, 120, 144]
    assert [hour for hour, reason in rotated if reason == "size"] == [154, 164]


def test_failures_wait_longer_and_longer_and_a_run_that_begins_forgives_them() -> None:
    rotation = Rotation(RotateLimits(24 * H))
    rotation.began(0)
    now, waits = 24 * H, []
    while now < 48 * H:
        assert rotation.due(now, 0) == "age"
        waits.append(rotation.failed(now))
        assert rotation.due(now + waits[-1] - 1, 0) is None
        now += waits[-1]
    assert waits[:4] == [RETRY_NS, 2 * RETRY_NS, 4 * RETRY_NS, 8 * RETRY_NS]
    assert waits[-1] == RETRY_NS_MAX == max(waits)
    assert len(waits) < 32
    rotation.began(now)
    assert rotation.due(now + 24 * H - 1, 0) is None
    assert rotation.due(now + 24 * H, 0) == "age"
    assert rotation.failed(now + 24 * H) == RETRY_NS


@pytest.mark.parametrize(("written", "due"), [(50 * GB - 1, None), (50 * GB, "size")])
def test_a_size_is_a_limit_of_its_own(written: int, due: str | None) -> None:
    rotation = Rotation(RotateLimits(None, 50 * GB))
    rotation.began(0)
    assert rotation.due(10**6 * H, written) == due


@given(st.integers(1, 10**6), st.lists(st.tuples(st.integers(0, 10**5), st.booleans())))
def test_nothing_is_due_early_nor_never(after: int, steps: list[tuple[int, bool]]) -> None:
    """Due exactly when the run is old enough and the wait after the last failure is over."""
    rotation = Rotation(RotateLimits(after * S))
    now = began = retry = 0
    rotation.began(0)
    for seconds, works in steps:
        now += seconds * S
        wanted = now - began >= after * S and now >= retry
        assert (rotation.due(now, 0) == "age") == wanted
        if wanted and works:
            rotation.began(now)
            began, retry = now, 0
        elif wanted:
            retry = now + rotation.failed(now)
