"""From a change of the universe to the tokens that each shard gains and loses.

Sticky: a token stays in its shard for as long as it is in the universe, so no connection is touched but
for what really comes or goes. A new market goes to the shard that its hash names, among the N that the
run began with; where that is full, to the first overflow shard with room; where there is none, to a new
shard. A market that gains a token keeps its tokens together.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

from pm_capture.shard_range import ShardRange
from pm_capture.sharding import TOKENS_PER_SHARD_MAX, MarketTokens, shard_of


@dataclass(frozen=True, slots=True)
class ShardChange:
    """What one shard gains and loses; no token is in both."""

    shard_id: int
    added: tuple[str, ...]
    removed: tuple[str, ...]


def plan(
    shards: Mapping[int, Sequence[str]],
    *,
    removed: Collection[str],
    added: Iterable[MarketTokens],
    hash_shards: int,
    part: ShardRange | None = None,
) -> tuple[ShardChange, ...]:
    """Return the shards that change, by id; an id that is not in `shards` is a shard to be opened.

    `removed` holds tokens that leave the universe, `added` markets of which at least one token is new.
    With `part` a market is this process's if, and only if, its hash lies in it, whatever stood before:
    so every process comes to the same answer from the same universe, without asking another.
    """
    added = tuple(added)
    foreign: tuple[MarketTokens, ...] = ()
    if part is not None:
        mine, foreign = _divided(added, part)
        added = mine
    # A token can move on to a market of another process.
    gone = frozenset(removed).union(*(market.token_ids for market in foreign))
    # There can be 300,000 tokens, and no frame is read meanwhile: what stays is only gone over in C.
    named = frozenset(token_id for market in added for token_id in market.token_ids)
    owner = {
        token_id: shard_id
        for shard_id, token_ids in shards.items()
        for token_id in named.intersection(token_ids) - gone
    }
    sizes = {
        shard_id: len(token_ids) - len(gone.intersection(token_ids))
        for shard_id, token_ids in shards.items()
    }
    gained: dict[int, list[str]] = {}
    for market in added:
        new = [token_id for token_id in market.token_ids if token_id not in owner]
        home = _home(market.condition_id, hash_shards, part)
        there = next((owner[token] for token in market.token_ids if token in owner), None)
        shard_id = _place(sizes, len(new), home if there is None else there, hash_shards)
        sizes[shard_id] = sizes.get(shard_id, 0) + len(new)
        gained.setdefault(shard_id, []).extend(new)
        owner.update(dict.fromkeys(new, shard_id))
    lost = {
        shard_id: tuple(token_id for token_id in token_ids if token_id in gone)
        for shard_id, token_ids in shards.items()
        if not gone.isdisjoint(token_ids)
    }
    changed = sorted({*lost, *(one for one, tokens in gained.items() if tokens)})
    return tuple(
        ShardChange(shard_id, tuple(gained.get(shard_id, ())), lost.get(shard_id, ()))
        for shard_id in changed
    )


def applied(
    shards: Mapping[int, Sequence[str]], changes: Iterable[ShardChange]
) -> dict[int, tuple[str, ...]]:
    """Return the tokens of every shard after the changes."""
    after = {shard_id: tuple(token_ids) for shard_id, token_ids in shards.items()}
    for change in changes:
        gone = frozenset(change.removed)
        kept = (token for token in after.get(change.shard_id, ()) if token not in gone)
        after[change.shard_id] = (*kept, *change.added)
    return after


def _home(condition_id: str, hash_shards: int, part: ShardRange | None) -> int:
    if part is None:
        return shard_of(condition_id, hash_shards)
    return shard_of(condition_id, part.count) - part.start


def _divided(
    markets: Iterable[MarketTokens], part: ShardRange
) -> tuple[tuple[MarketTokens, ...], tuple[MarketTokens, ...]]:
    """Return the markets of a part, and the others."""
    mine: list[MarketTokens] = []
    others: list[MarketTokens] = []
    for market in markets:
        is_mine = shard_of(market.condition_id, part.count) in part
        (mine if is_mine else others).append(market)
    return tuple(mine), tuple(others)


def _place(sizes: Mapping[int, int], count: int, wanted: int, hash_shards: int) -> int:
    def has_room(shard_id: int) -> bool:
        # An empty shard takes a market of any size: it has to go somewhere whole.
        return not sizes[shard_id] or sizes[shard_id] + count <= TOKENS_PER_SHARD_MAX

    if has_room(wanted):
        return wanted
    overflow = (one for one in sizes if one >= hash_shards and has_room(one))
    return min(overflow, default=max(*sizes, hash_shards - 1) + 1)
