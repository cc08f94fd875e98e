import json
import random
from typing import Any

import pytest

from pm_mock.catalogue import Catalogue
from pm_mock.gamma import Gamma
from pm_mock.http_message import Response, request
from pm_mock.market import Market
from pm_mock.sources.generated import tradable
from pm_mock.universe import Builder, build, list_event

NOW_MS = 1_795_000_000_000


@pytest.fixture
def catalogue() -> Catalogue:
    rng = random.Random(1)
    return build(Builder(rng), markets=230, now_ms=NOW_MS, rng=rng)


def get(catalogue: Catalogue, target: str) -> Response:
    answer = Gamma(catalogue).respond(request("GET", target))
    assert answer is not None
    return answer


def pages(catalogue: Catalogue, target: str, key: str) -> list[list[dict[str, Any]]]:
    found, cursor = [], ""
    while True:
        answer = get(catalogue, f"{target}&after_cursor={cursor}")
        assert answer.status == 200, answer.body
        body = json.loads(answer.body)
        found.append(body[key])
        if "next_cursor" not in body:
            return found
        cursor = body["next_cursor"]


def test_keyset_paging_gives_every_open_market_once(catalogue: Catalogue) -> None:
    found = pages(catalogue, "/markets/keyset?limit=100", "markets")
    assert [len(page) for page in found[:-1]] == [100] * (len(found) - 1)
    ids = [market["id"] for page in found for market in page]
    assert ids == [one.market_id for one in catalogue.listings() if not one.closed]
    assert len(found) == 3


def test_markets_that_list_or_resolve_while_paging_hide_no_other(catalogue: Catalogue) -> None:
    first = json.loads(get(catalogue, "/markets/keyset?limit=100").body)
    last = catalogue.by_id(first["markets"][-1]["id"])
    assert last is not None
    expected = [one.market_id for one in catalogue.listings() if not one.closed][100:]
    catalogue.resolve(last, winner=0)
    second = get(catalogue, f"/markets/keyset?limit=100&after_cursor={first['next_cursor']}")
    assert [market["id"] for market in json.loads(second.body)["markets"]] == expected[:100]


def test_list_fields_are_json_in_strings_and_sometimes_true_arrays(catalogue: Catalogue) -> None:
    markets = json.loads(get(catalogue, "/markets?limit=500").body)
    assert {type(market["outcomes"]) for market in markets} == {str, list}
    usual = next(market for market in markets if isinstance(market["outcomes"], str))
    listing = catalogue.by_id(usual["id"])
    assert listing is not None
    assert listing.token_ids is not None
    assert usual["outcomes"] == '["' + '", "'.join(listing.outcomes) + '"]'
    assert json.loads(usual["clobTokenIds"]) == list(listing.token_ids)


def test_fields_that_a_client_selects_by(catalogue: Catalogue) -> None:
    listing = next(one for one in catalogue.listings() if tradable(one) and one.fees)
    assert listing.token_ids is not None
    yes, no = listing.token_ids
    listing.market = Market(listing.condition_id, (yes, no), tick_e4=10, timestamp_ms=0)
    listing.market.put(0, 4810, 5_000_000)
    listing.market.put(1, 5080, 5_000_000)
    answer = get(catalogue, f"/markets/{listing.market_id}")
    market = json.loads(answer.body)
    assert market == json.loads(get(catalogue, f"/markets/slug/{listing.slug}").body)
    assert market["conditionId"] == listing.condition_id
    assert market["active"] is True
    assert market["closed"] is False
    assert market["orderPriceMinTickSize"] == 0.001
    assert b'"orderPriceMinTickSize":0.001' in answer.body
    assert (market["bestBid"], market["bestAsk"], market["spread"]) == (0.481, 0.492, 0.011)
    assert set(market["feeSchedule"]) == {"rate", "exponent", "takerOnly", "rebateRate"}
    assert market["events"][0]["id"] == listing.event.event_id
    assert "markets" not in market["events"][0]


def test_neg_risk_events_hold_their_markets(catalogue: Catalogue) -> None:
    found = pages(catalogue, "/events/keyset?limit=50", "events")
    events = [event for page in found for event in page]
    exclusive = [event for event in events if event["negRisk"]]
    assert exclusive
    for event in exclusive:
        assert event["negRiskMarketID"].startswith("0x")
        assert all(market["negRisk"] for market in event["markets"])
    one = exclusive[0]
    assert json.loads(get(catalogue, f"/events/{one['id']}").body) == one
    assert json.loads(get(catalogue, f"/events/slug/{one['slug']}").body) == one


def test_version_two_markets_have_true_position_ids(catalogue: Catalogue) -> None:
    markets = json.loads(get(catalogue, "/markets?limit=500").body)
    newer = [market for market in markets if market.get("version") == "v2"]
    assert newer
    assert all(isinstance(market["positionIds"], list) for market in newer)


def test_closed_markets_are_left_out_unless_asked_for(catalogue: Catalogue) -> None:
    listing = next(one for one in catalogue.listings() if tradable(one))
    catalogue.resolve(listing, winner=1)
    shown = json.loads(get(catalogue, "/markets?limit=500").body)
    assert listing.market_id not in [market["id"] for market in shown]
    closed = json.loads(get(catalogue, "/markets?limit=500&closed=true").body)
    resolved = next(market for market in closed if market["id"] == listing.market_id)
    prices = resolved["outcomePrices"]
    assert (json.loads(prices) if isinstance(prices, str) else prices) == ["0", "1"]
    assert resolved["acceptingOrders"] is False


def test_offset_order_and_filters(catalogue: Catalogue) -> None:
    everything = json.loads(get(catalogue, "/markets?limit=500").body)
    assert json.loads(get(catalogue, "/markets?limit=2&offset=3").body) == everything[3:5]
    ids = [everything[4]["id"], everything[9]["id"]]
    found = json.loads(get(catalogue, f"/markets?id={ids[0]}&id={ids[1]}").body)
    assert [market["id"] for market in found] == ids
    one = json.loads(get(catalogue, f"/markets?condition_ids={everything[7]['conditionId']}").body)
    assert [market["id"] for market in one] == [everything[7]["id"]]
    ordered = pages(catalogue, "/markets/keyset?limit=90&order=volumeNum", "markets")
    volumes = [market["volumeNum"] for page in ordered for market in page]
    assert volumes == sorted(volumes, reverse=True)
    assert len(volumes) == len(everything)
    inactive = json.loads(get(catalogue, "/markets?active=false&limit=500").body)
    assert inactive
    assert not any(market["active"] for market in inactive)


@pytest.mark.parametrize(
    ("target", "words"),
    [
        ("/markets/keyset?limit=101", "limit must be between 1 and 100, got 101"),
        ("/markets/keyset?offset=5", "offset is not supported"),
        ("/markets/keyset?after_cursor=nonsense", "after_cursor is not a cursor"),
        ("/markets/keyset?closed=maybe", "closed must be true or false"),
        ("/markets/keyset?order=colour", "order fields are not valid: colour"),
        ("/markets?limit=-1", "limit must be an integer"),
    ],
)
def test_bad_queries_are_refused_with_their_reason(
    catalogue: Catalogue, target: str, words: str
) -> None:
    answer = get(catalogue, target)
    assert answer.status == 422
    assert words in json.loads(answer.body)["error"]


@pytest.mark.parametrize(
    "target", ["/markets/1", "/markets/slug/no", "/events/1", "/markets/a/b/c"]
)
def test_unknown_ids_are_not_found(catalogue: Catalogue, target: str) -> None:
    assert get(catalogue, target).status == 404


def test_other_paths_are_not_gammas(catalogue: Catalogue) -> None:
    assert Gamma(catalogue).respond(request("GET", "/book?token_id=1")) is None


def test_a_market_that_lists_appears_at_the_end() -> None:
    rng = random.Random(2)
    builder = Builder(rng)
    catalogue = build(builder, markets=2, now_ms=NOW_MS, rng=rng)
    event = builder.up_or_down(NOW_MS)
    list_event(catalogue, event)
    markets = json.loads(get(catalogue, "/markets/keyset?limit=100").body)["markets"]
    assert markets[-1]["id"] == event.listings[0].market_id
