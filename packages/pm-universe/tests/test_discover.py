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


def _event(number: int, size: int, make_market: MakeMarket, **changes: Any) -> list[dict[str, Any]]:
    """Return the markets of a neg-risk event; the last one is closed."""
    facts = {"id": str(number), "slug": f"event-{number}", "negRisk": True}
    first = number * 100
    return [
        make_market(first + at, negRisk=True, events=[facts], closed=at == size - 1, **changes)
        for at in range(size)
    ]


def _venue_of(
    venue: Any, events: list[list[dict[str, Any]]], make_page: Callable[..., bytes], path: str
) -> None:
    """Serve what is open by the listing of markets, and whole events at `path`."""

    def answer(asked: str, params: dict[str, list[str]]) -> Answer:
        if asked == "/markets/keyset":
            return 200, {}, make_page([m for e in events for m in e if not m["closed"]])
        if asked != path:
            return 404, {}, b"{}"
        if params.get("offset", ["0"]) != ["0"]:
            return 200, {}, b"[]"
        found = [
            {**event[0]["events"][0], "markets": event}
            for event in events
            if event[0]["events"][0]["id"] in params["id"]
        ]
        body = (
            json.dumps(found).encode() if path == "/events" else make_page(found, member="events")
        )
        return 200, {}, body

    venue.answer = answer


@pytest.mark.parametrize("path", ["/events/keyset", "/events"])
def test_the_venue_says_how_many_markets_an_event_has(
    venue: Any, make_market: MakeMarket, make_page: Callable[..., bytes], path: str
) -> None:
    """R409: closed ones count, and those that the filter or the cap leave out; a copy does not."""
    other = {"slug": "another", "question": "Another?"}
    events = [_event(7, 4, make_market), _event(8, 3, make_market, **other)]
    events[0][1] |= other
    events[0].append(events[0][0])
    plain = make_market(1)
    _venue_of(venue, [*events, [plain]], make_page, path)
    found = discover(venue.url, Wanted(max_markets=10, market_regex="number"))
    rows = found.selection.selected
    assert [(row.event_id, row.event_markets) for row in rows] == [
        ("7", 4), ("7", 4), ("9001", None),
    ]  # fmt: skip
    asked = [params["id"] for asked, params in venue.requests if asked == path]
    assert asked[0] == ["7"]
    assert found.notes == (
        () if path == "/events/keyset" else ("/events/keyset answered 404; asking /events",)
    )
    again = discover(venue.url, Wanted(max_markets=10, market_regex="number"))
    assert again.selection.selected == rows


def test_of_a_venue_that_does_not_say_it_the_count_is_unknown(
    venue: Any, make_market: MakeMarket, make_page: Callable[..., bytes]
) -> None:
    _venue_of(venue, [_event(7, 4, make_market)], make_page, "/nowhere")
    found = discover(venue.url, Wanted(max_markets=10))
    assert {row.event_markets for row in found.selection.selected} == {None}
    assert "how many markets 1 events have is not known" in found.notes[-1]


def test_an_event_that_came_with_its_markets_is_not_asked_again(
    venue: Any, make_market: MakeMarket, make_page: Callable[..., bytes]
) -> None:
    _venue_of(venue, [_event(7, 4, make_market)], make_page, "/events/keyset")
    page = make_page(
        [{"id": "7", "slug": "event-7", "negRisk": True, "markets": _event(7, 4, make_market)}],
        member="events",
    )
    venue.first = [(200, {}, page)]
    found = discover(venue.url, Wanted(max_markets=10, events=("event-7",)))
    assert [row.event_markets for row in found.selection.selected] == [4, 4, 4]
    assert len(venue.requests) == 1


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
