"""The venue's messages as typed structs: one shape per event type, whatever schema they came in.

The structs with a tag are also what the fast decoder reads. What differs from today's schema in any way
goes through `pm_replay.lenient`, which makes the same structs.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct


class Level(Struct, gc=False, forbid_unknown_fields=True):
    """A price level as text."""

    price: str
    size: str


class Change(Struct, gc=False, forbid_unknown_fields=True):
    """The new total of one level, and what the message states of the book after the whole batch."""

    asset_id: str
    price: str
    size: str
    side: str
    hash: str | None
    best_bid: str | None
    best_ask: str | None


# Types whose every message is about the tokens that it names as `asset_id`.
TOKEN_TYPES: Final = frozenset(
    {"book", "price_change", "last_trade_price", "tick_size_change", "best_bid_ask"}
)


class Book(Struct, tag_field="event_type", tag="book", gc=False, forbid_unknown_fields=True):
    """A whole book; replaces everything."""

    market: str
    asset_id: str
    bids: list[Level]
    asks: list[Level]
    timestamp: str
    hash: str | None
    tick_size: str | None = None
    last_trade_price: str | None = None


class PriceChange(
    Struct, tag_field="event_type", tag="price_change", gc=False, forbid_unknown_fields=True
):
    """Changes of levels, of one market."""

    market: str
    price_changes: list[Change]
    timestamp: str


class Stating(Struct, gc=False, forbid_unknown_fields=True):
    """A `Change` that has everything, with a side that is one: decoded in nine tenths of the time."""

    asset_id: str
    price: str
    size: str
    side: Literal["BUY", "SELL"]
    hash: str
    best_bid: str
    best_ask: str


class QuickChange(
    Struct, tag_field="event_type", tag="price_change", gc=False, forbid_unknown_fields=True
):
    """A `PriceChange` all of whose changes are such."""

    market: str
    price_changes: list[Stating]
    timestamp: str


class Trade(
    Struct, tag_field="event_type", tag="last_trade_price", gc=False, forbid_unknown_fields=True
):
    """A trade print; `side` is that of the taker."""

    asset_id: str
    market: str
    price: str
    size: str
    side: str
    timestamp: str
    fee_rate_bps: str | None = None
    transaction_hash: str | None = None


class TickSizeChange(
    Struct, tag_field="event_type", tag="tick_size_change", gc=False, forbid_unknown_fields=True
):
    """The tick of a token has changed."""

    asset_id: str
    market: str
    new_tick_size: str
    timestamp: str
    old_tick_size: str | None = None


class BestBidAsk(
    Struct, tag_field="event_type", tag="best_bid_ask", gc=False, forbid_unknown_fields=True
):
    """The best prices, by themselves; delivery is not guaranteed."""

    asset_id: str
    market: str
    best_bid: str
    best_ask: str
    timestamp: str
    spread: str | None = None


class Lifecycle(Struct):
    """`new_market` or `market_resolved`: every connection gets it. `fields` is the whole message."""

    event_type: str
    market: str
    timestamp: str
    fields: Mapping[str, Any]


class Unknown(Struct):
    """An event of a type that nobody knows."""

    event_type: str | None
    timestamp: str


Fast: TypeAlias = PriceChange | Book | Trade | TickSizeChange | BestBidAsk
Message: TypeAlias = Fast | Lifecycle | Unknown
