"""What discovery offers of a recording: its universe generations, one after the other."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from pm_frames.bundle import Bundle, read_json
from pm_frames.errors import BundleError
from pm_frames.paths import MANIFEST
from pm_mock.catalogue import Catalogue, Event, Fees, Listing

# Why a market left a universe → what Gamma says of it since. For any other reason it is listed no more.
_FLAWS = {
    "archived": "archived",
    "inactive": "active",
    "no_order_book": "order_book",
    "not_accepting_orders": "accepting_orders",
}


def catalogue_of(bundle: Bundle) -> Catalogue:
    """The markets of the run's first universe, or else the pinned markets of its manifest.

    Raises `BundleError` if there is none, or one that lacks what a listing needs.
    """
    files = bundle.universe_files()
    path = files[0] if files else bundle.path / MANIFEST
    document = read_json(path)
    catalogue = Catalogue()
    with _listed(path):
        if files:
            rows = list(document.get("markets") or ())
        else:
            rows = [
                {"market_id": pinned["id"], "tokens": _pinned_tokens(pinned)}
                for pinned in document.get("pinned_markets") or ()
            ]
        for row in rows:
            _add(catalogue, row)
    if not rows:
        raise BundleError("names no market to list", path=path)
    # Cursors go by rising ids, which the selection of a capture need not have kept.
    catalogue.sort()
    return catalogue


def apply_generation(catalogue: Catalogue, path: Path) -> None:
    """Take what a later generation removed, changed and added. Raises `BundleError`."""
    document = read_json(path)
    with _listed(path):
        if document.get("kind") == "full":
            raise ValueError("a full generation after the first")
        for row in document.get("removed") or ():
            _remove(catalogue, str(row["market_id"]), row.get("reason"))
        for row in document.get("changed") or ():
            _add(catalogue, row["market"])
        for row in document.get("added") or ():
            _add(catalogue, row)
        catalogue.sort()


@contextmanager
def _listed(path: Path) -> Iterator[None]:
    try:
        yield
    except (AttributeError, KeyError, TypeError, ValueError) as problem:
        raise BundleError(f"a market cannot be listed: {problem!r}", path=path) from problem


def _add(catalogue: Catalogue, row: dict[str, Any]) -> None:
    """List a market, in the place of what was listed under its id."""
    known = catalogue.by_id(str(row["market_id"]))
    event = _event(row)
    listing = _listing(row, catalogue.event(event.event_id) or event)
    if known is not None:
        catalogue.remove(known)
    catalogue.add(listing)


def _remove(catalogue: Catalogue, market_id: str, reason: object) -> None:
    listing = catalogue.by_id(market_id)
    if listing is None or listing.closed:
        return
    if reason == "closed":
        catalogue.resolve(listing, None)
    elif isinstance(reason, str) and reason in _FLAWS:
        setattr(listing, _FLAWS[reason], reason == "archived")
    else:
        catalogue.remove(listing)


def _pinned_tokens(pinned: dict[str, Any]) -> list[dict[str, Any]]:
    names: Sequence[str] = ("Yes", "No")
    return [
        {"token_id": token, "outcome": name}
        for token, name in zip(pinned["token_ids"], names, strict=False)
    ]


def _event(row: dict[str, Any]) -> Event:
    market_id = str(row["market_id"])
    question = _question(row)
    return Event(
        event_id=str(int(row.get("event_id") or f"9{market_id}")),
        slug=str(row.get("event_slug") or f"recorded-event-{market_id}"),
        title=question,
        description=question,
        category=str(row.get("category") or "Recorded"),
        end_date=str(row.get("end_date") or ""),
        tags=(),
        neg_risk_market_id=row.get("neg_risk_market_id"),
        neg_risk_augmented=bool(row.get("neg_risk_augmented")),
    )


def _question(row: dict[str, Any]) -> str:
    return str(row.get("question") or f"Recorded market {row['market_id']}")


def _listing(row: dict[str, Any], event: Event) -> Listing:
    market_id = str(row["market_id"])
    condition_id = str(row.get("condition_id") or market_id)
    question = _question(row)
    fees = row.get("fee_schedule")
    return Listing(
        market_id=market_id,
        condition_id=condition_id,
        question_id=condition_id,
        slug=str(row.get("slug") or f"recorded-{market_id}"),
        question=question,
        description=question,
        event=event,
        outcomes=tuple(str(token["outcome"]) for token in row["tokens"]),
        token_ids=tuple(str(token["token_id"]) for token in row["tokens"]),
        start_date="2020-01-01T00:00:00Z",
        end_date=str(row.get("end_date") or ""),
        tick_size=str(row.get("tick_size") or "0.01"),
        min_size=str(row.get("min_size") or "5"),
        fees=_fees(fees) if fees else None,
        seconds_delay=int(row.get("seconds_delay") or 0),
        version=row.get("version"),
    )


def _fees(schedule: dict[str, Any]) -> Fees:
    return Fees(
        "recorded_fees",
        rate=str(schedule["rate"]),
        rebate_rate=str(schedule.get("rebate_rate") or "0"),
        exponent=str(schedule.get("exponent") or "1"),
    )
