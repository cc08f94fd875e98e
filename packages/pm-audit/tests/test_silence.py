"""The small histogram, against the exact percentile."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from pm_audit.silence import Habit, Lengths, Rule, bucket_of, upper_bound


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


@given(st.integers(0, 2**40))
def test_the_table_has_the_bucket(value: int) -> None:
    lengths = Lengths()
    lengths.add(value)
    lengths.add(2**50)
    assert lengths.usual(100) == upper_bound(bucket_of(value))
    assert lengths.count == 2


SILENCES = st.lists(st.tuples(st.integers(0, 60), st.integers(0, 60)), max_size=40)


@given(SILENCES, st.integers(0, 3000))
def test_the_longest_silences_answer_for_all(silences: list[tuple[int, int]], total: int) -> None:
    rule = Rule(percent=50, factor=2, silence_min_ns=5, lengths_min=5, messages_min=3)
    habit = Habit()
    for silence in silences:
        habit.times.add(silence[0])
        habit.siblings.add(silence[1])
        habit.messages += 9
        habit.remember(*silence)
    judged = [habit.judge(*silence, total, rule) for silence in silences]
    assert habit.can_be_judged(total, rule) == any(judged)
