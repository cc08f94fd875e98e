"""Both paths of the decoder: what they read, what they count, and that nothing is lost or raised."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from typing import Any

import pytest
from bundles import book, change, compact, price_change
from hypothesis import given, settings
from hypothesis import strategies as st

from pm_replay import lenient
from pm_replay.decoder import Decoder
from pm_replay.messages import Book, Message, PriceChange, Unknown

TRADE = {
    "market": "0xaa", "asset_id": "1", "price": "0.5", "size": "2", "fee_rate_bps": "0", "side": "SELL",
    "timestamp": "1", "event_type": "last_trade_price", "transaction_hash": "0x1",
}  # fmt: skip
TICK = {
    "event_type": "tick_size_change", "asset_id": "1", "market": "0xaa", "old_tick_size": "0.01",
    "new_tick_size": "0.001", "timestamp": "1",
}  # fmt: skip
BEST = {
    "event_type": "best_bid_ask", "asset_id": "1", "market": "0xaa", "best_bid": "0.4", "best_ask": "",
    "spread": "0.1", "timestamp": "1",
}  # fmt: skip
EACH: list[dict[str, Any]] = [
    book("1", {"0.4": "1"}, {"0.6": "1", "0.7": "2"}),
    book("1", {}, {}, tick_size="0.01", last_trade_price=""),
    price_change(
        change("1", "0.4", "0", "BUY", bid="", ask="0.6"), change("2", "0.6", "0", "SELL")
    ),
    TRADE,
    {key: value for key, value in TRADE.items() if key not in ("fee_rate_bps", "transaction_hash")},
    TICK,
    BEST,
]


def by_lenient(payload: bytes) -> list[Message]:
    def count(kind: str) -> None:
        raise AssertionError(kind)

    return list(lenient.messages(lenient.load(payload), count))


def decode(payload: bytes, decoder: Decoder | None = None) -> Sequence[Message]:
    return (decoder or Decoder()).decode(payload, 3, 7)


@pytest.mark.parametrize("message", EACH)
@pytest.mark.parametrize("spaced", [False, True])
def test_the_fast_path_says_what_the_lenient_one_says(
    message: dict[str, Any], spaced: bool
) -> None:
    separators = (", ", ":") if spaced else (",", ":")
    for value in (message, [message], [message, TRADE]):
        payload = json.dumps(value, separators=separators).encode()
        decoder = Decoder()
        assert list(decode(payload, decoder)) == by_lenient(payload)
        assert decoder.fast == 1
        assert not decoder.sentinel.shapes


@pytest.mark.parametrize("message", EACH)
def test_a_field_that_is_new_is_found_wherever_it_is(message: dict[str, Any]) -> None:
    decoder = Decoder()
    before = by_lenient(compact(message))
    assert list(decode(compact({**message, "brand_new": "x"}), decoder)) == before
    [surprise] = decoder.sentinel.surprises.values()
    assert (surprise.what, surprise.shard, surprise.frame) == ("new field brand_new", 3, 7)


def test_a_field_that_is_new_inside_a_change_or_level_is_found() -> None:
    decoder = Decoder()
    decode(compact(price_change({**change("1", "0.4", "0", "BUY"), "order_id": "x"})), decoder)
    decode(
        compact({**book("1", {}, {}), "bids": [{"price": "0.1", "size": "1", "orders": 3}]}),
        decoder,
    )
    assert sorted(one.what for one in decoder.sentinel.surprises.values()) == [
        "new field bids[].orders",
        "new field price_changes[].order_id",
    ]


def test_the_schema_of_2024() -> None:
    flat = {
        "asset_id": "1", "event_type": "price_change", "hash": "h", "market": "0xaa", "price": "0.514",
        "side": "SELL", "size": "2", "timestamp": "1723967931411",
    }  # fmt: skip
    [message] = decode(compact(flat))
    assert isinstance(message, PriceChange)
    [one] = message.price_changes
    assert (one.asset_id, one.price, one.hash, one.best_bid) == ("1", "0.514", "h", None)


def test_the_schema_of_2025() -> None:
    listed = {
        "asset_id": "1", "changes": [{"price": "0.4", "side": "BUY", "size": "3"}], "hash": "h",
        "event_type": "price_change", "market": "0xaa", "timestamp": "1",
    }  # fmt: skip
    [message] = decode(compact(listed))
    assert isinstance(message, PriceChange)
    [one] = message.price_changes
    assert (one.asset_id, one.side, one.hash) == ("1", "BUY", "h")


def test_numbers_keep_their_text() -> None:
    payload = b'{"event_type":"book","asset_id":"1","market":"m","timestamp":1761179883493,"bids":[{"price":0.10,"size":1e2}],"asks":[],"hash":"h"}'
    [message] = decode(payload)
    assert isinstance(message, Book)
    assert (message.timestamp, message.bids[0].price, message.bids[0].size) == (
        "1761179883493", "0.10", "1e2",
    )  # fmt: skip


@pytest.mark.parametrize(
    ("payload", "kind"),
    [
        (b"", "not_json"),
        (b"INVALID OPERATION", "not_json"),
        (b'{"event_type":"book"', "not_json"),
        (b'{"a":NaN}', "not_json"),
        (b"\xff\xfe", "not_utf8"),
        (b"[" * 200_000, "too_deep"),
    ],
)
def test_what_cannot_be_read_is_counted_by_kind(payload: bytes, kind: str) -> None:
    decoder = Decoder()
    assert not decode(payload, decoder)
    assert decoder.decode_errors == {kind: 1}
    assert (decoder.examples[kind].shard, decoder.examples[kind].frame) == (3, 7)


@pytest.mark.parametrize(
    ("item", "kind"),
    [
        ("text", "item_not_object"),
        ({"event_type": "book", "bids": [], "asks": []}, "token_id_missing"),
        ({"event_type": "book", "asset_id": "1", "bids": "none", "asks": []}, "bids_type"),
        ({"event_type": "book", "asset_id": "1", "bids": []}, "asks_type"),
        ({"asset_id": "1", "bids": [], "asks": []}, "event_type_missing"),
        ({"event_type": "book", "asset_id": "1", "bids": [{"price": True, "size": "1"}], "asks": []}, "level_malformed"),
        ({"event_type": "price_change", "asset_id": "1"}, "price_changes_type"),
        ({"event_type": "price_change", "price_changes": [1]}, "change_malformed"),
        ({"event_type": "last_trade_price"}, "token_id_missing"),
    ],
)  # fmt: skip
def test_schema_errors_are_counted_by_kind(item: Any, kind: str) -> None:
    decoder = Decoder()
    found = decode(compact([TRADE, item]), decoder)
    assert decoder.schema_errors == {kind: 1}
    assert found[0] == by_lenient(compact(TRADE))[0]  # its neighbour is read all the same


def test_keepalives_and_empty_arrays_are_no_errors() -> None:
    decoder = Decoder()
    for payload in (b"PONG", b"PONG\n", b"PING", b"[]", b" [ ] "):
        assert not decode(payload, decoder)
    assert decoder.frames == {"keepalive": 3, "empty_array": 2}
    assert not decoder.decode_errors
    assert not decoder.schema_errors


def test_a_type_that_is_unknown_is_kept_beside_its_neighbours() -> None:
    found = decode(compact([{"event_type": "novelty", "timestamp": "9"}, TRADE]))
    assert found[0] == Unknown("novelty", "9")
    assert found[1] == by_lenient(compact(TRADE))[0]


texts = st.text(max_size=6)
anything = st.recursive(
    st.none() | st.booleans() | st.integers() | texts,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3),
    max_leaves=8,
)


@settings(max_examples=150, deadline=None)
@given(st.sampled_from(EACH), st.data())
def test_every_frame_is_told_or_counted_whatever_is_in_it(
    message: dict[str, Any], data: Any
) -> None:
    keys = data.draw(st.lists(st.sampled_from(sorted(message)), max_size=2))
    damaged = {**message, **{key: data.draw(anything) for key in keys}}
    if data.draw(st.booleans()) and keys:
        del damaged[keys[0]]
    decoder = Decoder()
    found = decode(json.dumps(damaged).encode(), decoder)
    assert len(found) == 1 or decoder.schema_errors.total() >= 1
    assert decoder.fast + decoder.frames["lenient"] == 1


@pytest.mark.parametrize("seed", range(4))
def test_damaged_bytes_never_raise_and_always_count(seed: int) -> None:
    source = random.Random(seed)
    decoder = Decoder()
    for _ in range(400):
        payload = bytearray(compact(source.choice(EACH)))
        for _ in range(source.randrange(1, 4)):
            payload[source.randrange(len(payload))] = source.randrange(256)
        before = sum(decoder.frames.values()) + decoder.decode_errors.total() + decoder.fast
        before -= decoder.frames["fast_arrays"]
        decode(bytes(payload), decoder)
        after = sum(decoder.frames.values()) + decoder.decode_errors.total() + decoder.fast
        assert after - decoder.frames["fast_arrays"] == before + 1
    assert decoder.decode_errors


def nested(depth: int) -> bytes:
    return b'{"event_type":"odd","text":"[[[[\\"{{{{","a":' + b"[" * depth + b"]" * depth + b"}"


def test_the_depth_that_is_read_does_not_depend_on_the_interpreter() -> None:
    for depth in (1, 63):
        assert [type(one).__name__ for one in Decoder().decode(nested(depth), 0, 0)] == ["Unknown"]
    for depth in (64, 900, 100_000):
        decoder = Decoder()
        assert not decoder.decode(nested(depth), 0, 0)
        assert decoder.decode_errors == {"too_deep": 1}
    many = b"[" + b",".join([b'{"event_type":"odd"}'] * 500) + b"]"
    assert len(Decoder().decode(many, 0, 0)) == 500
