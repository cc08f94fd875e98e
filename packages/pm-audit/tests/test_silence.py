"""The small histogram, against the exact percentile."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pm_audit.silence import Lengths, bucket_of, upper_bound


@given(st.integers(0, 2**61))
def test_a_bucket_holds_its_value_within_a_quarter(value: int) -> None:
    bound = upper_bound(bucket_of(value))
    assert value <= bound <= value + value // 4
    assert bucket_of(bound) == bucket_of(value)
    assert bucket_of(bound + 1) == bucket_of(value) + 1


@given(st.lists(st.integers(0, 2**40), min_size=2, max_size=60), st.integers(1, 100))
def test_usual_leaves_out_the_longest(values: list[int], percent: int) -> None:
    lengths = Lengths()
    for value in values:
        lengths.add(value)
    others = sorted(values)[:-1]
    exact = others[max(0, -(-percent * len(others) // 100) - 1)]
    assert exact <= lengths.usual(percent) <= exact + exact // 4


def test_of_one_length_nothing_is_usual() -> None:
    lengths = Lengths()
    lengths.add(5)
    assert lengths.usual(99) == 0
