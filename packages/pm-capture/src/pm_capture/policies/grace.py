"""Grace: a token that has just been added has a right to no book yet, and is no hole in the coverage."""

from collections.abc import Iterable, Set


class Grace:
    """Know which tokens are too new to be counted; a non-positive grace counts them at once."""

    def __init__(self, *, grace_ns: int = 0) -> None:
        self._grace_ns = grace_ns
        # Token -> when it counts. Insertion order is the order of the ends.
        self._until: dict[str, int] = {}

    def added(self, token_ids: Iterable[str], now: int) -> None:
        """Start the grace of tokens that a refresh has just added."""
        if self._grace_ns > 0:
            for token_id in token_ids:
                self._until.pop(token_id, None)
                self._until[token_id] = now + self._grace_ns

    def removed(self, token_ids: Iterable[str]) -> None:
        """Forget tokens."""
        for token_id in token_ids:
            self._until.pop(token_id, None)

    def excluded(self, now: int) -> Set[str]:
        """Return the tokens that coverage leaves out at this moment."""
        over = []
        for token_id, until in self._until.items():
            if until > now:
                break
            over.append(token_id)
        self.removed(over)
        return self._until.keys()
