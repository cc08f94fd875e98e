from pm_frames.continuity import State, Transition
from pm_frames.ledger import Interval, Ledger


def moved(state: State, at: int, since: int | None = None, token: str = "a") -> Transition:
    return Transition(token, state, at, at if since is None else since, "x", 0)


def test_a_gap_begins_at_the_last_frame_not_when_it_was_noticed() -> None:
    ledger = Ledger()
    assert ledger.add([moved(State.AWAITING_SNAPSHOT, 10)]) == []
    assert ledger.add([moved(State.LIVE, 14)]) == [
        Interval("a", State.AWAITING_SNAPSHOT, 10, 14, "x", 0)
    ]
    assert ledger.add([moved(State.RECONNECTING, 50, since=20)]) == [
        Interval("a", State.LIVE, 14, 20, "x", 0)
    ]
    assert ledger.add([moved(State.ENDED, 60)]) == [
        Interval("a", State.RECONNECTING, 20, 60, "x", 0)
    ]
    assert ledger.totals("a") == {
        State.AWAITING_SNAPSHOT: 4,
        State.LIVE: 6,
        State.RECONNECTING: 40,
    }
    assert sum(ledger.totals("a").values()) == 60 - 10


def test_a_cause_older_than_the_state_that_it_ends_takes_that_state_only() -> None:
    ledger = Ledger()
    ledger.add([moved(State.AWAITING_SNAPSHOT, 10), moved(State.LIVE, 20)])
    assert ledger.add([moved(State.RECONNECTING, 30, since=5)]) == []
    ledger.add([moved(State.ENDED, 31)])
    assert ledger.totals("a") == {State.AWAITING_SNAPSHOT: 10, State.RECONNECTING: 11}


def test_tokens_have_accounts_of_their_own() -> None:
    ledger = Ledger()
    ledger.add([moved(State.LIVE, 1, token="b"), moved(State.LIVE, 2)])
    ledger.add([moved(State.ENDED, 5, token="b")])
    assert ledger.token_ids() == ["b", "a"]
    assert ledger.totals("b") == {State.LIVE: 4}
    assert ledger.totals("a") == {}
    assert ledger.totals("never") == {}
