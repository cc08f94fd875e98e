"""Masks only ever take away, also where their intervals overlap, and from a whole market at once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from simulated import Script, only, simulate
from streams import CENT, NO, SHARE, WALL, YES, Stream

from pm_frames.continuity import State
from pm_sim import Buy, PxE6, SzE6
from pm_sim.fixed import ONE
from pm_sim.markets import Markets
from pm_sim.mask import Mask, suspects
from pm_sim.resolutions import Resolution

BUY = Buy(YES, PxE6(50 * CENT), SzE6(10 * SHARE))

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


@pytest.mark.parametrize("settled_later", [False, True])
@pytest.mark.parametrize("token", ["t0", "t1"])
def test_a_book_that_was_suspected_until_it_was_lost_is_no_mark(
    token: str, settled_later: bool
) -> None:
    """The mask of a freeze ends where the connection is closed; that makes the frozen bid no better."""
    data = Stream().market().market(1).mirrored({40: 50}, {50: 50}).mirrored({40: 50}, {50: 50})
    frozen_from = data.now + 1
    for one in (YES, NO):
        data.status(one, State.PLANNED_CHANGE)
    mask = Mask("x", {token: [(frozen_from, data.now)]})
    for one in (YES, NO):
        data.status(one, State.ENDED, State.PLANNED_CHANGE)
    other = Resolution({"t2": ONE, "t3": PxE6(0)}, WALL + 10**12) if settled_later else None
    resolutions, whole = [] if other is None else [other], data.end()
    for mask_given, mark in ((mask, None), (None, 40 * CENT)):
        engine = simulate(
            whole,
            lambda: Script({1: [BUY]}),
            engine={"mask": mask_given, "resolutions": resolutions},
        )
        assert only(engine).marks() == {YES: mark}
