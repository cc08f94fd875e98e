import json
import zlib
from typing import Any

import pytest

from pm_frames import Flag, Frame
from pm_frames.continuity import Basis
from pm_mock.booktext import BookSides, BookTerms, book_hash, level_text
from pm_mock.catalogue import Catalogue
from pm_mock.recorded_books import RecordedBooks

SIDES = BookSides(level_text("0.50", "7"), b"")


def frame(*events: dict[str, Any], flags: int = int(Flag.TEXT), at_ns: int = 5) -> Frame:
    payload = json.dumps(events).encode()
    return Frame(0, 2, flags, at_ns, 1, zlib.crc32(payload), payload)


def book(hash_hex: str = "?", **facts: object) -> dict[str, Any]:
    return {
        "event_type": "book", "market": "0xc", "asset_id": "1", "timestamp": 1000, "hash": hash_hex,
        "bids": [{"price": "0.50", "size": "7"}], "asks": [], **facts,
    }  # fmt: skip


@pytest.fixture
def books() -> RecordedBooks:
    return RecordedBooks(Catalogue(), Basis.FLAGS)


def summary(books: RecordedBooks) -> dict[str, Any]:
    found = json.loads(books.summary("1") or b"null")
    assert isinstance(found, dict)
    return found


@pytest.mark.parametrize(
    ("printed", "hashed"), [("0.5", "0.500"), ("0.95", "0.95"), ("0.9612", "0.9612")]
)
def test_the_last_trade_is_written_as_the_stated_hash_has_it(
    books: RecordedBooks, printed: str, hashed: str
) -> None:
    stated = book_hash("0xc", "1", "1000", SIDES, BookTerms("5", "0.001", False, hashed))
    trade = {"event_type": "last_trade_price", "market": "0xc", "asset_id": "2", "price": printed}
    books.frame(0, frame(trade, book(stated, tick_size="0.001")))
    found = summary(books)
    assert (found["hash"], found["last_trade_price"]) == (stated, hashed)
    assert found["bids"] == [{"price": "0.50", "size": "7"}], "the recorded text"


def test_a_hash_that_knows_a_trade_to_come_is_not_claimed(books: RecordedBooks) -> None:
    books.frame(0, frame(book("f" * 40, last_trade_price="")))
    found = summary(books)
    assert found["last_trade_price"] == ""
    assert found["hash"] == book_hash("0xc", "1", "1000", SIDES, BookTerms("5", "0.01", False, ""))


def test_a_tick_change_ends_what_is_known_until_the_next_book(books: RecordedBooks) -> None:
    tick = {"event_type": "tick_size_change", "asset_id": "1", "new_tick_size": "0.001"}
    books.frame(0, frame(book(), tick))
    assert books.summary("1") is None
    assert not books.lost("1"), "its changes are still sent"
    books.frame(0, frame(book()))
    assert summary(books)["tick_size"] == "0.001"


def test_without_a_runlog_the_flags_tell_of_a_new_connection(books: RecordedBooks) -> None:
    books.frame(0, frame(book()))
    books.frame(0, frame(flags=int(Flag.TEXT | Flag.FIRST), at_ns=6))
    assert books.lost("1")
    assert books.compact("1") is None
    books.frame(0, frame(book(), at_ns=7))
    assert not books.lost("1")


@pytest.mark.parametrize("text", ["", "x", "-1", "NaN", "Infinity", "1e400x"])
def test_levels_that_are_no_numbers_are_left_out(books: RecordedBooks, text: str) -> None:
    bids = [{"price": text, "size": "1"}, {"price": "0.50", "size": "7"}]
    books.frame(0, frame(book(bids=bids)))
    change = {"asset_id": "1", "price": "0.50", "size": text, "side": "BUY"}
    books.frame(0, frame({"event_type": "price_change", "price_changes": [change]}))
    assert summary(books)["bids"] == [{"price": "0.50", "size": "7"}]


def test_one_price_is_one_level_however_it_is_written(books: RecordedBooks) -> None:
    change = {"asset_id": "1", "price": "0.5", "size": "9", "side": "BUY", "hash": "g"}
    event = {"event_type": "price_change", "price_changes": [change], "timestamp": "1001"}
    books.frame(0, frame(book()))
    books.frame(1, frame(event))
    assert summary(books)["timestamp"] == "1000", "another shard's changes are not this book's"
    books.frame(0, frame(event))
    found = summary(books)
    assert (found["bids"], found["timestamp"]) == ([{"price": "0.5", "size": "9"}], "1001")


def test_a_side_that_is_not_there_is_not_an_empty_one(books: RecordedBooks) -> None:
    half = book()
    del half["asks"]
    books.frame(0, frame(half))
    assert books.summary("1") is None
    books.frame(0, frame(book()))
    books.frame(0, frame({**half, "bids": []}))
    assert summary(books)["bids"] == [{"price": "0.50", "size": "7"}]


def test_a_change_of_no_side_changes_none(books: RecordedBooks) -> None:
    books.frame(0, frame(book()))
    for side in ("buy", "", "ASK"):
        change = {"asset_id": "1", "price": "0.60", "size": "9", "side": side}
        books.frame(0, frame({"event_type": "price_change", "price_changes": [change]}))
    assert (summary(books)["bids"], summary(books)["asks"]) == (
        [{"price": "0.50", "size": "7"}],
        [],
    )
