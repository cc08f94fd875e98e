"""The budget of faults as a timeline."""

from pm_capture.actions import Action, GiveUp
from pm_capture.policies.budget import Budget
from pm_capture.reasons import FatalReason

S = 1_000_000_000
DAY = 86_400


def faults(budget: Budget, *seconds: int) -> list[tuple[int, Action]]:
    return [(at, action) for at in seconds for action in budget.fault("shard 3: lost", at * S)]


def test_one_more_than_allowed_ends_the_run_once() -> None:
    budget = Budget(FatalReason.RECONNECT_STORM, faults_max=3, heal_ns=60 * S)
    words = "shard 3: lost: 4 times, one forgiven every 60000000000 ns; 3 are allowed"
    assert faults(budget, 1, 2, 3, 4, 5, 6) == [(4, GiveUp(FatalReason.RECONNECT_STORM, words))]


def test_faults_are_forgiven_one_by_one() -> None:
    budget = Budget(FatalReason.RECONNECT_STORM, faults_max=3, heal_ns=60 * S)
    assert faults(budget, 0, 0, 0, 60, 120, 180) == []
    assert budget.spent(180 * S) == 3
    assert budget.spent(239 * S) == 3
    assert budget.spent(240 * S) == 2
    assert budget.spent(10_000 * S) == 0
    # What was forgiven long ago is no credit.
    assert len(faults(budget, 10_001, 10_002, 10_003, 10_004)) == 1


def test_a_fault_a_minute_for_a_month_is_no_storm() -> None:
    budget = Budget(FatalReason.RECONNECT_STORM, faults_max=3, heal_ns=60 * S)
    assert faults(budget, *range(0, 30 * DAY, 60)) == []


def test_no_budget_never_ends_a_run() -> None:
    budget = Budget(FatalReason.SUBSCRIBE_CONFIRM_FAIL, faults_max=0, heal_ns=60 * S)
    assert faults(budget, *range(1000)) == []
