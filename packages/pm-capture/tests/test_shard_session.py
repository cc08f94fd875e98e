"""One shard's life, told as what it asks of its shell."""

import json
from collections.abc import Sequence

from pm_capture.actions import Action, Close, Connect, Note, Reconnect, SendText, Trigger
from pm_capture.policies.backoff import Backoff
from pm_capture.policies.confirm import Confirm
from pm_capture.policies.data_idle import DataIdle
from pm_capture.policies.keepalive import Keepalive
from pm_capture.policies.snapshot import Snapshot
from pm_capture.reassignment import Reassignment
from pm_capture.shard_session import Ended, Opened, Policies, ShardSession, State
from pm_capture.subscribe import SubscribeCaps, initial, subscribe, unsubscribe

S = 1_000_000_000
OPENED = Opened("ws://venue/", "127.0.0.1:5", "127.0.0.1:80", 7)
CLOSED = Ended(1006, "", close_was_clean=False)
TEXT = 1


class Ceiling:
    def randrange(self, stop: int, /) -> int:
        return stop - 1


def new(tokens: Sequence[str] = ("a", "b"), **changes: int) -> ShardSession:
    policies = Policies(
        keepalive=Keepalive(interval_ns=10 * S, timeout_ns=10 * S),
        confirm=Confirm(timeout_ns=45 * S, events_min=changes.get("events_min", 1)),
        data_idle=DataIdle(idle_ns=changes.get("idle", 120 * S)),
        snapshot=Snapshot(timeout_ns=changes.get("snapshot", 30 * S)),
        backoff=Backoff(base_ns=S, cap_ns=30 * S, heal_ns=60 * S, budget=10, jitter=Ceiling()),
    )
    caps = SubscribeCaps(tokens_max=changes.get("tokens_max", 100))
    return ShardSession(3, tokens, caps=caps, policies=policies)


def live(session: ShardSession, now: int = 0) -> ShardSession:
    session.start(now)
    session.connected(OPENED, now)
    return session


def book(*tokens: str) -> tuple[int, bytes]:
    events = [{"asset_id": token, "bids": [], "event_type": "book"} for token in tokens]
    return TEXT, json.dumps(events).encode()


def change(token: str) -> tuple[int, bytes]:
    event = {"price_changes": [{"asset_id": token}], "event_type": "price_change"}
    return TEXT, json.dumps(event).encode()


PONG = (TEXT, b"PONG")
NEW_MARKET = (TEXT, b'{"event_type":"new_market","assets_ids":["a","b"],"question":"asset_id"}')


def kinds(actions: Sequence[Action]) -> list[str]:
    return [
        action.record_type if isinstance(action, Note) else type(action).__name__
        for action in actions
    ]


def note(actions: Sequence[Action], record_type: str) -> dict[str, object]:
    [found] = [
        action
        for action in actions
        if isinstance(action, Note) and action.record_type == record_type
    ]
    return dict(found.fields)


def test_a_shard_without_tokens_never_connects() -> None:
    session = new(())
    assert session.start(0) == []
    assert session.state is State.IDLE
    assert session.deadline() is None
    assert session.stop() == []


def test_connecting_subscribes_with_the_record_before_the_request() -> None:
    session = new(("a", "b", "c"), tokens_max=2)
    assert session.start(0) == [Connect(1)]
    actions = session.connected(OPENED, 5)
    shard = {"shard_id": 3, "connection": 1}
    first, second = initial(["a", "b"]), subscribe(["c"])
    assert actions == [
        Note(
            "ws_connect",
            {
                **shard, "url": "ws://venue/", "local_address": "127.0.0.1:5",
                "remote_address": "127.0.0.1:80", "connect_ns": 7, "attempt": 1,
            },
        ),
        Note(
            "subscribe_attempt",
            {
                **shard, "variant": "initial", "group_index": 0, "token_count": 2,
                "payload_bytes": len(first), "token_ids": ["a", "b"],
            },
        ),
        SendText(first),
        Note(
            "subscribe_attempt",
            {
                **shard, "variant": "operation", "group_index": 1, "token_count": 1,
                "payload_bytes": len(second), "token_ids": ["c"],
            },
        ),
        SendText(second),
    ]  # fmt: skip


def test_data_of_an_assigned_token_confirms() -> None:
    session = live(new(events_min=2))
    assert session.frames_received([PONG, NEW_MARKET, book("z"), (TEXT, b"[]")], S) == []
    assert session.frames_received([book("a")], 2 * S) == []
    confirmed = session.frames_received([change("b")], 3 * S)
    assert note(confirmed, "subscribe_confirm_success") == {
        "shard_id": 3, "connection": 1, "events_seen": 2, "elapsed_ns": 3 * S,
    }  # fmt: skip
    assert session.coverage.missing() == ["b"]


def test_pong_and_global_messages_do_not_keep_an_idle_connection() -> None:
    session = live(new(idle=20 * S, snapshot=0))
    session.frames_received([book("a", "b")], S)
    session.frames_received([change("a"), PONG], 5 * S)
    for second in range(6, 25):
        assert session.frames_received([PONG, NEW_MARKET], second * S) == []
    assert session.deadline_reached(25 * S - 1) == [SendText("PING")]
    assert session.deadline() == 25 * S
    [idle] = session.deadline_reached(25 * S)
    assert isinstance(idle, Reconnect)
    assert idle.trigger is Trigger.DATA_IDLE
    assert session.state is State.CLOSING
    assert session.deadline() is None
    # The gap begins with the last data: the PONGs that came later vouch for nothing.
    lost = note(session.disconnected(CLOSED, 26 * S), "disconnect")
    assert lost["since_mono_ns"] == 5 * S


def test_a_connection_that_brought_no_data_names_no_moment_of_its_own() -> None:
    session = live(new(idle=20 * S, snapshot=0))
    session.frames_received([PONG], 5 * S)
    session.deadline_reached(20 * S)
    assert "since_mono_ns" not in note(session.disconnected(CLOSED, 21 * S), "disconnect")


def test_a_token_without_a_book_is_taken_off_and_asked_for_again() -> None:
    session = live(new())
    session.frames_received([book("a")], S)
    actions = session.deadline_reached(30 * S)
    assert kinds(actions) == [
        "SendText",
        "unsubscribe",
        "SendText",
        "subscribe_attempt",
        "SendText",
    ]
    assert [action.text for action in actions if isinstance(action, SendText)] == [
        "PING", unsubscribe(["b"]), subscribe(["b"]),
    ]  # fmt: skip
    session.frames_received([change("a")], 31 * S)
    overdue = session.deadline_reached(60 * S)
    assert note(overdue, "snapshot_overdue") == {
        "shard_id": 3, "connection": 1, "token_count": 1, "token_ids": ["b"],
    }  # fmt: skip
    # A book that comes at last is still noticed.
    session.frames_received([book("b")], 61 * S)
    assert session.coverage.missing() == []


def test_a_market_that_is_over_is_remembered_until_its_tokens_go() -> None:
    session = live(new(("a", "b", "c")))
    over = {"event_type": "market_resolved", "assets_ids": ["a", "b", "of another shard"]}
    session.frames_received([book("a", "b"), (TEXT, json.dumps(over).encode())], 1)
    assert session.resolved == {"a", "b"}
    session.reassign(Reassignment((), ("a",), 0, 1), 2)
    assert session.resolved == {"b"}


def test_invalid_operation_leads_to_a_reconnect() -> None:
    session = live(new())
    [refused] = session.frames_received([book("a", "b"), (TEXT, b"INVALID OPERATION\n")], S)
    assert refused == Reconnect(Trigger.INVALID_OPERATION, "the venue answered INVALID OPERATION")
    actions = session.disconnected(CLOSED, 2 * S)
    assert note(actions, "disconnect")["trigger"] == "invalid_operation"
    assert note(actions, "reconnect")["trigger"] == "invalid_operation"


def test_a_lost_connection_is_accounted_for_and_opened_again() -> None:
    session = live(new())
    actions = session.disconnected(Ended(1001, "bye", close_was_clean=True), 100 * S)
    close = {"close_code": 1001, "close_reason": "bye", "close_was_clean": True}
    why = {"trigger": "peer_closed", "reason": "the peer closed the connection"}
    assert actions == [
        Note(
            "disconnect",
            {
                "shard_id": 3, "connection": 1, "planned": False, **why, **close,
                "connected_ns": 100 * S,
            },
        ),
        Note("reconnect", {"shard_id": 3, **why, **close, "reconnects": 1, "backoff_ns": S}),
    ]  # fmt: skip
    assert session.deadline() == 101 * S
    assert session.deadline_reached(101 * S - 1) == []
    assert session.deadline_reached(101 * S) == [Connect(1)]
    assert note(session.connected(OPENED, 103 * S), "ws_connect")["connection"] == 2
    assert session.down_ns(200 * S) == 3 * S
    assert session.down_incidents == 1


def test_an_exception_behind_the_end_is_told() -> None:
    session = live(new())
    ended = Ended(1006, "", close_was_clean=False, error="Connection reset by peer")
    lost = note(session.disconnected(ended, S), "disconnect")
    assert (lost["trigger"], lost["reason"]) == ("exception", "Connection reset by peer")


def test_failed_attempts_are_counted_and_never_end() -> None:
    session = new()
    session.start(0)
    now = 0
    for attempt in range(1, 30):
        actions = session.connect_failed("ConnectionRefusedError", "refused", now)
        failed = note(actions, "connect_failed")
        assert failed["attempt"] == attempt
        assert failed["shard_id"] == 3
        now = session.deadline() or 0
        assert session.deadline_reached(now) == [Connect(attempt + 1)]
    session.connected(OPENED, now)
    assert session.startup_connect_ns == now
    assert session.reconnects == 0


def test_the_first_reconnect_ends_the_consultation() -> None:
    # Ping timeout, confirm timeout and data-idle are all due: one reason, one reconnect.
    session = live(new(idle=S))
    session.deadline_reached(10 * S)
    assert session.state is State.CLOSING
    session = live(new(idle=20 * S))
    session.deadline_reached(10 * S)
    assert kinds(session.deadline_reached(60 * S)) == ["Reconnect"]


def test_frames_after_the_decision_to_close_are_not_judged() -> None:
    session = live(new(idle=S))
    session.deadline_reached(10 * S)
    assert session.frames_received([book("a")], 11 * S) == []


def test_stopping_closes_with_a_handshake_and_is_planned() -> None:
    session = live(new())
    session.frames_received([book("a", "b")], S)
    assert session.stop() == [Close("the run ends")]
    assert session.deadline() is None
    [last] = session.disconnected(Ended(1000, "", close_was_clean=True), 9 * S)
    assert isinstance(last, Note)
    assert last.fields["planned"] is True
    assert last.fields["trigger"] == "stop"
    assert session.state is State.STOPPED
    assert session.reconnects == 0
    assert session.policies.confirm.confirmed


def test_stopping_while_a_fault_is_under_way_keeps_the_fault() -> None:
    session = live(new(idle=S))
    session.deadline_reached(S)
    assert session.stop() == []
    [last] = session.disconnected(CLOSED, 2 * S)
    assert isinstance(last, Note)
    assert last.fields["planned"] is False
    assert last.fields["trigger"] == "data_idle_timeout"
    assert session.state is State.STOPPED


def test_stopping_while_waiting_or_connecting_ends_at_once() -> None:
    session = new()
    session.start(0)
    assert session.stop() == []
    assert session.state is State.STOPPED
    assert session.connect_failed("x", "y", 1) == []
    session = live(new())
    session.disconnected(CLOSED, S)
    session.stop()
    assert session.deadline() is None
    assert session.deadline_reached(10**18) == []


def test_a_day_without_faults_is_pings_only() -> None:
    session = live(new())
    session.frames_received([book("a", "b")], S)
    pings = 0
    for second in range(2, 86_400):
        now = second * S
        while (due := session.deadline()) is not None and due <= now:
            assert session.deadline_reached(due) == [SendText("PING")]
            pings += 1
        if second % 30 == 0:
            session.frames_received([change("a")], now)
        if second % 10 == 0:
            session.frames_received([PONG], now)
    assert pings == 8639
