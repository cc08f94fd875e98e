import random

import pytest

from pm_mock.catalogue import Catalogue
from pm_mock.sources.generated import tradable
from pm_mock.universe import Builder, build, iso, slug_of

NOW_MS = 1_795_000_000_000


def universe(seed: int, markets: int) -> Catalogue:
    rng = random.Random(seed)
    return build(Builder(rng), markets=markets, now_ms=NOW_MS, rng=rng)


@pytest.mark.parametrize("markets", [1, 2, 3, 4, 24, 160])
def test_exactly_as_many_tradable_markets_as_asked_for(markets: int) -> None:
    catalogue = universe(1, markets)
    found = [one for one in catalogue.listings() if tradable(one)]
    assert len(found) == markets
    tokens = {token for one in found for token in one.token_ids or ()}
    assert len(tokens) == 2 * markets
    assert any(one.short_lived for one in found) == (markets >= 4)


def test_ids_rise_and_slugs_are_unique() -> None:
    listings = list(universe(2, 60).listings())
    ids = [int(one.market_id) for one in listings]
    assert ids == sorted(set(ids))
    assert len({one.slug for one in listings}) == len(listings)
    assert len({one.condition_id for one in listings}) == len(listings)


def test_every_reason_to_leave_a_market_out_occurs() -> None:
    left_out = [one for one in universe(3, 20).listings() if not tradable(one)]
    assert any(one.closed for one in left_out)
    assert any(not one.active for one in left_out)
    assert any(one.archived for one in left_out)
    assert any(not one.accepting_orders and not one.closed for one in left_out)
    assert any(not one.order_book for one in left_out)
    assert any(len(one.outcomes) == 3 for one in left_out)
    assert any(one.token_ids is None for one in left_out)
    assert any(one.token_ids == () for one in left_out)
    assert all(not one.market for one in left_out)


def test_the_kinds_of_event_that_matter_to_clients_occur() -> None:
    catalogue = universe(4, 120)
    events = list(catalogue.events())
    exclusive = [event for event in events if event.neg_risk_market_id]
    assert any(len(event.listings) > 2 for event in exclusive)
    assert any(event.neg_risk_augmented for event in exclusive)
    listings = list(catalogue.listings())
    assert {one.outcomes for one in listings} >= {("Yes", "No"), ("Up", "Down")}
    assert any(one.seconds_delay for one in listings)
    assert any(one.fees is None for one in listings)
    assert any(one.version == "v2" and len(one.condition_id) == 64 for one in listings)
    assert len({one.tick_size for one in listings}) > 3


def test_a_seed_gives_one_universe() -> None:
    first, second, other = (
        [one.condition_id for one in universe(s, 9).listings()] for s in (5, 5, 6)
    )
    assert first == second != other


def test_instants_and_slugs() -> None:
    assert iso(1_773_307_500_000) == "2026-03-12T09:25:00Z"
    assert slug_of("Will it be 20°C - or more?") == "will-it-be-20-c-or-more"
