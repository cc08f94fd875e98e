"""Choosing tokens on a command line by what people call them, with the universe files of a run.

`--event SLUG`, `--market SLUG|0x…` and `--token ID|SLUG:Outcome`, each repeatable; together they choose
all tokens that any of them names.
"""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, NamedTuple

from pm_frames.command import UsageError


class Selection(NamedTuple):
    """What was asked for; nothing at all means every token."""

    events: tuple[str, ...] = ()
    markets: tuple[str, ...] = ()
    tokens: tuple[str, ...] = ()


class _Token(NamedTuple):
    token_id: str
    names: frozenset[tuple[str, str]]  # (option, text) of everything that chooses this token


def selection_arguments(parser: ArgumentParser) -> None:
    """Add `--event`, `--market` and `--token`; see `selection_of`."""
    add = parser.add_argument
    add("--event", action="append", default=[], metavar="SLUG", help="all markets of an event")
    add("--market", action="append", default=[], metavar="SLUG|0x…", help="both tokens of a market")
    add("--token", action="append", default=[], metavar="ID|SLUG:OUTCOME", help="one token")


def selection_of(arguments: Namespace) -> Selection:
    """Return what the arguments of `selection_arguments` ask for."""
    return Selection(tuple(arguments.event), tuple(arguments.market), tuple(arguments.token))


def select_tokens(selection: Selection, documents: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return the ids of the chosen tokens, each once, in the order of the universe files given.

    `documents` are the universe files of a run, as `read_json` gives them, oldest first.

    An empty selection chooses all. Outcomes are compared without regard to case. Where there is no
    universe at all, token ids are taken as they are. Raises `UsageError` naming what fits nothing, with
    the nearest name that would.
    """
    known = list(_tokens(documents))
    asked = [
        *(("--event", text) for text in selection.events),
        *(("--market", text) for text in selection.markets),
        *(("--token", _outcome_folded(text)) for text in selection.tokens),
    ]
    if (
        not known
        and asked
        and all(option == "--token" and ":" not in text for option, text in asked)
    ):
        return list(dict.fromkeys(selection.tokens))
    for option, text in asked:
        if not any((option, text) in token.names for token in known):
            raise UsageError(
                f"{option} {text}: no such name in this run{_hint(option, text, known)}"
            )
    wanted = set(asked)
    chosen = (token.token_id for token in known if not asked or token.names & wanted)
    return list(dict.fromkeys(chosen))


def _tokens(documents: Iterable[Mapping[str, Any]]) -> Iterator[_Token]:
    for document in documents:
        # A full file lists all markets; a delta those that were added, and changed ones as they are now.
        markets = [*document.get("markets", ()), *document.get("added", ())]
        markets += [one["market"] for one in document.get("changed", ())]
        for market in markets:
            slug = market.get("slug")
            shared = {("--event", market.get("event_slug")), ("--market", slug)}
            shared.add(("--market", market.get("condition_id")))
            for token in market.get("tokens") or ():
                token_id, outcome = token.get("token_id"), token.get("outcome")
                own = {("--token", token_id), ("--token", _outcome_folded(f"{slug}:{outcome}"))}
                yield _Token(token_id, frozenset(shared | own))


def _outcome_folded(text: str) -> str:
    slug, colon, outcome = text.partition(":")
    return slug + colon + outcome.casefold()


def _hint(option: str, text: str, known: list[_Token]) -> str:
    import difflib

    names = {name for token in known for kind, name in token.names if kind == option and name}
    nearest = difflib.get_close_matches(text, sorted(names), n=1)
    if nearest:
        return f"; did you mean {nearest[0]}?"
    return "" if names else "; it has no universe file"
