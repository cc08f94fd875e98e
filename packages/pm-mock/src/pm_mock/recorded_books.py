"""The books of a recording at the present moment of its playback, pure.

A book is known from the first `book` that arrived on the shard which subscribed its token until the connection was
lost, the token was subscribed again or given up, or its tick changed: what replay knows, no more. Levels are
kept as the venue wrote them, so that a book made of them has the venue's text and hash.
"""

from collections.abc import Mapping
from decimal import Decimal, InvalidOperation
from functools import lru_cache
from typing import Any

from pm_frames.continuity import Basis, Continuity, State, Transition
from pm_frames.frames import Frame
from pm_frames.layout import Flag
from pm_mock import booktext
from pm_mock.booktext import BookSides, BookTerms
from pm_mock.catalogue import Catalogue, Listing
from pm_mock.recorded_message import Event, Level, events_of

# In these states the recording does not know a token's book, so a change to it means nothing.
LOST = frozenset({State.AWAITING_SNAPSHOT, State.RECONNECTING, State.PLANNED_CHANGE, State.UNKNOWN})
STOP = "stop"  # the recorder's own trigger of a planned disconnect
MIN_SIZE = "5"
TICK_SIZE = "0.01"


class _Book:
    """One token's levels: price → text of the level, in no order."""

    __slots__ = ("asks", "bids", "market", "stated_hash", "timestamp")

    def __init__(self, event: Event) -> None:
        self.market = event.market or ""
        self.timestamp = str(event.timestamp)
        self.stated_hash = event.hash
        self.bids: dict[Decimal, bytes] = {}
        self.asks: dict[Decimal, bytes] = {}
        for side, levels in ((self.bids, event.bids), (self.asks, event.asks)):
            for level in levels or ():
                put(side, level)

    def sides(self) -> BookSides:
        return BookSides(
            b",".join(self.bids[price] for price in sorted(self.bids)),
            b",".join(self.asks[price] for price in sorted(self.asks, reverse=True)),
        )


def put(side: dict[Decimal, bytes], level: Level) -> None:
    """Make a level's size the whole size at its price; 0 removes it. What is no number is left out."""
    price, size = _number(level.price), _number(level.size)
    if price is None or size is None:
        return
    if size:
        side[price] = booktext.level_text(level.price, level.size)
    else:
        side.pop(price, None)


@lru_cache(maxsize=1 << 14)
def _number(text: str) -> Decimal | None:
    try:
        number = Decimal(text)
    except InvalidOperation:
        return None
    return number if number.is_finite() and number >= 0 else None


class RecordedBooks:
    """All books. Ticks are kept in the catalogue's listings, which the venue states as well."""

    def __init__(self, catalogue: Catalogue, basis: Basis) -> None:
        self.continuity = Continuity(basis)
        self._catalogue = catalogue
        self._books: dict[str, _Book] = {}
        self._ticks: dict[str, str] = {}  # of tokens that no listing has
        self._last_trades: dict[str, str] = {}  # by market: the price is in the hash of both tokens

    # -- what happened --------------------------------------------------------------------------

    def frame(self, shard_id: int, frame: Frame) -> list[Event]:
        """Take a recorded frame, in merge order; gives its events."""
        if frame.flags & Flag.FIRST:
            self._moved(self.continuity.first_of_connection(shard_id, frame.rx_mono_ns))
        events = events_of(frame.payload)
        for event in events:
            match event.event_type:
                case "book":
                    self._book(event, shard_id, frame.rx_mono_ns)
                case "price_change":
                    self._changes(event, shard_id)
                case "last_trade_price" if event.market:
                    self._last_trades[event.market] = event.price
                case "tick_size_change" if event.new_tick_size:
                    # Replay begins a new epoch here, so what opens a subscription must not go on in the old.
                    self._books.pop(event.asset_id, None)
                    self._set_tick(event.asset_id, event.new_tick_size)
        return events

    def record(self, record: Mapping[str, Any]) -> None:
        """Take a continuity record, in merge order.

        That the recorder stopped is no loss: a venue goes on with the books that it has.
        """
        kind = record.get("record_type")
        if kind == "capture_stop" or (kind == "disconnect" and record.get("trigger") == STOP):
            return
        self._moved(self.continuity.record(record))

    def lost(self, token: str) -> bool:
        """Whether the recording has no continuous book of a token now."""
        return self.continuity.state(token) in LOST

    def _book(self, event: Event, shard_id: int, mono_ns: int) -> None:
        token = event.asset_id
        if event.bids is None or event.asks is None:
            return  # half a book is none, and a side that is not there is not an empty one
        self._moved(self.continuity.book(token, shard_id, mono_ns))
        if self.lost(token) or self.continuity.shard_of(token) not in (None, shard_id):
            return
        self._books[token] = _Book(event)
        if event.tick_size:
            self._set_tick(token, event.tick_size)
        if event.last_trade_price is not None and event.market:
            self._last_trades[event.market] = event.last_trade_price

    def _changes(self, event: Event, shard_id: int) -> None:
        for token, change in event.all_changes():
            book = self._books.get(token)
            if book is None or self.continuity.shard_of(token) not in (None, shard_id):
                continue
            side = {"BUY": book.bids, "SELL": book.asks}.get(change.side)
            if side is None:
                continue
            put(side, change)
            book.timestamp = str(event.timestamp)
            book.stated_hash = change.hash or event.hash

    def _moved(self, transitions: list[Transition]) -> None:
        for moved in transitions:
            if moved.state is not State.LIVE:
                self._books.pop(moved.token_id, None)

    def _set_tick(self, token: str, tick_size: str) -> None:
        listing = self._catalogue.by_token(token)
        if listing is None:
            self._ticks[token] = tick_size
        else:
            listing.tick_size = tick_size

    # -- what is stated -------------------------------------------------------------------------

    def compact(self, token: str) -> bytes | None:
        """A token's element of the array that answers a subscription, None if its book is not known."""
        return self._stated(token, booktext.compact_book)

    def summary(self, token: str) -> bytes | None:
        """The body of `GET /book`, None if the book is not known."""
        return self._stated(token, booktext.summary)

    def _stated(self, token: str, write: booktext.Write) -> bytes | None:
        book = self._books.get(token)
        if book is None:
            return None
        sides = book.sides()
        terms, hash_hex = self._terms(token, book, sides)
        return write(book.market, token, book.timestamp, sides, terms, hash_hex=hash_hex)

    def _terms(self, token: str, book: _Book, sides: BookSides) -> tuple[BookTerms, str]:
        """The terms under which the book has the hash that the recording stated, else the likeliest.

        The stated hash is that of the end of an engine batch and may know a trade whose print is still
        to come; then the book gets its own hash, which is right for what the book says.
        """
        listing = self._catalogue.by_token(token)
        tick = listing.tick_size if listing else self._ticks.get(token, TICK_SIZE)
        tried = [
            (terms, booktext.book_hash(book.market, token, book.timestamp, sides, terms))
            for text in _price_forms(self._last_trades.get(book.market, ""))
            for terms in [_terms_of(listing, tick, text)]
        ]
        return next((one for one in tried if one[1] == book.stated_hash), tried[0])


def _terms_of(listing: Listing | None, tick: str, last_trade_price: str) -> BookTerms:
    neg_risk = listing is not None and listing.event.neg_risk_market_id is not None
    return BookTerms(listing.min_size if listing else MIN_SIZE, tick, neg_risk, last_trade_price)


def _price_forms(text: str) -> tuple[str, ...]:
    """A trade price as the hash may have it: with three decimals at least, or as it was written."""
    whole, dot, fraction = text.partition(".")
    return tuple(dict.fromkeys((f"{whole}.{fraction.ljust(3, '0')}" if dot else text, text)))
