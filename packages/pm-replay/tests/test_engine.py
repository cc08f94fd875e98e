"""The engine against a naive model, under any interleaving of what can happen to two tokens."""

from __future__ import annotations

import json
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
from bundles import (
    T0,
    Maker,
    RecordSpec,
    book,
    change,
    compact,
    make_at,
    price_change,
    subscribed,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pm_frames.continuity import State
from pm_frames.events import Event, Kind, MarketChange, Settled
from pm_frames.layout import Flag
from pm_replay.batch_engine import BatchEngine
from pm_replay.engine import Engine
from pm_replay.pipeline import Request, replay
from pm_replay.telling import Options

TOKENS = ("1001", "1002")
PRICES = [f"0.{n:02d}" for n in range(1, 100, 7)]
SIZES = ["0", "1", "2.5", "7.000001"]

price = st.sampled_from(PRICES)
side_levels = st.lists(
    st.tuples(price, st.sampled_from(SIZES[1:])), max_size=5, unique_by=lambda x: x[0]
)
which = st.sampled_from(TOKENS)
step = st.one_of(
    st.tuples(st.just("subscribe"), st.lists(which, min_size=1, max_size=2, unique=True)),
    st.tuples(st.just("book"), which, side_levels, side_levels),
    st.tuples(
        st.just("change"),
        st.lists(
            st.tuples(which, price, st.sampled_from(SIZES), st.sampled_from(["BUY", "SELL"])),
            min_size=1,
            max_size=4,
        ),
    ),
    st.tuples(st.just("disconnect"), st.booleans()),
    st.tuples(st.just("unsubscribe"), which),
    st.tuples(st.just("tick"), which),
)


class Model:
    """The books as anybody would write them down: sorted lists, nothing kept between messages."""

    def __init__(self) -> None:
        self.subscribed: set[str] = set()
        self.books: dict[str, dict[str, dict[float, str]] | None] = dict.fromkeys(TOKENS)
        self.tops: list[tuple[str, str | None, str | None, str | None, str | None]] = []

    def book(self, token: str, bids: Any, asks: Any) -> None:
        if token in self.subscribed:
            self.books[token] = {
                "BUY": {float(p): f"{p} {s}" for p, s in bids},
                "SELL": {float(p): f"{p} {s}" for p, s in asks},
            }
            self.top(token)

    def change(self, changes: Any) -> None:
        touched = []
        for token, px, size, side in changes:
            held = self.books[token]
            if held is None:
                continue
            held[side].pop(float(px), None)
            if size != "0":
                held[side][float(px)] = f"{px} {size}"
            if token not in touched:
                touched.append(token)
        for token in touched:
            self.top(token)

    def top(self, token: str) -> None:
        held = self.books[token]
        assert held is not None
        bids, asks = sorted(held["BUY"]), sorted(held["SELL"])
        bid = held["BUY"][bids[-1]].split() if bids else [None, None]
        ask = held["SELL"][asks[0]].split() if asks else [None, None]
        self.tops.append((token, bid[0], bid[1], ask[0], ask[1]))


def e6(text: str | None) -> int:
    return round(float(text) * 1e6) if text is not None else -1


@settings(max_examples=60, deadline=None)
@given(st.lists(step, max_size=25), st.booleans(), st.randoms(use_true_random=False))
def test_books_equal_a_naive_model_under_any_interleaving(
    steps: list[Any], opened: bool, random: Any
) -> None:
    model = Model()
    frames: list[tuple[int, int, bytes]] = []
    records: list[RecordSpec] = [
        (T0, "run_start", {"boot_id": None}),
        (T0 + 1, "ws_connect", {"shard_id": 0, "connection": 1}),
    ]
    connection = 1
    opening: list[Any] = [
        ("subscribe", list(TOKENS)),
        *(("book", token, [("0.01", "1")], [("0.99", "1")]) for token in TOKENS),
    ]
    for number, (kind, *what) in enumerate([*opening, *steps] if opened else steps):
        at = T0 + 10 * (number + 1)
        if kind == "subscribe":
            [tokens] = what
            fields = {"shard_id": 0, "connection": connection, "token_ids": tokens}
            records.append((at, "subscribe_attempt", fields))
            model.subscribed |= set(tokens)
            for token in tokens:
                model.books[token] = None
        elif kind == "unsubscribe":
            fields = {"shard_id": 0, "connection": connection, "token_ids": what}
            records.append((at, "unsubscribe", fields))
            model.subscribed.discard(what[0])
            model.books[what[0]] = None
        elif kind == "disconnect":
            fields = {
                "shard_id": 0,
                "connection": connection,
                "since_mono_ns": at - 5,
                "planned": what[0],
            }
            records.append((at, "disconnect", fields))
            connection += 1
            records.append((at + 1, "ws_connect", {"shard_id": 0, "connection": connection}))
            model.subscribed.clear()
            model.books = dict.fromkeys(TOKENS)
        elif kind == "tick":
            message = {
                "event_type": "tick_size_change", "asset_id": what[0], "market": "0xaa",
                "old_tick_size": "0.01", "new_tick_size": "0.001", "timestamp": str(number),
            }  # fmt: skip
            frames.append((0, at, compact(message)))
            model.books[what[0]] = None
        elif kind == "book":
            token, bids, asks = what
            for levels in (bids, asks):
                random.shuffle(levels)
            frames.append((0, at, compact(book(token, dict(bids), dict(asks), ts=str(number)))))
            model.book(token, bids, asks)
        else:
            [changes] = what
            told = [change(t, p, s, d, hash=str(number)) for t, p, s, d in changes]
            frames.append((0, at, compact(price_change(*told, ts=str(number)))))
            model.change(changes)
    with TemporaryDirectory() as folder:
        made = make_at(Path(folder) / "run", frames or [(0, T0 + 5, b"PONG")], records)
        plain, deep = made.events(), made.events(Request(options=Options(depth=True)))
    names = {event.token: event.text() for event in plain if event.kind == Kind.TOKEN}
    found = [
        (names[t.token], t.bid_px_e6, t.bid_sz_e6, t.ask_px_e6, t.ask_sz_e6)
        for t in plain
        if t.kind == Kind.TOB
    ]
    assert found == [
        (token, e6(bp), max(0, e6(bs)), e6(ap), max(0, e6(az)))
        for token, bp, bs, ap, az in model.tops
    ]
    assert [event.seq for event in plain if event.seq] == list(range(1, len(frames_seq(plain)) + 1))
    # Depth changes no event, and by itself gives the same tops.
    assert [event for event in deep if event.kind not in (Kind.BOOK, Kind.LEVEL)] == plain
    assert_depth_gives_the_tops(deep)


def frames_seq(events: list[Event]) -> list[Event]:
    return [event for event in events if 16 <= event.kind < 32]


def assert_depth_gives_the_tops(events: list[Event]) -> None:
    books: dict[int, tuple[dict[int, int], dict[int, int]]] = {}
    for event in events:
        if event.kind == Kind.BOOK:
            books[event.token] = ({}, {})
        elif event.kind == Kind.LEVEL:
            side = books[event.token][event.side]
            side.pop(event.px_e6, None)
            if event.sz_e6:
                side[event.px_e6] = event.sz_e6
    # The last top of each token is that of its last book, unless the book was given up since.
    last: dict[int, Event] = {}
    for event in events:
        if event.kind == Kind.TOB:
            last[event.token] = event
    for token, top in last.items():
        bids, asks = books[token]
        assert (top.bid_px_e6, top.ask_px_e6) == (max(bids, default=-1), min(asks, default=-1))


@pytest.mark.parametrize(
    "prices",
    [
        ["0.3", "0.2", "0.99"],
        ["0.1", "0.11", "0.95", "0.12", "0.13", "0.14", "0.15", "0.16"],
        ["0.1", "0.10", "0.5"],
    ],
)
def test_the_best_bid_is_the_highest_in_any_order(make_bundle: Maker, prices: list[str]) -> None:
    bids = [{"price": each, "size": "1"} for each in prices]
    message = {**book("1", {}, {"0.999": "1"}), "bids": bids}
    [top] = tops(make_bundle([(0, T0, compact(message))]).events())
    assert top.bid_px_e6 == max(e6(each) for each in prices)


def tops(events: list[Event]) -> list[Event]:
    return [event for event in events if event.kind == Kind.TOB]


def test_a_batch_is_unsettled_until_its_last_frame(make_bundle: Maker) -> None:
    made = make_bundle(
        [
            (0, T0, compact(book("1", {"0.4": "1"}, {"0.6": "1"}))),
            (0, T0 + 1, compact(price_change(change("1", "0.4", "0", "BUY", bid="0.39", ask="0.6", hash="z")))),
            (0, T0 + 2, compact(price_change(change("1", "0.39", "5", "BUY", bid="0.39", ask="0.6", hash="z")))),
            (0, T0 + 3, compact(price_change(change("1", "0.6", "0", "SELL", bid="0.39", ask="", hash="y"), ts="1790000000002"))),
            (0, T0 + 4, compact(price_change(change("1", "0.7", "9", "SELL", bid="0.5", ask="0.7", hash="x"), ts="1790000000003"))),
            (0, T0 + 5, compact(price_change(change("1", "0.7", "8", "SELL", bid="0.39", ask="0.7", hash="w"), ts="1790000000004"))),
        ]
    )  # fmt: skip
    result, _ = made.replay()
    assert [top.settled.name for top in tops(made.events())] == [
        "SETTLED", "UNSETTLED", "SETTLED", "SETTLED", "UNSETTLED", "SETTLED",
    ]  # fmt: skip
    bbo = result.engine.oracles.summary()["bbo"]
    assert bbo["examples"] == [
        {
            "token_id": "1", "shard": 0, "frame": 4, "stated_bid": "0.5", "stated_ask": "0.7",
            "bid_px_e6": 390_000, "ask_px_e6": 700_000,
        }
    ]  # fmt: skip
    assert {k: v for k, v in bbo.items() if k != "examples"} == {
        "agree": 3, "disagree": 1, "unsettled": 1, "unstated": 0,
    }  # fmt: skip


def test_an_emptied_side_is_told_as_empty(make_bundle: Maker) -> None:
    made = make_bundle(
        [
            (0, T0, compact(book("1", {"0.4": "1"}, {"0.6": "1"}))),
            (0, T0 + 1, compact(price_change(change("1", "0.4", "0", "BUY", bid="0", ask="0.6")))),
            (0, T0 + 2, compact(book("1", {}, {}))),
        ]
    )
    found = [
        (t.bid_px_e6, t.bid_sz_e6, t.ask_px_e6, t.ask_sz_e6, t.settled) for t in tops(made.events())
    ]
    assert found[1:] == [
        (-1, 0, 600_000, 1_000_000, Settled.SETTLED),
        (-1, 0, -1, 0, Settled.SETTLED),
    ]


def test_a_token_that_is_live_does_not_wait_because_another_is_added(make_bundle: Maker) -> None:
    made = make_bundle(
        [
            (0, T0 + 10, compact(book("1", {"0.4": "1"}, {"0.6": "1"}))),
            (0, T0 + 30, compact(price_change(change("1", "0.41", "1", "BUY", bid="0.41", ask="0.6"), change("2", "0.5", "1", "BUY")))),
        ],
        [
            *subscribed("1"),
            (T0 + 20, "subscribe_attempt", {"shard_id": 0, "connection": 1, "token_ids": ["2"]}),
        ],
    )  # fmt: skip
    events = made.events()
    assert [top.bid_px_e6 for top in tops(events)] == [400_000, 410_000]
    assert [(e.state, e.ask_sz_e6) for e in events if e.kind == Kind.STATUS] == [
        (State.AWAITING_SNAPSHOT, State.UNSUBSCRIBED),
        (State.LIVE, State.AWAITING_SNAPSHOT),
        (State.AWAITING_SNAPSHOT, State.UNSUBSCRIBED),
    ]


def test_a_book_or_change_of_another_shard_is_withheld(make_bundle: Maker) -> None:
    made = make_bundle(
        [
            (0, T0 + 10, compact(book("1", {"0.4": "1"}, {"0.6": "1"}))),
            (1, T0 + 20, compact(book("1", {"0.1": "1"}, {"0.9": "1"}))),
            (1, T0 + 30, compact(price_change(change("1", "0.5", "1", "BUY")))),
        ],
        subscribed("1"),
    )
    result, _ = made.replay()
    assert len(tops(made.events())) == 1
    assert result.engine.counts == {"withheld_books": 1, "withheld_changes": 1}


def test_global_messages_are_told_once(make_bundle: Maker) -> None:
    resolved = {
        "event_type": "market_resolved", "market": "0xaa", "assets_ids": ["1", "2"],
        "winning_asset_id": "2", "winning_outcome": "No", "timestamp": "1790000000009",
    }  # fmt: skip
    new = {
        "event_type": "new_market",
        "market": "0xbb",
        "assets_ids": ["8", "9"],
        "timestamp": "5",
        "slug": "s",
    }
    made = make_bundle(
        [
            (0, T0, compact(book("1", {}, {}))),
            (0, T0 + 1, compact(book("2", {}, {}))),
            (0, T0 + 2, compact(resolved)),
            (1, T0 + 3, compact(resolved)),
            (1, T0 + 4, compact(new)),
        ]
    )
    events = made.events()
    number = {event.text(): event.token for event in events if event.kind == Kind.TOKEN}
    found = [event for event in events if event.kind == Kind.MARKET]
    assert [event.bid_px_e6 for event in found] == [MarketChange.RESOLVED, MarketChange.NEW]
    assert found[0].token == number["2"]
    assert found[0].json()["winning_token_id"] == "2"
    assert found[1].json()["token_ids"] == ["8", "9"]


def test_batch_end_marks_the_last_event_of_each_frame(make_bundle: Maker) -> None:
    made = make_bundle(
        [
            (0, T0, compact([book("1", {}, {}), book("2", {}, {})])),
            (0, T0 + 1, compact({"event_type": "surprise", "timestamp": "7"})),
        ]
    )
    found = [(e.frame, e.batch_end) for e in made.events() if e.seq]
    assert [ends for frame, ends in found if frame == 0] == [False, False, False, True]
    assert found[-1] == (1, True)


def test_what_nobody_knows_is_kept(make_bundle: Maker) -> None:
    made = make_bundle([(0, T0, b'{"event_type":"surprise","timestamp":"7"}')])
    [event] = [event for event in made.events() if event.kind == Kind.UNKNOWN]
    assert event.json() == {"event_type": "surprise"}
    assert (event.shard, event.frame, event.ts_event_ns) == (0, 0, 7_000_000)
    [surprise] = made.replay()[0].engine.decoder.summary()["surprises"]
    assert surprise["what"] == "new event type"
    assert json.loads(surprise["sample"])["event_type"] == "surprise"


TICK = {
    "event_type": "tick_size_change", "asset_id": "1", "market": "0xaa", "old_tick_size": "0.01",
    "new_tick_size": "0.001", "timestamp": "3",
}  # fmt: skip
BREAKS: list[list[RecordSpec]] = [
    [(T0 + 20, "disconnect", {"shard_id": 0, "connection": 1, "since_mono_ns": T0 + 15, "planned": False})],
    [(T0 + 20, "disconnect", {"shard_id": 0, "connection": 1, "since_mono_ns": T0 + 15, "planned": True})],
    [(T0 + 20, "unsubscribe", {"shard_id": 0, "connection": 1, "token_ids": ["1"]})],
    [(T0 + 20, "subscribe_attempt", {"shard_id": 0, "connection": 1, "token_ids": ["1"]})],
    [(T0 + 20, "capture_stop", {"reason": "signal"})],
    [],  # a change of tick instead
]  # fmt: skip


@pytest.mark.parametrize(
    "broken", BREAKS, ids=["fault", "planned", "unsubscribe", "again", "stop", "tick"]
)
def test_after_a_break_changes_are_counted_and_not_told(
    make_bundle: Maker, broken: list[RecordSpec]
) -> None:
    frames = [(0, T0 + 10, compact(book("1", {"0.4": "1"}, {"0.6": "1"})))]
    if not broken:
        frames.append((0, T0 + 20, compact(TICK)))
    frames.append((0, T0 + 30, compact(price_change(change("1", "0.5", "1", "BUY")))))
    made = make_bundle(frames, [*subscribed("1"), *broken])
    result, _ = made.replay()
    assert len(tops(made.events())) == 1
    assert result.engine.counts == {"withheld_changes": 1}
    assert result.engine.oracles.summary()["snapshot"] == {"equal": 0, "different": 0}


@pytest.mark.parametrize(
    ("bid", "ask", "asks", "settled"),
    [
        (None, None, {}, Settled.UNSTATED),
        ("0.4", None, {}, Settled.SETTLED),
        ("0.4", None, {"0.6": "1"}, Settled.UNSETTLED),
        (None, "0.6", {"0.6": "1"}, Settled.UNSETTLED),
        ("0.40", "0", {}, Settled.SETTLED),
        ("4e-1", "1", {}, Settled.SETTLED),
        ("0.4", "1.0", {"0.6": "1"}, Settled.UNSETTLED),
        ("0.4", "junk", {}, Settled.UNSETTLED),
    ],
)
def test_what_a_message_states_of_the_sides(
    make_bundle: Maker, bid: str | None, ask: str | None, asks: dict[str, str], settled: Settled
) -> None:
    one: Any = {**change("1", "0.4", "2", "BUY"), "best_bid": bid, "best_ask": ask}
    frames = [
        (0, T0 + 10, compact(book("1", {}, asks))),
        (0, T0 + 20, compact(price_change(one))),
    ]
    *_, top = make_bundle(frames, subscribed("1")).events()
    assert (top.kind, top.bid_px_e6, top.settled) == (Kind.TOB, 400_000, settled)


HOLE_FLAGS = int(Flag.TEXT | Flag.SALVAGED)


@pytest.mark.parametrize("runlog", [True, False], ids=["runlog", "flags"])
def test_a_hole_withholds_the_books_of_its_shard_until_each_has_a_new_one(
    make_bundle: Maker, runlog: bool
) -> None:
    """What a repair left out may have changed any book of the shard, and no book of another."""
    first, second = book("1", {"0.4": "1"}, {"0.6": "1"}), book("2", {"0.3": "1"}, {"0.7": "1"})
    frames = [
        (0, T0 + 10, compact([first, second])),
        (1, T0 + 11, compact(book("3", {"0.2": "1"}, {}))),
        (0, T0 + 20, compact(price_change(change("1", "0.5", "1", "BUY"))), HOLE_FLAGS),
        (1, T0 + 21, compact(price_change(change("3", "0.25", "1", "BUY")))),
        (0, T0 + 30, compact([first]), HOLE_FLAGS),
        (0, T0 + 40, compact(price_change(change("2", "0.5", "1", "BUY")))),
        (0, T0 + 50, compact(second)),
    ]
    records = [*subscribed("1", "2"), *subscribed("3", at=T0 + 3, shard=1)] if runlog else None
    made = make_bundle(frames, records)
    result, _ = made.replay()
    events = made.events()
    told = [(each.ts_recv_ns - T0, each.token) for each in tops(events)]
    assert told == [(10, 0), (10, 1), (11, 2), (21, 2), (30, 0), (50, 1)]
    assert result.engine.counts == {"holes": 2, "withheld_changes": 2}
    assert result.engine.oracles.summary()["snapshot"] == {"equal": 0, "different": 0}
    statuses = [
        (each.ts_recv_ns - T0, each.bid_sz_e6 - T0, each.token, each.state.name)
        for each in events
        if each.kind == Kind.STATUS and each.ts_recv_ns >= T0 + 20
    ]
    assert statuses == [
        (20, 10, 0, "UNKNOWN"), (20, 10, 1, "UNKNOWN"), (30, 30, 0, "LIVE"), (50, 50, 1, "LIVE"),
    ]  # fmt: skip


def test_books_and_changes_that_the_venue_stamped_earlier_are_counted(make_bundle: Maker) -> None:
    """R303: by token, each against the one before it that was taken; the rest of the message is as ever."""
    sent = [
        book("1", {"0.4": "1"}, {"0.6": "1"}, ts="1000"),
        price_change(change("1", "0.4", "2", "BUY"), ts="1000"),
        price_change(change("1", "0.4", "3", "BUY"), ts="999"),  # back
        price_change(change("1", "0.4", "4", "BUY"), ts="1001"),  # not against the highest: forward
        book("1", {"0.4": "1"}, {"0.6": "1"}, ts="1000"),  # back
        price_change(change("1", "0.4", "5", "BUY"), ts="soon"),  # no stamp, nothing to compare
        price_change(change("1", "0.4", "6", "BUY"), ts="1"),
        book("2", {"0.4": "1"}, {"0.6": "1"}, ts="500"),  # another token
        price_change(change("1", "0.4", "7", "BUY"), change("2", "0.6", "7", "SELL"), ts="400"),
        price_change(change("1", "0.4", "8", "BUY"), change("2", "0.6", "8", "SELL"), ts="300"),  # both
        price_change(change("3", "0.4", "8", "BUY"), ts="2"),  # not taken: no book
        {"event_type": "last_trade_price", "asset_id": "1", "market": "0xaa", "price": "0.4",
         "size": "1", "side": "BUY", "timestamp": "5"},  # a trade may be told late
    ]  # fmt: skip
    frames = [(0, T0 + 10 * n, compact(one)) for n, one in enumerate(sent, 1)]
    for engine in (Engine, BatchEngine):
        made = make_bundle(frames, subscribed("1", "2"))
        result = replay(made.bundle, Request(), None, make_engine=engine)
        # 999, 1000, token 2 at 400 (token 1 went from 1 to 400), and both at 300.
        assert result.engine.counts["timestamps_out_of_order"] == 5
        assert result.engine.counts["timestamps_missing"] == 1
