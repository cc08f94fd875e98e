"""Markets of a recording: the first universe, pinned markets, and generations after it."""

import json
from pathlib import Path
from typing import Any

import pytest

from pm_frames import BundleError
from pm_frames.bundle import Bundle
from pm_mock.catalogue import Catalogue
from pm_mock.sources.recorded_catalogue import apply_generation, catalogue_of

MARKET = {
    "market_id": "501",
    "condition_id": "0xc0",
    "slug": "one",
    "question": "One?",
    "category": "Crypto",
    "event_id": "7",
    "event_slug": "seven",
    "neg_risk_market_id": None,
    "neg_risk_augmented": False,
    "tick_size": "0.001",
    "min_size": "5",
    "fee_schedule": {"rate": "0.07", "exponent": "1", "taker_only": True, "rebate_rate": "0.2"},
    "seconds_delay": 3,
    "end_date": "2026-12-01T00:00:00Z",
    "version": "v1",
    "tokens": [{"token_id": "11", "outcome": "Up"}, {"token_id": "22", "outcome": "Down"}],
}
OTHER = MARKET | {
    "market_id": "77",
    "condition_id": "0xd0",
    "slug": "two",
    "fee_schedule": None,
    "tokens": [{"token_id": "33", "outcome": "Yes"}, {"token_id": "44", "outcome": "No"}],
}


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    (tmp_path / "universe").mkdir()
    universe = {"universe_version": 0, "markets": [MARKET, OTHER]}
    (tmp_path / "universe" / "000000.json").write_text(json.dumps(universe))
    return tmp_path


def listed(run_dir: Path) -> Catalogue:
    return catalogue_of(Bundle(run_dir, []))


def test_discovery_offers_the_universe_of_the_run(run_dir: Path) -> None:
    second, first = listed(run_dir).listings()
    assert (first.market_id, first.condition_id, first.slug) == ("501", "0xc0", "one")
    assert (first.outcomes, first.token_ids) == (("Up", "Down"), ("11", "22"))
    assert (first.tick_size, first.seconds_delay, first.event.slug) == ("0.001", 3, "seven")
    assert first.fees is not None
    assert first.fees.rate == "0.07"
    assert second.market_id == "77"
    assert second.fees is None
    assert first.event is second.event


def test_without_a_universe_the_pinned_markets_serve(run_dir: Path) -> None:
    (run_dir / "universe" / "000000.json").unlink()
    manifest: dict[str, Any] = {"pinned_markets": [{"id": "501", "token_ids": ["11", "22"]}]}
    (run_dir / "manifest.json").write_text(json.dumps(manifest))
    [listing] = listed(run_dir).listings()
    assert listing.token_ids == ("11", "22")
    (run_dir / "manifest.json").write_text("{}")
    with pytest.raises(BundleError, match=r"manifest\.json: names no market to list"):
        listed(run_dir)


@pytest.mark.parametrize("row", [{"market_id": "x"}, {}, 7, {"market_id": "7"}])
def test_a_universe_that_lacks_what_a_listing_needs(run_dir: Path, row: object) -> None:
    path = run_dir / "universe" / "000000.json"
    path.write_text(json.dumps({"markets": [row]}))
    with pytest.raises(BundleError, match=r"000000\.json: a market cannot be listed"):
        listed(run_dir)


@pytest.mark.parametrize(
    ("reason", "flags"),
    [
        ("closed", {"closed": True, "accepting_orders": False}),
        ("archived", {"archived": True}),
        ("inactive", {"active": False}),
        ("no_order_book", {"order_book": False}),
        ("not_accepting_orders", {"accepting_orders": False}),
        ("filtered", None),
        ("bad:tokens", None),
        (None, None),
    ],
)
def test_why_a_market_left(
    run_dir: Path, reason: str | None, flags: dict[str, bool] | None
) -> None:
    catalogue = listed(run_dir)
    path = run_dir / "universe" / "000001.json"
    removed = [{"market_id": "77", "reason": reason}, {"market_id": "404", "reason": "closed"}]
    path.write_text(json.dumps({"kind": "delta", "removed": removed}))
    apply_generation(catalogue, path)
    listing = catalogue.by_id("77")
    if flags is None:
        assert listing is None
        assert catalogue.by_token("33") is None
    else:
        assert {name: getattr(listing, name) for name in flags} == flags
    # It may come back as it was.
    path.write_text(json.dumps({"kind": "delta", "added": [OTHER]}))
    apply_generation(catalogue, path)
    again = catalogue.by_token("33")
    assert again is not None
    assert (again.closed, again.archived, again.active, again.order_book) == (
        False,
        False,
        True,
        True,
    )
    assert [one.market_id for one in catalogue.listings()] == ["77", "501"]


def test_a_second_full_generation_is_refused(run_dir: Path) -> None:
    catalogue = listed(run_dir)
    path = run_dir / "universe" / "000001.json"
    path.write_text(json.dumps({"kind": "full", "markets": []}))
    with pytest.raises(BundleError, match="a full generation after the first"):
        apply_generation(catalogue, path)
