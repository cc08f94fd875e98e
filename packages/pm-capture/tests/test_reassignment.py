"""A shard whose tokens change, in every state of its connection."""

from collections.abc import Sequence

from pm_capture.actions import Action, Close, Connect, Note, SendText, Trigger
from pm_capture.policies.backoff import Backoff
from pm_capture.policies.confirm import Confirm
from pm_capture.policies.coverage import Covered
from pm_capture.policies.data_idle import DataIdle
from pm_capture.policies.keepalive import Keepalive
from pm_capture.policies.snapshot import Snapshot
from pm_capture.reassignment import Reassignment
from pm_capture.shard_session import (
    Ended,
    Opened,
    Policies,
    ShardSession,
    State,
)
from pm_capture.subscribe import SubscribeCaps, initial, subscribe, unsubscribe
from pm_frames.records import RECORDS, missing_fields

S = 1_000_000_000
OPENED = Opened("ws://venue/", "127.0.0.1:5", "127.0.0.1:80", 7)
LOST = Ended(1006, "", close_was_clean=False)
CLOSED = Ended(1000, "", close_was_clean=True)
UNUSED = "a refresh has left the shard without tokens"


class Ceiling:
    def randrange(self, stop: int, /) -> int:
        return stop - 1


def new(*tokens: str, tokens_max: int = 100) -> ShardSession:
    policies = Policies(
        keepalive=Keepalive(interval_ns=10 * S, timeout_ns=10 * S),
        confirm=Confirm(timeout_ns=45 * S, events_min=1),
        data_idle=DataIdle(idle_ns=120 * S),
        snapshot=Snapshot(timeout_ns=30 * S),
        backoff=Backoff(base_ns=S, cap_ns=30 * S, heal_ns=60 * S, budget=10, jitter=Ceiling()),
        grace_ns=30 * S,
    )
    session = ShardSession(3, tokens, caps=SubscribeCaps(tokens_max=tokens_max), policies=policies)
    session.start(0)
    return session


def live(*tokens: str, tokens_max: int = 100) -> ShardSession:
    session = new(*tokens, tokens_max=tokens_max)
    session.connected(OPENED, 0)
    return session


def change(added: str = "", removed: str = "") -> Reassignment:
    return Reassignment(tuple(added), tuple(removed), 4, 5)


def kinds(actions: Sequence[Action]) -> list[str]:
    return [
        action.record_type if isinstance(action, Note) else type(action).__name__
        for action in actions
    ]


def bracketed(actions: list[Action]) -> tuple[dict[str, object], list[Action], dict[str, object]]:
    """The two records around a change, which are as the table wants them, and what is between."""
    first, *between, last = actions
    assert isinstance(first, Note)
    assert isinstance(last, Note)
    assert (first.record_type, last.record_type) == ("shard_refresh_begin", "shard_refresh_applied")
    for note in (first, last):
        record = {
            "record_type": note.record_type,
            "run_id": "",
            "ts_mono_ns": 0,
            "ts_wall_ns_utc": 0,
        }
        assert note.record_type in RECORDS
        assert missing_fields({**record, **note.fields}) == []
    return dict(first.fields), between, dict(last.fields)


def texts(actions: Sequence[Action]) -> list[str]:
    return [action.text for action in actions if isinstance(action, SendText)]


def book(token: str) -> tuple[int, bytes]:
    return 1, b'{"asset_id":"%s","bids":[],"event_type":"book"}' % token.encode()


def test_a_token_that_goes_before_its_book_is_not_asked_for_again() -> None:
    session = live(*"ab")
    session.reassign(change(removed="b"), 5 * S)
    assert session.unanswered == {"a"}
    assert texts(session.deadline_reached(30 * S))[-2:] == [unsubscribe(["a"]), subscribe(["a"])]


def test_a_live_connection_is_told_what_goes_and_what_comes_and_nothing_else() -> None:
    session = live(*"abc")
    session.frames_received([book("a"), book("b"), book("c")], S)
    begin, between, end = bracketed(session.reassign(change("xy", "b"), 5 * S))
    assert begin == {
        "shard_id": 3, "connection": 1, "from_version": 4, "to_version": 5,
        "from_token_count": 3, "to_token_count": 4,
        "added_token_ids": ["x", "y"], "removed_token_ids": ["b"],
    }  # fmt: skip
    assert kinds(between) == ["unsubscribe", "SendText", "subscribe_attempt", "SendText"]
    assert texts(between) == [unsubscribe(["b"]), subscribe(["x", "y"])]
    assert end == {
        "shard_id": 3, "connection": 1, "from_version": 4, "to_version": 5, "token_count": 4,
        "live": True, "confirm_reset": False, "confirm_events_seen": 3,
    }  # fmt: skip
    assert session.token_ids == ("a", "c", "x", "y")
    assert session.state is State.OPEN
    assert session.coverage.missing() == ["x", "y"]
    assert session.unanswered == {"x", "y"}
    # Only the new tokens are waited for; they are the first to be asked for again.
    session.frames_received([book("x")], 6 * S)
    sent = texts(session.deadline_reached(35 * S))
    assert sent[-2:] == [unsubscribe(["y"]), subscribe(["y"])]


def test_messages_keep_within_the_limits() -> None:
    session = live(*"abcdef", tokens_max=2)
    _, between, _ = bracketed(session.reassign(change("uvxyz", "abc"), S))
    assert texts(between) == [
        unsubscribe(["a", "b"]), unsubscribe(["c"]),
        subscribe(["u", "v"]), subscribe(["x", "y"]), subscribe(["z"]),
    ]  # fmt: skip


def test_a_full_swap_starts_the_confirmation_over() -> None:
    session = live(*"ab")
    session.frames_received([book("a"), book("b")], S)
    _, between, end = bracketed(session.reassign(change("xy", "ab"), 50 * S))
    assert texts(between) == [unsubscribe(["a", "b"]), subscribe(["x", "y"])]
    assert end["confirm_reset"] is True
    assert session.policies.confirm.deadline() == 95 * S
    assert session.policies.data_idle.deadline() == 170 * S


def test_data_of_a_token_that_is_gone_shows_nothing() -> None:
    session = live(*"ab")
    session.frames_received([book("a"), book("b")], S)
    session.reassign(change("", "b"), 2 * S)
    session.frames_received([book("b")], 50 * S)
    assert session.policies.data_idle.deadline() == 121 * S
    assert session.coverage.missing() == []


def test_new_tokens_have_a_grace() -> None:
    session = live("a")
    session.reassign(change("xy"), S)
    session.reassign(change("z", "x"), 2 * S)
    assert session.coverage.counted(30 * S) == Covered(seen=0, eligible=1, assigned=3)
    assert session.coverage.counted(31 * S) == Covered(seen=0, eligible=2, assigned=3)


def test_a_shard_that_loses_its_last_token_closes_and_comes_back_with_the_next() -> None:
    session = live("a")
    _, between, end = bracketed(session.reassign(change("", "a"), S))
    assert kinds(between) == ["unsubscribe", "SendText", "Close"]
    assert between[-1] == Close(UNUSED)
    assert (end["live"], end["token_count"]) == (False, 0)
    [gone] = session.disconnected(CLOSED, 2 * S)
    assert isinstance(gone, Note)
    assert (gone.record_type, gone.fields["planned"]) == ("disconnect", True)
    assert (gone.fields["trigger"], gone.fields["reason"]) == (str(Trigger.REFRESH), UNUSED)
    assert session.state is State.IDLE
    assert session.deadline() is None
    assert (session.reconnects, session.down_incidents, session.down_ns(99 * S)) == (0, 0, 0)
    _, between, end = bracketed(session.reassign(change("x"), 60 * S))
    assert between == [Connect(1)]
    assert end["live"] is False
    actions = session.connected(OPENED, 61 * S)
    assert texts(actions) == [initial(["x"])]


def test_tokens_that_come_while_it_closes_open_the_next_connection() -> None:
    session = live("a")
    session.reassign(change("", "a"), S)
    _, between, _ = bracketed(session.reassign(change("x"), S))
    assert between == []
    actions = session.disconnected(CLOSED, 2 * S)
    assert kinds(actions) == ["disconnect", "Connect"]


def test_an_empty_shard_of_the_beginning_can_be_given_tokens() -> None:
    session = new()
    _, between, _ = bracketed(session.reassign(change("ab"), S))
    assert between == [Connect(1)]


def test_without_a_connection_only_the_records_are_written() -> None:
    session = live(*"ab")
    session.disconnected(LOST, S)
    _, between, end = bracketed(session.reassign(change("xy", "b"), S + 1))
    # `b` was asked for and is given up; continuity has to know.
    assert kinds(between) == ["unsubscribe"]
    assert end["live"] is False
    _, between, _ = bracketed(session.reassign(change("", "y"), S + 2))
    # `y` was never asked for.
    assert between == []
    assert session.deadline() == 2 * S
    session.deadline_reached(2 * S)
    _, between, _ = bracketed(session.reassign(change("z"), 2 * S))
    assert between == []
    assert texts(session.connected(OPENED, 3 * S)) == [initial(["a", "x", "z"])]


def test_a_shard_that_loses_everything_while_it_waits_does_not_connect() -> None:
    session = live("a")
    session.disconnected(LOST, S)
    session.reassign(change("", "a"), S + 1)
    assert session.deadline_reached(2 * S) == []
    assert session.state is State.IDLE
    assert session.deadline() is None
    assert session.reassign(change("b"), 3 * S)[1] == Connect(1)


def test_a_shard_that_loses_everything_while_it_connects_closes_again() -> None:
    session = new("a")
    _, between, _ = bracketed(session.reassign(change("", "a"), S))
    assert between == []
    actions = session.connected(OPENED, 2 * S)
    assert kinds(actions) == ["ws_connect", "Close"]
    assert session.stop() == []
    session.disconnected(CLOSED, 3 * S)
    assert session.state is State.STOPPED


def test_after_the_end_nothing_changes() -> None:
    session = live("a")
    session.stop()
    assert session.reassign(change("b"), S) == []
    assert session.token_ids == ("a",)
