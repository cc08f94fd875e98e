"""What frames were about."""

import json
from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from pm_capture.census import Census
from pm_frames.peek import peek

CHANGE = b'{"market":"0x","price_changes":[{"asset_id":"1"}],"event_type":"price_change"}'


def test_events_are_counted_by_type() -> None:
    census = Census()
    rest = census.received(
        [
            (1, CHANGE), (1, b"PONG"), (1, b"[]"), (1, b""), (1, CHANGE), (1, b"INVALID OPERATION"),
            (1, b'[{"event_type":"book"},{"event_type":"book"}]'), (2, b"\xff\x00"),
            (1, b"[" + CHANGE + b"]"), (1, b'{"event_type":"surprise"}'), (1, b'{"a":1}'),
        ]
    )  # fmt: skip
    assert len(rest) == 9
    assert census.counts() == {
        "_empty": 2, "_keepalive": 1, "book": 2, "price_change": 3, "surprise": 1,
    }  # fmt: skip
    assert census.decode_errors == 3


def test_a_market_that_is_over_is_told_of_once() -> None:
    census = Census()
    over = b'{"event_type":"market_resolved","assets_ids":["1","2"]}'
    among = b'[{"event_type":"book"},' + over + b"]"
    named = b'{"event_type":"last_trade_price","side":"market_resolved"}'
    census.received([(1, CHANGE), (1, over), (1, named), (1, among)])
    assert census.resolutions_taken() == [over, among]
    assert census.resolutions_taken() == []


def test_invented_types_do_not_fill_the_memory() -> None:
    census = Census()
    for number in range(1000):
        census.received([(1, json.dumps({"event_type": f"t{number}"}).encode())])
    census.received([(1, json.dumps({"event_type": "x" * 65}).encode())])
    counts = census.counts()
    assert len(counts) == 65
    assert counts["_other"] == 1000 - 64 + 1


@given(
    st.recursive(
        st.text() | st.integers() | st.none(),
        lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    ),
    st.sampled_from([(",", ":"), (", ", ":"), (", ", ": ")]),
)
def test_the_short_way_is_right(value: object, separators: tuple[str, str]) -> None:
    text = json.dumps({"a": value, "event_type": "price_change"}, separators=separators).encode()
    census = Census()
    census.received([(1, text)])
    assert census.counts() == {"price_change": peek(text).event_types.count("price_change")}


names = st.sampled_from(["event_type", "book", 'a"event_type', 'event_type":"book', "\\"])
inner = st.recursive(
    names, lambda x: st.lists(x, max_size=3) | st.dictionaries(names, x, max_size=3), max_leaves=8
)


@given(inner, st.sampled_from([(",", ":"), (", ", ":"), (", ", ": ")]))
def test_books_are_counted_as_peek_sees_them(value: object, separators: tuple[str, str]) -> None:
    text = json.dumps([value, {"event_type": "book"}], separators=separators).encode()
    census = Census()
    census.received([(1, text)])
    assert census.counts() == dict(sorted(Counter(peek(text).event_types).items()))
