"""Write testdata/fixtures: a little venue, made up, in the shapes of the real one; ten messages a pass.

`ws_*.json` are arrays of messages of the market channel, in the order of their arrival. An object or an
array is a message decoded from JSON; a text is a message as it arrived, for what is no JSON. The books are
a small model: sizes, best prices, mirrored outcomes and book hashes agree with one another wherever the
file's name does not say otherwise. `--check` writes nothing and fails if the committed files differ.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

TARGET = Path(__file__).resolve().parent.parent / "testdata" / "fixtures"
START_MS = 1_790_000_000_000
TICKS = 100  # a price is a number of hundredths; the other outcome's is the rest of the dollar


def digest(*words: str) -> str:
    return hashlib.sha256(" ".join(words).encode()).hexdigest()


def token_id(slug: str, outcome: str) -> str:
    """77 decimal digits, as the venue's are."""
    return str(10**76 + int(digest(slug, outcome), 16) % (9 * 10**76))


def price(ticks: int) -> str:
    return f"{ticks / TICKS:.2f}".rstrip("0")


@dataclass
class Market:
    """One order book, seen from both of its tokens; `bids` and `asks` are those of the first."""

    number: int
    slug: str
    question: str
    outcomes: tuple[str, ...]
    bids: dict[int, str] = field(default_factory=dict)
    asks: dict[int, str] = field(default_factory=dict)
    last_trade: str = "0.500"
    min_size: str = "5"
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def condition_id(self) -> str:
        return "0x" + digest(self.slug)

    @property
    def tokens(self) -> list[str]:
        return [token_id(self.slug, outcome) for outcome in self.outcomes]

    def levels(self, outcome: int) -> tuple[list[dict[str, str]], list[dict[str, str]]]:
        """Both sides with the best level last."""
        bids, asks = self.bids, self.asks
        if outcome:
            bids, asks = (
                {TICKS - ticks: size for ticks, size in side.items()} for side in (asks, bids)
            )
        return (
            [{"price": price(ticks), "size": bids[ticks]} for ticks in sorted(bids)],
            [{"price": price(ticks), "size": asks[ticks]} for ticks in sorted(asks, reverse=True)],
        )

    def summary(self, outcome: int, at_ms: int) -> dict[str, Any]:
        """The reply of `GET /book`; its SHA-1 with an empty hash is its hash."""
        bids, asks = self.levels(outcome)
        fields = {
            "market": self.condition_id,
            "asset_id": self.tokens[outcome],
            "timestamp": str(at_ms),
            "hash": "",
            "bids": bids,
            "asks": asks,
            "min_order_size": self.min_size,
            "tick_size": "0.01",
            "neg_risk": False,
            "last_trade_price": self.last_trade,
        }
        text = json.dumps(fields, separators=(",", ":"))
        fields["hash"] = hashlib.sha1(text.encode(), usedforsecurity=False).hexdigest()
        return fields

    def opening(self, at_ms: int) -> list[dict[str, Any]]:
        """What answers a subscription: the books of both tokens in one array."""
        kept = ("market", "asset_id", "timestamp", "hash", "bids", "asks", "tick_size")
        books = []
        for outcome in (0, 1):
            summary = self.summary(outcome, at_ms)
            books.append(
                {name: summary[name] for name in kept}
                | {"event_type": "book", "last_trade_price": self.last_trade}
            )
        return books

    def book(self, outcome: int, at_ms: int) -> dict[str, Any]:
        """What follows a trade."""
        summary = self.summary(outcome, at_ms)
        kept = ("market", "asset_id", "bids", "asks", "hash", "timestamp")
        return {name: summary[name] for name in kept} | {"event_type": "book"}

    def change(self, side: str, ticks: int, size: str, at_ms: int) -> dict[str, Any]:
        """Set one level of the first token; "0" removes it."""
        levels = self.bids if side == "BUY" else self.asks
        levels.pop(ticks, None)
        if size != "0":
            levels[ticks] = size
        entries = []
        for outcome in (0, 1):
            summary = self.summary(outcome, at_ms)
            seen = side if outcome == 0 else {"BUY": "SELL", "SELL": "BUY"}[side]
            entries.append(
                {
                    "asset_id": self.tokens[outcome],
                    "price": price(TICKS - ticks if outcome else ticks),
                    "size": size,
                    "side": seen,
                    "hash": summary["hash"],
                    "best_bid": summary["bids"][-1]["price"],
                    "best_ask": summary["asks"][-1]["price"],
                }
            )
        return {
            "market": self.condition_id,
            "price_changes": entries,
            "timestamp": str(at_ms),
            "event_type": "price_change",
        }

    def bought(self, ticks: int, size: str, at_ms: int, *, left: str) -> dict[str, Any]:
        """A taker buys the first token at a price where `left` stays on offer."""
        self.last_trade = f"{ticks / TICKS:.3f}"
        self.asks[ticks] = left
        return {
            "market": self.condition_id,
            "asset_id": self.tokens[0],
            "price": price(ticks),
            "size": size,
            "fee_rate_bps": "0",
            "side": "BUY",
            "timestamp": str(at_ms),
            "event_type": "last_trade_price",
            "transaction_hash": "0x" + digest(self.slug, "trade", str(at_ms)),
        }

    def listing(self) -> dict[str, Any]:
        """The market as Gamma lists it: lists as JSON text, decimals as numbers."""
        return {
            "id": str(self.number),
            "question": self.question,
            "conditionId": self.condition_id,
            "slug": self.slug,
            "startDate": "2026-09-01T00:00:00Z",
            "endDate": "2027-01-31T12:00:00Z",
            "category": "Crypto",
            "outcomes": json.dumps(self.outcomes),
            "clobTokenIds": json.dumps(self.tokens),
            "active": True,
            "closed": False,
            "archived": False,
            "acceptingOrders": True,
            "enableOrderBook": True,
            "negRisk": False,
            "orderPriceMinTickSize": 0.01,
            "orderMinSize": 5,
            "volume24hr": 1000.5 * self.number,
            "secondsDelay": 0,
            "feesEnabled": False,
            "feeType": None,
            "updatedAt": "2026-09-21T00:00:00Z",
            "events": [
                {
                    "id": str(700 + self.number),
                    "slug": f"event-{self.slug}",
                    "category": "Crypto",
                    "negRiskAugmented": False,
                }
            ],
        } | self.facts


def rain() -> Market:
    return Market(
        500001, "fixture-rain", "Will the fixture see rain?", ("Yes", "No"),
        bids={39: "2500", 40: "1200.5", 41: "310"},
        asks={46: "4000", 45: "75.25", 44: "118"},
        last_trade="0.420",
    )  # fmt: skip


def coin() -> Market:
    return Market(
        500002, "fixture-coin-updown", "Fixture coin up or down?", ("Up", "Down"),
        bids={51: "900", 52: "60"},
        asks={55: "1000", 54: "40"},
        last_trade="0.530",
        facts={
            "feesEnabled": True,
            "feeType": "crypto_fees_v2",
            "feeSchedule": {"exponent": 1, "rate": 0.07, "takerOnly": True, "rebateRate": 0.2},
            "outcomes": ["Up", "Down"],  # a true array: both forms are in use
        },
    )  # fmt: skip


def unselected() -> list[Market]:
    """Markets that no capture takes, one for each common reason."""
    yes_no = ("Yes", "No")
    return [
        Market(500003, "fixture-over", "Is it over?", yes_no, facts={"closed": True}),
        Market(500004, "fixture-three", "Which of three?", ("A", "B", "C")),
        Market(500005, "fixture-halted", "Halted?", yes_no, facts={"acceptingOrders": False}),
    ]


def files() -> dict[str, Any]:
    """Every file by name. The order of the calls is the order of the venue's time."""
    one, two = rain(), coin()
    listed = {"markets": [market.listing() for market in (one, two, *unselected())]}
    clean = [
        one.opening(START_MS),
        two.opening(START_MS + 3),
        one.change("BUY", 42, "55", START_MS + 120),
        two.change("SELL", 54, "0", START_MS + 140),
    ]
    extra_fields = [
        one.bought(44, "18", START_MS + 300, left="100")
        | {"sequence": 7, "maker": {"orders": [1, 2.5, None]}, "note": 'a "quoted" \u00e9vent'},
        two.book(1, START_MS + 320) | {"level": 3, "flags": [True, False], "asset_id_hint": "none"},
    ]
    # The text is cut as by a proxy that gave up; the object lacks everything that makes it a book.
    torn = json.dumps(one.book(0, START_MS + 400), separators=(", ", ":"))
    malformed = [
        torn[: torn.index('"asks"') + 24],
        {"event_type": "book", "asset_id": None, "bids": "none", "timestamp": 17.5, "asks": {}},
    ]
    earlier = one.change("SELL", 45, "80.25", START_MS + 500)
    later = one.change("SELL", 43, "20", START_MS + 540)
    return {
        "gamma_markets.json": listed,
        "rest_book.json": one.summary(0, START_MS + 600),
        "ws_book_clean.json": clean,
        "ws_book_extra_fields.json": extra_fields,
        "ws_book_malformed.json": malformed,
        "ws_book_out_of_order.json": [later, earlier],
    }


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, allow_abbrev=False)
    parser.add_argument("--check", action="store_true", help="write nothing, fail on a difference")
    arguments = parser.parse_args(argv)
    wanted = {
        name: json.dumps(content, indent=1, ensure_ascii=False).encode() + b"\n"
        for name, content in files().items()
    }
    present = {path.name: path.read_bytes() for path in TARGET.glob("*")}
    differing = sorted(
        name for name in wanted.keys() | present.keys() if wanted.get(name) != present.get(name)
    )
    if arguments.check:
        for name in differing:
            print(f"{name}: differs from what this program makes", file=sys.stderr)
        return 3 if differing else 0
    TARGET.mkdir(parents=True, exist_ok=True)
    for name in differing:
        if name in wanted:
            (TARGET / name).write_bytes(wanted[name])
        else:
            (TARGET / name).unlink()
    print(f"{len(wanted)} files, {len(differing)} written or removed")
    return 0


if __name__ == "__main__":
    sys.exit(main())
