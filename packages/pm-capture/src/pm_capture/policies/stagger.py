"""Stagger: changes that come one at a time, so that a refresh does not fall on all shards at once.

EMPTY ──begun──► PENDING ──due──► one item ──gap──► the next ── … ──► EMPTY
"""

from collections import deque
from collections.abc import Iterable
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Stagger(Generic[Item]):
    """Give items in order, each `gap_ns` after the one before or later."""

    def __init__(self, *, gap_ns: int) -> None:
        self._gap_ns = max(0, gap_ns)
        self._items: deque[Item] = deque()
        self._due = 0

    @property
    def pending(self) -> int:
        """Items still to come."""
        return len(self._items)

    def begun(self, items: Iterable[Item], now: int) -> None:
        """Add items; the first is due at once if nothing came lately."""
        if not self._items:
            self._due = max(now, self._due)
        self._items.extend(items)

    def deadline(self) -> int | None:
        return self._due if self._items else None

    def deadline_reached(self, now: int) -> list[Item]:
        if not self._items or now < self._due:
            return []
        self._due = now + self._gap_ns
        return [self._items.popleft()]
