"""HTTP requests and responses as values."""

from typing import Any, NamedTuple
from urllib.parse import parse_qs, unquote

import msgspec

JSON = "application/json; charset=utf-8"
# Decimal facts leave as the numbers that Gamma writes, digit for digit.
_ENCODER = msgspec.json.Encoder(decimal_format="number")


class Request(NamedTuple):
    """A whole request. `query` maps a name to all its values."""

    method: str
    path: str
    query: dict[str, list[str]]
    body: bytes = b""

    def first(self, name: str) -> str | None:
        """The first value of a query parameter."""
        values = self.query.get(name)
        return values[0] if values else None


class Response(NamedTuple):
    """A whole response."""

    status: int
    body: bytes
    content_type: str = JSON
    headers: tuple[tuple[str, str], ...] = ()


def request(method: str, target: str, body: bytes = b"") -> Request:
    """Make a request of the target in a request line ("/book?token_id=1")."""
    path, _, query = target.partition("?")
    return Request(method, unquote(path), parse_qs(query, keep_blank_values=True), body)


def json_response(value: Any, status: int = 200) -> Response:
    """A JSON body; `Decimal` becomes a number."""
    return Response(status, _ENCODER.encode(value))


def error(status: int, message: str) -> Response:
    """An error body as the CLOB writes it."""
    return json_response({"error": message}, status)
