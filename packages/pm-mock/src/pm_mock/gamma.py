"""Gamma: listings as JSON, and the discovery endpoints with their paging and filters.

`/markets/keyset` and `/events/keyset` page by `after_cursor`/`next_cursor`; `/markets` and `/events` by limit and
offset. List-valued fields are JSON inside a string, as on the real venue; a few listings have true arrays.
"""

import base64
import binascii
import json
from bisect import bisect_right
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any

from pm_mock.catalogue import Catalogue, Event, Listing
from pm_mock.fixed import ONE_E4, PRICE_TEXT
from pm_mock.http_message import Request, Response, json_response
from pm_mock.market import NO, YES

MARKETS_LIMIT_MAX = 100
EVENTS_LIMIT_MAX = 500
LIMIT_DEFAULT = 20
ORDERS: dict[str, Callable[[Listing], Any]] = {
    "id": lambda listing: int(listing.market_id),
    "volume": lambda listing: listing.volume,  # sorts as text on the real venue, too
    "volumeNum": lambda listing: Decimal(listing.volume),
    "volume24hr": lambda listing: Decimal(listing.volume),
    "liquidityNum": lambda listing: Decimal(listing.liquidity),
    "endDate": lambda listing: listing.end_date,
    "startDate": lambda listing: listing.start_date,
}


class BadQuery(ValueError):
    """A query that the venue answers with 422."""


def event_fields(event: Event) -> dict[str, Any]:
    """An event without its markets, as it is embedded in a market."""
    return {
        "id": event.event_id,
        "ticker": event.slug,
        "slug": event.slug,
        "title": event.title,
        "description": event.description,
        "endDate": event.end_date,
        "active": True,
        "closed": all(listing.closed for listing in event.listings),
        "archived": False,
        "restricted": True,
        "enableOrderBook": True,
        "negRisk": event.neg_risk_market_id is not None,
        **({"negRiskMarketID": event.neg_risk_market_id} if event.neg_risk_market_id else {}),
        "enableNegRisk": event.neg_risk_market_id is not None,
        "negRiskAugmented": event.neg_risk_augmented,
        "tags": [
            {"id": str(1000 + position), "label": tag.title(), "slug": tag}
            for position, tag in enumerate(event.tags)
        ],
    }


def market_fields(listing: Listing) -> dict[str, Any]:
    """A market as Gamma lists it, without its event."""
    as_list = list if listing.true_arrays else _json_in_string
    event = listing.event
    fields: dict[str, Any] = {
        "id": listing.market_id,
        "question": listing.question,
        "conditionId": listing.condition_id,
        "slug": listing.slug,
        "resolutionSource": "",
        "startDate": listing.start_date,
        "endDate": listing.end_date,
        "category": event.category,
        "description": listing.description,
        "liquidity": listing.liquidity,
        "volume": listing.volume,
        "outcomes": as_list(listing.outcomes),
        "outcomePrices": as_list(_outcome_prices(listing)),
        "active": listing.active,
        "closed": listing.closed,
        "archived": listing.archived,
        "restricted": True,
        "questionID": listing.question_id,
        "enableOrderBook": listing.order_book,
        "acceptingOrders": listing.accepting_orders,
        "orderPriceMinTickSize": Decimal(listing.tick()),
        "orderMinSize": Decimal(listing.min_size),
        "volumeNum": Decimal(listing.volume),
        "volume24hr": Decimal(listing.volume),
        "liquidityNum": Decimal(listing.liquidity),
        "makerBaseFee": 1000,
        "takerBaseFee": 1000,
        "secondsDelay": listing.seconds_delay,
        "negRisk": event.neg_risk_market_id is not None,
        "feesEnabled": listing.fees is not None,
        "feeType": listing.fees.kind if listing.fees else None,
        "umaResolutionStatuses": "[]",
    }
    if listing.token_ids is not None:
        fields["clobTokenIds"] = as_list(listing.token_ids)
    if event.neg_risk_market_id is not None:
        fields["negRiskMarketID"] = event.neg_risk_market_id
        fields["groupItemTitle"] = listing.question
    if listing.version is not None:
        fields["version"] = listing.version
        if listing.version == "v2":
            fields["positionIds"] = list(listing.token_ids or ())
    if listing.fees is not None:
        fields["feeSchedule"] = {
            "exponent": Decimal(listing.fees.exponent),
            "rate": Decimal(listing.fees.rate),
            "takerOnly": True,
            "rebateRate": Decimal(listing.fees.rebate_rate),
        }
    return fields | _live_fields(listing)


def _live_fields(listing: Listing) -> dict[str, Any]:
    market = listing.market
    if market is None:
        return {"bestBid": 0, "bestAsk": 1, "spread": 1, "lastTradePrice": 0}
    yes, no = market.tops_e4()
    return {
        "bestBid": Decimal(PRICE_TEXT[yes]),
        "bestAsk": Decimal(PRICE_TEXT[ONE_E4 - no]),
        "spread": Decimal(PRICE_TEXT[ONE_E4 - no - yes]),
        "lastTradePrice": Decimal(market.last_trade_price or "0"),
    }


def _outcome_prices(listing: Listing) -> list[str]:
    if listing.winner is not None:
        return [str(int(index == listing.winner)) for index in range(len(listing.outcomes))]
    if listing.market is None:
        return ["0"] * len(listing.outcomes)
    yes, no = listing.market.tops_e4()
    middle = (yes + ONE_E4 - no) // 2
    prices = {YES: middle, NO: ONE_E4 - middle}
    return [PRICE_TEXT[price] for price in prices.values()]


def _json_in_string(values: Iterable[str]) -> str:
    return json.dumps(list(values))


class Gamma:
    """Answers discovery requests from a catalogue."""

    def __init__(self, catalogue: Catalogue) -> None:
        self._catalogue = catalogue

    def respond(self, request: Request) -> Response | None:
        """Answer a GET below /markets or /events; None if the path is not Gamma's."""
        parts = request.path.strip("/").split("/")
        if parts[0] not in ("markets", "events"):
            return None
        of_markets = parts[0] == "markets"
        try:
            match parts[1:]:
                case []:
                    return self._by_offset(request, of_markets=of_markets)
                case ["keyset"]:
                    return self._by_cursor(request, of_markets=of_markets)
                case ["slug", slug]:
                    return self._single(slug=slug, market_id=None, of_markets=of_markets)
                case [identity]:
                    return self._single(slug=None, market_id=identity, of_markets=of_markets)
                case _:
                    return _not_found()
        except BadQuery as problem:
            return json_response({"type": "validation error", "error": str(problem)}, 422)

    # -- lists ----------------------------------------------------------------------------------

    def _by_cursor(self, request: Request, *, of_markets: bool) -> Response:
        if "offset" in request.query:
            raise BadQuery("offset is not supported, use after_cursor")
        limit_max = MARKETS_LIMIT_MAX if of_markets else EVENTS_LIMIT_MAX
        limit = _integer(request, "limit", LIMIT_DEFAULT)
        if not 1 <= limit <= limit_max:
            raise BadQuery(f"limit must be between 1 and {limit_max}, got {limit}")
        rows = self._rows(request, of_markets=of_markets)
        start = _position_after(request, [row_id for row_id, _ in rows])
        page = rows[start : start + limit]
        body: dict[str, Any] = {
            "markets" if of_markets else "events": [_full(row) for _, row in page]
        }
        if start + limit < len(rows):
            body["next_cursor"] = _encode_cursor(page[-1][0], start + limit)
        return json_response(body)

    def _by_offset(self, request: Request, *, of_markets: bool) -> Response:
        limit = min(_integer(request, "limit", LIMIT_DEFAULT), EVENTS_LIMIT_MAX)
        offset = _integer(request, "offset", 0)
        rows = self._rows(request, of_markets=of_markets)
        return json_response([_full(row) for _, row in rows[offset : offset + limit]])

    def _rows(self, request: Request, *, of_markets: bool) -> list[tuple[str, Listing | Event]]:
        """The rows that a query selects, in its order, with their ids."""
        if of_markets:
            return [(listing.market_id, listing) for listing in self._selected_markets(request)]
        closed = _boolean(request, "closed", default=False)
        return [
            (event.event_id, event)
            for event in sorted(self._catalogue.events(), key=lambda event: int(event.event_id))
            if all(listing.closed for listing in event.listings) == closed
            and _wanted(request, "id", event.event_id)
            and _wanted(request, "slug", event.slug)
        ]

    def _selected_markets(self, request: Request) -> list[Listing]:
        flags = {
            "closed": _boolean(request, "closed", default=False),
            "active": _boolean(request, "active", default=None),
            "archived": _boolean(request, "archived", default=None),
        }
        selected = [
            listing
            for listing in self._catalogue.listings()
            if all(
                value is None or getattr(listing, name) == value for name, value in flags.items()
            )
            and _wanted(request, "id", listing.market_id)
            and _wanted(request, "slug", listing.slug)
            and _wanted(request, "condition_ids", listing.condition_id)
            and _wanted(request, "clob_token_ids", *(listing.token_ids or ()))
        ]
        order = request.first("order")
        if order:
            if order not in ORDERS:
                raise BadQuery(f"order fields are not valid: {order}")
            descending = not _boolean(request, "ascending", default=False)
            selected.sort(key=ORDERS[order], reverse=descending)
        return selected

    # -- single ---------------------------------------------------------------------------------

    def _single(self, *, slug: str | None, market_id: str | None, of_markets: bool) -> Response:
        if of_markets:
            listing = (
                self._catalogue.by_slug(slug)
                if slug is not None
                else self._catalogue.by_id(market_id or "")
            )
            return json_response(_full(listing)) if listing else _not_found()
        for event in self._catalogue.events():
            if slug == event.slug or market_id == event.event_id:
                return json_response(_full(event))
        return _not_found()


def _full(row: Listing | Event) -> dict[str, Any]:
    """A market with its event, or an event with its markets."""
    if isinstance(row, Listing):
        return market_fields(row) | {"events": [event_fields(row.event)]}
    return event_fields(row) | {"markets": [market_fields(one) for one in row.listings]}


def _not_found() -> Response:
    return json_response({"type": "not found error", "error": "id not found"}, 404)


def _wanted(request: Request, name: str, *values: str) -> bool:
    wanted = request.query.get(name) or request.query.get(f"{name}[]")
    return not wanted or any(value in wanted for value in values)


def _integer(request: Request, name: str, default: int) -> int:
    text = request.first(name)
    if text is None:
        return default
    if not text.isascii() or not text.isdecimal() or len(text) > 9:
        raise BadQuery(f"{name} must be an integer, got {text!r}")
    return int(text)


def _boolean(request: Request, name: str, *, default: bool | None) -> bool | None:
    text = request.first(name)
    if text is None:
        return default
    if text not in ("true", "false"):
        raise BadQuery(f"{name} must be true or false, got {text!r}")
    return text == "true"


def _encode_cursor(row_id: str, position: int) -> str:
    return base64.urlsafe_b64encode(f"{row_id}:{position}".encode()).decode()


def _position_after(request: Request, row_ids: list[str]) -> int:
    """Where the page after a cursor begins.

    A cursor names the last row that was given. In the order of ids the next page begins with the next
    higher id, so that a market that lists or resolves meanwhile hides no other one; in any other order it begins
    after that row or, if the row is gone, where it stood.
    """
    cursor = request.first("after_cursor")
    if not cursor:
        return 0
    try:
        text = base64.b64decode(cursor, altchars=b"-_", validate=True).decode("ascii")
        last_id, position = map(int, text.split(":"))
    except (binascii.Error, ValueError):
        raise BadQuery(f"after_cursor is not a cursor: {cursor!r}") from None
    if request.first("order") is None:
        return bisect_right(row_ids, last_id, key=int)
    if str(last_id) in row_ids:
        return row_ids.index(str(last_id)) + 1
    return min(position, len(row_ids))
