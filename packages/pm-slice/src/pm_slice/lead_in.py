"""The lead-in of one shard: which frames before the window set what is known at its start.

Of every token the frames since its last `book`; and, of all the time before, the frames that change the tick
size or the set of markets, which no later book states again. What a payload is about is peeked at, and only
where a search for bytes says that it can matter.
"""

import json
import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import pairwise
from typing import Any, Final

from pm_frames.frames import Frame
from pm_frames.layout import Flag
from pm_frames.peek import GLOBAL_TYPES, peek
from pm_frames.window import SPAN, Window
from pm_slice.source_shard import SourceShard, Unsound

STICKY: Final = GLOBAL_TYPES | {"tick_size_change"}
ENTRIES: Final = 4096  # that are looked at together
# A word at the end of a piece is found in the next one, which overlaps.
_WORDS: Final = re.compile(rb'"book"|tick_size_change|new_market|market_resolved')
_STICKY_WORDS: Final = re.compile(rb"tick_size_change|new_market|market_resolved")
OVERLAP: Final = 32
# A new connection, and what a repair left out, concern every token of the shard.
_BREAKS: Final = Flag.FIRST | Flag.SALVAGED


def wanted(frame: Frame, tokens: frozenset[str] | None) -> bool:
    """Return whether a frame belongs to a choice of tokens: it carries one of them, or none at all.

    The first frame of a connection always does: where there is no runlog, it says that there was a loss;
    and so does one that a repair has marked, which says that frames are missing before it.
    """
    if tokens is None or frame.flags & _BREAKS:
        return True
    carried = peek(frame.payload).token_ids
    return not carried or not tokens.isdisjoint(carried)


def books_in(payload: bytes) -> tuple[str, ...]:
    """Return the tokens of which a payload holds a `book`."""
    seen = peek(payload)
    kinds = set(seen.event_types)
    if "book" not in kinds:
        return ()
    if kinds == {"book"}:
        return seen.token_ids
    # Books among other events: only the text itself says which token is whose.
    try:
        return tuple(dict.fromkeys(_books(json.loads(payload))))
    except (ValueError, RecursionError):
        return ()


def _books(value: Any) -> Iterator[str]:
    for event in value if isinstance(value, list) else [value]:
        if isinstance(event, dict) and event.get("event_type") == "book":
            token_id = event.get("asset_id")
            if isinstance(token_id, str):
                yield token_id


class LeadIn:
    """What the time before ordinal `stop` of a shard has to say.

    `tokens` chooses (None: all); `expected` are the tokens that the shard may have had, None if that is not
    known: with it the search for books ends as soon as each is found.
    """

    def __init__(
        self,
        source: SourceShard,
        stop: int,
        *,
        tokens: frozenset[str] | None,
        expected: frozenset[str] | None,
    ) -> None:
        self._source = source
        self._stop = stop
        self._tokens = tokens
        self.last_books: dict[str, int] = {}
        self._sticky: list[int] = []
        self._missing = None if expected is None else set(expected)
        if self._missing is not None and tokens is not None:
            self._missing &= tokens
        for ordinal in self._hits():
            self._look_at(ordinal)
        self._sticky.reverse()

    def frames(self) -> Iterator[tuple[int, Frame | Unsound]]:
        """Yield the frames of the lead-in in order, and what is not sound among those that it may hold."""
        first = min(self.last_books.values(), default=self._stop)
        for ordinal in self._sticky:
            if ordinal < first:
                yield ordinal, self._source.frame(ordinal)
        for ordinal, frame in self._source.frames(first, self._stop):
            if isinstance(frame, Unsound) or self._counts(ordinal, frame):
                yield ordinal, frame

    def _counts(self, ordinal: int, frame: Frame) -> bool:
        if frame.flags & _BREAKS:
            return True
        seen = peek(frame.payload)
        if any(self.last_books.get(token, self._stop) <= ordinal for token in seen.token_ids):
            return True
        return not STICKY.isdisjoint(seen.event_types) and wanted(frame, self._tokens)

    def _look_at(self, ordinal: int) -> None:
        frame = self._source.frame(ordinal)
        if isinstance(frame, Unsound):
            self._sticky.append(ordinal)  # it may have been one, so it is told
            return
        for token in books_in(frame.payload):
            if self._tokens is None or token in self._tokens:
                self.last_books.setdefault(token, ordinal)
                if self._missing is not None:
                    self._missing.discard(token)
        kinds = peek(frame.payload).event_types
        if not STICKY.isdisjoint(kinds) and wanted(frame, self._tokens):
            self._sticky.append(ordinal)

    def _hits(self) -> Iterator[int]:
        """Yield the ordinals of frames with a word that matters, backwards."""
        source = self._source
        with Window(source.shard.frames_path, span=SPAN) as window:
            stop = self._stop
            while stop:
                start = max(0, stop - ENTRIES)
                places = [source.entry(ordinal).offset_frames for ordinal in range(start, stop)]
                end = places[-1] + source.size_of(stop - 1)
                if end <= window.size and all(one < next_ for one, next_ in pairwise(places)):
                    found = self._places(window, places, end)
                else:  # an entry lies about where its frame is: every frame is looked at
                    found = set(range(len(places)))
                yield from (start + place for place in sorted(found, reverse=True))
                stop = start

    def _places(self, window: Window, places: list[int], end: int) -> set[int]:
        words = _STICKY_WORDS if self._missing is not None and not self._missing else _WORDS
        return {
            bisect_right(places, at + match.start()) - 1
            for at in range(places[0], end, SPAN - OVERLAP)
            for match in words.finditer(window.at(at, min(SPAN, end - at)))
        }
