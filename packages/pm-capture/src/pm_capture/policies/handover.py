"""Handover: when the run that follows may take the place of the run in force.

    WAITING ──every shard delivers, no book is missing──► COMPLETE
       └─timeout──► every shard delivers: INCOMPLETE, the tokens that wait are named
                    one does not:         REFUSED, the run in force stays

A token that has no book in the run in force either is not waited for: some have none, and nothing that
the older run has would be lost. A connection counts with the books that came on itself, not on one before.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from enum import Enum, auto


class Verdict(Enum):
    """What becomes of a handover."""

    WAITING = auto()
    COMPLETE = auto()
    INCOMPLETE = auto()
    REFUSED = auto()


@dataclass(frozen=True, slots=True)
class Readiness:
    """One shard with tokens of the run that follows: does it deliver, and whose first book is still to come?"""

    delivers: bool
    unanswered: Collection[str]


class Handover:
    """Judge one overlap of two runs."""

    def __init__(self, *, timeout_ns: int, now: int) -> None:
        self._due = now + timeout_ns
        self.missing: tuple[str, ...] = ()  # as of the newest judgement, sorted

    def judged(self, shards: Iterable[Readiness], seen: Collection[str], now: int) -> Verdict:
        """Judge the moment; `seen` are the tokens that have had a book in the run in force."""
        shards = list(shards)
        delivers = all(shard.delivers for shard in shards)
        self.missing = tuple(
            sorted(token for shard in shards for token in shard.unanswered if token in seen)
        )
        if delivers and not self.missing:
            return Verdict.COMPLETE
        if now < self._due:
            return Verdict.WAITING
        return Verdict.INCOMPLETE if delivers else Verdict.REFUSED
