"""Masks only ever take away, also where their intervals overlap, and from a whole market at once."""

from hypothesis import given
from hypothesis import strategies as st

from pm_sim.markets import Markets
from pm_sim.mask import Mask, suspects

SPANS = st.lists(
    st.tuples(st.integers(0, 60), st.integers(0, 60)).map(lambda one: (min(one), max(one)))
)


@given(SPANS, st.integers(-1, 61))
def test_a_moment_is_covered_if_any_interval_has_it(spans: list[tuple[int, int]], at: int) -> None:
    mask = Mask("x", {"t": spans})
    assert mask.covers("t", at) is any(start <= at < stop for start, stop in spans)
    assert not mask.covers("other", at)


def test_a_masked_token_masks_its_market_and_no_other() -> None:
    """YES and NO are one book: what is suspected of one is suspected of both."""
    markets = Markets()
    for token in range(5):
        markets.define(token, f"t{token}")
    for number in (0, 1):
        entries = [{"token": 2 * number}, {"token": 2 * number + 1}]
        markets.meta({"market_id": f"m{number}", "tokens": entries})
    suspected = suspects(Mask("x", {"t1": [(10, 20)], "t4": [(10, 20)]}), markets)
    assert [suspected(token, 15) for token in range(5)] == [True, True, False, False, True]
    assert not any(suspected(token, 20) for token in range(5))
    assert not suspects(None, markets)(1, 15)
