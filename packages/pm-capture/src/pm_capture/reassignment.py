"""What a refresh gives to one shard and takes from it, and how the runlog tells it."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Reassignment:
    """Tokens that come and tokens that go, and between which generations of the universe."""

    added: tuple[str, ...]
    removed: tuple[str, ...]
    from_version: int
    to_version: int

    def kept(self, token_ids: Sequence[str]) -> tuple[str, ...]:
        """Return the tokens that stay, in their order."""
        gone = frozenset(self.removed)
        return tuple(token_id for token_id in token_ids if token_id not in gone)

    def begin(self, from_count: int, to_count: int) -> dict[str, object]:
        """Return the fields of `shard_refresh_begin`; they tell the tokens, not only how many."""
        return {
            **self._versions(),
            "from_token_count": from_count,
            "to_token_count": to_count,
            "added_token_ids": list(self.added),
            "removed_token_ids": list(self.removed),
        }

    def applied(
        self, *, token_count: int, live: bool, confirm_reset: bool, confirm_events_seen: int
    ) -> dict[str, object]:
        """Return the fields of `shard_refresh_applied`."""
        return {
            **self._versions(),
            "token_count": token_count,
            "live": live,
            "confirm_reset": confirm_reset,
            "confirm_events_seen": confirm_events_seen,
        }

    def _versions(self) -> dict[str, int]:
        return {"from_version": self.from_version, "to_version": self.to_version}
