"""Which shard gets which token."""

import hashlib

import pytest

from pm_capture.sharding import MarketTokens, assign, shard_count, shard_of


def market(number: int, tokens: int = 2) -> MarketTokens:
    return MarketTokens(f"0x{number:064x}", tuple(f"{number}-{leg}" for leg in range(tokens)))


def falling_into(shard: int, count: int) -> list[MarketTokens]:
    """Markets that the hash puts into one shard."""
    found = (market(number) for number in range(100_000))
    return [one for one in found if shard_of(one.condition_id, count) == shard][:200]


def test_the_rule_is_the_documented_one() -> None:
    digest = hashlib.sha256(b"0xabc").digest()
    assert shard_of("0xabc", 8) == int.from_bytes(digest[:8], "big") % 8


@pytest.mark.parametrize(
    ("tokens", "wanted", "count"),
    [(0, 8, 8), (1600, 8, 8), (1601, 8, 9), (10, 1, 1), (4000, 1, 20)],
)
def test_more_shards_when_the_tokens_need_more(tokens: int, wanted: int, count: int) -> None:
    assert shard_count(tokens, shards_min=wanted) == count


def test_every_token_is_assigned_once_and_markets_stay_whole() -> None:
    markets = [market(number) for number in range(500)]
    shards = assign(markets, shards_min=8)
    flat = [token for shard in shards for token in shard]
    assert sorted(flat) == sorted(token for one in markets for token in one.token_ids)
    assert all(any(set(one.token_ids) <= set(shard) for shard in shards) for one in markets)


def test_membership_does_not_depend_on_order_or_on_others() -> None:
    markets = [market(number) for number in range(100)]
    whole = {frozenset(shard) for shard in assign(markets, shards_min=4)}
    assert {frozenset(shard) for shard in assign(markets[::-1], shards_min=4)} == whole


def test_a_shard_that_overflows_hands_markets_on_to_new_ids() -> None:
    markets = falling_into(0, 2)[:150]  # 300 tokens, all into shard 0 of 2
    shards = assign(markets, shards_min=2)
    assert [len(shard) for shard in shards] == [250, 0, 50]
    assert shards[2][:2] == markets[125].token_ids


def test_overflow_fills_one_new_shard_after_the_other() -> None:
    markets = [one for one in falling_into(1, 3)]
    shards = assign(markets, shards_min=3)
    assert [len(shard) for shard in shards] == [0, 250, 0, 150]


def test_a_market_larger_than_a_shard_stays_whole() -> None:
    shards = assign([market(1, tokens=300)], shards_min=1)
    assert [len(shard) for shard in shards if shard] == [300]


def test_no_markets_give_empty_shards() -> None:
    assert assign([], shards_min=3) == [(), (), ()]
