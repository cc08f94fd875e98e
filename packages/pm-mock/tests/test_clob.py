import json
import random
from typing import Any

import pytest

from pm_mock.catalogue import Catalogue, Listing
from pm_mock.clob import Clob
from pm_mock.http_message import Response, request
from pm_mock.market import NO, YES, Market
from pm_mock.sources.generated import tradable
from pm_mock.universe import Builder, build

NOW_MS = 1_795_000_000_123


@pytest.fixture
def catalogue() -> Catalogue:
    rng = random.Random(1)
    return build(Builder(rng), markets=12, now_ms=NOW_MS, rng=rng)


@pytest.fixture
def listing(catalogue: Catalogue) -> Listing:
    found = next(one for one in catalogue.listings() if tradable(one) and one.fees)
    assert found.token_ids is not None
    yes, no = found.token_ids
    found.market = Market(found.condition_id, (yes, no), tick_e4=10, timestamp_ms=0)
    found.market.put(YES, 4811, 5_000_000)
    found.market.put(NO, 5080, 5_000_000)
    found.market.settle(NOW_MS)
    return found


@pytest.fixture
def clob(catalogue: Catalogue, listing: Listing) -> Clob:
    def summary_of(token: str) -> bytes | None:
        assert listing.token_ids is not None
        assert listing.market is not None
        if token not in listing.token_ids:
            return None
        return listing.market.summary(listing.token_ids.index(token))

    return Clob(catalogue, summary_of)


def ask(clob: Clob, target: str) -> tuple[int, Any]:
    answer = clob.respond(request("GET", target), NOW_MS)
    assert answer is not None
    return answer.status, json.loads(answer.body)


def post(clob: Clob, body: bytes) -> Response:
    answer = clob.respond(request("POST", "/books", body), NOW_MS)
    assert answer is not None
    return answer


def tokens(listing: Listing) -> tuple[str, ...]:
    assert listing.token_ids is not None
    return listing.token_ids


def test_a_book_states_ten_fields(clob: Clob, listing: Listing) -> None:
    status, book = ask(clob, f"/book?token_id={tokens(listing)[0]}")
    assert status == 200
    assert listing.market is not None
    assert book["hash"] == listing.market.hashes()[YES]
    assert list(book) == [
        "market",
        "asset_id",
        "timestamp",
        "hash",
        "bids",
        "asks",
        "min_order_size",
        "tick_size",
        "neg_risk",
        "last_trade_price",
    ]


def test_errors_are_the_venues(clob: Clob) -> None:
    assert ask(clob, "/book?token_id=12345") == (
        404,
        {"error": "No orderbook exists for the requested token id"},
    )
    assert ask(clob, "/book?token_id=abc") == (400, {"error": "Invalid token id"})
    assert ask(clob, "/book") == (400, {"error": "Invalid token id"})
    assert ask(clob, "/midpoint?token_id=12345")[0] == 404
    assert ask(clob, "/tick-size?token_id=12345")[0] == 404
    assert ask(clob, "/clob-markets/0x00")[0] == 404


def test_many_books_leave_out_unknown_tokens(clob: Clob, listing: Listing) -> None:
    yes, no = tokens(listing)
    wanted = [{"token_id": no}, {"token_id": "12345"}, {"token_id": yes}]
    answer = post(clob, json.dumps(wanted).encode())
    assert [book["asset_id"] for book in json.loads(answer.body)] == [no, yes]
    assert json.loads(post(clob, b"[]").body) == []


def test_too_many_or_malformed_books_are_refused(clob: Clob) -> None:
    many = json.dumps([{"token_id": "1"}] * 501).encode()
    assert post(clob, many)[:2] == (400, b'{"error":"Payload exceeds the limit"}')
    assert post(clob, b'{"token_id":"1"}').status == 400
    assert post(clob, b"").status == 400
    assert post(clob, b'[{"token_id":"1","x":' + b"[" * 100_000).status == 400


def test_small_reads(clob: Clob, listing: Listing) -> None:
    yes = tokens(listing)[0]
    assert ask(clob, "/time") == (200, NOW_MS // 1000)
    assert ask(clob, "/ok") == (200, "OK")
    assert ask(clob, "/version") == (200, {"version": 2})
    assert ask(clob, f"/tick-size?token_id={yes}") == (200, {"minimum_tick_size": 0.001})
    assert ask(clob, f"/neg-risk?token_id={yes}")[1]["neg_risk"] in (True, False)
    assert ask(clob, f"/fee-rate?token_id={yes}") == (200, {"base_fee": 1000})
    assert ask(clob, f"/midpoint?token_id={yes}") == (200, {"mid": "0.48655"})
    assert ask(clob, f"/spread?token_id={yes}") == (200, {"spread": "0.0109"})
    assert ask(clob, f"/last-trade-price?token_id={yes}") == (200, {"price": "0.5", "side": ""})


def test_the_compact_market(clob: Clob, listing: Listing) -> None:
    status, market = ask(clob, f"/clob-markets/{listing.condition_id}")
    assert status == 200
    assert [one["t"] for one in market["t"]] == list(tokens(listing))
    assert [one["o"] for one in market["t"]] == list(listing.outcomes)
    assert market["mts"] == 0.001
    assert set(market["fd"]) == {"r", "e", "to"}


def test_an_empty_side_has_no_midpoint(clob: Clob, listing: Listing) -> None:
    assert listing.market is not None
    listing.market.put(NO, 5080, 0)
    assert ask(clob, f"/midpoint?token_id={tokens(listing)[0]}")[0] == 404


def test_other_paths_and_methods_are_not_the_clobs(clob: Clob) -> None:
    assert clob.respond(request("GET", "/order"), NOW_MS) is None
    assert clob.respond(request("POST", "/book"), NOW_MS) is None
