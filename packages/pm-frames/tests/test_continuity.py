from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest

from pm_frames.continuity import (
    NEXT,
    Basis,
    Continuity,
    Input,
    State,
    Transition,
    transition_table,
)


def connect(at: int, *, shard: int = 0, connection: int = 1) -> dict[str, Any]:
    return _record("ws_connect", at, shard, connection)


def subscribe(at: int, *tokens: str, shard: int = 0, connection: int = 1) -> dict[str, Any]:
    return _record("subscribe_attempt", at, shard, connection, token_ids=list(tokens))


def unsubscribe(at: int, *tokens: str, shard: int = 0, connection: int = 1) -> dict[str, Any]:
    return _record("unsubscribe", at, shard, connection, token_ids=list(tokens))


def disconnect(
    at: int, *, shard: int = 0, connection: int = 1, since: int = 0, planned: bool = False
) -> dict[str, Any]:
    return _record("disconnect", at, shard, connection, since_mono_ns=since, planned=planned)


def stop(at: int) -> dict[str, Any]:
    return {"record_type": "capture_stop", "ts_mono_ns": at}


def _record(kind: str, at: int, shard: int, connection: int, **fields: Any) -> dict[str, Any]:
    head = {"record_type": kind, "ts_mono_ns": at, "shard_id": shard, "connection": connection}
    return {**head, **fields}


def fed(*records: dict[str, Any]) -> Continuity:
    continuity = Continuity()
    for record in records:
        continuity.record(record)
    return continuity


def live(*tokens: str, shard: int = 0) -> Continuity:
    """Return a machine on which these tokens are live at 10, on the first connection of a shard."""
    continuity = fed(connect(1, shard=shard), subscribe(2, *tokens, shard=shard))
    for token in tokens:
        continuity.book(token, shard, 10)
    return continuity


def changes(transitions: Iterable[Transition]) -> list[tuple[str, State]]:
    return [(one.token_id, one.state) for one in transitions]


def test_the_life_of_a_token() -> None:
    continuity = Continuity()
    assert continuity.state("a") is State.UNSUBSCRIBED
    assert continuity.record(connect(1)) == []
    assert continuity.record(subscribe(2, "a")) == [
        Transition("a", State.AWAITING_SNAPSHOT, 2, 2, "subscribe_attempt", 0)
    ]
    assert continuity.book("a", 0, 5) == [Transition("a", State.LIVE, 5, 5, "book", 0)]
    assert continuity.book("a", 0, 6) == []
    assert continuity.record(disconnect(9, since=7)) == [
        Transition("a", State.RECONNECTING, 9, 7, "disconnect", 0)
    ]
    assert continuity.record(connect(11, connection=2)) == []
    assert continuity.state("a") is State.RECONNECTING
    assert continuity.record(subscribe(12, "a", connection=2)) == [
        Transition("a", State.AWAITING_SNAPSHOT, 12, 12, "subscribe_attempt", 0)
    ]
    assert continuity.book("a", 0, 13) == [Transition("a", State.LIVE, 13, 13, "book", 0)]
    assert continuity.record(stop(20)) == [Transition("a", State.ENDED, 20, 20, "capture_stop", 0)]
    assert continuity.states() == {"a": State.ENDED}
    assert not +continuity.oddities


def test_a_live_token_does_not_wait_because_another_is_added() -> None:
    continuity = live("a")
    assert changes(continuity.record(subscribe(11, "b"))) == [("b", State.AWAITING_SNAPSHOT)]
    assert continuity.state("a") is State.LIVE


def test_a_token_that_is_named_again_waits_again() -> None:
    continuity = live("a", "b")
    assert changes(continuity.record(subscribe(11, "a"))) == [("a", State.AWAITING_SNAPSHOT)]
    assert continuity.record(subscribe(12, "a")) == []
    assert changes(continuity.book("a", 0, 13)) == [("a", State.LIVE)]


def test_a_disconnect_reaches_exactly_the_tokens_of_its_connection() -> None:
    continuity = live("a", "b", "c")
    for record in (connect(10, shard=1), subscribe(11, "x", shard=1), unsubscribe(12, "b")):
        continuity.record(record)
    assert changes(continuity.record(disconnect(13))) == [
        ("a", State.RECONNECTING),
        ("c", State.RECONNECTING),
    ]
    # On the second connection only c is asked for; a keeps its older gap when that one is lost too.
    continuity.record(connect(14, connection=2))
    continuity.record(subscribe(15, "c", connection=2))
    assert changes(continuity.record(disconnect(16, connection=2))) == [("c", State.RECONNECTING)]
    assert continuity.states() == {
        "a": State.RECONNECTING,
        "b": State.UNSUBSCRIBED,
        "c": State.RECONNECTING,
        "x": State.AWAITING_SNAPSHOT,
    }


def test_a_planned_change_lasts_until_the_book_on_the_next_connection() -> None:
    continuity = live("a")
    assert changes(continuity.record(disconnect(11, planned=True))) == [("a", State.PLANNED_CHANGE)]
    assert continuity.record(connect(12, connection=2)) == []
    assert continuity.record(subscribe(13, "a", connection=2)) == []
    assert continuity.state("a") is State.PLANNED_CHANGE
    assert changes(continuity.book("a", 0, 14)) == [("a", State.LIVE)]


def test_a_fault_after_a_planned_change_is_a_fault() -> None:
    continuity = live("a")
    continuity.record(disconnect(11, planned=True))
    continuity.record(connect(12, connection=2))
    continuity.record(subscribe(13, "a", connection=2))
    assert changes(continuity.record(disconnect(14, connection=2))) == [("a", State.RECONNECTING)]


def test_a_token_can_be_given_up_while_its_shard_is_down() -> None:
    continuity = live("a", "b")
    continuity.record(disconnect(11))
    assert changes(continuity.record(unsubscribe(12, "a"))) == [("a", State.UNSUBSCRIBED)]
    assert continuity.state("b") is State.RECONNECTING


def test_a_token_belongs_to_the_shard_that_named_it_last() -> None:
    continuity = live("a")
    continuity.record(connect(11, shard=1))
    assert changes(continuity.record(subscribe(12, "a", shard=1))) == [
        ("a", State.AWAITING_SNAPSHOT)
    ]
    assert continuity.shard_of("a") == 1
    assert continuity.shard_of("never") is None
    assert continuity.record(disconnect(13, shard=0)) == []
    assert continuity.book("a", 0, 14) == []
    assert changes(continuity.book("a", 1, 15)) == [("a", State.LIVE)]
    assert continuity.oddities == {"shard_changes": 1, "books_of_another_shard": 1}


def test_a_crashed_run_is_closed_by_the_caller_at_its_last_stamp() -> None:
    continuity = live("a")
    assert continuity.close(99) == [Transition("a", State.ENDED, 99, 99, "crash", 0)]
    assert continuity.close(100) == []
    assert continuity.record(subscribe(101, "b")) == []
    assert continuity.book("b", 0, 102) == []
    assert continuity.state("b") is State.UNSUBSCRIBED
    assert continuity.oddities == {"after_the_end": 3}


@pytest.mark.parametrize(
    ("records", "oddity"),
    [
        ([connect(3)], "stale_records"),
        ([disconnect(3, connection=2)], "stale_records"),
        ([disconnect(3), disconnect(4)], "stale_records"),
        ([disconnect(3), subscribe(4, "a")], "stale_records"),
        ([subscribe(3, "a", connection=0)], "stale_records"),
        ([unsubscribe(3, "a", connection=2)], "stale_records"),
        ([unsubscribe(3, "never")], "unsubscribes_unknown"),
        ([connect(3, connection=2)], "implied_disconnects"),
        ([subscribe(3, "b", connection=2)], "implied_connects"),
        ([subscribe(1, "a")], "decreasing_stamps"),
        ([{"record_type": "disconnect", "ts_mono_ns": 3}], "malformed_records"),
        ([{"record_type": "disconnect", "shard_id": 0}], "malformed_records"),
        ([{"record_type": "capture_stop"}], "malformed_records"),
        ([{**subscribe(3), "token_ids": [1]}], "malformed_records"),
        ([{**unsubscribe(3), "token_ids": None}], "malformed_records"),
    ],
)
def test_odd_order_is_counted_never_raised(records: list[dict[str, Any]], oddity: str) -> None:
    continuity = fed(connect(1), subscribe(2, "a"), *records)
    assert continuity.oddities[oddity] == 1


def test_a_connection_that_was_never_said_to_end_has_ended_when_the_next_opens() -> None:
    continuity = live("a")
    assert continuity.record(connect(20, connection=2)) == [
        Transition("a", State.RECONNECTING, 20, 20, "ws_connect", 0)
    ]
    continuity = live("a", "b")
    assert continuity.record(subscribe(20, "a", connection=3)) == [
        Transition("a", State.RECONNECTING, 20, 20, "subscribe_attempt", 0),
        Transition("b", State.RECONNECTING, 20, 20, "subscribe_attempt", 0),
        Transition("a", State.AWAITING_SNAPSHOT, 20, 20, "subscribe_attempt", 0),
    ]


def test_books_where_none_was_asked_for_are_counted() -> None:
    continuity = live("a")
    assert continuity.book("never", 0, 11) == []
    continuity.record(unsubscribe(12, "a"))
    assert continuity.book("a", 0, 13) == []
    assert continuity.oddities == {"books_unsubscribed": 2}
    continuity = live("a")
    continuity.record(disconnect(11))
    assert continuity.book("a", 0, 12) == []
    assert continuity.oddities == {"books_before_subscribe": 1}


def test_records_without_meaning_here_change_nothing() -> None:
    continuity = live("a")
    kinds: list[Any] = ["heartbeat", "reconnect", "snapshot_overdue", "of_the_future", None, [], 3]
    for kind in kinds:
        assert continuity.record({"record_type": kind, "ts_mono_ns": 50, "shard_id": 0}) == []
    assert continuity.record({}) == []
    assert continuity.now_mono_ns == 10
    assert not continuity.oddities


def test_since_is_never_after_at() -> None:
    continuity = live("a")
    (lost,) = continuity.record(disconnect(11, since=99))
    assert (lost.at_mono_ns, lost.since_mono_ns) == (11, 11)


@pytest.mark.parametrize(
    ("planned", "clean", "since"),
    [(True, True, 20), (True, False, 12), (True, None, 12), (False, True, 12)],
)
def test_after_a_clean_end_of_ours_nothing_before_it_is_missing(
    planned: bool, clean: bool | None, since: int
) -> None:
    """All that the venue had sent before its closing handshake has arrived."""
    continuity = live("a")
    record = {**disconnect(20, since=12, planned=planned), "close_was_clean": clean}
    (lost,) = continuity.record(record)
    assert (lost.at_mono_ns, lost.since_mono_ns) == (20, since)


def test_without_a_runlog_the_first_frame_of_a_connection_makes_unknown_until_a_book() -> None:
    continuity = Continuity(Basis.FLAGS)
    assert continuity.state("a") is State.UNKNOWN
    assert continuity.first_of_connection(0, 1) == []
    assert continuity.book("a", 0, 2) == [Transition("a", State.LIVE, 2, 2, "book", 0)]
    assert changes(continuity.book("x", 1, 2)) == [("x", State.LIVE)]
    assert continuity.first_of_connection(0, 9, since_mono_ns=5) == [
        Transition("a", State.UNKNOWN, 9, 5, "first_of_connection", 0)
    ]
    assert continuity.state("x") is State.LIVE
    assert changes(continuity.book("a", 0, 10)) == [("a", State.LIVE)]
    assert changes(continuity.close(20)) == [("a", State.ENDED), ("x", State.ENDED)]
    assert continuity.first_of_connection(0, 21) == []


def test_with_a_runlog_the_flag_says_nothing_new() -> None:
    continuity = live("a")
    assert continuity.first_of_connection(0, 20) == []
    assert continuity.state("a") is State.LIVE


def test_a_hole_makes_unknown_what_is_live_there_until_its_next_book() -> None:
    continuity = live("a", "b")
    continuity.record(subscribe(12, "c"))
    assert continuity.hole(1, 15, since_mono_ns=12) == []  # of another shard
    assert continuity.hole(0, 20, since_mono_ns=14) == [
        Transition("a", State.UNKNOWN, 20, 14, "hole", 0),
        Transition("b", State.UNKNOWN, 20, 14, "hole", 0),
    ]
    assert continuity.state("c") is State.AWAITING_SNAPSHOT
    assert continuity.hole(0, 21, since_mono_ns=20) == []
    assert changes(continuity.book("b", 0, 22)) == [("b", State.LIVE)]
    assert continuity.state("a") is State.UNKNOWN
    (lost,) = continuity.hole(0, 30, cause="damage:crc_mismatch")
    assert (lost.token_id, lost.since_mono_ns, lost.cause) == ("b", 30, "damage:crc_mismatch")


def test_a_hole_says_nothing_of_a_token_that_is_lost_or_given_up() -> None:
    continuity = live("a", "b")
    continuity.record(unsubscribe(11, "b"))
    continuity.record(disconnect(12, since=11))
    assert continuity.hole(0, 20) == []
    continuity.close(21)
    assert continuity.hole(0, 22) == []
    assert continuity.oddities["after_the_end"] == 1


def test_a_hole_without_a_runlog_reaches_every_token_of_the_shard() -> None:
    continuity = Continuity(Basis.FLAGS)
    continuity.book("a", 0, 2)
    continuity.book("x", 1, 2)
    assert continuity.hole(0, 9, since_mono_ns=5) == [
        Transition("a", State.UNKNOWN, 9, 5, "hole", 0)
    ]
    assert continuity.state("x") is State.LIVE


def test_the_table_is_total_and_its_end_is_final() -> None:
    assert set(NEXT) == set(State)
    for state, row in NEXT.items():
        assert list(row) == list(Input)
        assert row[Input.STOP] is State.ENDED
        if state is State.ENDED:
            assert set(row.values()) == {State.ENDED}
        # Only a book makes live, and only a token that was asked for.
        assert all(row[kind] is not State.LIVE for kind in Input if kind is not Input.BOOK)
    assert NEXT[State.UNSUBSCRIBED][Input.BOOK] is State.UNSUBSCRIBED


def test_the_specification_holds_the_table() -> None:
    specification = Path(__file__).parents[3] / "docs" / "spec" / "run-bundle.md"
    assert transition_table() in specification.read_text("utf-8")


def test_a_state_that_is_recalled_goes_on_as_if_the_book_had_been_fed() -> None:
    fed, recalled = Continuity(), Continuity()
    for one in (fed, recalled):
        one.record(connect(1))
        one.record(subscribe(2, "a", "b"))
    fed.book("a", 0, 3)
    recalled.recall("a", State.LIVE)
    recalled.recall("never subscribed", State.LIVE)
    assert recalled.states() == fed.states() == {"a": State.LIVE, "b": State.AWAITING_SNAPSHOT}
    assert recalled.record(disconnect(9, since=5)) == fed.record(disconnect(9, since=5))
    assert recalled.states() == fed.states()
