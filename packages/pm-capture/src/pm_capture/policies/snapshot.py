"""Snapshot: every subscribed token owes a first `book`; the venue may forget one silently.

Per token:  ASKED ──book──► done
              └──timeout──► asked again ──timeout──► OVERDUE, reported once per connection

A token is asked for again only once until its book comes, however many connections that takes: some
tokens have no book, and a venue that dislikes the question answers by making us reconnect, which would
cost all tokens of the shard a gap again and again. An overdue token stays subscribed: a book that comes
later is still recorded like any other.
"""

from collections.abc import Iterable, Sequence

from pm_capture.actions import Action, Note, Resubscribe


class Snapshot:
    """Watch the first book of each token; a non-positive timeout disables the machine."""

    def __init__(self, *, timeout_ns: int) -> None:
        self._timeout_ns = timeout_ns
        # Token -> when its time is up. Insertion order is deadline order, because every ask has the
        # same timeout and asking again moves a token to the end.
        self._pending: dict[str, int] = {}
        self._asked_again: set[str] = set()
        self.overdue: set[str] = set()

    @property
    def waiting(self) -> bool:
        """Whether books still matter to this machine."""
        return bool(self._pending) or bool(self.overdue)

    def asked(self, token_ids: Sequence[str], now: int) -> None:
        """Start or restart the clock of tokens that have just been subscribed."""
        if self._timeout_ns <= 0:
            return
        for token_id in token_ids:
            self._pending.pop(token_id, None)
            self._pending[token_id] = now + self._timeout_ns

    def closed(self) -> None:
        """Forget the connection, but not who has been asked for again in vain."""
        self._pending.clear()
        self.overdue.clear()

    def forgotten(self, token_ids: Iterable[str]) -> None:
        """Expect nothing more of tokens that are no longer asked for."""
        self.books_received(token_ids)

    def books_received(self, token_ids: Iterable[str]) -> None:
        """Take note of a `book` event for each token."""
        for token_id in token_ids:
            self._pending.pop(token_id, None)
            self._asked_again.discard(token_id)
            self.overdue.discard(token_id)

    def deadline(self) -> int | None:
        return next(iter(self._pending.values()), None)

    def deadline_reached(self, now: int) -> list[Action]:
        again: list[str] = []
        given_up: list[str] = []
        for token_id, due in self._pending.items():
            if due > now:
                break
            (given_up if token_id in self._asked_again else again).append(token_id)
        self._asked_again.update(again)
        for token_id in given_up:
            del self._pending[token_id]
        self.overdue.update(given_up)
        # Tokens to ask again stay pending until `asked` restarts them.
        actions: list[Action] = [Resubscribe(tuple(again))] if again else []
        if given_up:
            fields = {"token_count": len(given_up), "token_ids": given_up}
            actions.append(Note("snapshot_overdue", fields))
        return actions
