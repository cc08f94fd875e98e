"""Generations of the universe after the first: what pm-universe says has changed, and what follows.

A market with other tokens is another market, so a changed market keeps its tokens. Removals come before
additions, because a token may move from one market to another; for us it then has not changed at all.
"""

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import msgspec

from pm_capture.policies.expected_churn import Ending
from pm_capture.sharding import MarketTokens
from pm_capture.universe import Market, Universe, UniverseError

Identity = tuple[str, str, tuple[str, ...]]


class _Removed(msgspec.Struct, frozen=True):
    market_id: str
    condition_id: str
    token_ids: list[str]


class _Changed(msgspec.Struct, frozen=True):
    market: Market


class _Since(msgspec.Struct, frozen=True):
    universe_version: int


class _Delta(msgspec.Struct, frozen=True):
    universe_version: int
    kind: str
    since: _Since
    removed: list[_Removed]
    changed: list[_Changed]
    added: list[Market]
    stats: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Head:
    """The universe in force: its version and its markets."""

    version: int
    markets: Mapping[Identity, Market]

    @property
    def token_count(self) -> int:
        """Tokens of all markets."""
        return sum(len(market.tokens) for market in self.markets.values())


@dataclass(frozen=True, slots=True)
class Step:
    """A generation that could follow a head: what it changes, and the bytes that say so."""

    head: Head  # as it is after the step
    data: bytes
    sha256: str
    added: tuple[str, ...]  # tokens that were not there before, in the order of the file
    removed: tuple[str, ...]  # tokens that are no longer there
    markets_added: tuple[MarketTokens, ...]
    markets_changed: int  # markets with other facts, and the same tokens
    endings: tuple[Ending, ...]  # one for each market that comes or goes
    stats: Mapping[str, Any]


def head_of(universe: Universe) -> Head:
    """Return the head that a full universe is."""
    document = universe.document
    return Head(document.universe_version, {_identity(each): each for each in document.markets})


def follow(head: Head, data: bytes, name: str) -> Step:
    """Read a delta and return where it leads; `name` is for messages.

    Raises `UniverseError` when it is none, follows another generation, speaks of markets that are not
    so, or leaves a universe that cannot be captured.
    """
    delta = _decode(data, name)
    if (delta.since.universe_version, delta.universe_version) != (head.version, head.version + 1):
        raise UniverseError(
            f"{name}: expected generation {head.version + 1} since {head.version}, "
            f"found {delta.universe_version} since {delta.since.universe_version}"
        )
    markets = dict(head.markets)
    gone = []
    for each in delta.removed:
        identity = (each.market_id, each.condition_id, tuple(sorted(each.token_ids)))
        if identity not in markets:
            raise UniverseError(f"{name}: removes market {each.market_id}, which is not there")
        gone.append(markets.pop(identity))
    for change in delta.changed:
        if _identity(change.market) not in markets:
            raise UniverseError(
                f"{name}: changes market {change.market.market_id}, which is not there"
            )
        markets[_identity(change.market)] = change.market
    for market in delta.added:
        if _identity(market) in markets:
            raise UniverseError(f"{name}: adds market {market.market_id}, which is there already")
        markets[_identity(market)] = market
    before = set(_tokens(head.markets.values()))
    after = _checked(markets.values(), name)
    return Step(
        head=Head(delta.universe_version, markets),
        data=data,
        sha256=hashlib.sha256(data).hexdigest(),
        added=tuple(token for token in _tokens(delta.added) if token not in before),
        removed=tuple(token for token in _tokens(gone) if token not in after),
        markets_added=tuple(
            MarketTokens(market.condition_id, market.token_ids) for market in delta.added
        ),
        markets_changed=len(delta.changed),
        endings=tuple(Ending(each.slug, _end(each)) for each in (*gone, *delta.added)),
        stats=delta.stats,
    )


def _decode(data: bytes, name: str) -> _Delta:
    try:
        delta = msgspec.json.decode(data, type=_Delta)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise UniverseError(f"{name}: not a change of the universe: {error}") from error
    if delta.kind != "delta":
        raise UniverseError(f"{name}: expected a delta, found kind {delta.kind!r}")
    return delta


def _checked(markets: Iterable[Market], name: str) -> set[str]:
    seen: set[str] = set()
    for token_id in _tokens(markets):
        if not token_id:
            raise UniverseError(f"{name}: a market has an empty token id")
        if token_id in seen:
            raise UniverseError(f"{name}: token {token_id} stands in two places")
        seen.add(token_id)
    if not seen:
        raise UniverseError(f"{name}: leaves no token to capture")
    return seen


def _identity(market: Market) -> Identity:
    return market.market_id, market.condition_id, tuple(sorted(market.token_ids))


def _tokens(markets: Iterable[Market]) -> Iterable[str]:
    return (token.token_id for market in markets for token in market.tokens)


def _end(market: Market) -> int | None:
    """Return the end of a market in ns since 1970; None if it is not known."""
    try:
        end = datetime.fromisoformat(market.end_date or "")
    except ValueError:
        return None
    end = end if end.tzinfo else end.replace(tzinfo=UTC)
    return int(end.timestamp()) * 1_000_000_000
