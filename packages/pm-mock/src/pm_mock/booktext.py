"""The venue's text of a book, and the SHA-1 that it states of it.

A level is kept as the bytes of its compact JSON object; a side is those objects joined by commas in the
venue's order: bids ascending, asks descending, the best level last on both sides.

Three shapes are made from them. The *compact* book opens a subscription (inside one array); the *spaced*
book follows a trade; the *summary* of ten fields answers `GET /book`, and with an empty `hash` it is
the text whose SHA-1 is the hash.
"""

import hashlib
from typing import NamedTuple, Protocol


class BookSides(NamedTuple):
    """Both sides of one token's book as joined compact level objects."""

    bids: bytes
    asks: bytes


class BookTerms(NamedTuple):
    """What a summary states beside the levels; part of the hash."""

    min_order_size: str
    tick_size: str
    neg_risk: bool
    last_trade_price: str


class Write(Protocol):
    """`summary` or `compact_book`."""

    def __call__(
        self,
        market: str,
        asset_id: str,
        timestamp: str,
        sides: BookSides,
        terms: BookTerms,
        *,
        hash_hex: str,
    ) -> bytes: ...


def level_text(price: str, size: str) -> bytes:
    """One level as compact JSON."""
    return f'{{"price":"{price}","size":"{size}"}}'.encode()


def summary(
    market: str, asset_id: str, timestamp: str, sides: BookSides, terms: BookTerms, *, hash_hex: str
) -> bytes:
    """The ten fields in the order that is hashed; `hash_hex` is empty in the hashed text."""
    head = f'{{"market":"{market}","asset_id":"{asset_id}","timestamp":"{timestamp}","hash":"{hash_hex}","bids":['
    tail = (
        f'],"min_order_size":"{terms.min_order_size}","tick_size":"{terms.tick_size}",'
        f'"neg_risk":{"true" if terms.neg_risk else "false"},"last_trade_price":"{terms.last_trade_price}"}}'
    )
    return b"".join((head.encode(), sides.bids, b'],"asks":[', sides.asks, tail.encode()))


def book_hash(
    market: str, asset_id: str, timestamp: str, sides: BookSides, terms: BookTerms
) -> str:
    """The SHA-1 (hex) that the venue states of a book with ten fields."""
    text = summary(market, asset_id, timestamp, sides, terms, hash_hex="")
    return hashlib.sha1(text, usedforsecurity=False).hexdigest()


def compact_book(
    market: str, asset_id: str, timestamp: str, sides: BookSides, terms: BookTerms, *, hash_hex: str
) -> bytes:
    """An element of the array that answers a subscription."""
    head = f'{{"market":"{market}","asset_id":"{asset_id}","timestamp":"{timestamp}","hash":"{hash_hex}","bids":['
    tail = (
        f'],"tick_size":"{terms.tick_size}","event_type":"book",'
        f'"last_trade_price":"{terms.last_trade_price}"}}'
    )
    return b"".join((head.encode(), sides.bids, b'],"asks":[', sides.asks, tail.encode()))


def spaced_book(
    market: str, asset_id: str, timestamp: str, sides: BookSides, *, hash_hex: str
) -> bytes:
    """The `book` object after a trade: a space after each comma, neither tick size nor last trade."""
    head = f'{{"market":"{market}", "asset_id":"{asset_id}", "bids":['
    tail = f'], "hash":"{hash_hex}", "timestamp":"{timestamp}", "event_type":"book"}}'
    return b"".join(
        (
            head.encode(),
            _spaced(sides.bids),
            b'], "asks":[',
            _spaced(sides.asks),
            tail.encode(),
        )
    )


def _spaced(levels: bytes) -> bytes:
    # Levels hold digits, quotes and punctuation only, so every comma is one between members.
    return levels.replace(b",", b", ")
