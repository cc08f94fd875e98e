from fractions import Fraction
from typing import Any

import pytest

from pm_frames.histogram import BUCKETS, LogHistogram, bucket_of, upper_bound


def filled(*values: int) -> LogHistogram:
    histogram = LogHistogram()
    for value in values:
        histogram.record(value)
    return histogram


def test_an_empty_histogram_answers_zero() -> None:
    empty = LogHistogram()
    assert (empty.count, empty.sum, empty.min, empty.max) == (0, 0, 0, 0)
    assert empty.quantile(0) == empty.quantile(50) == empty.quantile(100) == 0
    assert empty.to_dict() == {"count": 0, "sum": 0, "min": 0, "max": 0, "buckets": []}
    assert LogHistogram.from_dict(empty.to_dict()) == empty


def test_small_values_are_exact_and_quantiles_are_nearest_rank() -> None:
    histogram = filled(*range(1, 101))
    assert histogram.quantile(50) == 50
    assert histogram.quantile(99) == 99
    assert histogram.quantile(99.5) == 100
    assert histogram.quantile(0) == 1
    assert histogram.quantile(100) == 100
    assert histogram.quantile(Fraction(1, 3)) == 1


def test_a_float_percentage_means_the_decimal_that_it_prints_as() -> None:
    # 99.9 as a binary fraction is above 999/1000, and its rank of 1000 values would be 1000.
    histogram = LogHistogram()
    for _ in range(999):
        histogram.record(1)
    histogram.record(100)
    assert histogram.quantile(99.9) == 1
    assert histogram.quantile(99.91) == 100


def test_buckets_join_without_gap_up_to_the_largest_value() -> None:
    assert bucket_of(0) == 0
    assert bucket_of(2**64 - 1) == BUCKETS - 1
    assert upper_bound(BUCKETS - 1) == 2**64 - 1
    for bucket in range(BUCKETS - 1):
        top = upper_bound(bucket)
        assert bucket_of(top) == bucket
        assert bucket_of(top + 1) == bucket + 1


def test_the_dict_is_sparse() -> None:
    assert filled(1000, 1000, 3).to_dict() == {
        "count": 3,
        "sum": 2003,
        "min": 3,
        "max": 1000,
        "buckets": [[3, 1], [bucket_of(1000), 2]],
    }


@pytest.mark.parametrize("value", [-1, 2**64])
def test_values_outside_u64_are_refused_and_change_nothing(value: int) -> None:
    for histogram in (LogHistogram(), filled(7)):
        before = histogram.to_dict()
        with pytest.raises(ValueError, match="expected a value from 0"):
            histogram.record(value)
        assert histogram.to_dict() == before


@pytest.mark.parametrize("percent", [-1, 100.1, 101])
def test_percentages_outside_the_scale_are_refused(percent: float) -> None:
    with pytest.raises(ValueError, match="percentage"):
        filled(1).quantile(percent)


@pytest.mark.parametrize(
    "change",
    [
        {"count": 2},
        {"buckets": [[5, 0]]},
        {"buckets": [[-1, 1]]},
        {"buckets": [[BUCKETS, 1]]},
        {"buckets": [[5, 1], [5, 1]]},
        {"buckets": 5},
        {"min": 6},
        {"max": 4},
    ],
)
def test_what_cannot_be_a_histogram_is_refused(change: dict[str, Any]) -> None:
    good = filled(5).to_dict()
    with pytest.raises(ValueError, match=r"histogram|bucket|count"):
        LogHistogram.from_dict({**good, **change})
    with pytest.raises(ValueError, match="not a histogram"):
        LogHistogram.from_dict({})


def test_equality_and_repr() -> None:
    assert filled(1, 2) == filled(2, 1)
    assert filled(1) != filled(2)
    assert filled(1) != 1
    assert repr(filled(1, 9)) == "LogHistogram(count=2, min=1, max=9)"


def test_merging_with_itself_doubles() -> None:
    histogram = filled(3, 900)
    histogram.merge(histogram)
    assert histogram == filled(3, 3, 900, 900)
