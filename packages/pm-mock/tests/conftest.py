"""An independent client: what a careful reader of the venue's documents would write.

It knows nothing of pm_mock. It rebuilds both books of each market from the frames alone and checks, where a
batch ends, everything that the venue states of them.
"""

import hashlib
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

import pytest

# A print may come after the next batch of its market, so a hash may know a trade that is still to come.
PRINTS_AHEAD = 3


@dataclass
class Book:
    """One token's levels, price text to size text, and what was last stated of them."""

    market: str
    tick_size: str
    bids: dict[str, str] = field(default_factory=dict)
    asks: dict[str, str] = field(default_factory=dict)
    stated: dict[str, str] | None = None
    announced_top: dict[str, str] | None = None

    def sides(self) -> tuple[list[tuple[str, str]], list[tuple[str, str]]]:
        """Both sides with the best level last."""
        return (
            sorted(self.bids.items(), key=lambda level: Decimal(level[0])),
            sorted(self.asks.items(), key=lambda level: -Decimal(level[0])),
        )


@dataclass
class NaiveClient:
    """Applies frames; `checked` counts the hashes that agreed. Disagreement is an AssertionError."""

    facts: Callable[[str], dict[str, Any]]
    books: dict[str, Book] = field(default_factory=dict)
    siblings: dict[str, list[str]] = field(default_factory=dict)
    last_trade: dict[str, str] = field(default_factory=dict)
    last_trade_at_end: dict[str, str] = field(default_factory=dict)
    seen: dict[str, int] = field(default_factory=dict)
    checked: int = 0

    def play(self, payloads: Iterable[bytes], *, leave: int = 0) -> None:
        """Apply all frames but the last `leave`, which are only searched for late prints; then check."""
        frames = [_events(payload) for payload in payloads]
        prints: dict[str, list[tuple[int, str]]] = {}
        for position, events in enumerate(frames):
            for event in events:
                if event["event_type"] == "last_trade_price":
                    prints.setdefault(event["market"], []).append((position, event["price"]))
        self._prints = prints
        frames = frames[: len(frames) - leave]
        for position, events in enumerate(frames):
            self._position = position
            for event in events:
                self.seen[event["event_type"]] = self.seen.get(event["event_type"], 0) + 1
                handler = getattr(self, f"_on_{event['event_type']}", None)
                if handler is not None:
                    handler(event)
        self._position = len(frames)
        for token in list(self.books):
            self._batch_ended(token)

    def _on_book(self, event: dict[str, Any]) -> None:
        token = event["asset_id"]
        opening = "tick_size" in event
        if token in self.books and not opening:
            self._batch_ended(token)
            known = self.books[token]
            assert (
                known.sides()
                == Book("", "", _levels(event["bids"]), _levels(event["asks"])).sides()
            )
        tick = event["tick_size"] if opening else self.books[token].tick_size
        book = Book(event["market"], tick, _levels(event["bids"]), _levels(event["asks"]))
        # The best level is last on both sides.
        assert list(book.bids.items()) == book.sides()[0]
        assert list(book.asks.items()) == book.sides()[1]
        if opening:
            self.last_trade[event["market"]] = event["last_trade_price"]
            members = self.siblings.setdefault(event["market"], [])
            members += [token] if token not in members else []
        else:
            assert "last_trade_price" not in event
        self.books[token] = book
        self._check_hash(token, event["timestamp"], event["hash"])

    def _on_price_change(self, event: dict[str, Any]) -> None:
        assert len({change["asset_id"] for change in event["price_changes"]}) == 2
        # Batches end for both tokens before either book moves on.
        for change in event["price_changes"]:
            book = self.books[change["asset_id"]]
            stated = {
                "timestamp": event["timestamp"],
                **{name: change[name] for name in ("hash", "best_bid", "best_ask")},
            }
            if book.stated != stated:
                self._batch_ended(change["asset_id"])
                book.stated = stated
        for change in event["price_changes"]:
            book = self.books[change["asset_id"]]
            side = book.bids if change["side"] == "BUY" else book.asks
            if change["size"] == "0":
                side.pop(change["price"], None)
            else:
                side[change["price"]] = change["size"]

    def _on_tick_size_change(self, event: dict[str, Any]) -> None:
        self._batch_ended(event["asset_id"])
        book = self.books[event["asset_id"]]
        assert book.tick_size == event["old_tick_size"]
        assert Decimal(event["new_tick_size"]) < Decimal(event["old_tick_size"])
        book.tick_size = event["new_tick_size"]

    def _on_last_trade_price(self, event: dict[str, Any]) -> None:
        self.last_trade[event["market"]] = _trade_text(event["price"])

    def _on_best_bid_ask(self, event: dict[str, Any]) -> None:
        self._batch_ended(event["asset_id"])
        self.books[event["asset_id"]].announced_top = event

    def _batch_ended(self, token: str) -> None:
        book = self.books[token]
        stated, book.stated = book.stated, None
        if stated is None:
            return
        bids, asks = book.sides()
        assert stated["best_bid"] == (bids[-1][0] if bids else stated["best_bid"])
        assert stated["best_ask"] == (asks[-1][0] if asks else stated["best_ask"])
        if not bids:
            assert stated["best_bid"] in ("", "0")
        if not asks:
            assert stated["best_ask"] in ("", "1")
        if book.announced_top is not None:
            assert book.announced_top["timestamp"] == stated["timestamp"]
            assert book.announced_top["best_bid"] == stated["best_bid"]
            assert book.announced_top["best_ask"] == stated["best_ask"]
            book.announced_top = None
        self._check_mirror(book.market)
        self._check_hash(token, stated["timestamp"], stated["hash"])

    def _check_mirror(self, market: str) -> None:
        """NO bids = 1 − YES asks with the same sizes, and the other way round; never crossed."""
        members = [self.books[token] for token in self.siblings[market]]
        if len(members) != 2:
            return
        one, other = members
        for bids, asks in ((one.bids, other.asks), (other.bids, one.asks)):
            mirrored = {1 - Decimal(price): size for price, size in asks.items()}
            assert {Decimal(price): size for price, size in bids.items()} == mirrored
        if one.bids and one.asks:
            assert max(map(Decimal, one.bids)) < min(map(Decimal, one.asks))

    def _check_hash(self, token: str, timestamp: str, stated: str) -> None:
        book = self.books[token]
        ahead = [
            _trade_text(price)
            for position, price in self._prints.get(book.market, [])
            if position >= self._position
        ]
        candidates = [self.last_trade[book.market], *ahead[:PRINTS_AHEAD]]
        if len(ahead) < PRINTS_AHEAD and book.market in self.last_trade_at_end:
            # The print was still to come when the frames ended; the venue's `GET /book` knows it.
            candidates.append(self.last_trade_at_end[book.market])
        hashes = [self.hash_of(token, timestamp, last_trade) for last_trade in candidates]
        assert stated in hashes, (self._position, token)
        self.checked += 1

    def hash_of(self, token: str, timestamp: str, last_trade_price: str) -> str:
        """SHA-1 of the ten fields, as documented."""
        book = self.books[token]
        bids, asks = book.sides()
        facts = self.facts(token)
        fields = {
            "market": book.market,
            "asset_id": token,
            "timestamp": timestamp,
            "hash": "",
            "bids": [{"price": price, "size": size} for price, size in bids],
            "asks": [{"price": price, "size": size} for price, size in asks],
            "min_order_size": facts["min_order_size"],
            "tick_size": book.tick_size,
            "neg_risk": facts["neg_risk"],
            "last_trade_price": last_trade_price,
        }
        return hashlib.sha1(json.dumps(fields, separators=(",", ":")).encode()).hexdigest()


def _events(payload: bytes) -> list[dict[str, Any]]:
    value = json.loads(payload)
    return value if isinstance(value, list) else [value]


def _levels(levels: list[dict[str, str]]) -> dict[str, str]:
    return {level["price"]: level["size"] for level in levels}


def _trade_text(price: str) -> str:
    places = max(3, len(price.partition(".")[2]))
    return f"{Decimal(price):.{places}f}"


@pytest.fixture
def naive_client() -> Callable[[Callable[[str], dict[str, Any]]], NaiveClient]:
    """Make a client; it asks the given function for what `GET /book` states of a token."""
    return lambda facts: NaiveClient(facts)
