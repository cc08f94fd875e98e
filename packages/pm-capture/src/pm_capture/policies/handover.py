"""Handover: when the run that follows may take the place of the run in force.

    WAITING ──every shard delivers, no book is missing──► COMPLETE
       └─timeout──► every shard delivers: INCOMPLETE, the tokens that wait are named
                    one does not:         REFUSED, the run in force stays

A token that has no book in the run in force either, or whose market is known there to be over, is not waited
for, and a shard of which all tokens are like that delivers as soon as it is connected: nothing that the older
run has would be lost. In both runs a connection counts with the books that came on itself, not on one before.
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
        self.missing: tuple[str, ...] = ()  # when the time is up, sorted

    def judged(
        self, shards: Iterable[Readiness], answers: Callable[[str], bool], now: int
    ) -> Verdict:
        """Judge the moment; `answers` tells whether a token is live, with a book, in the run in force."""
        shards = list(shards)
        # Most judgements end at the first token that is awaited: there can be very many.
        if all(each.connected and not any(map(answers, each.unanswered)) for each in shards):
            return Verdict.COMPLETE
        if now < self._due:
            return Verdict.WAITING
        awaited = [[token for token in each.unanswered if answers(token)] for each in shards]
        self.missing = tuple(sorted(token for tokens in awaited for token in tokens))
        delivers = all(
            each.connected and (each.confirmed or not tokens)
            for each, tokens in zip(shards, awaited, strict=True)
        )
        return Verdict.INCOMPLETE if delivers else Verdict.REFUSED
