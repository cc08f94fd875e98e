"""Handover: when the run that follows may take the place of the run in force.

    WAITING ──every shard delivers, no book is missing──► COMPLETE
       └─timeout──► every shard delivers: INCOMPLETE, the tokens that wait are named
                    one does not:         REFUSED, the run in force stays

A token that has no book in the run in force either is not waited for, and a shard of which all tokens are
like that delivers as soon as it is connected: some have none, and nothing that the older run has would be
lost. In both runs a connection counts with the books that came on itself, not on one before.
"""

from collections.abc import Callable, Collection, Iterable
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
    """One shard with tokens of the run that follows: how far is it, and whose first book is still to come?"""

    connected: bool
    confirmed: bool
    unanswered: Collection[str]


class Handover:
    """Judge one overlap of two runs."""

    def __init__(self, *, timeout_ns: int, now: int) -> None:
        self._due = now + timeout_ns
        self.missing: tuple[str, ...] = ()  # as of the newest judgement, sorted

    def judged(
        self, shards: Iterable[Readiness], answers: Callable[[str], bool], now: int
    ) -> Verdict:
        """Judge the moment; `answers` tells whether a token has a book in the run in force."""
        delivers = True
        missing: list[str] = []
        for shard in shards:
            awaited = [token for token in shard.unanswered if answers(token)]
            delivers &= shard.connected and (shard.confirmed or not awaited)
            missing += awaited
        self.missing = tuple(sorted(missing))
        if delivers and not missing:
            return Verdict.COMPLETE
        if now < self._due:
            return Verdict.WAITING
        return Verdict.INCOMPLETE if delivers else Verdict.REFUSED
