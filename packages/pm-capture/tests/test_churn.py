"""The guard against a universe that changes too much."""

import pytest

from pm_capture.policies.churn import Churn, Verdict, churn_pct

S = 1_000_000_000


def new(**changes: float) -> Churn:
    return Churn(
        pct_max=changes.get("pct_max", 10.0),
        interval_ns=60 * S,
        interval_max_ns=int(changes.get("max_s", 600)) * S,
        consecutive_fatal=int(changes.get("fatal", 5)),
    )


@pytest.mark.parametrize(
    ("added", "removed", "current", "pct"),
    [(0, 0, 100, 0.0), (5, 5, 100, 10.0), (100, 100, 100, 200.0), (4, 0, 0, 400.0), (1, 0, 3, 100 / 3)],
)  # fmt: skip
def test_churn_counts_both_ways(added: int, removed: int, current: int, pct: float) -> None:
    assert churn_pct(added, removed, current) == pytest.approx(pct)


def test_the_interval_doubles_up_to_the_maximum_and_then_it_is_fatal() -> None:
    machine = new()
    seen = [(machine.judge(10.1, expected=False), machine.interval_ns // S) for _ in range(5)]
    assert seen == [
        (Verdict.GUARDED, 120), (Verdict.GUARDED, 240), (Verdict.GUARDED, 480),
        (Verdict.GUARDED, 600), (Verdict.SUSTAINED, 600),
    ]  # fmt: skip


def test_the_first_that_is_not_guarded_puts_everything_back() -> None:
    machine = new()
    for passes in (
        lambda: machine.judge(10.0, expected=False),
        lambda: machine.judge(99.0, expected=True),
        machine.passed,
    ):
        for _ in range(4):
            assert machine.judge(50.0, expected=False) is Verdict.GUARDED
        assert machine.consecutive == 4
        passes()
        assert (machine.consecutive, machine.interval_ns) == (0, 60 * S)


def test_what_is_expected_passes_and_says_so() -> None:
    machine = new()
    assert machine.judge(10.0, expected=True) is Verdict.ALLOWED
    assert machine.judge(10.1, expected=True) is Verdict.BYPASSED


def test_limits_that_are_off() -> None:
    never_guards = new(pct_max=0)
    assert never_guards.judge(200.0, expected=False) is Verdict.ALLOWED
    never_fatal = new(fatal=0)
    assert {never_fatal.judge(200.0, expected=False) for _ in range(99)} == {Verdict.GUARDED}
    low = new(max_s=1)
    low.judge(200.0, expected=False)
    assert low.interval_ns == 60 * S


def test_a_day_of_a_broken_listing_that_heals_every_hour() -> None:
    machine = new()
    now = guarded = 0
    while now < 86_400 * S:
        broken = now % (3600 * S) < 1200 * S
        verdict = machine.judge(80.0 if broken else 0.5, expected=False)
        assert verdict is not Verdict.SUSTAINED
        guarded += verdict is Verdict.GUARDED
        now += machine.interval_ns
    assert guarded == 24 * 4
