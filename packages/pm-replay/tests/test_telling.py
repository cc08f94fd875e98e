"""A second model, of runs with two shards: from the JSON of each frame to what must be told of it.

It shares nothing with the engine: prices are exact fractions of the text, books are lists of pairs, the state of
a token is written out here. What is asked for (window, tokens, limit, depth) must be a cut of the whole.
"""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, NamedTuple

from bundles import T0, Made, RecordSpec, book, change, compact, make_at, price_change
from hypothesis import given, settings
from hypothesis import strategies as st

from pm_frames.events import Event, Kind, Settled
from pm_replay.pipeline import Request
from pm_replay.telling import Options

TOKENS = ("11", "12", "21")
PRICES = [
    "0.1",
    "0.10",
    ".1",
    "1e-1",
    "0.100000000000000000001",
    "0.2",
    "0.5",
    "5E-1",
    "0.9995",
    "nan",
    "-1",
    "",
]
SIZES = ["0", "0.0", "1", "1.0000004", "0.0000005", "0.0000004", "123456789012", "9" * 20, "x"]
STATED = ["", "0", "1", "0.1", ".10", "0.2", "0.5", "0.9995", "junk"]

token = st.sampled_from(TOKENS)
shard = st.sampled_from([0, 1])
level = st.tuples(st.sampled_from(PRICES), st.sampled_from(SIZES))
levels = st.lists(level, max_size=4)
books = st.builds(
    lambda t, bids, asks, n: {
        **book(t, {}, {}, ts=str(n)),
        "bids": [{"price": p, "size": s} for p, s in bids],
        "asks": [{"price": p, "size": s} for p, s in asks],
    },
    token, levels, levels, st.integers(1, 3),
)  # fmt: skip
change_of = st.builds(
    lambda t, p, s, side, bid, ask, digest: change(t, p, s, side, bid=bid, ask=ask, hash=digest),
    token, st.sampled_from(PRICES), st.sampled_from(SIZES), st.sampled_from(["BUY", "SELL", "buy"]),
    st.sampled_from(STATED), st.sampled_from(STATED), st.sampled_from(["h", "i"]),
)  # fmt: skip
changes = st.builds(
    lambda made, n: price_change(*made, ts=str(n)),
    st.lists(change_of, max_size=4), st.integers(1, 3),
)  # fmt: skip
ticks = st.builds(
    lambda t: {
        "event_type": "tick_size_change", "asset_id": t, "market": "0xaa", "timestamp": "1",
        "old_tick_size": "0.01", "new_tick_size": "0.001",
    },
    token,
)  # fmt: skip
odd = st.sampled_from([{"event_type": "brand_new"}, 7, None, {"event_type": "book"}])
message = st.one_of(books, changes, changes, ticks, odd)
payload = st.one_of(message, st.lists(message, max_size=3))
step = st.one_of(
    st.tuples(st.just("frame"), shard, payload),
    st.tuples(st.just("frame"), shard, payload),
    st.tuples(st.just("again"), shard),
    st.tuples(st.just("subscribe"), shard, st.lists(token, min_size=1, unique=True)),
    st.tuples(st.just("disconnect"), shard),
)


def number(text: str, *, above_zero: bool) -> int | None:
    """Millionths of a text, half up; None for what must be refused."""
    try:
        exact = Fraction(text) * 10**6
    except ValueError:
        return None
    if text.strip() != text or exact < 0:
        return None
    whole = int(exact + Fraction(1, 2))
    if above_zero:
        return whole if 0 < whole <= 10**6 else None
    return whole if whole < 2**63 else None


class Top(NamedTuple):
    token: str
    at: int
    bid: tuple[int, int] | None
    ask: tuple[int, int] | None
    settled: int


class Slate:
    """What anybody would write down of one token."""

    def __init__(self) -> None:
        self.asked_on: int | None = None
        self.connected = False
        self.book: dict[str, list[tuple[int, int]]] | None = None

    def put(self, side: str, price: int, size: int) -> None:
        assert self.book is not None
        self.book[side] = [one for one in self.book[side] if one[0] != price]
        if size:
            self.book[side].append((price, size))

    def top(self, token_id: str, at: int, stated: tuple[str, str] | None) -> Top:
        assert self.book is not None
        bid = max(self.book["BUY"], default=None)
        ask = min(self.book["SELL"], default=None)
        settled = int(Settled.SETTLED)
        if stated is not None and not (meant(stated[0], bid) and meant(stated[1], ask)):
            settled = int(Settled.UNSETTLED)
        return Top(token_id, at, bid, ask, settled)


def meant(text: str, best: tuple[int, int] | None) -> bool:
    value = number(text, above_zero=False) if text else 0
    return (best[0] if best else 0) == (0 if value == 10**6 else value)


class Venue:
    def __init__(self) -> None:
        self.slates = {each: Slate() for each in TOKENS}
        self.tops: list[Top] = []

    def take(self, shard: int, at: int, value: Any) -> None:
        for item in value if isinstance(value, list) else [value]:
            if not isinstance(item, dict):
                continue
            if item.get("event_type") == "book" and "bids" in item:
                self.book(shard, at, item)
            elif item.get("event_type") == "price_change":
                self.changes(shard, at, item)
            elif item.get("event_type") == "tick_size_change":
                self.slates[item["asset_id"]].book = None

    def book(self, shard: int, at: int, item: dict[str, Any]) -> None:
        slate = self.slates[item["asset_id"]]
        if slate.asked_on != shard or not slate.connected:
            return
        slate.book = {"BUY": [], "SELL": []}
        for side, key in (("BUY", "bids"), ("SELL", "asks")):
            for one in item[key]:
                price = number(one["price"], above_zero=True)
                size = number(one["size"], above_zero=False)
                if price is not None and size is not None:
                    slate.put(side, price, size)
        self.tops.append(slate.top(item["asset_id"], at, None))

    def changes(self, shard: int, at: int, item: dict[str, Any]) -> None:
        last: dict[str, tuple[str, str]] = {}
        for one in item["price_changes"]:
            slate = self.slates[one["asset_id"]]
            price = number(one["price"], above_zero=True)
            size = number(one["size"], above_zero=False)
            if slate.book is None or slate.asked_on != shard or price is None or size is None:
                continue
            if one["side"] in slate.book:
                slate.put(one["side"], price, size)
                last[one["asset_id"]] = (one["best_bid"], one["best_ask"])
        self.tops += [self.slates[each].top(each, at, stated) for each, stated in last.items()]

    def lost(self, shard: int) -> None:
        for slate in self.slates.values():
            if slate.asked_on == shard:
                slate.connected, slate.book = False, None


def written(folder: str, steps: list[Any]) -> tuple[Made, list[Top]]:
    venue = Venue()
    frames: list[tuple[int, int, bytes]] = [(0, T0 + 2, b"PONG"), (1, T0 + 2, b"[]")]
    connections = {0: 1, 1: 1}
    records: list[RecordSpec] = [
        (T0, "run_start", {"boot_id": None}),
        *((T0 + 1, "ws_connect", {"shard_id": each, "connection": 1}) for each in connections),
    ]
    last: dict[int, Any] = {}
    for n, (kind, where, *what) in enumerate([("subscribe", 0, list(TOKENS)), *steps]):
        at = T0 + 10 * (n + 1)
        if kind == "subscribe":
            fields = {"shard_id": where, "connection": connections[where], "token_ids": what[0]}
            records.append((at, "subscribe_attempt", fields))
            for each in what[0]:
                slate = venue.slates[each]
                slate.asked_on, slate.connected, slate.book = where, True, None
        elif kind == "disconnect":
            records.append(
                (at, "disconnect", {"shard_id": where, "connection": connections[where]})
            )
            connections[where] += 1
            opened = {"shard_id": where, "connection": connections[where]}
            records.append((at + 1, "ws_connect", opened))
            venue.lost(where)
        elif kind == "frame" or where in last:
            value = what[0] if what else last[where]
            last[where] = value
            frames.append((where, at, compact(value)))
            venue.take(where, at, json.loads(compact(value)))
    return make_at(Path(folder) / "run", frames, records), venue.tops


def told(events: list[Event]) -> list[Event]:
    return [event for event in events if 16 <= event.kind < 32]


def named(events: list[Event]) -> list[Any]:
    names = {event.token: event.text() for event in events if event.kind == Kind.TOKEN}
    return [(names.get(each.token), *each[1:6], *each[7:]) for each in told(events)]


@settings(max_examples=80, deadline=None)
@given(st.lists(step, min_size=5, max_size=30))
def test_tops_are_those_of_a_second_model(steps: list[Any]) -> None:
    with TemporaryDirectory() as folder:
        made, wanted = written(folder, steps)
        events = made.events()
    names = {event.token: event.text() for event in events if event.kind == Kind.TOKEN}
    found = [
        Top(
            names[each.token],
            each.ts_recv_ns,
            None if each.bid_px_e6 < 0 else (each.bid_px_e6, each.bid_sz_e6),
            None if each.ask_px_e6 < 0 else (each.ask_px_e6, each.ask_sz_e6),
            each.settled,
        )
        for each in events
        if each.kind == Kind.TOB
    ]
    assert found == wanted


@settings(max_examples=40, deadline=None)
@given(st.lists(step, min_size=5, max_size=20), st.integers(0, 200), st.integers(1, 200))
def test_whatever_is_asked_for_is_a_cut_of_the_whole(
    steps: list[Any], start: int, span: int
) -> None:
    with TemporaryDirectory() as folder:
        made, _ = written(folder, steps)
        result, _ = made.replay()
        whole = made.events()
        first, before = T0 + start, T0 + start + span
        window = told(made.events(Request(from_mono_ns=first, before_mono_ns=before)))
        one = made.events(Request(chosen={"12"}))
        limited = told(made.events(Request(options=Options(max_events=span))))
        for_time = told(made.events(Request(max_ns=span)))
        deep, _ = made.replay(Request(options=Options(depth=True)))
        unsampled, _ = made.replay(Request(sample_every=0))
    assert [each[1:] for each in window] == [
        each[1:] for each in told(whole) if first <= each.ts_recv_ns < before
    ]
    assert limited == told(whole)[:span]
    assert for_time == [each for each in told(whole) if each.ts_recv_ns < T0 + 2 + span]
    mine = {"12", None}  # what names no token is everybody's
    assert [each[:-2] for each in named(one) if each[0] is not None] == [
        each[:-2] for each in named(whole) if each[0] in mine and each[0] is not None
    ]
    assert result.writer.event_hash == deep.writer.event_hash == unsampled.writer.event_hash
    assert result.writer.checkpoints == deep.writer.checkpoints
