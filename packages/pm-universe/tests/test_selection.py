"""Literal cases of the rules at the top of the module; the laws are in tests/property."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from pm_universe.market import BadMarket, Market, parse
from pm_universe.query import Entry, decode
from pm_universe.selection import Selection, Wanted, refusal, select

MakeMarket = Callable[..., dict[str, Any]]
Read = Callable[..., Market | BadMarket]


@pytest.fixture
def read(make_market: MakeMarket) -> Read:
    def read(number: int, **changes: Any) -> Market | BadMarket:
        return parse(Entry(decode(json.dumps(make_market(number, **changes))), None))

    return read


def event(number: int | str, **more: Any) -> dict[str, Any]:
    return {"events": [{"id": str(number), "slug": f"event-{number}"} | more]}


def chosen(selection: Selection) -> list[str]:
    return [row.slug for row in selection.selected]


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({}, None),
        ({"closed": True}, "closed"),
        ({"archived": True}, "archived"),
        ({"active": False}, "inactive"),
        ({"enableOrderBook": False}, "no_order_book"),
        ({"acceptingOrders": False}, "not_accepting_orders"),
        ({"closed": True, "active": False}, "closed"),
        ({"outcomes": ["A"], "clobTokenIds": ["1"]}, "not_binary"),
        ({"outcomes": ["A", "B", "C"], "clobTokenIds": ["1", "2", "3"]}, "not_binary"),
        ({"outcomes": ["Over", "Under"]}, None),
        # Not stated is not refused.
        ({"active": ..., "closed": ..., "archived": ...}, None),
        ({"acceptingOrders": None, "enableOrderBook": None}, None),
    ],
)
def test_the_predicate(read: Read, changes: dict[str, Any], expected: str | None) -> None:
    market = read(1, **changes)
    assert isinstance(market, Market)
    assert refusal(market) == expected


def test_the_cap_comes_after_the_predicate(read: Read) -> None:
    closed = [read(number, closed=True, volume24hr=1e6) for number in range(10)]
    open_ones = [read(number) for number in range(10, 13)]
    selection = select([*closed, *open_ones], Wanted(max_markets=2))
    assert chosen(selection) == ["number-10", "number-11"]
    assert [row.slug for row in selection.over_cap] == ["number-12"]
    assert selection.left_out == {"closed": 10}
    assert selection.markets_seen == 13


def test_the_most_traded_events_survive_the_cap_but_ids_order_the_file(read: Read) -> None:
    markets = [read(number, volume24hr=number) for number in (1, 2, 3, 4)]
    assert chosen(select(markets, Wanted(max_markets=2))) == ["number-3", "number-4"]


def test_equal_volumes_are_decided_by_the_id_of_the_event(read: Read) -> None:
    markets = [read(number) for number in (4, 3, 2, 1)]
    assert chosen(select(markets, Wanted(max_markets=2))) == ["number-1", "number-2"]


def test_events_stay_whole_and_one_that_does_not_fit_is_passed_over(read: Read) -> None:
    large = [read(number, volume24hr=100, **event(1)) for number in (1, 2, 3)]
    small = [read(number, volume24hr=1, **event(2)) for number in (4, 5)]
    selection = select([*large, *small], Wanted(max_markets=2))
    assert chosen(selection) == ["number-4", "number-5"]
    assert [row.slug for row in selection.over_cap] == ["number-1", "number-2", "number-3"]
    assert chosen(select([*large, *small], Wanted(max_markets=4))) == [
        "number-1",
        "number-2",
        "number-3",
    ]


def test_the_volume_of_an_event_is_that_of_its_qualifying_markets(read: Read) -> None:
    first = [read(1, volume24hr=10, **event(1)), read(2, volume24hr=90, closed=True, **event(1))]
    second = [read(3, volume24hr=50, **event(2))]
    assert chosen(select([*first, *second], Wanted(max_markets=1))) == ["number-3"]


def test_numbers_are_ordered_as_numbers_and_missing_ids_come_last(read: Read) -> None:
    markets = [
        read(1, id=..., conditionId="0xb", **event(5)),
        read(2, id="10", **event(5)),
        read(3, id="9", **event(5)),
        read(4, id="x1", **event(5)),
        read(5, id=..., conditionId="0xa", **event(5)),
        read(6, **event(40)),
        read(7, **event(6)),
        read(8, events=...),
        read(9, **event(0, id=None, slug="a-slug")),
    ]
    expected = [3, 2, 4, 5, 1, 7, 6, 8, 9]
    for order in (markets, markets[::-1]):
        selection = select(order, Wanted(max_markets=100))
        assert chosen(selection) == [f"number-{number}" for number in expected]


def test_a_market_that_came_twice_counts_once_as_it_was_last(read: Read) -> None:
    before = read(1, updatedAt="2026-11-21T00:00:00Z", orderPriceMinTickSize=0.01)
    after = read(1, updatedAt="2026-11-21T00:00:09Z", orderPriceMinTickSize=0.001)
    for order in ([before, after], [after, before]):
        selection = select(order, Wanted(max_markets=10))
        assert [row.tick_size for row in selection.selected] == ["0.001"]
        assert selection.left_out == {"duplicate": 1}


def test_a_token_has_one_market(read: Read) -> None:
    markets = [read(2, clobTokenIds=["7", "8"]), read(1, clobTokenIds=["6", "7"])]
    selection = select(markets, Wanted(max_markets=10))
    assert chosen(selection) == ["number-1"]
    assert selection.left_out == {"token_of_another_market": 1}


def test_bad_markets_are_counted_by_reason(read: Read) -> None:
    markets = [read(1), read(2, conditionId=...), read(3, clobTokenIds=...), read(4, outcomes="")]
    selection = select(markets, Wanted(max_markets=10))
    assert selection.left_out == {
        "bad:no_condition_id": 1,
        "bad:no_token_ids": 1,
        "bad:outcomes_unlike_tokens": 1,
    }


def test_names_restrict_the_selection(read: Read) -> None:
    markets = [read(1, **event(7)), read(2, **event(7)), read(3), read(4), read(5, closed=True)]
    condition_id = "0X" + f"{4:064x}"
    wanted = Wanted(
        max_markets=10,
        events=("event-7", "event-none"),
        markets=("number-3", condition_id, "number-5"),
    )
    selection = select(markets, wanted)
    assert sorted(chosen(selection)) == ["number-1", "number-2", "number-3", "number-4"]
    assert selection.not_found == ("event-none", "number-5")
    assert selection.left_out == {"closed": 1}
    only = select(markets, Wanted(max_markets=10, markets=("number-1",)))
    assert chosen(only) == ["number-1"]
    assert only.left_out == {"not_named": 4}


def test_a_market_in_several_events_is_found_by_each(read: Read) -> None:
    market = read(1, events=[{"id": "1", "slug": "first"}, {"id": "2", "slug": "second"}])
    for name in ("first", "second"):
        assert chosen(select([market], Wanted(max_markets=1, events=(name,)))) == ["number-1"]
