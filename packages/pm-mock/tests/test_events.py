import json

from pm_mock.events import Change, Statement, Trade, array, spaced, tick_size_changes
from pm_mock.market import NO, YES, Market


def market() -> Market:
    made = Market("0xc0", ("11", "22"), tick_e4=100, timestamp_ms=1000)
    made.put(YES, 4900, 55_000_000)
    made.put(NO, 5000, 3_000_000)
    made.settle(1766481546776)
    return made


def test_a_price_change_is_spaced_and_mirrored() -> None:
    made = market()
    yes, no = made.hashes()
    assert Statement(made).price_change([Change(YES, 4900, 55_000_000)], lead=YES).decode() == (
        '{"market":"0xc0", "price_changes":['
        '{"asset_id":"11", "price":"0.49", "size":"55", "side":"BUY", '
        f'"hash":"{yes}", "best_bid":"0.49", "best_ask":"0.5"}}, '
        '{"asset_id":"22", "price":"0.51", "size":"55", "side":"SELL", '
        f'"hash":"{no}", "best_bid":"0.5", "best_ask":"0.51"}}], '
        '"timestamp":"1766481546776", "event_type":"price_change"}'
    )


def test_the_leading_token_can_be_the_other_one() -> None:
    made = market()
    changes = [Change(NO, 4000, 0), Change(YES, 4800, 1_000_000)]
    frame = json.loads(Statement(made).price_change(changes, lead=NO))
    entries = [
        (one["asset_id"], one["price"], one["size"], one["side"]) for one in frame["price_changes"]
    ]
    assert entries == [
        ("22", "0.4", "0", "BUY"),
        ("11", "0.6", "0", "SELL"),
        ("22", "0.52", "1", "SELL"),
        ("11", "0.48", "1", "BUY"),
    ]


def test_best_bid_ask() -> None:
    assert Statement(market()).best_bid_ask(NO) == (
        b'{"market":"0xc0", "asset_id":"22", "best_bid":"0.5", "best_ask":"0.51", "spread":"0.01", '
        b'"timestamp":"1766481546776", "event_type":"best_bid_ask"}'
    )


def test_last_trade_price() -> None:
    trade = Trade(YES, True, 5000, 2_460_000, "0xab")
    assert Statement(market()).last_trade_price(trade) == (
        b'{"market":"0xc0", "asset_id":"11", "price":"0.5", "size":"2.46", "fee_rate_bps":"0", '
        b'"side":"BUY", "timestamp":"1766481546776", "event_type":"last_trade_price", "transaction_hash":"0xab"}'
    )


def test_a_tick_change_is_one_message_a_token() -> None:
    made = market()
    made.refine_tick(10)
    messages = tick_size_changes(made, old_e4=100)
    assert [message.tokens for message in messages] == [("11",), ("22",)]
    assert messages[1].payload == (
        b'{"market":"0xc0", "asset_id":"22", "old_tick_size":"0.01", "new_tick_size":"0.001", '
        b'"timestamp":"1766481546776", "event_type":"tick_size_change"}'
    )


def test_spacing_of_nested_values_and_arrays() -> None:
    value = {"a": ["x", "y"], "b": {"c": True, "d": 'é, "q"'}}
    assert spaced(value) == '{"a":["x", "y"], "b":{"c":true, "d":"é, \\"q\\""}}'.encode()
    assert array(b"{}", b"{}") == b"[{}, {}]"
