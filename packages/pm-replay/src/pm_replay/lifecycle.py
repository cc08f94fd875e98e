"""`new_market` and `market_resolved`: every connection gets them, so each is told once.

The same message is the same type, market and timestamp. The memory of it is bounded: what is older than the
last 65,536 distinct messages is forgotten, far more than arrive while copies of one are under way.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from pm_replay.messages import Lifecycle
from pm_replay.registry import usable_id

MEMORY: Final = 1 << 16
_COPIED: Final = (
    "slug", "question", "winning_outcome", "order_price_min_tick_size", "fees_enabled", "fee_schedule",
)  # fmt: skip


class Lifecycles:
    """Remembers which messages came."""

    def __init__(self) -> None:
        self._seen: dict[tuple[str, str, str], None] = {}

    def is_repeated(self, message: Lifecycle) -> bool:
        """Return whether this message came before, and remember it."""
        key = (message.event_type, message.market, message.timestamp)
        if key in self._seen:
            return True
        self.remember(key)
        return False

    def remember(self, key: tuple[str, str, str]) -> None:
        """Remember a message that was not seen before by its type, market and timestamp."""
        if len(self._seen) >= MEMORY:
            del self._seen[next(iter(self._seen))]
        self._seen[key] = None

    def facts(self, message: Lifecycle) -> dict[str, Any]:
        """Return the payload of the MARKET event: what the message says, under stable names."""
        fields = message.fields
        facts: dict[str, Any] = {
            "change": "new" if message.event_type == "new_market" else "resolved",
            "market": message.market,
            "timestamp": message.timestamp,
            "token_ids": [
                text
                for text in _texts(fields, "assets_ids") or _texts(fields, "clob_token_ids")
                if usable_id(text)
            ],
            "outcomes": _texts(fields, "outcomes"),
        }
        winner = fields.get("winning_asset_id")
        if isinstance(winner, str) and usable_id(winner):
            facts["winning_token_id"] = winner
        for key in _COPIED:
            if key in fields:
                name = "tick_size" if key == "order_price_min_tick_size" else key
                facts[name] = fields[key]
        return facts


def _texts(fields: Mapping[str, Any], key: str) -> list[str]:
    given = fields.get(key)
    if not isinstance(given, list):
        return []
    return [str(each) for each in given if isinstance(each, str)]
