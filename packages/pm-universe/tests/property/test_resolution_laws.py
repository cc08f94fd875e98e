"""Laws of resolutions: every market once, payouts that add up, and order means nothing."""

import json
import random
from decimal import Decimal
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pm_universe.market import Market, parse
from pm_universe.order import file_order, identity
from pm_universe.query import Entry
from pm_universe.resolution import STATUSES, read_answer, resolutions
from pm_universe.resolutions_file import ResolutionsFile, counted, decode, encode

PRICES = st.sampled_from(["0", "1", "0.5", "1.0", "0.50", "-0", "1e0", "0.7", "NaN", "", "x"])
MARKETS = st.fixed_dictionaries(
    {
        "id": st.sampled_from(["1", "2", "3"]),
        "conditionId": st.sampled_from(["0xa", "0xb"]),
        "outcomes": st.sampled_from(['["Yes", "No"]', '["No", "Yes"]']),
        "clobTokenIds": st.sampled_from(['["1", "2"]', '["2", "1"]', '["3", "4"]']),
        "closed": st.sampled_from([None, True, True, False]),
        "outcomePrices": st.lists(PRICES, max_size=3).map(json.dumps),
        "umaResolutionStatus": st.sampled_from([None, "resolved", "proposed"]),
        "updatedAt": st.sampled_from(["2026-01-01", "2026-01-02"]),
    }
)
LISTS = st.lists(MARKETS, max_size=6)


def rows_of(markets: list[dict[str, Any]]) -> list[Any]:
    parsed = [parse(Entry(market, None)) for market in markets]
    return [market.row for market in parsed if isinstance(market, Market)]


def answers_of(markets: list[dict[str, Any]]) -> list[Any]:
    told = [
        read_answer(Entry(market, None), fetched_wall_ns_utc=1, source="s") for market in markets
    ]
    return [answer for answer in told if answer is not None]


@given(LISTS, LISTS, st.randoms(use_true_random=False))
def test_every_market_is_told_once_in_file_order_whatever_order_it_came_in(
    known: list[dict[str, Any]], told: list[dict[str, Any]], shuffler: random.Random
) -> None:
    found = resolutions(rows_of(known), answers_of(told))
    rows = {identity(row): row for row in rows_of(known)}
    ordered = sorted(rows.values(), key=file_order)
    assert [(each.market_id, each.condition_id) for each in found] == [
        (row.market_id, row.condition_id) for row in ordered
    ]
    shuffled = list(told)
    shuffler.shuffle(shuffled)
    assert resolutions(rows_of(known), answers_of(shuffled)) == found


@given(LISTS, LISTS)
def test_payouts_add_up_to_one_or_are_not_there(
    known: list[dict[str, Any]], told: list[dict[str, Any]]
) -> None:
    for each in resolutions(rows_of(known), answers_of(told)):
        paid = [token.payout for token in each.tokens]
        assert each.status in STATUSES
        is_settled = each.status in ("resolved", "tie")
        assert (each.basis is not None) == is_settled
        assert (each.reason is None) == (is_settled or each.status == "open")
        assert (each.winning_token_id is not None) == (each.status == "resolved")
        if is_settled:
            assert each.closed is True
            assert sum(Decimal(text) for text in paid if text is not None) == 1
            assert set(paid) == ({"0", "1"} if each.status == "resolved" else {"0.5"})
        else:
            assert set(paid) == {None}


@given(LISTS, LISTS)
def test_the_file_reads_back(known: list[dict[str, Any]], told: list[dict[str, Any]]) -> None:
    markets = resolutions(rows_of(known), answers_of(told))
    document = ResolutionsFile(
        resolutions_version=1,
        run_id="run",
        universe_version=0,
        universe_sha256="",
        created_wall_ns_utc=1,
        gamma_base_url="https://gamma.example",
        gamma_pages_fetched=1,
        counts=counted(markets),
        markets=markets,
    )
    assert decode(encode(document)) == document
    assert encode(document).count(b"\n") == 2 + len(markets)
    assert sum(document.counts.values()) == len(markets)
