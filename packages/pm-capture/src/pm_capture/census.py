"""What the frames of a shard were about, counted by event type, over the whole run.

Nearly every frame is one price change, which ends with its type as the venue writes it; those are counted
by their last bytes. Of the others nearly all are books, which two searches count. What is left is looked into.
"""

from collections.abc import Sequence

from pm_frames.peek import peek

# Both spacings that the venue uses. A comma before a bare quote is outside of strings, and a frame that
# ends like this is an object (an array ends with a bracket), so this is the type of the whole message.
PRICE_CHANGE_ENDS = (b', "event_type":"price_change"}', b',"event_type":"price_change"}')
# A name between bare quotes is a whole string where there is no backslash, and with a colon behind it a
# key (see `peek`). So if the name is nowhere but in front of this value, these are all the types there are.
NAME = b'"event_type"'
BOOK = b'"event_type":"book"'
RESOLVED = "market_resolved"
KEEPALIVE = "_keepalive"
EMPTY = "_empty"
OTHER = "_other"
TYPES_MAX = 64
TYPE_CHARS_MAX = 64


class Census:
    """Counts of event types; a frame without one that is not expected to have none is an error."""

    def __init__(self) -> None:
        self.decode_errors = 0
        self.resolutions: list[bytes] = []  # payloads with a `market_resolved`, until taken
        self._price_changes = 0
        self._counts: dict[str, int] = {}

    def received(self, frames: Sequence[tuple[int, bytes]]) -> list[bytes]:
        """Count frames; return the payloads of those that are not plain price changes."""
        rest = [payload for _, payload in frames if not payload.endswith(PRICE_CHANGE_ENDS)]
        self._price_changes += len(frames) - len(rest)
        for payload in rest:
            self._look_into(payload)
        return rest

    def resolutions_taken(self) -> list[bytes]:
        """Return the payloads with a `market_resolved` since the last call."""
        taken, self.resolutions = self.resolutions, []
        return taken

    def counts(self) -> dict[str, int]:
        """Return events by type; `_keepalive` and `_empty` count frames, `_other` types beyond the 64th."""
        counts = dict(self._counts)
        if self._price_changes:
            counts["price_change"] = counts.get("price_change", 0) + self._price_changes
        return dict(sorted(counts.items()))

    def _look_into(self, payload: bytes) -> None:
        books = payload.count(BOOK)
        if books and books == payload.count(NAME) and b"\\" not in payload:
            self._count("book", books)
            return
        seen = peek(payload)
        if seen.event_types:
            for name in seen.event_types:
                self._count(name)
            if RESOLVED in seen.event_types:
                self.resolutions.append(payload)
        elif seen.keepalive:
            self._count(KEEPALIVE)
        elif payload.strip() in {b"", b"[]"}:
            self._count(EMPTY)
        else:
            self.decode_errors += 1

    def _count(self, name: str, number: int = 1) -> None:
        counts = self._counts
        if name not in counts and (len(counts) >= TYPES_MAX or len(name) > TYPE_CHARS_MAX):
            name = OTHER
        counts[name] = counts.get(name, 0) + number
