"""The library from end to end against a venue on loopback."""

from collections.abc import Callable
from typing import Any

import pytest

from pm_universe.discover import discover
from pm_universe.errors import NothingSelected
from pm_universe.http import Patience
from pm_universe.selection import Wanted

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
