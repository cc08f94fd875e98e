"""Laws of mergeable histograms."""

import json

from hypothesis import given
from hypothesis import strategies as st

from pm_frames.histogram import LogHistogram

VALUES = st.lists(st.one_of(st.integers(0, 2**64 - 1), st.integers(0, 5000)), max_size=60)


def filled(values: list[int]) -> LogHistogram:
    histogram = LogHistogram()
    for value in values:
        histogram.record(value)
    return histogram


@given(VALUES, VALUES, VALUES)
def test_merging_is_as_if_all_had_been_recorded_in_one(
    a: list[int], b: list[int], c: list[int]
) -> None:
    left = filled(a)
    left.merge(filled(b))
    left.merge(filled(c))
    right = filled(b)
    right.merge(filled(c))
    whole = filled(a)
    whole.merge(right)
    assert left == whole == filled(c + a + b)


@given(VALUES.filter(bool), st.integers(0, 10_000))
def test_a_quantile_is_never_below_and_at_most_one_64th_above(
    values: list[int], hundredths: int
) -> None:
    """Nearest rank: the value of rank ceil(p/100·n), never below the true value, above by ≤ 1/64."""
    rank = max(1, -(-hundredths * len(values) // 10_000))
    true = sorted(values)[rank - 1]
    found = filled(values).quantile(hundredths / 100)
    assert true <= found <= max(values)
    assert (found - true) * 64 <= true


@given(VALUES)
def test_sums_are_exact_and_a_dict_brings_everything_back(values: list[int]) -> None:
    histogram = filled(values)
    assert histogram.count == len(values)
    assert histogram.sum == sum(values)
    assert histogram.min == min(values, default=0)
    assert histogram.max == max(values, default=0)
    assert LogHistogram.from_dict(json.loads(json.dumps(histogram.to_dict()))) == histogram
