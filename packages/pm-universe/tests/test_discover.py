"""The library from end to end against a venue on loopback."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from pm_universe.discover import discover
from pm_universe.errors import NothingSelected, Refused
from pm_universe.http import Patience
from pm_universe.market import parse
from pm_universe.query import Entry, decode
from pm_universe.selection import Wanted, select
from pm_universe.universe_file import Circumstances, UniverseFile, describe

Answer = tuple[int, dict[str, str], bytes]
MakeMarket = Callable[..., dict[str, Any]]


def test_pages_become_a_selection(venue: Any, make_market: MakeMarket) -> None:
    venue.lists([*(make_market(number) for number in range(5)), make_market(9, closed=True)])
    seen: list[tuple[int, int]] = []
    found = discover(
        venue.url,
        Wanted(max_markets=4),
        progress=lambda pages, markets: seen.append((pages, markets)),
    )
    assert [row.slug for row in found.selection.selected] == [f"number-{n}" for n in range(4)]
    assert len(found.selection.over_cap) == 1
    assert found.selection.left_out == {"closed": 1}
    assert (found.pages, found.notes) == (2, ())
    assert seen == [(1, 3), (2, 6)]


def test_a_server_that_knows_no_filters_still_gives_what_was_named(
    venue: Any, make_market: MakeMarket
) -> None:
    venue.lists([make_market(number) for number in range(7)])
    wanted = Wanted(max_markets=10, events=("event-5",), markets=("number-2", "0x" + f"{3:064x}"))
    found = discover(venue.url, wanted)
    assert [row.slug for row in found.selection.selected] == ["number-2", "number-3", "number-5"]
    assert found.notes == ("/events/keyset answered 404; asking /markets/keyset",)
    assert found.selection.not_found == ()


def test_an_event_brings_its_markets(
    venue: Any, make_market: MakeMarket, make_page: Callable[..., bytes]
) -> None:
    inside = [make_market(number, events=...) for number in range(2)]
    event = {"id": "77", "slug": "the-event", "negRisk": True, "markets": inside}
    venue.answer = lambda path, params: (200, {}, make_page([event], member="events"))
    found = discover(venue.url, Wanted(max_markets=10, events=("the-event",)))
    assert [row.event_slug for row in found.selection.selected] == ["the-event", "the-event"]
    assert [path for path, _ in venue.requests] == ["/events/keyset"]


def test_nothing_to_select_says_what_became_of_everything(
    venue: Any, make_market: MakeMarket
) -> None:
    venue.lists([make_market(1, closed=True), make_market(2, conditionId=...)])
    with pytest.raises(NothingSelected) as caught:
        discover(venue.url, Wanted(max_markets=4))
    assert str(caught.value) == (
        f"no market to select at {venue.url}: 2 seen on 1 pages,"
        " left out: 1 bad:no_condition_id, 1 closed"
    )


def test_an_empty_venue_is_an_error(venue: Any) -> None:
    venue.lists([])
    with pytest.raises(NothingSelected, match="0 seen on 1 pages"):
        discover(venue.url, Wanted(max_markets=4), patience=Patience(attempts=1))


def test_a_cap_below_the_smallest_event_is_explained(venue: Any, make_market: MakeMarket) -> None:
    together = {"events": [{"id": "1", "slug": "pair"}]}
    venue.lists([make_market(1, **together), make_market(2, **together)])
    with pytest.raises(NothingSelected, match="2 qualify, but no event fits --max-markets 1"):
        discover(venue.url, Wanted(max_markets=1))


def test_names_that_are_not_there_are_told(venue: Any, make_market: MakeMarket) -> None:
    venue.lists([make_market(1)])
    with pytest.raises(NothingSelected, match="left out: 1 not_named; not found: nobody"):
        discover(venue.url, Wanted(max_markets=1, markets=("nobody",)))


CREATED_NS = 1_790_000_000 * 10**9  # 2026-09-21T14:13:20Z
WANTED = Wanted(max_markets=10)


def universe_of(*markets: dict[str, Any]) -> UniverseFile:
    parsed = [parse(Entry(decode(json.dumps(market)), None)) for market in markets]
    how = Circumstances("https://gamma.example", 1, CREATED_NS, 1)
    return describe(select(parsed, WANTED), WANTED, how)


def slugs(rows: Any) -> list[str]:
    return [row.slug for row in rows]


def test_a_market_that_a_page_skipped_is_asked_for_by_name(
    venue: Any, make_market: MakeMarket
) -> None:
    """A listing that moves while it is read must not end the capture of a market."""
    markets = [make_market(1), make_market(2), make_market(3, closed=True)]
    since = universe_of(*(market | {"closed": False} for market in markets), make_market(4))
    venue.filters(markets)
    filtering = venue.answer
    hidden: Answer = (200, {}, json.dumps({"markets": [make_market(1)]}).encode())
    venue.answer = lambda path, params: (
        filtering(path, params) if "condition_ids" in params else hidden
    )
    found = discover(venue.url, WANTED, since=since)
    assert slugs(found.selection.selected) == ["number-1", "number-2"]
    assert [(row.slug, why) for row, why in found.selection.lost] == [
        ("number-3", "closed"),
        ("number-4", "not_listed"),
    ]
    assert (found.pages, found.notes) == (3, ())
    names = [f"0x{number:064x}" for number in (2, 3, 4)]
    assert [(params["closed"], params.get("condition_ids")) for _, params in venue.requests] == [
        (["false"], None),
        (["true"], names),
        (["false"], names),
    ]


def test_a_venue_without_names_still_tells_what_is_listed(
    venue: Any, make_market: MakeMarket, make_page: Callable[..., bytes]
) -> None:
    listed: Answer = (200, {}, make_page([make_market(1)]))
    venue.answer = lambda path, params: (404, {}, b"no") if "condition_ids" in params else listed
    found = discover(venue.url, WANTED, since=universe_of(make_market(1), make_market(2)))
    assert [(row.slug, why) for row, why in found.selection.lost] == [("number-2", "not_listed")]
    assert found.notes[-1].startswith("1 markets are not listed, and asking for them by name: ")


def test_a_lookup_that_fails_is_no_reason_to_drop_a_market(
    venue: Any, make_market: MakeMarket, make_page: Callable[..., bytes]
) -> None:
    listed: Answer = (200, {}, make_page([make_market(1)]))
    venue.answer = lambda path, params: (503, {}, b"later") if "condition_ids" in params else listed
    since = universe_of(make_market(1), make_market(2))
    with pytest.raises(Refused):
        discover(venue.url, WANTED, since=since, patience=Patience(attempts=1))


def test_a_recent_sweep_asks_for_incumbents_and_what_started_since(
    venue: Any, make_market: MakeMarket
) -> None:
    old = [make_market(number, startDate="2026-01-01T00:00:00Z") for number in range(120)]
    since = universe_of(*old[:5])
    fresh = make_market(200, startDate="2026-09-21T13:13:20Z")
    venue.filters([make_market(0, closed=True), *old[1:], fresh])
    found = discover(venue.url, WANTED, since=since, sweep="recent")
    assert slugs(found.selection.selected) == [
        *(f"number-{number}" for number in (1, 2, 3, 4)),
        "number-200",
    ]
    assert [(row.slug, why) for row, why in found.selection.lost] == [("number-0", "closed")]
    assert (found.pages, found.sweep) == (4, "recent")
    assert venue.requests[0][1]["start_date_min"] == ["2026-09-21T13:13:20Z"]
    # What the incumbents say is the same whichever way they are read.
    whole = discover(venue.url, Wanted(max_markets=5), since=since)
    assert set(slugs(whole.selection.selected)) >= set(slugs(found.selection.selected)) - {
        "number-200"
    }


def test_a_venue_that_refuses_the_filter_is_asked_for_everything(
    venue: Any, make_market: MakeMarket
) -> None:
    venue.filters([make_market(1), make_market(2)])
    filtering = venue.answer
    venue.answer = lambda path, params: (
        (422, {}, b"what?") if "start_date_min" in params else filtering(path, params)
    )
    found = discover(venue.url, WANTED, since=universe_of(make_market(1)), sweep="recent")
    assert slugs(found.selection.selected) == ["number-1", "number-2"]
    assert found.notes == ("/markets/keyset answered 422; asking /markets/keyset",)


def test_recent_means_nothing_without_a_universe_to_follow(venue: Any) -> None:
    with pytest.raises(ValueError, match="needs a universe that it follows"):
        discover(venue.url, WANTED, sweep="recent")
