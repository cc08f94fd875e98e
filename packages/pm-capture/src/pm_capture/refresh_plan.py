"""From a change of the universe to the tokens that each shard gains and loses.

Sticky: a token stays in its shard for as long as it is in the universe, so no connection is touched but
for what really comes or goes. A new market goes to the shard that its hash names, among the N that the
run began with; where that is full, to the first overflow shard with room; where there is none, to a new
shard. A market that gains a token keeps its tokens together.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass

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
) -> tuple[ShardChange, ...]:
    """Return the shards that change, by id; an id that is not in `shards` is a shard to be opened.

    `removed` holds tokens that leave the universe, `added` markets of which at least one token is new.
    A market whose hash names a shard that is not in `shards` is somebody else's.
    """
    gone = frozenset(removed)
    owner = {
        token_id: shard_id
        for shard_id, token_ids in shards.items()
        for token_id in token_ids
        if token_id not in gone
    }
    sizes = dict.fromkeys(shards, 0)
    for shard_id in owner.values():
        sizes[shard_id] += 1
    gained: dict[int, list[str]] = {}
    for market in added:
        new = [token_id for token_id in market.token_ids if token_id not in owner]
        home = shard_of(market.condition_id, hash_shards)
        there = next((owner[token] for token in market.token_ids if token in owner), None)
        if there is None and home not in shards:
            continue
        shard_id = _place(sizes, len(new), home if there is None else there, hash_shards)
        sizes[shard_id] = sizes.get(shard_id, 0) + len(new)
        gained.setdefault(shard_id, []).extend(new)
        owner.update(dict.fromkeys(new, shard_id))
    lost = {
        shard_id: tuple(token_id for token_id in token_ids if token_id in gone)
        for shard_id, token_ids in shards.items()
    }
    changed = sorted({*(one for one, tokens in gained.items() if tokens),
                      *(one for one, tokens in lost.items() if tokens)})  # fmt: skip
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


def _place(sizes: Mapping[int, int], count: int, wanted: int, hash_shards: int) -> int:
    overflow = sorted(shard_id for shard_id in sizes if shard_id >= hash_shards)
    for shard_id in (wanted, *overflow):
        # An empty shard takes a market of any size: it has to go somewhere whole.
        if not sizes[shard_id] or sizes[shard_id] + count <= TOKENS_PER_SHARD_MAX:
            return shard_id
    return max(*sizes, hash_shards - 1) + 1
