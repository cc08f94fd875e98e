"""Reading whatever is not exactly today's schema: old schemas, numbers instead of text, damaged elements.

Slow and total: each element becomes a message or a counted schema error, nothing is raised. Numbers keep
their text, so that no float is ever made of them.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any, Final

from pm_replay.messages import (
    BestBidAsk,
    Book,
    Change,
    Level,
    Lifecycle,
    Message,
    PriceChange,
    TickSizeChange,
    Trade,
    Unknown,
)

Count = Callable[[str], None]

TOKEN_KEYS: Final = ("asset_id", "token_id", "tokenId", "assetId")
DEPTH_MAX: Final = 64  # of arrays and objects in a payload; the venue's are 4 deep
_BRACKETS: Final = re.compile(rb'"(?:[^"\\]|\\.)*"|([\[{])|[\]}]', re.DOTALL)
_BID_KEYS: Final = ("bids", "buys")
_ASK_KEYS: Final = ("asks", "sells")


class NotReadable(Exception):
    """A payload is not JSON; `kind` is a stable word."""

    def __init__(self, kind: str) -> None:
        super().__init__(kind)
        self.kind = kind


class Number(str):
    """A JSON number as it was written."""

    __slots__ = ()


def _no_constant(text: str) -> str:
    raise ValueError(text)


def load(payload: bytes) -> Any:
    """Return the JSON value of a payload with its numbers as `Number`; raise `NotReadable`."""
    if _is_too_deep(payload):
        raise NotReadable("too_deep")
    try:
        return json.loads(
            payload.decode("utf-8"),
            parse_float=Number,
            parse_int=Number,
            parse_constant=_no_constant,
        )
    except UnicodeDecodeError:
        raise NotReadable("not_utf8") from None
    except ValueError:
        raise NotReadable("not_json") from None


def _is_too_deep(payload: bytes) -> bool:
    # Python's own limit depends on its version and on who calls; what is told must not.
    if payload.count(b"[") + payload.count(b"{") <= DEPTH_MAX:
        return False
    depth = 0
    for match in _BRACKETS.finditer(payload):
        if match[1]:
            depth += 1
            if depth > DEPTH_MAX:
                return True
        elif match[0] in b"]}":
            depth -= 1
    return False


def messages(value: Any, count: Count) -> Iterator[Message]:
    """Yield the messages of a payload's value; `count` is called with each schema error."""
    for item in value if isinstance(value, list) else (value,):
        if not isinstance(item, dict):
            count("item_not_object")
            continue
        message = _message(item, count)
        if message is not None:
            yield message


def _message(item: dict[str, Any], count: Count) -> Message | None:
    kind = item.get("event_type")
    if kind is None and any(key in item for key in (*_BID_KEYS, *_ASK_KEYS)):
        count("event_type_missing")
        kind = "book"
    if not isinstance(kind, str) or isinstance(kind, Number):
        return Unknown(None, _text(item, "timestamp"))
    read = _READERS.get(kind)
    if read is None:
        return Unknown(kind, _text(item, "timestamp"))
    return read(item, count)


def _text(item: Mapping[str, Any], key: str) -> str:
    """Return a text, or a number as its text; "" where it is neither."""
    value = item.get(key)
    return str(value) if isinstance(value, str) else ""


def _optional(item: Mapping[str, Any], key: str) -> str | None:
    value = item.get(key)
    return str(value) if isinstance(value, str) else None


def _token(item: Mapping[str, Any], count: Count) -> str | None:
    for key in TOKEN_KEYS:
        value = item.get(key)
        if isinstance(value, str) and value:
            return str(value)
    count("token_id_missing")
    return None


def _levels(item: Mapping[str, Any], keys: tuple[str, str], count: Count) -> list[Level]:
    given: Any = next((item[key] for key in keys if key in item), None)
    if not isinstance(given, list):
        count(f"{keys[0]}_type")
        return []
    levels = []
    for level in given:
        price = level.get("price") if isinstance(level, dict) else None
        size = level.get("size") if isinstance(level, dict) else None
        if isinstance(price, str) and isinstance(size, str):
            levels.append(Level(str(price), str(size)))
        else:
            count("level_malformed")
    return levels


def _book(item: dict[str, Any], count: Count) -> Message | None:
    token_id = _token(item, count)
    if token_id is None:
        return None
    for keys in (_BID_KEYS, _ASK_KEYS):
        if not isinstance(next((item[key] for key in keys if key in item), None), list):
            # Half a book is none: taking a side that is not there for empty would invent a market.
            count(f"{keys[0]}_type")
            return None
    return Book(
        market=_text(item, "market"),
        asset_id=token_id,
        bids=_levels(item, _BID_KEYS, count),
        asks=_levels(item, _ASK_KEYS, count),
        timestamp=_text(item, "timestamp"),
        hash=_optional(item, "hash"),
        tick_size=_optional(item, "tick_size"),
        last_trade_price=_optional(item, "last_trade_price"),
    )


def _price_change(item: dict[str, Any], count: Count) -> Message | None:
    given = item.get("price_changes", item.get("changes"))
    if given is None and "price" in item:
        given = [item]  # the schema of 2024: one change, no list
    if not isinstance(given, list):
        count("price_changes_type")
        return None
    changes = []
    for each in given:
        if not isinstance(each, dict):
            count("change_malformed")
            continue
        # In the schema of 2025 the token stands beside the list, and so does the hash.
        token_id = _token(each if any(key in each for key in TOKEN_KEYS) else item, count)
        if token_id is None:
            continue
        changes.append(
            Change(
                asset_id=token_id,
                price=_text(each, "price"),
                size=_text(each, "size"),
                side=_text(each, "side"),
                hash=_optional(each, "hash") or _optional(item, "hash"),
                best_bid=_optional(each, "best_bid"),
                best_ask=_optional(each, "best_ask"),
            )
        )
    return PriceChange(_text(item, "market"), changes, _text(item, "timestamp"))


def _trade(item: dict[str, Any], count: Count) -> Message | None:
    token_id = _token(item, count)
    if token_id is None:
        return None
    return Trade(
        asset_id=token_id,
        market=_text(item, "market"),
        price=_text(item, "price"),
        size=_text(item, "size"),
        side=_text(item, "side"),
        timestamp=_text(item, "timestamp"),
        fee_rate_bps=_optional(item, "fee_rate_bps"),
        transaction_hash=_optional(item, "transaction_hash"),
    )


def _tick_size_change(item: dict[str, Any], count: Count) -> Message | None:
    token_id = _token(item, count)
    if token_id is None:
        return None
    return TickSizeChange(
        asset_id=token_id,
        market=_text(item, "market"),
        new_tick_size=_text(item, "new_tick_size"),
        timestamp=_text(item, "timestamp"),
        old_tick_size=_optional(item, "old_tick_size"),
    )


def _best_bid_ask(item: dict[str, Any], count: Count) -> Message | None:
    token_id = _token(item, count)
    if token_id is None:
        return None
    return BestBidAsk(
        asset_id=token_id,
        market=_text(item, "market"),
        best_bid=_text(item, "best_bid"),
        best_ask=_text(item, "best_ask"),
        timestamp=_text(item, "timestamp"),
        spread=_optional(item, "spread"),
    )


def _lifecycle(item: dict[str, Any], count: Count) -> Message | None:
    return Lifecycle(item["event_type"], _text(item, "market"), _text(item, "timestamp"), item)


_READERS: Final[Mapping[str, Callable[[dict[str, Any], Count], Message | None]]] = {
    "book": _book,
    "price_change": _price_change,
    "last_trade_price": _trade,
    "tick_size_change": _tick_size_change,
    "best_bid_ask": _best_bid_ask,
    "new_market": _lifecycle,
    "market_resolved": _lifecycle,
}
