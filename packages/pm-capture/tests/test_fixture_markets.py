"""The universe of fixtures."""

import json
from typing import Any

import pytest

from pm_capture.offline.fixture_markets import Choice, universe_text
from pm_capture.offline.fixtures import FixturesError
from pm_capture.universe import parse_universe

GOOD: dict[str, Any] = {
    "id": "7",
    "conditionId": "0x7",
    "slug": "rain",
    "question": "Rain?",
    "outcomes": '["Yes", "No"]',
    "clobTokenIds": '["71", "72"]',
}


def universe(*markets: object, regex: str | None = None, most: int = 10) -> dict[str, Any]:
    choice = Choice(markets_max=most, market_regex=regex, mono_ns=3, wall_ns_utc=4)
    text = universe_text(json.dumps({"markets": markets}).encode(), choice)
    found: dict[str, Any] = json.loads(text)
    return found


def slugs(found: dict[str, Any]) -> list[str]:
    return [market["slug"] for market in found["markets"]]


def test_a_market_is_told_as_pm_universe_tells_it() -> None:
    more = {
        "orderPriceMinTickSize": 0.010, "orderMinSize": 5, "negRisk": True, "negRiskMarketID": "0xn",
        "feesEnabled": True, "feeType": "f", "secondsDelay": 3, "endDate": "E", "version": "v1",
        "feeSchedule": {"exponent": 1, "rate": 0.07, "takerOnly": True, "rebateRate": 0.2},
        "events": [{"id": "70", "slug": "e", "category": "C", "negRiskAugmented": True}],
    }  # fmt: skip
    text = json.dumps({"markets": [{**GOOD, **more}]}).replace("0.01,", "0.010,").encode()
    choice = Choice(markets_max=10, market_regex=None, mono_ns=3, wall_ns_utc=4)
    found = json.loads(universe_text(text, choice))
    assert found["markets"] == [
        {
            "market_id": "7", "condition_id": "0x7", "slug": "rain", "question": "Rain?", "category": "C",
            "event_id": "70", "event_slug": "e", "neg_risk": True, "neg_risk_augmented": True,
            "neg_risk_market_id": "0xn", "event_markets": None, "tick_size": "0.010", "min_size": "5", "fees_enabled": True,
            "fee_type": "f",
            "fee_schedule": {"rate": "0.07", "exponent": "1", "taker_only": True, "rebate_rate": "0.2"},
            "seconds_delay": 3, "end_date": "E", "version": "v1",
            "tokens": [{"token_id": "71", "outcome": "Yes"}, {"token_id": "72", "outcome": "No"}],
        }
    ]  # fmt: skip
    assert (found["created_mono_ns"], found["created_wall_ns_utc"]) == (3, 4)
    assert found["selection"]["capture_use_market_filters"] is False
    assert parse_universe(json.dumps(found).encode(), "u").token_ids == ["71", "72"]


def test_both_forms_of_lists_and_of_pages() -> None:
    arrays = {**GOOD, "outcomes": ["Up", "Down"], "clobTokenIds": ["81", "82"]}
    positions = {**GOOD, "version": "v2", "clobTokenIds": None, "positionIds": ["91", "92"]}
    found = universe(arrays, positions)
    tokens = [[token["token_id"] for token in market["tokens"]] for market in found["markets"]]
    assert sorted(tokens) == [["81", "82"], ["91", "92"]]
    choice = Choice(markets_max=10, market_regex=None, mono_ns=0, wall_ns_utc=0)
    assert slugs(json.loads(universe_text(json.dumps([GOOD]).encode(), choice))) == ["rain"]


@pytest.mark.parametrize(
    "changed",
    [
        {"closed": True}, {"archived": True}, {"active": False}, {"enableOrderBook": False},
        {"acceptingOrders": False}, {"clobTokenIds": '["1"]'}, {"clobTokenIds": '["1", "1"]'},
        {"clobTokenIds": "["}, {"clobTokenIds": None}, {"outcomes": '["Yes"]'}, {"conditionId": None},
    ],
)  # fmt: skip
def test_what_cannot_be_captured_is_left_out(changed: dict[str, Any]) -> None:
    found = universe(GOOD, {**GOOD, "slug": "bad", **changed}, "no market")
    assert slugs(found) == ["rain"]
    assert found["stats"]["markets_seen"] == 3


def test_filter_then_order_then_cap() -> None:
    def one(number: int, event: str, slug: str) -> dict[str, Any]:
        ids = [f"{number}1", f"{number}2"]
        events = [{"id": event}]
        return {**GOOD, "id": str(number), "slug": slug, "clobTokenIds": ids, "events": events}

    markets = [
        one(10, "9", "btc-10"),
        one(9, "9", "btc-9"),
        one(11, "100", "btc-11"),
        one(12, "1", "eth"),
    ]
    found = universe(*markets, regex="BTC", most=2)
    assert slugs(found) == ["btc-9", "btc-10"]
    assert found["selection"]["market_regex_effective"] == "BTC"
    assert found["stats"]["markets_dropped_by_cap"] == 1
    assert slugs(universe(*markets, regex="^rain.$")) == ["eth", "btc-9", "btc-10", "btc-11"]


@pytest.mark.parametrize("text", [b"{", b"3", b'{"markets": 3}'])
def test_what_is_no_listing_is_refused(text: bytes) -> None:
    choice = Choice(markets_max=10, market_regex=None, mono_ns=0, wall_ns_utc=0)
    with pytest.raises(FixturesError, match=r"gamma_markets\.json: "):
        universe_text(text, choice)
