"""Where a market stands in a universe file: by event, then by id, numbers as numbers.

The order is a function of the rows alone, so it does not move when volumes do, and whoever folds
generations puts the markets where a full file has them. Missing ids come last.
"""

from .market import MarketRow

IdKey = tuple[int, int, str]
EventKey = tuple[IdKey, str]
Identity = tuple[str, str, tuple[str, ...]]


def event_key(row: MarketRow) -> EventKey:
    """Return what the markets of one event share; a market without an event is one of its own."""
    if row.event_id is not None:
        return _id_key(row.event_id), ""
    if row.event_slug is not None:
        return _id_key(None), row.event_slug
    # The space stands in no slug, so a market of its own shares its key with no event.
    return _id_key(None), f" {row.market_id or row.condition_id}"


def file_order(row: MarketRow) -> tuple[EventKey, IdKey, str, str]:
    """Return the sort key of a row."""
    # The last two decide between ids like "7" and "07": nothing is left to the order of arrival.
    return event_key(row), _id_key(row.market_id), row.condition_id, row.market_id


def listing_key(row: MarketRow) -> str:
    """Return the name under which a listing can repeat a market."""
    return row.market_id or row.condition_id


def identity(row: MarketRow) -> Identity:
    """Return what a market is over time: other tokens make it another market."""
    return row.market_id, row.condition_id, tuple(sorted(token.token_id for token in row.tokens))


def _id_key(text: str | None) -> IdKey:
    if not text:
        return 2, 0, ""
    if text.isascii() and text.isdigit():
        digits = text.lstrip("0")
        return 0, len(digits), digits
    return 1, 0, text
