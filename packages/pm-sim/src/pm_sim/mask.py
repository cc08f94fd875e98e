"""Hindsight masks: times in which a book is suspected to have been frozen (docs/spec/mask.md, `pm-audit`).

The tokens of a market are views of one book, so a mask on one of them is on the whole market.

A mask knows what nobody could know at the time. It only ever takes fills away, or labels them, and the
result says which mask it was.
"""

import hashlib
import json
from bisect import bisect_right
from collections.abc import Callable
from itertools import accumulate
from pathlib import Path
from typing import Final

from pm_frames.command import UsageError
from pm_frames.errors import MissingFile
from pm_sim.books import Books
from pm_sim.markets import Markets

FORMAT: Final = "pm-mask-1"


class Mask:
    """Intervals of the receive clock by token id."""

    def __init__(self, sha256: str, intervals: dict[str, list[tuple[int, int]]]) -> None:
        """`intervals`: from, and before what; they may overlap."""
        self.sha256 = sha256
        self.intervals = sum(map(len, intervals.values()))
        self._starts = {token: [one[0] for one in sorted(of)] for token, of in intervals.items()}
        # The latest end of all that have begun by then.
        self._stops = {
            token: list(accumulate((one[1] for one in sorted(of)), max))
            for token, of in intervals.items()
        }

    def covers(self, token_id: str, at_ns: int, since_ns: int | None = None) -> bool:
        """Say whether a token is suspected at a moment, or was at any since another moment."""
        starts = self._starts.get(token_id)
        if starts is None:
            return False
        at = bisect_right(starts, at_ns) - 1
        since_ns = at_ns if since_ns is None else since_ns
        return at >= 0 and since_ns < self._stops[token_id][at]


def doubts(mask: Mask | None, books: Books, markets: Markets) -> Callable[[int], bool]:
    """Return what says whether the last top of a token, or of its market, was suspected ever since it was told.

    An interval also ends where the token leaves the live state: that tells no top that is better.
    """
    if mask is None:
        return lambda token: False

    def doubted(token: int) -> bool:
        market = markets.by_token.get(token)
        tokens = (token,) if market is None else market.tokens
        tops = books.tops
        return any(
            mask.covers(markets.ids[one], books.now_ns, tops[one][1] if one in tops else -1)
            for one in tokens
        )

    return doubted


def suspects(mask: Mask | None, markets: Markets) -> Callable[[int, int], bool]:
    """Return what says whether the book behind a token is suspected at a moment."""
    if mask is None:
        return lambda token, at_ns: False

    def suspected(token: int, at_ns: int) -> bool:
        market = markets.by_token.get(token)
        tokens = (token,) if market is None else market.tokens
        return any(mask.covers(markets.ids[one], at_ns) for one in tokens)

    return suspected


def read_mask(path: Path, run_id: str | None) -> Mask:
    """Read a mask of this run. Raises `MissingFile`, `UsageError` for another format or run."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MissingFile("no such mask", path=path) from error
    try:
        facts = json.loads(data)
        if facts["format"] != FORMAT:
            raise UsageError(
                "a mask of another format", path=path, expected=FORMAT, found=facts["format"]
            )
        if facts["run_id"] != run_id:
            raise UsageError(
                "a mask of another run", path=path, expected=run_id, found=facts["run_id"]
            )
        intervals: dict[str, list[tuple[int, int]]] = {}
        for one in facts["intervals"]:
            span = int(one["from_mono_ns"]), int(one["to_mono_ns"])
            intervals.setdefault(str(one["token_id"]), []).append(span)
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"not a mask: {error!r}", path=path) from error
    return Mask(hashlib.sha256(data).hexdigest(), intervals)
