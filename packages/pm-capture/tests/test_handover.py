"""When one run may take the place of another."""

import pytest

from pm_capture.policies.handover import Handover, Readiness, Verdict

READY = Readiness(connected=True, confirmed=True, unanswered=set())
SEEN = {"a", "b", "c"}.__contains__


def handover() -> Handover:
    return Handover(timeout_ns=100, now=1000)


def test_it_waits_for_every_shard_and_every_book() -> None:
    under_test = handover()
    closed = Readiness(connected=False, confirmed=True, unanswered=set())
    waiting = Readiness(connected=True, confirmed=True, unanswered={"b"})
    for shards in ([closed], [READY, closed], [waiting], [READY, waiting]):
        assert under_test.judged(shards, SEEN, 1099) is Verdict.WAITING
    assert under_test.judged([READY, READY], SEEN, 1099) is Verdict.COMPLETE
    assert under_test.missing == ()


def test_a_run_without_tokens_is_ready() -> None:
    assert handover().judged([], SEEN, 1000) is Verdict.COMPLETE


def test_a_token_without_a_book_in_either_run_is_not_waited_for() -> None:
    under_test = handover()
    for confirmed in (True, False):
        shard = Readiness(connected=True, confirmed=confirmed, unanswered={"dead"})
        assert under_test.judged([shard], SEEN, 1000) is Verdict.COMPLETE
    shard = Readiness(connected=False, confirmed=False, unanswered={"dead"})
    assert under_test.judged([shard], SEEN, 1000) is Verdict.WAITING


@pytest.mark.parametrize("now", [1100, 10**9])
def test_at_the_timeout_only_a_connection_is_needed(now: int) -> None:
    under_test = handover()
    some = Readiness(connected=True, confirmed=True, unanswered={"c", "a", "dead"})
    shards = [READY, some]
    assert under_test.judged(shards, SEEN, now) is Verdict.INCOMPLETE
    assert under_test.missing == ("a", "c")
    for bad in (
        Readiness(connected=False, confirmed=True, unanswered=set()),
        Readiness(connected=True, confirmed=False, unanswered={"b"}),
    ):
        assert under_test.judged([*shards, bad], SEEN, now) is Verdict.REFUSED
