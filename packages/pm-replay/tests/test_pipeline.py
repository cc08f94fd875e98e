"""What of a run is replayed, and how the stream says that it ended."""

from __future__ import annotations

import json
from io import BytesIO
from typing import Any

import pytest
from bundles import (
    T0,
    WALL,
    Made,
    Maker,
    book,
    change,
    compact,
    price_change,
    subscribed,
)

from pm_frames import ShardWriter
from pm_frames.command import TimePoint, UsageError
from pm_frames.continuity import State
from pm_frames.errors import BundleError
from pm_frames.events import EndReason, Event, EventReader, Kind, RunState
from pm_frames.events.slots import PAYLOAD_MAX
from pm_replay.pipeline import Request, mono_of
from pm_replay.telling import Options

UNIVERSE = {
    "universe_version": 0,
    "kind": "full",
    "markets": [
        {
            "market_id": "7", "condition_id": "0xaa", "slug": "will-it-rain", "question": "Rain?",
            "category": None, "event_id": "1", "event_slug": "rain", "neg_risk": True,
            "neg_risk_augmented": True, "neg_risk_market_id": "0xset", "tick_size": "0.01",
            "min_size": "5", "fees_enabled": True, "fee_type": "crypto_fees_v2",
            "fee_schedule": {"rate": "0.07", "exponent": "1", "taker_only": True, "rebate_rate": "0.2"},
            "seconds_delay": 3, "end_date": "2026-11-22T00:00:00Z", "version": "v1",
            "tokens": [{"token_id": "1", "outcome": "Yes"}, {"token_id": "2", "outcome": "No"}],
        }
    ],
}  # fmt: skip


@pytest.fixture
def made(make_bundle: Maker) -> Made:
    frames = [
        (0, T0 + 10, compact([book("1", {"0.4": "1"}, {"0.6": "1"}), book("2", {"0.4": "1"}, {"0.6": "1"})])),
        *(
            (0, T0 + 100 * n, compact(price_change(change("1", "0.4", str(n), "BUY", bid="0.4", ask="0.6"), change("2", "0.6", str(n), "SELL", bid="0.4", ask="0.6"), ts=str(n))))
            for n in range(1, 20)
        ),
    ]  # fmt: skip
    return make_bundle(frames, subscribed("1", "2"), universe=UNIVERSE)


def end_of(data: bytes) -> Any:
    reader = EventReader(BytesIO(data))
    list(reader)
    assert reader.end is not None
    return reader.end


def sequenced(events: list[Event]) -> list[Event]:
    return [event for event in events if 16 <= event.kind < 32]


def test_everything_a_simulator_needs_is_stated_before_the_first_event(made: Made) -> None:
    events = made.events()
    first = next(i for i, event in enumerate(events) if event.seq)
    kinds = [event.kind for event in events[:first]]
    assert kinds == [Kind.TOKEN, Kind.TOKEN, Kind.META, Kind.CLOCK]
    meta = events[2].json()
    assert meta["tokens"] == [
        {"token": 0, "token_id": "1", "outcome": "Yes"},
        {"token": 1, "token_id": "2", "outcome": "No"},
    ]
    assert (meta["tick_size_e6"], meta["min_size_e6"], meta["seconds_delay"]) == (
        10_000,
        5_000_000,
        3,
    )
    assert meta["fee_schedule"] == UNIVERSE["markets"][0]["fee_schedule"]  # type: ignore[index]
    assert (meta["neg_risk_market_id"], meta["neg_risk_augmented"]) == ("0xset", True)
    assert meta["end_ns"] == 1_795_305_600_000_000_000
    assert (events[3].bid_sz_e6, events[3].ask_sz_e6) == (T0, WALL)


def test_a_replay_is_the_same_bytes_every_time(made: Made) -> None:
    assert made.replay()[1] == made.replay()[1]


def test_max_events_stops_after_exactly_that_many(made: Made) -> None:
    whole = sequenced(made.events())
    for count in (0, 1, 5, len(whole), len(whole) + 1):
        request = Request(options=Options(max_events=count))
        result, data = made.replay(request)
        found = sequenced(made.events(request))
        assert len(found) == min(count, len(whole))
        assert found == whole[:count]  # the end of a batch included: half a batch has none
        reason = EndReason.LIMIT if count <= len(whole) else EndReason.WHOLE
        assert (result.reason, end_of(data).reason) == (reason, reason)


def test_a_window_is_that_part_of_the_whole(made: Made) -> None:
    whole = sequenced(made.events())
    start, before = T0 + 500, T0 + 900
    part = sequenced(made.events(Request(from_mono_ns=start, before_mono_ns=before)))
    wanted = [event for event in whole if start <= event.ts_recv_ns < before]
    assert [event[1:] for event in part] == [event[1:] for event in wanted]
    assert [event.seq for event in part] == list(range(1, len(wanted) + 1))


def test_depth_in_a_window_begins_with_whole_books(made: Made) -> None:
    request = Request(from_mono_ns=T0 + 500, options=Options(depth=True))
    seen: set[int] = set()
    for event in made.events(request):
        if event.kind == Kind.BOOK:
            seen.add(event.token)
        elif event.kind in (Kind.LEVEL, Kind.TOB):
            assert event.token in seen
    assert seen == {0, 1}


def test_max_seconds_counts_from_the_first_frame(made: Made) -> None:
    result, data = made.replay(Request(max_ns=300))
    assert result.first_mono_ns == T0 + 10
    assert result.last_mono_ns == T0 + 300
    assert end_of(data).reason == EndReason.LIMIT


def test_chosen_tokens_have_the_events_that_they_have_in_the_whole(made: Made) -> None:
    whole = [event for event in sequenced(made.events()) if event.token == 1]
    part = sequenced(made.events(Request(chosen=["2"])))
    assert [event[1:11] for event in part] == [event[1:11] for event in whole]


def test_changes_only_leaves_out_repeats_and_nothing_else(make_bundle: Maker) -> None:
    again = compact(price_change(change("1", "0.3", "1", "BUY", bid="0.4", ask="0.6")))
    made = make_bundle(
        [
            (0, T0, compact(book("1", {"0.4": "1"}, {"0.6": "1"}))),
            (0, T0 + 1, again),
            (0, T0 + 2, again),
        ]
    )

    def tops(options: Options) -> list[tuple[int, ...]]:
        events = made.events(Request(options=options))
        return [(e.bid_px_e6, e.bid_sz_e6, e.ask_px_e6) for e in events if e.kind == Kind.TOB]

    assert len(tops(Options())) == 3
    assert tops(Options(changes_only=True)) == [(400_000, 1_000_000, 600_000)]


def test_the_same_top_is_told_again_after_a_break(make_bundle: Maker) -> None:
    whole = compact(book("1", {"0.4": "1"}, {"0.6": "1"}))
    lost = (T0 + 20, "disconnect", {"shard_id": 0, "connection": 1, "planned": False})
    made = make_bundle(
        [(0, T0 + 10, whole), (0, T0 + 15, whole), (0, T0 + 50, whole)],
        [*subscribed("1"), lost, *subscribed("1", at=T0 + 30, connection=2)],
    )
    events = made.events(Request(options=Options(changes_only=True)))
    assert [e.ts_recv_ns for e in events if e.kind == Kind.TOB] == [T0 + 10, T0 + 50]


def test_a_crashed_run_is_read_to_its_last_whole_pair_and_said_to_be_crashed(made: Made) -> None:
    (made.path / "seal.json").unlink()
    frames = made.path / "capture" / "shard_00.frames"
    frames.write_bytes(frames.read_bytes()[:-10])
    result, data = made.replay()
    assert result.error is None
    assert end_of(data).run_state == RunState.CRASHED
    ended = [
        event
        for event in made.events()
        if event.kind == Kind.STATUS and event.state.name == "ENDED"
    ]
    assert [event.ts_recv_ns for event in ended] == [T0 + 1800] * 2


def test_damage_ends_the_stream_with_the_place(made: Made) -> None:
    frames = made.path / "capture" / "shard_00.frames"
    damaged = bytearray(frames.read_bytes())
    damaged[-10] ^= 1
    frames.write_bytes(damaged)
    result, data = made.replay()
    assert result.error is not None
    assert "shard_00.frames" in str(result.error)
    assert end_of(data).reason == EndReason.ERROR
    assert result.frames < 20


def test_version_1_and_version_2_give_the_same_events(make_bundle: Maker) -> None:
    frames = [(0, T0 + n, compact(book("1", {"0.4": str(n + 1)}, {}))) for n in range(5)]
    one, two = make_bundle(frames, version=1), make_bundle(frames, version=2)
    assert sequenced(one.events()) == sequenced(two.events())


def test_without_a_runlog_a_new_connection_makes_the_book_unknown(make_bundle: Maker) -> None:
    made = make_bundle(
        [(0, T0 + n, compact(book("1", {"0.4": "1"}, {}))) for n in range(2)], flags=0x101
    )
    result, _ = made.replay()
    assert result.basis.value == "flags"
    states = [event.state.name for event in made.events() if event.kind == Kind.STATUS]
    assert states == ["LIVE", "UNKNOWN", "LIVE"]


def test_a_later_generation_is_stated_where_the_runlog_applies_it(make_bundle: Maker) -> None:
    delta = {
        "universe_version": 1,
        "kind": "delta",
        "removed": [{"condition_id": "0xaa", "token_ids": ["1", "2"], "reason": "closed"}],
        "added": [{"condition_id": "0xbb", "tokens": [{"token_id": "3", "outcome": "Yes"}]}],
    }
    applied = {"reason": "APPLIED", "universe_file": "universe/000001.json"}
    made = make_bundle(
        [(0, T0 + 100, b"PONG")],
        [*subscribed("1"), (T0 + 50, "universe_refresh", applied)],
        universe=UNIVERSE,
    )
    (made.path / "universe" / "000001.json").write_text(json.dumps(delta))
    events = [event for event in made.events() if event.ts_recv_ns == T0 + 50]
    assert [event.kind for event in events] == [Kind.META, Kind.TOKEN, Kind.META]
    assert (events[0].json()["listed"], events[0].json()["reason"]) == (False, "closed")
    assert (events[1].token, events[1].text()) == (2, "3")
    assert events[2].json()["universe_version"] == 1


def test_a_universe_file_outside_of_the_bundle_is_refused(make_bundle: Maker) -> None:
    applied = {"reason": "APPLIED", "universe_file": "../../etc/passwd"}
    made = make_bundle(
        [(0, T0, b"PONG")], [(T0 + 5, "universe_refresh", applied), *subscribed("1", at=T0 + 9)]
    )
    result, _ = made.replay()
    assert result.error is not None
    assert "outside" in str(result.error)


def test_heartbeats_tell_both_clocks(make_bundle: Maker) -> None:
    beat = {"hb_mono_ns": T0 + 4, "hb_wall_ns_utc": WALL + 9}
    made = make_bundle([(0, T0 + 100, b"PONG")], [*subscribed("1"), (T0 + 5, "heartbeat", beat)])
    clocks = [event for event in made.events() if event.kind == Kind.CLOCK]
    assert [(c.bid_sz_e6, c.ask_sz_e6) for c in clocks] == [(T0, WALL), (T0 + 4, WALL + 9)]


def test_times_of_the_command_line_become_stamps(made: Made) -> None:
    assert mono_of(made.bundle, TimePoint(5, relative=True)) == T0 + 5
    assert mono_of(made.bundle, TimePoint(WALL + 7, relative=False)) == T0 + 7
    (made.path / "manifest.json").unlink()
    with pytest.raises(UsageError):
        mono_of(made.bundle, TimePoint(5, relative=True))


def test_events_come_in_merge_order_across_shards(make_bundle: Maker) -> None:
    frames = [
        (shard, T0 + stamp, compact(book(str(shard), {}, {}, ts=str(stamp))))
        for stamp in range(9)
        for shard in (2, 0, 10)
    ]
    found = [(e.ts_recv_ns, e.shard, e.frame) for e in make_bundle(frames).events() if e.seq]
    assert found == sorted(found)


def test_a_damaged_manifest_is_no_clean_run(made: Made) -> None:
    (made.path / "manifest.json").write_text("{")
    with pytest.raises(BundleError) as caught:
        made.replay()
    assert (caught.value.exit_code, caught.value.path) == (4, made.path / "manifest.json")
    (made.path / "manifest.json").unlink()
    assert made.replay()[0].error is None  # a bundle of old has none


@pytest.mark.parametrize("stamp", [2**63, 2**64 - 1])
def test_a_stamp_that_no_event_can_say_is_damage(make_bundle: Maker, stamp: int) -> None:
    made = make_bundle([(0, T0 + 10, compact(book("1", {"0.4": "1"}, {})))], subscribed("1"))
    whole, _ = made.replay()
    writer = ShardWriter(made.path / "capture", 1)
    writer.append([(1, b"PONG")], rx_mono_ns=stamp, rx_wall_ns_utc=WALL)
    writer.close()
    result, data = made.replay()
    assert result.error is not None
    assert result.error.exit_code == 4
    assert (end_of(data).reason, end_of(data).seq) == (EndReason.ERROR, whole.engine.seq)
    cut, data = made.replay(Request(before_mono_ns=2**70))
    assert cut.error is not None
    assert made.replay(Request(before_mono_ns=T0 + 20))[0].error is None


@pytest.mark.parametrize("stamp", [2**63, 2**64, -1])
def test_a_continuity_record_whose_stamp_no_event_can_say_is_damage(
    make_bundle: Maker, stamp: int
) -> None:
    made = make_bundle([(0, T0 + 10, b"PONG")], subscribed("1", at=stamp))
    result, _ = made.replay()
    assert result.error is not None
    assert "impossible stamp" in str(result.error)


def test_a_shard_that_no_event_can_name_is_refused(make_bundle: Maker) -> None:
    payload = compact(book("1", {"0.4": "1"}, {}))
    assert make_bundle([(65534, T0 + 10, payload)]).replay()[0].error is None
    for shard in (65535, 70000):
        result, data = make_bundle([(shard, T0 + 10, payload)]).replay()
        assert result.error is not None
        assert end_of(data).reason == EndReason.ERROR


@pytest.mark.parametrize("rate", ["NaN", "1e999", "-Infinity"])
def test_a_universe_that_cannot_be_told_is_damage(make_bundle: Maker, rate: str) -> None:
    made = make_bundle([(0, T0 + 10, b"PONG")], universe=UNIVERSE)
    path = made.path / "universe" / "000000.json"
    path.write_text(path.read_text().replace('"0.07"', rate))
    result, data = made.replay()
    assert result.error is not None
    assert result.error.path == path
    assert end_of(data).reason == EndReason.ERROR


def test_the_name_of_a_universe_file_may_be_anything(make_bundle: Maker) -> None:
    for name in ("universe/\0", "../x", "universe"):
        refresh = {"reason": "APPLIED", "universe_file": name}
        records = [*subscribed("1"), (T0 + 5, "universe_refresh", refresh)]
        result, _ = make_bundle([(0, T0 + 10, b"PONG")], records).replay()
        assert result.error is not None
        assert result.error.exit_code in (2, 4)


def test_no_payload_is_longer_than_readers_take(make_bundle: Maker) -> None:
    long = "x" * (PAYLOAD_MAX + 1)
    frames = [
        (0, T0 + 10, compact({"event_type": long})),
        (0, T0 + 11, compact({"event_type": "new_market", "market": "m", "slug": long})),
    ]
    made = make_bundle(frames)
    [event] = sequenced(made.events())
    assert event.kind == Kind.UNKNOWN
    assert event.json() == {"event_type": long[:256]}
    assert made.replay()[0].engine.decoder.schema_errors == {"message_too_long": 1}


def test_without_a_runlog_a_token_without_a_book_is_unknown(make_bundle: Maker) -> None:
    trade = {
        "event_type": "last_trade_price", "asset_id": "1", "market": "0xaa", "price": "0.5",
        "size": "1", "side": "BUY", "timestamp": "1",
    }  # fmt: skip
    frames = [(0, T0 + 10, compact(trade)), (0, T0 + 11, compact(book("1", {"0.4": "1"}, {})))]
    first, status, _ = sequenced(make_bundle(frames).events())
    assert (first.kind, first.state) == (Kind.TRADE, State.UNKNOWN)
    assert (status.kind, status.ask_sz_e6, status.state) == (Kind.STATUS, State.UNKNOWN, State.LIVE)
    first, *_ = [e for e in make_bundle(frames, subscribed("1")).events() if e.kind == Kind.TRADE]
    assert first.state == State.AWAITING_SNAPSHOT


def test_a_limit_that_is_reached_by_the_close_of_a_crash_is_one(made: Made) -> None:
    (made.path / "seal.json").unlink()
    whole, _ = made.replay()
    result, _ = made.replay(Request(options=Options(max_events=whole.engine.seq - 1)))
    assert result.reason == EndReason.LIMIT


@pytest.mark.parametrize(
    ("text", "ns"),
    [
        ("9223372036854", 9_223_372_036_854_000_000),
        ("9223372036855", -1),
        ("9999999999999", -1),
        ("10000000000000", -1),
        ("0", 0),
        ("-1", -1),
        ("1e3", -1),
        ("\u0661", -1),
        ("", -1),
    ],
)
def test_a_stamp_of_the_venue_that_does_not_fit_is_none(
    make_bundle: Maker, text: str, ns: int
) -> None:
    made = make_bundle([(0, T0 + 10, compact(book("1", {"0.4": "1"}, {}, ts=text)))])
    assert [e.ts_event_ns for e in made.events() if e.kind == Kind.TOB] == [ns]
    assert made.replay()[0].engine.counts["timestamps_missing"] == (ns == -1)


def test_without_a_runlog_a_loss_began_at_the_last_frame_before_it(make_bundle: Maker) -> None:
    frames = [(0, T0 + n, compact(book("1", {"0.4": "1"}, {}))) for n in (10, 500)]
    lost = [
        e for e in sequenced(make_bundle(frames, flags=0x0101).events()) if e.state == State.UNKNOWN
    ]
    assert [(e.kind, e.ts_recv_ns, e.bid_sz_e6) for e in lost] == [(Kind.STATUS, T0 + 500, T0 + 10)]


def test_a_top_that_settles_is_a_change(make_bundle: Maker) -> None:
    frames = [(0, T0 + 10, compact(book("1", {"0.4": "1"}, {})))]
    for n, stated in enumerate(("0.5", "0.5", "0.4")):
        one = change("1", "0.1", "1", "BUY", bid=stated)
        frames.append((0, T0 + 20 + n, compact(price_change(one))))
    events = make_bundle(frames, subscribed("1")).events(
        Request(options=Options(changes_only=True))
    )
    tops = [(e.ts_recv_ns - T0, int(e.settled)) for e in events if e.kind == Kind.TOB]
    assert tops == [(10, 1), (20, 2), (22, 1)]


def test_a_heartbeat_out_of_order_is_left_out_and_stops_nothing(make_bundle: Maker) -> None:
    beats = [
        (T0 + at, "heartbeat", {"hb_mono_ns": T0 + at, "hb_wall_ns_utc": WALL + at})
        for at in (30, 20, 40)
    ]
    made = make_bundle([(0, T0 + 50, b"PONG")], [*subscribed("1"), *beats])
    assert made.replay()[0].error is None
    clocks = [e.bid_sz_e6 - T0 for e in made.events() if e.kind == Kind.CLOCK]
    assert clocks == [0, 30, 40]


def test_a_run_that_stopped_before_it_crashed_ends_once(make_bundle: Maker) -> None:
    stop = (T0 + 20, "capture_stop", {"reason": "signal"})
    made = make_bundle([(0, T0 + 10, b"PONG")], [*subscribed("1"), stop])
    (made.path / "seal.json").unlink()
    result, _ = made.replay()
    assert result.run_state == RunState.CRASHED
    assert not result.engine.continuity.oddities


def test_a_token_that_no_universe_lists_keeps_its_number_whatever_is_chosen(
    make_bundle: Maker,
) -> None:
    frames = [(0, T0 + n, compact(book(str(n), {"0.4": "1"}, {}))) for n in range(1, 4)]
    made = make_bundle(frames)
    for chosen in (None, ["3"]):
        events = made.events(Request(chosen=chosen))
        assert [e.token for e in events if e.kind == Kind.TOKEN and e.text() == "3"] == [2]


@pytest.mark.parametrize(
    ("evil", "counted"),
    [
        ({"record_type": ["heartbeat"], "ts_mono_ns": T0 + 5}, {}),
        ({"record_type": "heartbeat", "ts_mono_ns": 2**63}, {"records_unusable": 1}),
        ({"record_type": "heartbeat", "ts_mono_ns": 10**40}, {"records_unusable": 1}),
        ({"record_type": "universe_refresh", "ts_mono_ns": -5}, {"records_unusable": 1}),
        ({"record_type": "heartbeat", "ts_mono_ns": T0 + 1}, {"records_out_of_order": 1}),
    ],
)
def test_a_record_that_can_be_spared_is_left_out_and_counted(
    make_bundle: Maker, evil: Any, counted: dict[str, int]
) -> None:
    frames = [(0, T0 + 9, compact(book("1", {"0.4": "1"}, {"0.6": "1"})))]
    made = make_bundle(frames, subscribed("1"))
    expected = made.replay()[1]
    with open(made.path / "runlog.ndjson", "a") as file:
        file.write(json.dumps({"hb_mono_ns": 1, "hb_wall_ns_utc": 1} | evil) + "\n")
    result, data = made.replay()
    assert data == expected
    assert result.engine.counts == counted


def test_a_runlog_that_names_no_tokens_is_not_what_continuity_is_judged_by(
    make_bundle: Maker,
) -> None:
    """As the predecessors wrote it: the books are live by the flags of the frames."""
    frames = [(0, T0 + n, compact(book("1", {"0.4": "1"}, {}))) for n in (5, 6)]
    of_old = [
        (T0 + 1, "run_start", {}),
        (T0 + 2, "subscribe_attempt", {"shard_id": 0, "token_count": 1}),
        (T0 + 9, "capture_stop", {}),
    ]
    made = make_bundle(frames, of_old)
    result, _ = made.replay()
    assert result.basis.value == "flags"
    assert [e.state.name for e in made.events() if e.kind == Kind.STATUS] == ["LIVE", "ENDED"]
