"""Several processes that share one universe: each has its part, together they have all of it."""

import itertools
import json
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_capture.refresh_plan import applied, plan
from pm_capture.settings import SettingsError, resolve
from pm_capture.shard_range import ShardRange, parse_range
from pm_capture.sharding import MarketTokens, assign, shard_of
from pm_capture.universe import (
    Universe,
    UniverseError,
    check_share,
    parse_universe,
    share,
)
from pm_frames import open_bundle


def universe(markets: int) -> Universe:
    document = {
        "universe_version": 0,
        "kind": "full",
        "markets": [
            {
                "market_id": str(number),
                "condition_id": f"0x{number:064x}",
                "tokens": [{"token_id": f"{number}-{leg}"} for leg in "01"],
            }
            for number in range(markets)
        ],
    }
    return parse_universe(json.dumps(document).encode(), "u")


def test_reads_a_range() -> None:
    part = parse_range("2:5", 8)
    assert part == ShardRange(2, 5, 8)
    assert [shard in part for shard in range(1, 6)] == [False, True, True, True, False]
    assert str(part) == "2:5 of 8"


@pytest.mark.parametrize(
    "text", ["", "3", ":", "2:", ":2", "-1:2", "1:2:3", "a:b", " 1:2", "1_0:20", "²:3"]
)
def test_refuses_what_is_no_range(text: str) -> None:
    with pytest.raises(ValueError, match="must be A:B, the numbers of two shards"):
        parse_range(text, 8)


@pytest.mark.parametrize("text", ["2:2", "3:2", "0:9", "8:9"])
def test_refuses_a_range_that_is_empty_or_too_far(text: str) -> None:
    with pytest.raises(ValueError, match=r"B at most 8 \(ws_shards\)"):
        parse_range(text, 8)


def test_the_settings_are_judged_together() -> None:
    flags: dict[str, object] = {"shard_range": "0:4", "universe": "u.json"}
    assert resolve(flags=flags, environ={}).settings.shard_range == "0:4"
    with pytest.raises(SettingsError, match=r"B at most 3 \(ws_shards\), found '0:4' \(flag\)"):
        resolve(flags={**flags, "ws_shards": "3"}, environ={})
    assert resolve(flags={}, environ={"PM_DATA_SHARD_RANGE": "0:4"}).settings.shard_range == "0:4"
    with pytest.raises(SettingsError, match=r"shard_range \(flag\) and offline \(flag\) exclude"):
        resolve(flags={"shard_range": "0:4", "offline": "true"}, environ={})


@pytest.mark.parametrize("cuts", [(0, 8), (0, 4, 8), (0, 1, 2, 7, 8)])
def test_the_parts_are_disjoint_and_complete(cuts: tuple[int, ...]) -> None:
    whole = universe(700)
    shards = assign(whole.markets, shards_min=8)
    parts = [ShardRange(start, stop, 8) for start, stop in itertools.pairwise(cuts)]
    shares = [share(whole, part) for part in parts]
    assert sorted(token for mine in shares for token in mine.token_ids) == sorted(whole.token_ids)
    joined = [
        shard
        for part, mine in zip(parts, shares, strict=True)
        for shard in assign(mine.markets, shards_min=8, part=part)
    ]
    assert joined == shards
    assert {(mine.sha256, mine.data) for mine in shares} == {(whole.sha256, whole.data)}


def test_overflow_stays_with_the_part_it_comes_from() -> None:
    crowded = [
        market
        for market in universe(4000).document.markets
        if shard_of(market.condition_id, 20) == 3
    ]  # about 400 tokens
    part = ShardRange(3, 5, 20)
    tokens = [token.token_id for market in crowded for token in market.tokens]
    mine = [one for one in universe(4000).markets if set(one.token_ids) <= set(tokens)]
    first, second, *more = assign(mine, shards_min=20, part=part)
    assert (len(first), second) == (250, ())
    assert sorted(token for shard in (first, *more) for token in shard) == sorted(tokens)


@st.composite
def histories(draw: st.DrawFn) -> list[dict[str, tuple[str, ...]]]:
    """Universes one after the other: condition id to tokens, no token in two markets."""
    universes = []
    for _ in range(draw(st.integers(2, 5))):
        owners = draw(st.lists(st.integers(0, 11), min_size=30, max_size=30))
        rows: dict[str, list[str]] = {}
        for token, owner in enumerate(owners):
            rows.setdefault(f"c{owner}", []).append(f"t{token}")
        kept = draw(st.sets(st.sampled_from(sorted(rows)), min_size=1))
        universes.append({cid: tuple(rows[cid]) for cid in sorted(kept)})
    return universes


@given(histories(), st.integers(1, 4))
def test_however_the_universe_changes_every_token_is_with_one_process(
    history: list[dict[str, tuple[str, ...]]], count: int
) -> None:
    """Each process plans alone. Together they have every token once, where its market's hash says."""
    parts = [ShardRange(k, k + 1, count) for k in range(count)]
    held: list[dict[int, tuple[str, ...]]] = [{0: ()} for _ in parts]
    before: dict[str, tuple[str, ...]] = {}
    for now in history:
        old = {token for tokens in before.values() for token in tokens}
        new = {token for tokens in now.values() for token in tokens}
        added = [
            MarketTokens(cid, tokens) for cid, tokens in now.items() if before.get(cid) != tokens
        ]
        for k, part in enumerate(parts):
            changes = plan(held[k], removed=old - new, added=added, hash_shards=1, part=part)
            held[k] = applied(held[k], changes)
        for k in range(count):
            mine = [token for tokens in held[k].values() for token in tokens]
            wanted = [t for cid, ts in now.items() if shard_of(cid, count) == k for t in ts]
            assert sorted(mine) == sorted(wanted)
        before = now


def test_too_few_shards_for_the_universe_are_refused() -> None:
    with pytest.raises(UniverseError, match=re.escape("give every process --ws-shards 3 or more")):
        check_share(universe(201), ShardRange(0, 1, 2), "u")


def test_a_part_without_tokens_is_refused() -> None:
    one = universe(1)
    empty = 1 - shard_of(one.document.markets[0].condition_id, 2)
    with pytest.raises(UniverseError, match=f"no token falls into shards {empty}:{empty + 1} of 2"):
        check_share(one, ShardRange(empty, empty + 1, 2), "u")


def test_two_captures_share_a_universe(
    tmp_path: Path,
    run_in_loop: Callable[..., Any],
    new_venue: Callable[..., Any],
    answering: Any,
    capture_venue: Callable[..., Any],
) -> None:
    whole = universe(40)
    path = tmp_path / "all.json"
    path.write_bytes(whole.data)
    tokens: list[str] = []
    for run_id, shard_range in (("a", "0:1"), ("b", "1:3")):

        async def main(run_id: str = run_id, shard_range: str = shard_range) -> Any:
            async with new_venue(answering) as venue:
                return await capture_venue(
                    venue.url, run_id=run_id, universe=path, shard_range=shard_range, ws_shards=3,
                    duration_seconds=0.2,
                )  # fmt: skip

        done = run_in_loop(main())
        assert done.code == 0
        manifest = done.left.json("manifest.json")
        part = ShardRange(**manifest["shard_range"])
        assert str(part) == f"{shard_range} of 3"
        assert [shard.shard_id for shard in open_bundle(done.left.path).shards()] == list(
            range(part.stop - part.start)
        )
        asked = [
            token for record in done.left.of("subscribe_attempt") for token in record["token_ids"]
        ]
        assert set(asked) == set(manifest["pinned_tokens"])
        assert manifest["initial_universe"]["sha256"] == whole.sha256
        assert (done.left.path / manifest["initial_universe"]["file"]).read_bytes() == whole.data
        tokens += manifest["pinned_tokens"]
    assert sorted(tokens) == sorted(whole.token_ids)
