"""Laws of generations: a chain of deltas is the full file, and incumbents stay."""

from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from pm_universe.generation import (
    Delta,
    Since,
    decode_generation,
    diff,
    encode_generation,
    fold,
)
from pm_universe.market import BadMarket, Market, parse
from pm_universe.order import event_key, identity
from pm_universe.query import Entry
from pm_universe.selection import Wanted, refusal, select
from pm_universe.universe_file import Circumstances, UniverseFile, describe

# Few values, so that markets come, go, change, and take each other's tokens.
IDS = st.sampled_from([None, "1", "01", "2", "3", "10"])
MARKETS = st.fixed_dictionaries(
    {
        "id": IDS,
        "conditionId": st.sampled_from(["0xa", "0xb", "0xc"]),
        "slug": st.sampled_from(["a", "b"]),
        "outcomes": st.sampled_from(['["Yes", "No"]', '["No", "Yes"]']),
        "clobTokenIds": st.sampled_from(['["1", "2"]', '["2", "1"]', '["3", "4"]', '["5", "6"]']),
        "closed": st.sampled_from([None, True, False, False]),
        "orderPriceMinTickSize": st.sampled_from(["0.01", "0.001"]),
        "volume24hr": st.sampled_from(["0.1", "0.2", "7"]),
        "updatedAt": st.sampled_from(["2026-01-01", "2026-01-02"]),
        "events": st.sampled_from([[], [{"id": "5"}], [{"id": "6"}], [{"slug": "e"}]]),
    }
)
LISTINGS = st.lists(MARKETS, max_size=8)
HISTORIES = st.lists(LISTINGS, min_size=1, max_size=5)
CAPS = st.integers(min_value=1, max_value=6)


def read(markets: list[dict[str, Any]]) -> list[Market | BadMarket]:
    return [parse(Entry(market, None)) for market in markets]


def at(moment: int) -> Circumstances:
    return Circumstances("https://gamma.example", 1, moment, moment)


def full_of(generation: UniverseFile | Delta, rows: Any, version: int) -> UniverseFile:
    """Return the full file that could have been written in place of a delta."""
    return UniverseFile(
        universe_version=version,
        kind="full",
        created_wall_ns_utc=generation.created_wall_ns_utc,
        created_mono_ns=generation.created_mono_ns,
        selection=generation.selection,
        stats=generation.stats,
        markets=rows,
    )


@given(HISTORIES, CAPS)
def test_folding_the_deltas_gives_the_full_file(
    history: list[list[dict[str, Any]]], cap: int
) -> None:
    """full(n) == fold(full(0), delta(1..n)), through the bytes of the files."""
    wanted = Wanted(max_markets=cap)
    first = describe(select(read(history[0]), wanted), wanted, at(0))
    chain: list[UniverseFile | Delta] = [first]
    universe = first
    for moment, listing in enumerate(history[1:], 1):
        selection = select(read(listing), wanted, incumbents=universe.markets)
        delta = diff(Since(universe, "0" * 64), selection, wanted, at(moment))
        assert delta.is_empty == (selection.selected == universe.markets)
        if delta.is_empty:
            continue
        chain.append(decode_generation(encode_generation(delta)))
        universe = full_of(delta, selection.selected, universe.universe_version + 1)
        assert fold(chain) == universe
        assert encode_generation(fold(chain)) == encode_generation(universe)
    assert fold(chain) == universe
    assert [each.universe_version for each in chain] == list(range(len(chain)))


@given(LISTINGS, LISTINGS, CAPS)
def test_a_delta_names_every_difference_and_nothing_else(
    before: list[dict[str, Any]], after: list[dict[str, Any]], cap: int
) -> None:
    """Removed, changed and added are apart from one another and from what stayed as it was."""
    wanted = Wanted(max_markets=cap)
    old = describe(select(read(before), wanted), wanted, at(0))
    selection = select(read(after), wanted, incumbents=old.markets)
    delta = diff(Since(old, ""), selection, wanted, at(1))
    was = {identity(row): row for row in old.markets}
    now = {identity(row): row for row in selection.selected}
    assert {identity(row) for row in delta.added} == now.keys() - was.keys()
    assert [each.condition_id for each in delta.removed] == [
        row.condition_id for row in old.markets if identity(row) not in now
    ]
    both = was.keys() & now.keys()
    assert {identity(each.market) for each in delta.changed} == {
        name for name in both if was[name] != now[name]
    }
    for each in delta.changed:
        old_row = msgspec.structs.asdict(was[identity(each.market)])
        new_row = msgspec.structs.asdict(each.market)
        assert set(each.fields) == {name for name in new_row if new_row[name] != old_row[name]}
    assert all(each.reason for each in delta.removed)


@given(LISTINGS, CAPS)
def test_a_venue_that_stands_still_changes_nothing(listing: list[dict[str, Any]], cap: int) -> None:
    wanted = Wanted(max_markets=cap)
    universe = describe(select(read(listing), wanted), wanted, at(0))
    again = select(read(listing), wanted, incumbents=universe.markets)
    assert diff(Since(universe, ""), again, wanted, at(1)).is_empty


@given(LISTINGS, LISTINGS, CAPS, CAPS)
def test_incumbents_that_still_qualify_stay(
    before: list[dict[str, Any]], after: list[dict[str, Any]], cap: int, more: int
) -> None:
    """As long as the cap is not lowered, no newcomer takes the place of a market that is captured."""
    old = select(read(before), Wanted(max_markets=cap)).selected
    parsed = read(after)
    # Everything that qualifies, with nothing cut off.
    uncapped = select(parsed, Wanted(max_markets=100), incumbents=old).selected
    capped = select(parsed, Wanted(max_markets=cap + more), incumbents=old)
    incumbents = {identity(row) for row in old}
    assert {identity(row) for row in capped.selected} >= (
        incumbents & {identity(row) for row in uncapped}
    )
    assert len(capped.selected) <= cap + more


@given(LISTINGS, LISTINGS, CAPS)
def test_an_event_is_whole_or_kept_for_its_incumbents(
    before: list[dict[str, Any]], after: list[dict[str, Any]], cap: int
) -> None:
    """An event in part has incumbents, and not one of its newcomers; it is counted."""
    old = {identity(row): row for row in select(read(before), Wanted(max_markets=cap)).selected}
    selection = select(read(after), Wanted(max_markets=cap), incumbents=old.values())
    kept = {event_key(row) for row in selection.selected}
    split = {event_key(row) for row in selection.over_cap} & kept
    assert selection.events_split == len(split)
    for event in split:
        inside = [row for row in selection.selected if event_key(row) == event]
        assert all(identity(row) in old for row in inside)


@given(LISTINGS, LISTINGS, CAPS)
def test_a_market_that_is_lost_says_why(
    before: list[dict[str, Any]], after: list[dict[str, Any]], cap: int
) -> None:
    """The reasons of removed markets agree with what the listing says about them."""
    wanted = Wanted(max_markets=cap)
    old = select(read(before), wanted).selected
    parsed = read(after)
    selection = select(parsed, wanted, incumbents=old)
    listed = {m.row.market_id or m.row.condition_id for m in parsed if isinstance(m, Market)}
    for row, reason in selection.lost:
        name = row.market_id or row.condition_id
        assert (reason == "not_listed") == (name not in listed)
        if reason == "closed":
            assert any(
                isinstance(m, Market)
                and (m.row.market_id or m.row.condition_id) == name
                and refusal(m) == "closed"
                for m in parsed
            )
