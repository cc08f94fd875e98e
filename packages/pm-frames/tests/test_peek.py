from pathlib import Path

import pytest

from pm_frames.peek import Peek, mentions_token, peek

RECORDINGS = Path(__file__).parents[4] / "shared" / "data" / "frames"

BOOK = (
    b'{"market":"0x09", "asset_id":"2016", "bids":[{"price":"0.01", "size":"3641.8"}], '
    b'"asks":[{"price":"0.99", "size":"3769.8"}], "hash":"7d97", "timestamp":"1766481547845", '
    b'"event_type":"book"}'
)
PRICE_CHANGE = (
    b'{"market":"0x86", "price_changes":[{"asset_id":"8910", "price":"0.644", "size":"0", '
    b'"side":"SELL", "hash":"ca", "best_bid":"0.63", "best_ask":"0.638"}, {"asset_id":"8199", '
    b'"price":"0.356", "size":"0", "side":"BUY", "hash":"94", "best_bid":"0.362", '
    b'"best_ask":"0.37"}], "timestamp":"1789156413830", "event_type":"price_change"}'
)
NEW_MARKET = (
    rb'{"id":"51","question":"will \"asset_id\":\"9\" be \"event_type\":\"book\"?",'
    rb'"assets_ids":["2948","1103"],"event_message":{"id":"1","title":"\\"},"event_type":"new_market",'
    rb'"clob_token_ids":["2948","1103"],"active":false}'
)
RESOLVED = (
    b'{"event_type":"market_resolved","assets_ids":["76","31"],"winning_asset_id":"76",'
    b'"winning_outcome":"Yes"}'
)


@pytest.mark.parametrize(
    ("payload", "types", "tokens"),
    [
        (BOOK, ("book",), ("2016",)),
        (PRICE_CHANGE, ("price_change",), ("8910", "8199")),
        (
            b"[" + BOOK + b",\n" + PRICE_CHANGE + b"]\n",
            ("book", "price_change"),
            ("2016", "8910", "8199"),
        ),
        (b"[" + BOOK + b"," + BOOK + b"]", ("book", "book"), ("2016",)),
        (PRICE_CHANGE.replace(b"8199", b"8910"), ("price_change",), ("8910",)),
        (NEW_MARKET, ("new_market",), ()),
        (RESOLVED, ("market_resolved",), ()),
        (b'{"event_type":"tick_size_change","asset_id":"6581"}', ("tick_size_change",), ("6581",)),
        (b'{"asset_id" :\t"1",\r\n"event_type"\n:  "trade"}', ("trade",), ("1",)),
        (b'{"event_type":"never_seen","asset_id":"1"}', ("never_seen",), ("1",)),
        (b"[]", (), ()),
        (b"INVALID OPERATION", (), ()),
        (b"", (), ()),
    ],
)
def test_types_in_order_and_distinct_tokens(
    payload: bytes, types: tuple[str, ...], tokens: tuple[str, ...]
) -> None:
    assert peek(payload) == Peek(types, tokens, keepalive=False)


@pytest.mark.parametrize(
    "payload",
    [
        rb'{"q":"\"asset_id\":\"1\"","event_type":"x"}',
        rb'{"q":"ends with \"asset_id","event_type":"x"}',
        rb'{"ends with \"asset_id":"1","event_type":"x"}',
        b'{"q":"asset_id","event_type":"x"}',
        b'{"q":["asset_id","event_type"],"event_type":"x"}',
        b'{"asset_id":5,"event_type":"x"}',
        b'{"asset_id":null,"event_type":"x"}',
        b'{"asset_id":["1"],"event_type":"x"}',
        b'{"winning_asset_id":"1","asset_ids":"1","event_type":"x"}',
        rb'{"q":"\\","event_type":"x"}',
        rb'{"q":"\\\"asset_id\":","event_type":"x"}',
    ],
)
def test_text_that_is_not_such_a_key_does_not_count(payload: bytes) -> None:
    assert peek(payload) == Peek(("x",), (), keepalive=False)


def test_escapes_in_values_are_undone() -> None:
    assert peek(rb'{"asset_id":"a\"b\u00e9\\","event_type":"x\/y"}') == Peek(
        ("x/y",), ('a"bé\\',), keepalive=False
    )
    assert peek('{"q":"\\n","asset_id":"é"}'.encode()).token_ids == ("é",)


@pytest.mark.parametrize("payload", [b"PONG", b"PONG\n", b" PONG ", b"PING"])
def test_keepalives(payload: bytes) -> None:
    assert peek(payload) == Peek((), (), keepalive=True)
    assert not peek(payload).globals_only


@pytest.mark.parametrize(
    ("payload", "expected"),
    [
        (NEW_MARKET, True),
        (RESOLVED, True),
        (b"[" + NEW_MARKET + b"," + RESOLVED + b"]", True),
        (b"[" + NEW_MARKET + b"," + BOOK + b"]", False),
        (BOOK, False),
        (b"[]", False),
        (b"PONG", False),
        (b"{}", False),
    ],
)
def test_messages_that_every_connection_gets_are_known(payload: bytes, expected: bool) -> None:
    assert peek(payload).globals_only is expected


@pytest.mark.parametrize(
    "payload",
    [
        b'{"asset_id":"1',
        b'{"asset_id":"1\\',
        b'{"asset_id":"\\u12","event_type":"\\ud800"}',
        b'"asset_id"',
        b'"asset_id":',
        b'\\"asset_id":"1"',
        b'{"asset_id":"\xff\xfe","event_type":"\xc3"}',
        b"\x00" * 40,
        b'"event_type"' * 50,
        b'{"asset_id":"' + b"\\" * 99,
    ],
)
def test_garbage_and_torn_payloads_raise_nothing(payload: bytes) -> None:
    found = peek(payload)
    assert all(isinstance(text, str) for text in found.event_types + found.token_ids)


def test_every_cut_of_a_payload_raises_nothing() -> None:
    for payload in (PRICE_CHANGE, NEW_MARKET):
        for size in range(len(payload)):
            peek(payload[:size])
            peek(payload[size:])


def test_the_cheap_question_is_never_wrong_when_it_says_no() -> None:
    assert mentions_token(BOOK)
    assert mentions_token(PRICE_CHANGE)
    assert not mentions_token(RESOLVED)
    assert not mentions_token(b"PONG")


@pytest.mark.skipif(
    not RECORDINGS.is_dir(), reason="shared/data/frames is not beside the repository"
)
def test_recorded_frames() -> None:
    kinds = {
        event
        for path in RECORDINGS.glob("*.jsonl")
        for line in path.read_bytes().splitlines()
        for event in peek(line).event_types
    }
    assert {"book", "price_change", "last_trade_price", "new_market"} <= kinds
