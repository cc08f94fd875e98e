"""One cycle of the refresh after the other, told as what it asks of its shell."""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any

import pytest

from pm_capture.actions import Note
from pm_capture.generation import Head, Step, follow
from pm_capture.policies.churn import Churn
from pm_capture.policies.expected_churn import ExpectedChurn
from pm_capture.policies.refresh import Refresh
from pm_capture.policies.stagger import Stagger
from pm_capture.refresh_actions import Change, Discover, Found, Keep, Sustained, Sweep
from pm_capture.refresh_plan import ShardChange
from pm_capture.refresh_session import RefreshPolicies, RefreshSession
from pm_capture.sharding import MarketTokens, assign
from pm_capture.universe import Market, Token
from pm_frames.records import RECORDS, missing_fields

S = 1_000_000_000
NOON = 1_790_942_400 * S
REPORT = {"gamma_pages_fetched": 3, "markets_seen": 9, "tokens_selected": 20, "notes": []}
FOUND = Found(REPORT, 2 * S)
N = 2


def market(name: str, slug: str | None = None) -> Market:
    return Market(name, f"0x{name}", [Token(f"{name}y"), Token(f"{name}n")], slug)


def head_with(*names: str, version: int = 0, slug: str | None = None) -> Head:
    markets = [market(name, slug) for name in names]
    return Head(
        version, {(m.market_id, m.condition_id, tuple(sorted(m.token_ids))): m for m in markets}
    )


TEN = [f"{n}" for n in range(10)]


def new(names: Sequence[str] = TEN, slug: str | None = None, **changes: Any) -> RefreshSession:
    head = head_with(*names, slug=slug)
    pairs = [MarketTokens(each.condition_id, each.token_ids) for each in head.markets.values()]
    policies = RefreshPolicies(
        refresh=Refresh(
            interval_ns=60 * S, timeout_ns=30 * S, whole_interval_ns=0, whole_timeout_ns=0
        ),
        churn=Churn(
            pct_max=changes.get("pct_max", 10.0), interval_ns=60 * S, interval_max_ns=600 * S,
            consecutive_fatal=5,
        ),
        expected=ExpectedChurn(
            enabled=True, windows_ns={5: 30 * S}, expiry_window_ns=300 * S, ratio_min=0.5
        ),
        stagger=Stagger(gap_ns=S // 4),
        tokens_min=changes.get("tokens_min", 2),
    )  # fmt: skip
    session = RefreshSession(
        head, dict(enumerate(assign(pairs, shards_min=N))), hash_shards=N, policies=policies,
        stats={"markets_seen": 5},
    )  # fmt: skip
    assert session.start(0) == []
    return session


def step(
    session: RefreshSession,
    added: Sequence[Market] = (),
    removed: Sequence[Market] = (),
    changed: Sequence[Market] = (),
) -> Step:
    """What a discovery would bring that finds exactly this."""
    import msgspec

    document = {
        "universe_version": session.head.version + 1, "kind": "delta",
        "since": {"universe_version": session.head.version},
        "added": added, "changed": [{"market": each} for each in changed],
        "removed": [
            {"market_id": each.market_id, "condition_id": each.condition_id, "token_ids": each.token_ids}
            for each in removed
        ],
    }  # fmt: skip
    return follow(session.head, msgspec.json.encode(document), "d")


def due(session: RefreshSession) -> int:
    """Let the next cycle begin; returns when that was."""
    now = session.deadline()
    assert now is not None
    assert session.deadline_reached(now) == [Discover(Sweep.RECENT, 30 * S)]
    return now


def only_note(actions: Sequence[object]) -> dict[str, Any]:
    [action] = actions
    assert isinstance(action, Note)
    record: dict[str, Any] = {
        "record_type": action.record_type, "run_id": "r", "ts_mono_ns": 1, "ts_wall_ns_utc": 1,
        **action.fields,
    }  # fmt: skip
    assert action.record_type in RECORDS
    assert missing_fields(record) == []
    return record


def test_a_change_is_kept_recorded_and_given_to_the_shards_one_at_a_time() -> None:
    session = new(pct_max=0)
    now = due(session)
    gone, here = market("3"), [market("x"), market("z")]
    found = step(session, added=here, removed=[gone])
    assert session.discovered(found, FOUND, now + 2 * S, NOON) == [Keep(1, ())]
    # Until it is durable nothing has changed.
    assert session.head.version == 0
    assert session.deadline() == now + 60 * S
    record = only_note(session.kept("universe/000001.json", now + 3 * S))
    assert (record["reason"], record["universe_version"]) == ("APPLIED", 1)
    assert (record["universe_file"], record["universe_sha256"]) == (
        "universe/000001.json", found.sha256,
    )  # fmt: skip
    assert (record["added_count"], record["removed_count"]) == (4, 2)
    assert (record["churn_pct"], record["token_count"]) == (30.0, 22)
    assert (record["duration_ms"], record["interval_seconds_used"]) == (3000.0, 60.0)
    assert (record["gamma_pages_fetched"], record["markets_seen"]) == (3, 9)
    assert record["added_sample"] == ["xy", "xn", "zy", "zn"]
    assert record["removed_sample"] == ["3y", "3n"]
    seen = []
    while (at := session.deadline()) is not None and at < now + 10 * S:
        seen += [(at - now, action) for action in session.deadline_reached(at)]
    changes = [action for _, action in seen]
    assert [at for at, _ in seen] == [3 * S + n * S // 4 for n in range(record["shards_changed"])]
    assert all(isinstance(each, Change) and each.to_version == 1 for each in changes)
    touched = [token for each in changes if isinstance(each, Change)
               for token in (*each.change.added, *each.change.removed)]  # fmt: skip
    assert sorted(touched) == sorted(["xy", "xn", "zy", "zn", "3y", "3n"])
    assert session.deadline() == now + 60 * S
    metrics = session.metrics()
    assert (metrics["refresh_count"], metrics["universe_version"]) == (1, 1)
    assert metrics["universe_refresh_worker_duration_ms"] == 2000.0
    assert metrics["shards_refreshed_last"] == len(changes)


def test_nothing_new_is_said_and_nothing_done() -> None:
    session = new()
    now = due(session)
    record = only_note(session.discovered(None, FOUND, now + S, NOON))
    assert (record["reason"], record["churn_pct"]) == ("SKIPPED_DELTA_BELOW_MIN", 0.0)
    assert (record["universe_file"], record["universe_version"]) == (None, 0)
    assert session.deadline() == now + 60 * S
    assert session.metrics()["refresh_skipped_delta_below_min_count"] == 1


def test_a_small_change_waits_for_more() -> None:
    session = new(tokens_min=3)
    now = due(session)
    found = step(session, added=[market("x")])
    record = only_note(session.discovered(found, FOUND, now, NOON))
    assert (record["reason"], record["added_count"]) == ("SKIPPED_DELTA_BELOW_MIN", 2)
    assert session.head.version == 0


def test_new_facts_are_kept_and_touch_no_shard() -> None:
    session = new()
    now = due(session)
    found = step(session, changed=[market("1", "renamed")])
    assert session.discovered(found, FOUND, now, NOON) == [Keep(1, ())]
    record = only_note(session.kept("u", now))
    assert (record["reason"], record["changed_count"], record["shards_changed"]) == (
        "APPLIED",
        1,
        0,
    )
    assert due(session) == now + 60 * S  # not skipped: the cycle before has ended


def test_too_much_is_held_back_and_sustained_it_ends_the_run() -> None:
    session = new()
    for guards, waits in enumerate([120, 240, 480, 600], start=1):
        now = due(session)
        found = step(session, removed=[market("1"), market("2")])
        record = only_note(session.discovered(found, FOUND, now + S, NOON))
        assert (record["reason"], record["churn_pct"]) == ("CHURN_GUARD", 20.0)
        assert record["interval_seconds_next"] == waits
        assert session.deadline() == now + waits * S
        assert session.metrics()["refresh_last_decision_reason"] == "SKIPPED_CHURN_GUARD"
        assert session.head.version == 0, guards
    now = due(session)
    *told, last = session.discovered(found, FOUND, now + S, NOON)
    assert only_note(told)["reason"] == "CHURN_GUARD"
    assert isinstance(last, Sustained)
    assert last.message.startswith("5 refreshes in a row would have changed more than 10 %")
    assert session.deadline() is None


def test_an_unguarded_one_in_between_puts_it_back() -> None:
    session = new()
    for _ in range(20):
        for _ in range(4):
            now = due(session)
            session.discovered(step(session, removed=[market("1"), market("2")]), FOUND, now, NOON)
        now = due(session)
        record = only_note(session.discovered(None, FOUND, now, NOON))
        assert (record["interval_seconds_used"], record["interval_seconds_next"]) == (600.0, 60.0)
        assert session.deadline() == now + 60 * S


def test_what_the_clock_explains_passes_the_guard() -> None:
    session = new(slug="btc-updown-5m-1")
    now = due(session)
    found = step(session, removed=[market("1"), market("2")])
    assert session.discovered(found, FOUND, now, NOON + 20 * S) == [Keep(1, ())]
    record = only_note(session.kept("u", now))
    assert (record["reason"], record["guard_bypassed"]) == ("APPLIED", True)
    assert record["expected_churn_reason"] == "ROLLOVER_WINDOW"
    metrics = session.metrics()
    assert metrics["refresh_last_decision_reason"] == "BYPASSED_EXPECTED_CHURN"
    assert (metrics["expected_churn_bool"], metrics["rollover_window_hit"]) == (True, True)
    assert metrics["expiry_window_hit"] is False


def test_an_error_keeps_the_universe_and_counts_for_nothing_else() -> None:
    session = new()
    now = due(session)
    session.discovered(step(session, removed=[market("1"), market("2")]), FOUND, now, NOON)
    now = due(session)
    record = only_note(session.failed("DiscoveryFailed", "it did not answer", now + 5 * S))
    assert (record["error"], record["message"]) == ("DiscoveryFailed", "it did not answer")
    assert record["duration_ms"] == 5000.0
    # Neither a guard nor the end of guards.
    assert session.deadline() == now + 120 * S
    metrics = session.metrics()
    assert (metrics["refresh_failures"], metrics["refresh_last_decision_reason"]) == (1, "ERROR")


def test_a_generation_that_cannot_be_kept_is_an_error() -> None:
    session = new(pct_max=0)
    now = due(session)
    found = step(session, added=[market("x")])
    session.discovered(found, FOUND, now, NOON)
    assert only_note(session.failed("OSError", "no space", now))["message"] == "no space"
    assert session.head.version == 0
    with pytest.raises(ValueError, match="nothing was to be kept"):
        session.kept("u", now)
    # The same is found again, and this time there is room.
    now = due(session)
    assert session.discovered(found, FOUND, now, NOON) == [Keep(1, ())]


def test_a_cycle_that_takes_too_long_makes_the_next_one_wait() -> None:
    session = new()
    now = due(session)
    record = only_note(session.deadline_reached(now + 60 * S))
    assert (record["reason"], record["duration_ms"]) == ("SKIPPED_INFLIGHT", 60_000.0)
    metrics = session.metrics()
    assert metrics["refresh_inflight_skipped_count"] == 1
    assert metrics["refresh_last_decision_reason"] == "SKIPPED_INFLIGHT"


def test_the_next_run_goes_on_with_the_cadence_and_owes_no_change() -> None:
    older = new(pct_max=0)
    now = due(older)
    older.discovered(step(older, added=[market("x"), market("z")]), FOUND, now, NOON)
    older.kept("universe/000001.json", now)  # its changes are still to come
    policies = dataclasses.replace(older.policies, stagger=Stagger(gap_ns=S // 4))
    younger = RefreshSession(
        older.head, older.shards, hash_shards=N, stats={}, policies=policies, continued=True
    )
    assert younger.start(now + S) == []
    assert due(younger) == now + 60 * S


def test_shards_that_are_full_make_new_ones() -> None:
    session = new(pct_max=0)
    now = due(session)
    found = step(session, added=[market(f"x{n}") for n in range(300)])
    [keep] = session.discovered(found, FOUND, now, NOON)
    assert keep == Keep(1, (2,))
    session.opened(2)
    # Its files are there even if the generation is not.
    session.failed("OSError", "no space", now)
    now = due(session)
    assert session.discovered(found, FOUND, now, NOON) == [Keep(1, ())]
    session.kept("u", now)
    assert sum(len(tokens) for tokens in session.shards.values()) == 620
    assert max(len(tokens) for tokens in session.shards.values()) <= 250


def test_before_the_first_cycle_the_metrics_are_those_of_the_first_universe() -> None:
    assert new().metrics() == {
        "universe_version": 0, "refresh_count": 0, "refresh_churn_pct_last": 0.0,
        "tokens_added_last": 0, "tokens_removed_last": 0, "shards_refreshed_last": 0,
        "refresh_failures": 0, "refresh_interval_seconds_current": 60.0,
        "refresh_skipped_delta_below_min_count": 0, "refresh_last_decision_reason": None,
        "refresh_inflight_skipped_count": 0, "universe_refresh_duration_ms": None,
        "universe_refresh_worker_duration_ms": None, "gamma_pages_fetched": None,
        "markets_seen": 5, "tokens_selected": None, "expected_churn_bool": False,
        "expected_churn_reason": "NONE", "rollover_window_hit": False, "expiry_window_hit": False,
    }  # fmt: skip


def test_a_day_of_markets_that_come_and_go(play: Callable[..., Any]) -> None:
    """24 hours, a market in and a market out every minute: what the shards were told is what is wanted."""
    session = new([f"{n}" for n in range(100)])
    told = {shard_id: list(tokens) for shard_id, tokens in session.shards.items()}
    now, born = 0, 100
    while (at := session.deadline()) is not None and at <= 86_400 * S:
        now = at
        for action in session.deadline_reached(now):
            if isinstance(action, Change):
                change: ShardChange = action.change
                tokens = told[change.shard_id]
                assert not set(change.added) & set(change.removed)
                assert set(change.removed) <= set(tokens)
                told[change.shard_id] = [
                    token for token in tokens if token not in change.removed
                ] + list(change.added)
            elif isinstance(action, Discover):
                oldest = market(f"{born - 100}")
                found = step(session, added=[market(f"{born}")], removed=[oldest])
                born += 1
                assert session.discovered(found, FOUND, now + S, NOON) == [
                    Keep(session.head.version + 1, ())
                ]
                session.kept("u", now + 2 * S)
    assert session.head.version == 1440
    while (at := session.deadline()) is not None and at < now + 10 * S:
        for action in session.deadline_reached(at):
            assert isinstance(action, Change)
            tokens = told[action.change.shard_id]
            told[action.change.shard_id] = [
                token for token in tokens if token not in action.change.removed
            ] + list(action.change.added)
    wanted = {token for each in session.head.markets.values() for token in each.token_ids}
    assert sorted(token for tokens in told.values() for token in tokens) == sorted(wanted)
    assert {shard_id: tuple(tokens) for shard_id, tokens in told.items()} == session.shards
