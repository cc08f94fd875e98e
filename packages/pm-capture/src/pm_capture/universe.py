"""The universe file of a run: which markets, in which order, with which tokens.

Written by pm-universe, or by hand in the same form; copied into the run byte for byte, never rewritten.
pm-capture reads of it only what it needs to subscribe.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import msgspec

from pm_capture.shard_range import ShardRange
from pm_capture.sharding import TOKENS_PER_SHARD, MarketTokens, shard_of


class UniverseError(Exception):
    """A universe that cannot be captured; the message names the file. Exit code 2."""


class Token(msgspec.Struct, frozen=True):
    """One outcome of a market."""

    token_id: str


class Market(msgspec.Struct, frozen=True):
    """One market as far as a capture needs it; other fields are passed over."""

    market_id: str
    condition_id: str
    tokens: list[Token]
    slug: str | None = None
    end_date: str | None = None

    @property
    def token_ids(self) -> tuple[str, ...]:
        """Its tokens, in the order of the file."""
        return tuple(token.token_id for token in self.tokens)


class Document(msgspec.Struct, frozen=True):
    """The file as it is written."""

    universe_version: int
    kind: str
    markets: list[Market]
    created_wall_ns_utc: int | None = None
    created_mono_ns: int | None = None
    selection: dict[str, Any] = {}
    stats: dict[str, Any] = {}


@dataclass(frozen=True, slots=True)
class Universe:
    """A universe with the bytes it was read from."""

    document: Document
    data: bytes
    sha256: str

    @property
    def markets(self) -> list[MarketTokens]:
        """What sharding needs, in the order of the file."""
        return [
            MarketTokens(market.condition_id, tuple(token.token_id for token in market.tokens))
            for market in self.document.markets
        ]

    @property
    def token_ids(self) -> list[str]:
        """Every token, in the order of the file."""
        return [token.token_id for market in self.document.markets for token in market.tokens]


def read_universe(path: Path) -> Universe:
    """Read a full universe. Raises `UniverseError` when there is nothing in it to capture."""
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UniverseError(f"{path}: cannot be read: {error.strerror}") from error
    return parse_universe(data, str(path))


def check_share(universe: Universe, part: ShardRange, name: str) -> None:
    """Refuse to begin a capture of a part that cannot be meant; `name` is for messages.

    Raises `UniverseError` when there are too few shards for the universe, or nothing is in the range. What
    a capture grows into later is no mistake of anybody's.
    """
    token_count = len(universe.token_ids)
    if token_count > part.count * TOKENS_PER_SHARD:
        raise UniverseError(
            f"{name}: {token_count} tokens are too many for {part.count} shards; give every process "
            f"--ws-shards {-(-token_count // TOKENS_PER_SHARD)} or more, and ranges of that"
        )
    if not share(universe, part).token_ids:
        raise UniverseError(f"{name}: no token falls into shards {part}")


def share(universe: Universe, part: ShardRange) -> Universe:
    """Return the universe without the markets of other processes; bytes and digest stay those of all."""
    markets = [
        market
        for market in universe.document.markets
        if shard_of(market.condition_id, part.count) in part
    ]
    return replace(universe, document=msgspec.structs.replace(universe.document, markets=markets))


def parse_universe(data: bytes, name: str) -> Universe:
    """Check and hold the bytes of a universe file; `name` is for messages."""
    try:
        document = msgspec.json.decode(data, type=Document)
    except msgspec.DecodeError as error:
        raise UniverseError(f"{name}: not a universe: {error}") from error
    if document.kind != "full":
        raise UniverseError(f"{name}: expected a full universe, found kind {document.kind!r}")
    universe = Universe(document, data, hashlib.sha256(data).hexdigest())
    if not universe.token_ids:
        raise UniverseError(f"{name}: holds no token to capture")
    seen: set[str] = set()
    for market in document.markets:
        for token in market.tokens:
            if not token.token_id:
                raise UniverseError(f"{name}: market {market.market_id} has an empty token id")
            if token.token_id in seen:
                raise UniverseError(f"{name}: token {token.token_id} stands in two places")
            seen.add(token.token_id)
    return universe
