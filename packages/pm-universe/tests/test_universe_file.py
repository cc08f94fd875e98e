"""The document: literal bytes, and back."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pm_universe.market import parse
from pm_universe.query import Entry, decode
from pm_universe.selection import Wanted, select
from pm_universe.universe_file import Circumstances, UniverseFile, describe, encode, read

MakeMarket = Callable[..., dict[str, Any]]


@pytest.fixture
def universe(make_market: MakeMarket) -> UniverseFile:
    schedule = {"rate": 0.07, "exponent": 1, "takerOnly": True, "rebateRate": 0.2}
    changes = {"feesEnabled": True, "feeSchedule": schedule, "secondsDelay": 3}
    given = [make_market(1, **changes), make_market(2, question="Naïve?"), make_market(3)]
    parsed = [parse(Entry(decode(json.dumps(market)), None)) for market in given]
    wanted = Wanted(max_markets=2)
    return describe(
        select(parsed, wanted),
        wanted,
        Circumstances("https://gamma.example", 1, 1_790_000_000_000_000_123, 42),
    )


def test_the_bytes(universe: UniverseFile) -> None:
    token = 10**70
    assert encode(universe).decode() == (
        '{"universe_version":0,"kind":"full","created_wall_ns_utc":1790000000000000123,'
        '"created_mono_ns":42,"selection":{"universe_mode":"active-binary",'
        '"capture_use_market_filters":false,"market_regex_effective":null,"max_markets":2,'
        '"gamma_base_url":"https://gamma.example","events":[],"markets":[],"sweep":"whole"},'
        '"stats":{"gamma_pages_fetched":1,"markets_seen":3,"markets_selected":2,'
        '"markets_dropped_by_cap":1,"tokens_selected":4,"events_split_by_cap":0,"markets_left_out":{}},"markets":[\n'
        '{"market_id":"500001","condition_id":"0x' + "1".zfill(64) + '","slug":"number-1",'
        '"question":"Will number 1 come up?","category":null,"event_id":"9001",'
        '"event_slug":"event-1","neg_risk":false,"neg_risk_augmented":false,'
        '"neg_risk_market_id":null,"event_markets":null,"tick_size":"0.01","min_size":"5","fees_enabled":true,'
        '"fee_type":null,"fee_schedule":{"rate":"0.07","exponent":"1","taker_only":true,'
        '"rebate_rate":"0.2"},"seconds_delay":3,"end_date":"2026-12-31T00:00:00Z","version":null,'
        f'"tokens":[{{"token_id":"{token + 2}","outcome":"Yes"}},'
        f'{{"token_id":"{token + 3}","outcome":"No"}}]}},\n'
        '{"market_id":"500002","condition_id":"0x' + "2".zfill(64) + '","slug":"number-2",'
        '"question":"Naïve?","category":null,"event_id":"9002",'
        '"event_slug":"event-2","neg_risk":false,"neg_risk_augmented":false,'
        '"neg_risk_market_id":null,"event_markets":null,"tick_size":"0.01","min_size":"5","fees_enabled":false,'
        '"fee_type":null,"fee_schedule":null,"seconds_delay":null,'
        '"end_date":"2026-12-31T00:00:00Z","version":null,'
        f'"tokens":[{{"token_id":"{token + 4}","outcome":"Yes"}},'
        f'{{"token_id":"{token + 5}","outcome":"No"}}]}}\n'
        "]}\n"
    )


def test_it_reads_back_and_unknown_keys_are_ignored(universe: UniverseFile, tmp_path: Path) -> None:
    path = tmp_path / "000000.json"
    path.write_bytes(encode(universe))
    assert read(path) == universe
    later = json.loads(path.read_bytes()) | {"future": 1}
    later["markets"][0]["future"] = 2
    path.write_text(json.dumps(later), encoding="utf-8")
    assert read(path) == universe


def test_no_number_of_the_file_is_a_float(universe: UniverseFile) -> None:
    def refuse(text: str) -> float:
        raise AssertionError(f"a float: {text}")

    json.loads(encode(universe), parse_float=refuse)


def test_everything_seen_is_accounted_for(universe: UniverseFile) -> None:
    stats = universe.stats
    assert stats.markets_seen == (
        stats.markets_selected + stats.markets_dropped_by_cap + sum(stats.markets_left_out.values())
    )
