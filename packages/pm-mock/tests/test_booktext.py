"""The text of books and their hash, anchored to the documented vector and to real captured frames."""

import json
from pathlib import Path
from typing import Any

import pytest

from pm_mock.booktext import (
    BookSides,
    BookTerms,
    book_hash,
    compact_book,
    level_text,
    spaced_book,
    summary,
)

REAL = Path(__file__).parents[4] / "shared" / "data" / "frames" / "frames_2025-12-23.jsonl"


def sides_of(book: dict[str, Any]) -> BookSides:
    bids, asks = (
        b",".join(level_text(level["price"], level["size"]) for level in book[side])
        for side in ("bids", "asks")
    )
    return BookSides(bids, asks)


def test_the_documented_vector() -> None:
    """The venue's own client library tests this book and hash; levels are taken in the order given."""
    sides = BookSides(
        level_text("0.3", "100") + b"," + level_text("0.4", "100"),
        level_text("0.6", "100") + b"," + level_text("0.7", "100"),
    )
    terms = BookTerms("100", "0.01", False, "0.5")
    expected = "0458ea5755c9f73d64a14636fa5c36ed460ec394"
    assert book_hash("0xaabbcc", "100", "123456789", sides, terms) == expected


def test_a_summary_is_the_hashed_text_with_its_hash() -> None:
    sides = BookSides(level_text("0.01", "5"), b"")
    terms = BookTerms("5", "0.001", True, "")
    assert summary("0xa", "7", "1", sides, terms, hash_hex="ff") == (
        b'{"market":"0xa","asset_id":"7","timestamp":"1","hash":"ff","bids":[{"price":"0.01","size":"5"}],'
        b'"asks":[],"min_order_size":"5","tick_size":"0.001","neg_risk":true,"last_trade_price":""}'
    )


def test_the_opening_book_is_compact_and_the_later_one_spaced() -> None:
    two = level_text("0.01", "5") + b"," + level_text("0.02", "6.5")
    sides = BookSides(two, level_text("0.99", "1"))
    terms = BookTerms("5", "0.01", False, "0.140")
    assert compact_book("0xa", "7", "1", sides, terms, hash_hex="ff") == (
        b'{"market":"0xa","asset_id":"7","timestamp":"1","hash":"ff",'
        b'"bids":[{"price":"0.01","size":"5"},{"price":"0.02","size":"6.5"}],'
        b'"asks":[{"price":"0.99","size":"1"}],"tick_size":"0.01","event_type":"book","last_trade_price":"0.140"}'
    )
    assert spaced_book("0xa", "7", "1", sides, hash_hex="ff") == (
        b'{"market":"0xa", "asset_id":"7", '
        b'"bids":[{"price":"0.01", "size":"5"}, {"price":"0.02", "size":"6.5"}], '
        b'"asks":[{"price":"0.99", "size":"1"}], "hash":"ff", "timestamp":"1", "event_type":"book"}'
    )


@pytest.mark.skipif(not REAL.is_file(), reason="no real data beside the repository")
def test_real_frames_come_out_byte_for_byte_with_their_hashes() -> None:
    opening, _, after_trade = REAL.read_bytes().splitlines()
    terms = BookTerms("5", "0.01", False, "0.500")
    books = json.loads(opening)
    texts = []
    for book in books:
        sides = sides_of(book)
        stated = (book["market"], book["asset_id"], book["timestamp"])
        assert book_hash(*stated, sides, terms) == book["hash"]
        texts.append(compact_book(*stated, sides, terms, hash_hex=book["hash"]))
    # In 2025 the opening book did not state the tick size yet.
    assert b"[" + b",".join(texts).replace(b'"tick_size":"0.01",', b"") + b"]" == opening

    book = json.loads(after_trade)
    stated = (book["market"], book["asset_id"], book["timestamp"])
    assert book_hash(*stated, sides_of(book), terms) == book["hash"]
    assert spaced_book(*stated, sides_of(book), hash_hex=book["hash"]) == after_trade
