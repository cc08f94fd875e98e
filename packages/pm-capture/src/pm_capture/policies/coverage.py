"""Coverage: of the tokens that a shard has to deliver, how many have shown their book at least once.

Per token:  YOUNG ──book──► SEEN
              └──grace over──► DUE ──book──► SEEN

A young token is left out until its book comes or its grace ends, so that a refresh that adds many tokens
does not look like a fault. The tokens of the start have no grace: before their books come the run covers
nothing, and says so. What is counted costs nothing per heartbeat but the few young ones.
"""

from collections.abc import Iterable
from typing import NamedTuple


class Covered(NamedTuple):
    """Token counts: `eligible` are those seen and those whose grace is over."""

    seen: int
    eligible: int
    assigned: int


class Coverage:
    """Follow the first book of each assigned token of one shard."""

    def __init__(self, token_ids: Iterable[str] = (), *, grace_ns: int = 30_000_000_000) -> None:
        """`token_ids` are due at once; those that come later have `grace_ns`."""
        self._grace_ns = grace_ns
        self._assigned = set(token_ids)
        self._seen: set[str] = set()
        self._young: dict[str, int] = {}  # token -> when its grace ends
        self._counted: Covered | None = None
        self._counted_at = 0

    def new_tokens(self, token_ids: Iterable[str], now: int) -> None:
        """Assign tokens after the start; their grace begins. Nothing happens to those that are known."""
        for token_id in token_ids:
            if token_id not in self._assigned:
                self._assigned.add(token_id)
                self._young[token_id] = now + self._grace_ns

    def removed_tokens(self, token_ids: Iterable[str]) -> None:
        """Forget tokens that the shard no longer has to deliver."""
        for token_id in token_ids:
            self._assigned.discard(token_id)
            self._seen.discard(token_id)
            self._young.pop(token_id, None)

    def books_received(self, token_ids: Iterable[str]) -> None:
        """Take note of a `book` event for each token."""
        for token_id in token_ids:
            if token_id in self._assigned:
                self._seen.add(token_id)
                self._young.pop(token_id, None)

    def missing(self) -> list[str]:
        """Return the assigned tokens without a book, in order; the young ones too."""
        return sorted(self._assigned - self._seen)

    def counted(self, now: int, *, every_ns: int = 0) -> Covered:
        """Return the counts as they are now, or as they were less than `every_ns` ago."""
        if self._counted is None or now - self._counted_at >= every_ns > 0:
            self._counted, self._counted_at = self._count(now), now
        return self._counted if every_ns > 0 else self._count(now)

    def _count(self, now: int) -> Covered:
        for token_id in [token_id for token_id, due in self._young.items() if due <= now]:
            del self._young[token_id]
        assigned = len(self._assigned)
        return Covered(len(self._seen), assigned - len(self._young), assigned)
