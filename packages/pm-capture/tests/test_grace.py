"""Tokens too new to be counted."""

from pm_capture.policies.grace import Grace


def test_a_new_token_counts_when_its_grace_is_over() -> None:
    grace = Grace(grace_ns=30)
    grace.added(["a", "b"], 100)
    grace.added(["c"], 110)
    assert set(grace.excluded(129)) == {"a", "b", "c"}
    assert set(grace.excluded(130)) == {"c"}
    assert set(grace.excluded(140)) == set()


def test_a_token_that_comes_back_has_a_new_grace() -> None:
    grace = Grace(grace_ns=30)
    grace.added(["a", "b"], 100)
    grace.removed(["a"])
    assert set(grace.excluded(100)) == {"b"}
    grace.added(["a"], 120)
    grace.added(["b"], 121)
    assert set(grace.excluded(149)) == {"a", "b"}
    assert set(grace.excluded(150)) == {"b"}


def test_without_a_grace_all_count_at_once() -> None:
    grace = Grace()
    grace.added(["a"], 100)
    assert not grace.excluded(100)
