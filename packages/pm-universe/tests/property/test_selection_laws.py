"""Laws of the selection: the order of arrival means nothing, events stay whole, nothing is lost."""

import random
from collections import Counter
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pm_universe.market import BadMarket, Market, parse
from pm_universe.query import Entry
from pm_universe.selection import Selection, Wanted, refusal, select
from pm_universe.universe_file import Circumstances, describe, encode

# Few values, so that ties, repetitions and shared tokens are the rule.
IDS = st.sampled_from([None, "1", "01", "2", "10", "9", "x"])
MARKETS = st.fixed_dictionaries(
    {
        "id": IDS,
        "conditionId": st.sampled_from(["0xa", "0xb", "0xc", "1", None]),
        "slug": st.sampled_from(["a", "b", "c"]),
        "outcomes": st.sampled_from(['["Yes", "No"]', '["No", "Yes"]', '["One"]']),
        "clobTokenIds": st.sampled_from(['["1", "2"]', '["3", "4"]', '["2", "5"]', '["6"]']),
        "closed": st.sampled_from([None, True, False]),
        "volume24hr": st.sampled_from([None, "0.1", "0.2", "0.3", "7"]),
        "updatedAt": st.sampled_from([None, "2026-01-01", "2026-01-02"]),
        "events": st.one_of(
            st.just([]),
            st.fixed_dictionaries({"id": IDS, "slug": st.sampled_from([None, "e", "f"])}).map(
                lambda event: [event]
            ),
        ),
    }
)
LISTINGS = st.lists(MARKETS, max_size=12)
CAPS = st.integers(min_value=1, max_value=6)


def read(markets: list[dict[str, Any]]) -> list[Market | BadMarket]:
    return [parse(Entry(market, None)) for market in markets]


def file_bytes(markets: list[dict[str, Any]], wanted: Wanted) -> bytes:
    universe = describe(
        select(read(markets), wanted),
        wanted,
        Circumstances("https://gamma.example", 1, 1, 2),
    )
    return encode(universe)


@given(LISTINGS, CAPS, st.randoms(use_true_random=False))
def test_any_order_of_arrival_gives_the_same_file(
    markets: list[dict[str, Any]], cap: int, shuffler: random.Random
) -> None:
    """The order in which pages and markets arrived has no influence on anything."""
    shuffled = list(markets)
    shuffler.shuffle(shuffled)
    for wanted in (
        Wanted(max_markets=cap),
        Wanted(max_markets=cap, events=("e",), markets=("a", "0xB")),
    ):
        assert file_bytes(shuffled, wanted) == file_bytes(markets, wanted)


@given(LISTINGS, CAPS)
def test_everything_seen_is_accounted_for(markets: list[dict[str, Any]], cap: int) -> None:
    """Seen = selected + over the cap + left out, by reason."""
    selection = select(read(markets), Wanted(max_markets=cap))
    assert selection.markets_seen == len(markets)
    assert len(markets) == (
        len(selection.selected) + len(selection.over_cap) + sum(selection.left_out.values())
    )


def event_of(row: Any) -> str:
    return row.event_id or f"slug {row.event_slug}"


@given(LISTINGS, CAPS)
def test_events_are_whole_and_the_cap_holds(markets: list[dict[str, Any]], cap: int) -> None:
    """They are taken whole; an event that no longer fits is passed over."""
    selection = select(read(markets), Wanted(max_markets=cap))
    assert len(selection.selected) <= cap
    kept = {event_of(row) for row in selection.selected if row.event_id or row.event_slug}
    cut = Counter(event_of(row) for row in selection.over_cap if row.event_id or row.event_slug)
    assert not kept & cut.keys()
    room = cap - len(selection.selected)
    assert all(size > room for size in cut.values())


@given(LISTINGS, CAPS)
def test_selected_markets_qualify_and_share_no_token(
    markets: list[dict[str, Any]], cap: int
) -> None:
    """Exactly two outcome tokens, and a token has one market."""
    parsed = read(markets)
    selection: Selection = select(parsed, Wanted(max_markets=cap))
    qualifying = [m.row for m in parsed if isinstance(m, Market) and refusal(m) is None]
    assert all(row in qualifying for row in selection.selected)
    tokens = [token.token_id for row in selection.selected for token in row.tokens]
    assert len(tokens) == len(set(tokens)) == 2 * len(selection.selected)
