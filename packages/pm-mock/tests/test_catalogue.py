import pytest

from pm_mock.catalogue import RESOLVED_MAX, Catalogue, Event, Listing


def listed(catalogue: Catalogue, number: int, event: Event | None = None) -> Listing:
    event = event or Event(f"e{number}", f"event-{number}", "?", "?", "Sports", "", ())
    listing = Listing(
        market_id=str(number),
        condition_id=f"0x{number}",
        question_id="0x",
        slug=f"market-{number}",
        question="?",
        description="?",
        event=event,
        outcomes=("Yes", "No"),
        token_ids=(f"{number}1", f"{number}2"),
        start_date="",
        end_date="",
    )
    catalogue.add(listing)
    return listing


def test_a_listing_is_found_by_everything_that_names_it() -> None:
    catalogue = Catalogue()
    listing = listed(catalogue, 7)
    assert catalogue.by_id("7") is listing
    assert catalogue.by_slug("market-7") is listing
    assert catalogue.by_condition("0x7") is listing
    assert catalogue.by_token("72") is listing
    assert catalogue.event("e7") is listing.event
    assert catalogue.by_token("73") is None


def test_an_id_is_used_once() -> None:
    catalogue = Catalogue()
    listed(catalogue, 7)
    with pytest.raises(ValueError, match="market id 7 is in use"):
        listed(catalogue, 7)


def test_resolved_markets_are_forgotten_beyond_a_bound() -> None:
    catalogue = Catalogue()
    shared = Event("e", "shared", "?", "?", "Sports", "", ())
    kept = listed(catalogue, 0, shared)
    for number in range(1, RESOLVED_MAX + 3):
        catalogue.resolve(listed(catalogue, number, shared if number == 1 else None), winner=1)
    assert catalogue.by_id("1") is None
    assert catalogue.by_token("21") is None
    assert catalogue.by_id("3") is not None
    assert len(list(catalogue.listings())) == RESOLVED_MAX + 1
    assert shared.listings == [kept]
    assert catalogue.event("e2") is None
