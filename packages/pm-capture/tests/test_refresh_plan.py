"""Which shard gains and loses what."""

from pm_capture.refresh_plan import ShardChange, applied, plan
from pm_capture.shard_range import ShardRange
from pm_capture.sharding import TOKENS_PER_SHARD_MAX, MarketTokens, assign, shard_of

N = 4


def market(name: str, *more: str) -> MarketTokens:
    return MarketTokens(name, (f"{name}-yes", f"{name}-no", *more))


def named(shard_id: int, count: int = 1) -> list[MarketTokens]:
    """Markets whose hash names this shard."""
    found: list[MarketTokens] = []
    number = 0
    while len(found) < count:
        number += 1
        if shard_of(f"m{number}", N) == shard_id:
            found.append(market(f"m{number}"))
    return found


def full(shard_id: int) -> list[str]:
    return [f"s{shard_id}-{n}" for n in range(TOKENS_PER_SHARD_MAX)]


def test_a_new_market_goes_where_its_hash_says_and_nothing_else_moves() -> None:
    [new] = named(2)
    shards = {0: ("a",), 1: ("b",), 2: ("c",), 3: ()}
    changes = plan(shards, removed=["b"], added=[new], hash_shards=N)
    assert changes == (ShardChange(1, (), ("b",)), ShardChange(2, new.token_ids, ()))
    assert applied(shards, changes) == {0: ("a",), 1: (), 2: ("c", *new.token_ids), 3: ()}


def test_the_rule_is_that_of_the_beginning() -> None:
    markets = [market(f"m{n}") for n in range(30)]
    empty: dict[int, tuple[str, ...]] = dict.fromkeys(range(N), ())
    changes = plan(empty, removed=(), added=markets, hash_shards=N)
    assert list(applied(empty, changes).values()) == assign(markets, shards_min=N)


def test_a_full_shard_hands_on_to_the_first_with_room_and_then_to_a_new_one() -> None:
    one, two, three = named(2, 3)
    shards = {0: ("a",), 1: (), 2: tuple(full(2)), 3: (), 4: tuple(full(4)), 5: tuple(full(5)[3:])}
    changes = plan(shards, removed=(), added=[one, two, three], hash_shards=N)
    assert [(change.shard_id, change.added) for change in changes] == [
        (5, one.token_ids), (6, two.token_ids + three.token_ids),
    ]  # fmt: skip


def test_room_that_is_made_is_used() -> None:
    [new] = named(2)
    tokens = full(2)
    changes = plan({0: (), 1: (), 2: tokens, 3: ()}, removed=tokens[:2], added=[new], hash_shards=N)
    assert changes == (ShardChange(2, new.token_ids, tuple(tokens[:2])),)


def test_a_market_that_gains_a_token_stays_together() -> None:
    [old] = named(1)
    grown = MarketTokens(old.condition_id, (*old.token_ids, "third"))
    shards = {0: (), 1: (), 2: (), 3: old.token_ids}
    assert plan(shards, removed=(), added=[grown], hash_shards=N) == (
        ShardChange(3, ("third",), ()),
    )


def test_a_token_that_only_changes_its_market_does_not_move() -> None:
    shards = {0: ("x-yes", "x-no"), 1: (), 2: (), 3: ()}
    assert plan(shards, removed=(), added=[market("x")], hash_shards=N) == ()


def test_what_the_hash_gives_to_another_process_is_left_to_it() -> None:
    [mine], [other] = named(1), named(2)
    shards: dict[int, tuple[str, ...]] = {0: (), 1: ()}
    part = ShardRange(0, 2, N)
    changes = plan(shards, removed=["not-ours"], added=[mine, other], hash_shards=2, part=part)
    assert changes == (ShardChange(1, mine.token_ids, ()),)


def test_shards_of_a_part_count_from_its_first_and_overflow_behind_its_last() -> None:
    one, two = named(2, 2)
    part = ShardRange(1, 3, N)
    shards: dict[int, tuple[str, ...]] = {0: (), 1: tuple(full(2)[2:])}
    changes = plan(shards, removed=(), added=[one, two], hash_shards=2, part=part)
    assert [(change.shard_id, change.added) for change in changes] == [
        (1, one.token_ids), (2, two.token_ids),
    ]  # fmt: skip


def test_a_token_that_moves_on_to_a_market_of_another_process_is_left_to_it() -> None:
    [mine], [other] = named(1), named(2)
    moved = MarketTokens(other.condition_id, mine.token_ids)
    shards: dict[int, tuple[str, ...]] = {0: (), 1: mine.token_ids}
    rest: dict[int, tuple[str, ...]] = {0: (), 1: ()}
    assert plan(shards, removed=(), added=[moved], hash_shards=2, part=ShardRange(0, 2, N)) == (
        ShardChange(1, (), mine.token_ids),
    )
    assert plan(rest, removed=(), added=[moved], hash_shards=2, part=ShardRange(2, 4, N)) == (
        ShardChange(0, mine.token_ids, ()),
    )


def test_the_first_overflow_shard_is_behind_the_hash_shards() -> None:
    [new] = named(2)
    shards = {0: (), 1: (), 2: tuple(full(2)), 3: ()}
    [change] = plan(shards, removed=(), added=[new], hash_shards=N)
    assert change.shard_id == N
