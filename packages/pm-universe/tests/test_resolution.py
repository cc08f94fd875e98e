"""Literal endings: what each answer of Gamma is taken for, generated and recorded."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pm_universe.market import Market, MarketRow, parse
from pm_universe.query import Entry, decode
from pm_universe.resolution import Answer, Resolution, read_answer, resolutions

MakeMarket = Callable[..., dict[str, Any]]
CLOSED = {"closed": True, "closedTime": "2026-03-19 23:20:15+00"}
UMA = CLOSED | {"umaResolutionStatus": "resolved"}


def row_of(market: dict[str, Any]) -> MarketRow:
    parsed = parse(Entry(decode(json.dumps(market)), None))
    assert isinstance(parsed, Market)
    return parsed.row


def answer_of(market: dict[str, Any], source: str = "/markets/keyset?closed=true") -> Answer:
    entry = Entry(decode(json.dumps(market)), None)
    answer = read_answer(entry, fetched_wall_ns_utc=7, source=source)
    assert answer is not None
    return answer


def judged(known: dict[str, Any], *told: dict[str, Any]) -> Resolution:
    (resolution,) = resolutions([row_of(known)], [answer_of(market) for market in told])
    return resolution


def payouts(resolution: Resolution) -> list[str | None]:
    return [token.payout for token in resolution.tokens]


@pytest.mark.parametrize(
    ("changes", "status", "reason", "basis", "paid"),
    [
        (UMA | {"outcomePrices": '["1", "0"]'}, "resolved", None, "uma", ["1", "0"]),
        (UMA | {"outcomePrices": ["0", "1"]}, "resolved", None, "uma", ["0", "1"]),
        (UMA | {"outcomePrices": [0, 1]}, "resolved", None, "uma", ["0", "1"]),
        (UMA | {"outcomePrices": '["1.000", "0.0"]'}, "resolved", None, "uma", ["1", "0"]),
        (CLOSED | {"outcomePrices": '["1", "0"]'}, "resolved", None, "prices", ["1", "0"]),
        (UMA | {"outcomePrices": '["0.5", "0.50"]'}, "tie", None, "uma", ["0.5", "0.5"]),
        # Closed and never traded looks like this, too.
        (
            CLOSED | {"outcomePrices": '["0.5", "0.5"]'},
            "pending",
            "prices_are_no_payout",
            None,
            [None, None],
        ),
        (
            CLOSED | {"umaResolutionStatus": "proposed", "outcomePrices": '["1", "0"]'},
            "pending",
            "uma_not_resolved",
            None,
            [None, None],
        ),
        (
            CLOSED | {"umaResolutionStatus": "disputed"},
            "pending",
            "uma_not_resolved",
            None,
            [None, None],
        ),
        (
            UMA | {"outcomePrices": '["0.9999999", "0.0000001"]'},
            "pending",
            "prices_are_no_payout",
            None,
            [None, None],
        ),
        (
            UMA | {"outcomePrices": '["1", "1"]'},
            "pending",
            "prices_are_no_payout",
            None,
            [None, None],
        ),
        (
            UMA | {"outcomePrices": '["0", "0"]'},
            "pending",
            "prices_are_no_payout",
            None,
            [None, None],
        ),
        (UMA, "pending", "no_prices", None, [None, None]),
        (UMA | {"outcomePrices": '["1"]'}, "pending", "no_prices", None, [None, None]),
        (UMA | {"outcomePrices": '["yes", "no"]'}, "pending", "no_prices", None, [None, None]),
        (UMA | {"outcomePrices": '["NaN", "1"]'}, "pending", "no_prices", None, [None, None]),
        ({"outcomePrices": '["1", "0"]'}, "open", None, None, [None, None]),
        ({"closed": ...}, "unknown", "closed_not_stated", None, [None, None]),
        (
            UMA | {"outcomePrices": '["1", "0"]', "clobTokenIds": '["8", "9"]'},
            "unknown",
            "other_tokens",
            None,
            [None, None],
        ),
        # The outcomes of the run and of Gamma disagree: nobody can say which token won.
        (
            UMA | {"outcomePrices": '["1", "0"]', "outcomes": '["No", "Yes"]'},
            "unknown",
            "other_tokens",
            None,
            [None, None],
        ),
    ],
)
def test_what_an_answer_is_taken_for(
    make_market: MakeMarket,
    changes: dict[str, Any],
    status: str,
    reason: str | None,
    basis: str | None,
    paid: list[str | None],
) -> None:
    known = make_market(1)
    found = judged(known, make_market(1, **changes))
    assert (found.status, found.reason, found.basis) == (status, reason, basis)
    assert payouts(found) == paid
    winner = paid.index("1") if "1" in paid else None
    ids = [token.token_id for token in found.tokens]
    assert found.winning_token_id == (None if winner is None else ids[winner])
    assert (found.fetched_wall_ns_utc, found.source) == (7, "/markets/keyset?closed=true")


def test_what_nobody_told_of(make_market: MakeMarket) -> None:
    found = judged(make_market(1), make_market(2, **UMA, outcomePrices='["1", "0"]'))
    assert (found.status, found.reason) == ("unknown", "not_found")
    assert (found.closed, found.outcome_prices, found.source) == (None, (), None)
    assert payouts(found) == [None, None]


def test_tokens_in_another_order_get_their_own_payout(make_market: MakeMarket) -> None:
    ids = json.loads(make_market(1)["clobTokenIds"])
    turned = make_market(
        1, **UMA, outcomePrices='["1", "0"]', clobTokenIds=ids[::-1], outcomes=["No", "Yes"]
    )
    found = judged(make_market(1), turned)
    assert payouts(found) == ["0", "1"]
    assert found.winning_token_id == ids[1]


def test_closed_counts_more_than_open_and_later_more_than_earlier(make_market: MakeMarket) -> None:
    open_later = make_market(1, updatedAt="2027-01-01T00:00:00Z")
    first = make_market(1, **UMA, outcomePrices='["0.7", "0.3"]')
    last = make_market(1, **UMA, outcomePrices='["1", "0"]', updatedAt="2026-12-01T00:00:00Z")
    stranger = make_market(1, **UMA, clobTokenIds=["8", "9"], updatedAt="2028-01-01T00:00:00Z")
    for told in ([open_later, first, last, stranger], [stranger, last, first, open_later]):
        found = judged(make_market(1), *told)
        assert (found.status, found.updated_at) == ("resolved", "2026-12-01T00:00:00Z")


def test_a_market_with_other_tokens_later_is_told_twice(make_market: MakeMarket) -> None:
    ids = '["8", "9"]'
    before, after = row_of(make_market(1)), row_of(make_market(1, clobTokenIds=ids))
    told = answer_of(make_market(1, **UMA, outcomePrices='["1", "0"]', clobTokenIds=ids))
    found = resolutions([before, after, before], [told])
    assert [(each.status, each.winning_token_id) for each in found] == [
        ("unknown", None),
        ("resolved", "8"),
    ]


def test_recorded_markets(recorded: Path) -> None:
    """Real answers: two kinds of resolved, two that must not be taken for it, and one open."""
    found = {}
    for path in sorted(recorded.glob("gamma_market*.json")):
        market = json.loads(path.read_bytes())
        resolution = judged(market, market)
        won = {token.payout: token.outcome for token in resolution.tokens}.get("1")
        found[path.stem] = (resolution.status, resolution.basis, won)
        assert resolution.closed_time == market.get("closedTime")
        assert resolution.outcome_prices == tuple(json.loads(market["outcomePrices"]))
    assert found == {
        "gamma_market": ("open", None, None),
        "gamma_market_closed_binary_accepting_false": ("resolved", "uma", "No"),
        "gamma_market_closed_binary_accepting_true": ("resolved", "prices", "Yes"),
        "gamma_market_closed_nonbinary_legacy": ("pending", None, None),
        "gamma_market_closed_zero_zero_legacy": ("pending", None, None),
        "gamma_market_sports_market_map_handicap": ("resolved", "uma", "FaZe"),
        "gamma_market_sports_market_money_line": ("resolved", "uma", "FaZe"),
    }
