"""Masks only ever take away, also where their intervals overlap."""

from hypothesis import given
from hypothesis import strategies as st

from pm_sim.mask import Mask

SPANS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda one: (min(one), max(one)))
)


@given(SPANS, st.integers(-1, 61))
def test_a_moment_is_covered_if_any_interval_has_it(spans: list[tuple[int, int]], at: int) -> None:
    mask = Mask("x", {"t": spans})
    assert mask.covers("t", at) is any(start <= at < stop for start, stop in spans)
    assert not mask.covers("other", at)
