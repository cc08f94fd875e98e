"""Which shard records which token: one shard is one connection is one pair of files.

N = max(shards wanted, ceil(tokens / 200)), fixed for the run; shard = sha256(condition id) mod N, so
both tokens of a market stay together and membership survives restarts. A shard that the hash fills
beyond 250 tokens hands whole markets on to further shard ids, in the order of the universe.
"""

import hashlib
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from pm_capture.shard_range import ShardRange

TOKENS_PER_SHARD = 200
TOKENS_PER_SHARD_MAX = 250


class MarketTokens(NamedTuple):
    """One market as far as sharding needs it."""

    condition_id: str
    token_ids: tuple[str, ...]


def shard_count(token_count: int, *, shards_min: int) -> int:
    """N of the rule above."""
    return max(shards_min, -(-token_count // TOKENS_PER_SHARD))


def shard_of(condition_id: str, count: int) -> int:
    """The shard that the hash names, before any overflow."""
    digest = hashlib.sha256(condition_id.encode("utf-8")).digest()
    return int.from_bytes(digest[:8], "big") % count


def assign(
    markets: Iterable[MarketTokens], *, shards_min: int, part: ShardRange | None = None
) -> list[tuple[str, ...]]:
    """Return the tokens of every shard; the index is the shard id. Shards may be empty.

    With `part`, all markets lie in it, and index 0 is its first shard.
    """
    markets = list(markets)
    if part is None:
        tokens = sum(len(market.token_ids) for market in markets)
        count = shard_count(tokens, shards_min=shards_min)
        part = ShardRange(0, count, count)
    shards: list[list[str]] = [[] for _ in range(part.start, part.stop)]
    hashed = len(shards)
    overflow: list[Sequence[str]] = []
    for market in markets:
        shard = shards[shard_of(market.condition_id, part.count) - part.start]
        if _fits(shard, market.token_ids):
            shard.extend(market.token_ids)
        else:
            overflow.append(market.token_ids)
    for token_ids in overflow:
        if len(shards) == hashed or not _fits(shards[-1], token_ids):
            shards.append([])
        shards[-1].extend(token_ids)
    return [tuple(shard) for shard in shards]


def _fits(shard: list[str], token_ids: Sequence[str]) -> bool:
    # An empty shard takes a market of any size: it has to go somewhere whole.
    return not shard or len(shard) + len(token_ids) <= TOKENS_PER_SHARD_MAX
