"""The schema sentinel: every shape of message that was seen, and which of them nobody has described.

A shape is an event type with its keys and the JSON type of each value, down to the elements of its lists.
The decoder reads today's messages strictly; what it refuses is shown to the sentinel, so every new field is
found and the usual message costs nothing.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from pm_replay.lenient import Number

# Fields of each event type as venue and its clients describe them, old schemas included.
_COMMON: Final = frozenset({"event_type", "market", "timestamp"})
_TOKEN: Final = _COMMON | {"asset_id"}
_MARKET: Final = frozenset(
    {
        "id", "question", "slug", "description", "assets_ids", "outcomes", "event_message", "tags",
        "condition_id", "active", "clob_token_ids", "sports_market_type", "line", "game_start_time",
        "order_price_min_tick_size", "group_item_title", "taker_base_fee", "fees_enabled", "fee_schedule",
        "winning_asset_id", "winning_outcome",
    }
)  # fmt: skip
KNOWN: Final[Mapping[str, frozenset[str]]] = {
    "book": _TOKEN | {"bids", "asks", "buys", "sells", "hash", "tick_size", "last_trade_price"},
    "price_change": _TOKEN
    | {"price_changes", "changes", "hash", "price", "size", "side", "best_bid", "best_ask"},
    "last_trade_price": _TOKEN | {"price", "size", "side", "fee_rate_bps", "transaction_hash"},
    "tick_size_change": _TOKEN | {"old_tick_size", "new_tick_size"},
    "best_bid_ask": _TOKEN | {"best_bid", "best_ask", "spread"},
    "new_market": _COMMON | _MARKET,
    "market_resolved": _COMMON | _MARKET,
}
_NESTED: Final[Mapping[str, frozenset[str]]] = {
    "bids": frozenset({"price", "size"}),
    "asks": frozenset({"price", "size"}),
    "buys": frozenset({"price", "size"}),
    "sells": frozenset({"price", "size"}),
    "price_changes": frozenset(
        {"asset_id", "price", "size", "side", "hash", "best_bid", "best_ask"}
    ),
    "changes": frozenset({"price", "size", "side", "hash", "asset_id", "best_bid", "best_ask"}),
}
_LIFECYCLES: Final = frozenset({"new_market", "market_resolved"})
_NULLABLE: Final = frozenset(
    {
        "hash", "best_bid", "best_ask", "tick_size", "last_trade_price", "fee_rate_bps",
        "transaction_hash", "old_tick_size", "spread",
    }
)  # fmt: skip
SHAPES_MAX: Final = 256
SAMPLE_BYTES: Final = 512


class Surprise(NamedTuple):
    """Something in a message that is not described, with the first frame that has it."""

    event_type: str
    what: str
    shard: int
    frame: int
    sample: str


class Sentinel:
    """Collects shapes and surprises of the messages that it is shown; bounded."""

    def __init__(self) -> None:
        self.shapes: dict[str, int] = {}
        self.surprises: dict[tuple[str, str], Surprise] = {}
        self.surprises_left_out = 0

    def look(self, value: Any, payload: bytes, shard: int, frame: int) -> None:
        """Look at the value of a payload (numbers as `Number`)."""
        for item in value if isinstance(value, list) else (value,):
            if not isinstance(item, dict):
                continue
            kind = item.get("event_type")
            name = kind if isinstance(kind, str) and not isinstance(kind, Number) else "(none)"
            shape = f"{name} {fingerprint(item)}"
            if shape in self.shapes or len(self.shapes) < SHAPES_MAX:
                self.shapes[shape] = self.shapes.get(shape, 0) + 1
            for what in _surprises(name, item):
                self._add(Surprise(name, what, shard, frame, _sample(payload)))

    def _add(self, surprise: Surprise) -> None:
        key = (surprise.event_type, surprise.what)
        if key in self.surprises:
            return
        if len(self.surprises) >= SHAPES_MAX:
            self.surprises_left_out += 1
            return
        self.surprises[key] = surprise


def fingerprint(item: Mapping[str, Any]) -> str:
    """Return 12 hexadecimal digits for the shape of an object: its keys and the types of their values."""
    return hashlib.sha256(repr(_shape(item)).encode("utf-8", "replace")).hexdigest()[:12]


def _shape(value: Any, depth: int = 0) -> Any:
    if depth > 8:
        return "…"
    if isinstance(value, dict):
        return sorted((key, _shape(each, depth + 1)) for key, each in value.items())
    if isinstance(value, list):
        return ["list", *sorted({repr(_shape(each, depth + 1)) for each in value})]
    return "number" if isinstance(value, Number) else type(value).__name__


def _surprises(name: str, item: Mapping[str, Any]) -> list[str]:
    known = KNOWN.get(name)
    if known is None:
        return ["new event type"]
    found = [f"new field {key}" for key in item if key not in known]
    for key, inner in _NESTED.items():
        elements = item.get(key)
        if isinstance(elements, list):
            inside = [one for each in elements if isinstance(each, dict) for one in each.items()]
            found += [f"new field {key}[].{one}" for one in sorted({k for k, _ in inside} - inner)]
            odd = {k for k, value in inside if k in inner and not _is_text(value, k)}
            found += [f"{key}[].{one} is no text" for one in sorted(odd)]
        elif elements is not None:
            found.append(f"{key} is no list")
    texts = _COMMON if name in _LIFECYCLES else known - _NESTED.keys()
    found += [f"{key} is no text" for key in item if key in texts and not _is_text(item[key], key)]
    return found


def _is_text(value: Any, key: str) -> bool:
    if value is None:
        return key in _NULLABLE
    return isinstance(value, str) and not isinstance(value, Number)


def _sample(payload: bytes) -> str:
    return payload[:SAMPLE_BYTES].decode("utf-8", "replace")
