"""The CLOB's public reads: books, ticks, fees, time.

A book is asked for by token, and `GET /book` states the same hash as the stream.
"""

from collections.abc import Callable
from decimal import Decimal
from typing import Any

import msgspec

from pm_mock.catalogue import Catalogue, Listing
from pm_mock.fixed import ONE_E4, decimal_text
from pm_mock.http_message import Request, Response, error, json_response
from pm_mock.market import Market

BOOKS_MAX = 500
NO_BOOK = "No orderbook exists for the requested token id"


class BookRequest(msgspec.Struct):
    """One element of the body of POST /books."""

    token_id: str


class Clob:
    """Answers CLOB reads. `summary_of` gives the ten-field text of a token's book, None without one."""

    def __init__(self, catalogue: Catalogue, summary_of: Callable[[str], bytes | None]) -> None:
        self._catalogue = catalogue
        self._summary_of = summary_of
        self._by_token: dict[str, Callable[[Listing], Any]] = {
            "/tick-size": lambda listing: {"minimum_tick_size": Decimal(listing.tick())},
            "/neg-risk": lambda listing: {"neg_risk": listing.event.neg_risk_market_id is not None},
            "/fee-rate": lambda listing: {"base_fee": 1000 if listing.fees else 0},
        }

    def respond(self, request: Request, now_ms: int) -> Response | None:
        """Answer a read; None if the path is not the CLOB's."""
        match request.method, request.path:
            case "GET", "/time":
                return json_response(now_ms // 1000)
            case "GET", "/ok":
                return json_response("OK")
            case "GET", "/version":
                return json_response({"version": 2})
            case "GET", "/book":
                return self._book(request)
            case "POST", "/books":
                return self._books(request)
            case "GET", "/midpoint" | "/spread" | "/last-trade-price":
                return self._price(request)
            case "GET", path if path in self._by_token:
                return self._token_fact(request)
            case "GET", path if path.startswith("/clob-markets/"):
                return self._market(path.removeprefix("/clob-markets/"))
        return None

    def _book(self, request: Request) -> Response:
        token = request.first("token_id") or ""
        if not _is_token(token):
            return error(400, "Invalid token id")
        body = self._summary_of(token)
        return error(404, NO_BOOK) if body is None else Response(200, body)

    def _books(self, request: Request) -> Response:
        try:
            wanted = msgspec.json.decode(request.body, type=list[BookRequest])
        except (msgspec.MsgspecError, RecursionError):
            return error(400, "Invalid payload")
        if len(wanted) > BOOKS_MAX:
            return error(400, "Payload exceeds the limit")
        books = [self._summary_of(one.token_id) for one in wanted]
        return Response(200, b"[" + b",".join(book for book in books if book is not None) + b"]")

    def _token_fact(self, request: Request) -> Response:
        token = request.first("token_id") or ""
        if not _is_token(token):
            return error(400, "Invalid token id")
        listing = self._catalogue.by_token(token)
        if listing is None:
            return error(404, "market not found")
        return json_response(self._by_token[request.path](listing))

    def _price(self, request: Request) -> Response:
        token = request.first("token_id") or ""
        if not _is_token(token):
            return error(400, "Invalid token id")
        listing = self._catalogue.by_token(token)
        if listing is None or listing.market is None:
            return error(404, NO_BOOK)
        market = listing.market
        if request.path == "/last-trade-price":
            return json_response({"price": market.last_trade_price or "0.5", "side": ""})
        return _between_tops(market, market.tokens.index(token), request.path)

    def _market(self, condition_id: str) -> Response:
        listing = self._catalogue.by_condition(condition_id)
        if listing is None:
            return error(404, "market not found")
        fields: dict[str, Any] = {
            "t": [
                {"t": token, "o": outcome}
                for token, outcome in zip(listing.token_ids or (), listing.outcomes, strict=False)
            ],
            "mts": Decimal(listing.tick()),
            "nr": listing.event.neg_risk_market_id is not None,
        }
        if listing.fees is not None:
            fields["fd"] = {
                "r": Decimal(listing.fees.rate),
                "e": Decimal(listing.fees.exponent),
                "to": True,
            }
        return json_response(fields)


def _between_tops(market: Market, outcome: int, path: str) -> Response:
    bids, asks = market.ladders[outcome], market.ladders[1 - outcome]
    if not (len(bids) and len(asks)):
        return error(404, NO_BOOK)
    bid_e4, ask_e4 = bids.best_e4, ONE_E4 - asks.best_e4
    if path == "/spread":
        return json_response({"spread": decimal_text(ask_e4 - bid_e4, 4)})
    return json_response({"mid": decimal_text((bid_e4 + ask_e4) * 5, 5)})


def _is_token(text: str) -> bool:
    return text.isascii() and text.isdecimal() and len(text) <= 78
