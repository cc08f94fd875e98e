"""Literal generations: the bytes of a delta, reasons, fields, and chains that are none."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pm_universe.chain import generation_files, read_since
from pm_universe.errors import BadGeneration, BrokenChain, MissingGeneration
from pm_universe.generation import Delta, Since, diff, encode_generation, fold
from pm_universe.market import parse
from pm_universe.query import Entry, decode
from pm_universe.selection import Wanted, select
from pm_universe.universe_file import Circumstances, UniverseFile, describe

MakeMarket = Callable[..., dict[str, Any]]
WANTED = Wanted(max_markets=3)


class Chain:
    """A universe that is discovered again and again."""

    def __init__(self) -> None:
        self.files: list[UniverseFile | Delta] = []

    def discovered(self, *markets: dict[str, Any], wanted: Wanted = WANTED) -> UniverseFile | Delta:
        """Add a generation; return it."""
        parsed = [parse(Entry(decode(json.dumps(market)), None)) for market in markets]
        moment = len(self.files)
        how = Circumstances("https://gamma.example", 1, moment, moment)
        generation: UniverseFile | Delta
        if not self.files:
            generation = describe(select(parsed, wanted), wanted, how)
        else:
            universe = fold(self.files)
            selection = select(parsed, wanted, incumbents=universe.markets)
            generation = diff(Since(universe, "5a" * 32), selection, wanted, how)
        self.files.append(generation)
        return generation

    def next(self, *markets: dict[str, Any], wanted: Wanted = WANTED) -> Delta:
        generation = self.discovered(*markets, wanted=wanted)
        assert isinstance(generation, Delta)
        return generation

    def written(self, directory: Path) -> Path:
        directory.mkdir(parents=True)
        for generation in self.files:
            path = directory / f"{generation.universe_version:06d}.json"
            path.write_bytes(encode_generation(generation))
        return directory


@pytest.fixture
def chain() -> Chain:
    return Chain()


def test_the_bytes_of_a_delta(chain: Chain, make_market: MakeMarket) -> None:
    chain.discovered(make_market(1), make_market(2))
    delta = chain.next(make_market(2, orderMinSize=10), make_market(3))
    token = 10**70
    lines = encode_generation(delta).decode().splitlines()
    assert lines[0] == (
        '{"universe_version":1,"kind":"delta","created_wall_ns_utc":1,"created_mono_ns":1,'
        '"since":{"universe_version":0,"sha256":"' + "5a" * 32 + '"},'
        '"selection":{"universe_mode":"active-binary","capture_use_market_filters":false,'
        '"market_regex_effective":null,"max_markets":3,"gamma_base_url":"https://gamma.example",'
        '"events":[],"markets":[],"sweep":"whole"},"stats":{"gamma_pages_fetched":1,'
        '"markets_seen":2,"markets_selected":2,"markets_dropped_by_cap":0,"tokens_selected":4,'
        '"events_split_by_cap":0,"markets_left_out":{}},"removed":['
    )
    assert lines[1] == (
        '{"market_id":"500001","condition_id":"0x' + "1".zfill(64) + '",'
        f'"token_ids":["{token + 2}","{token + 3}"],"reason":"not_listed"}}'
    )
    assert lines[2] == '],"changed":['
    assert lines[3].startswith('{"fields":["min_size"],"market":{"market_id":"500002",')
    assert lines[4] == '],"added":['
    assert lines[5].startswith('{"market_id":"500003",')
    assert lines[6] == "]}"


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"closed": True}, "closed"),
        ({"acceptingOrders": False}, "not_accepting_orders"),
        ({"archived": True}, "archived"),
        ({"clobTokenIds": None}, "bad:no_token_ids"),
        ({"clobTokenIds": '["8", "9"]'}, "replaced"),
    ],
)
def test_a_removed_market_says_why(
    chain: Chain, make_market: MakeMarket, change: dict[str, Any], reason: str
) -> None:
    chain.discovered(make_market(1), make_market(2))
    delta = chain.next(make_market(1, **change), make_market(2))
    assert [(each.market_id, each.reason) for each in delta.removed] == [("500001", reason)]
    assert [row.market_id for row in delta.added] == (["500001"] if reason == "replaced" else [])


def test_filters_and_a_lower_cap_are_reasons(chain: Chain, make_market: MakeMarket) -> None:
    markets = [make_market(number, volume24hr=number) for number in (1, 2, 3)]
    chain.discovered(*markets)
    delta = chain.next(*markets, wanted=Wanted(max_markets=1, market_regex="NUMBER-[12]$"))
    assert [(each.market_id, each.reason) for each in delta.removed] == [
        ("500001", "over_cap"),
        ("500003", "filtered"),
    ]
    assert delta.selection.capture_use_market_filters is True
    assert delta.selection.market_regex_effective == "NUMBER-[12]$"
    assert delta.stats.markets_left_out == {"filtered": 1}


@pytest.mark.parametrize(
    ("change", "fields"),
    [
        ({"orderPriceMinTickSize": 0.001}, ("tick_size",)),
        ({"orderMinSize": 15}, ("min_size",)),
        ({"endDate": "2027-01-01T00:00:00Z"}, ("end_date",)),
        ({"secondsDelay": 3}, ("seconds_delay",)),
        (
            {"feesEnabled": True, "feeSchedule": {"rate": 0.07}},
            ("fees_enabled", "fee_schedule"),
        ),
        ({"question": "Really?"}, ("question",)),
        ({"outcomes": '["No", "Yes"]'}, ("tokens",)),
        ({"volume24hr": 77}, ()),
    ],
)
def test_a_changed_market_says_what(
    chain: Chain, make_market: MakeMarket, change: dict[str, Any], fields: tuple[str, ...]
) -> None:
    chain.discovered(make_market(1))
    delta = chain.next(make_market(1, **change))
    assert [each.fields for each in delta.changed] == ([fields] if fields else [])
    assert delta.is_empty == (not fields)


def test_timeline_of_a_full_cap(chain: Chain, make_market: MakeMarket) -> None:
    """The room for three markets, and what becomes of it as events come, grow and end."""

    def market(number: int, event: int, volume: float) -> dict[str, Any]:
        return make_market(number, volume24hr=volume, events=[{"id": str(event)}])

    pair = [market(1, 1, 5), market(2, 1, 5)]
    lone = market(3, 2, 1)
    chain.discovered(*pair, lone)
    # A newcomer that is traded more than all of them has to wait.
    busy = market(4, 3, 1000)
    assert chain.next(*pair, lone, busy).is_empty
    chain.files.pop()
    # An event grows: there is no room, so it is split, and what it had stays.
    grown = [*pair, market(5, 1, 50)]
    delta = chain.next(*grown, lone, busy)
    assert delta.is_empty
    assert (delta.stats.events_split_by_cap, delta.stats.markets_dropped_by_cap) == (1, 2)
    chain.files.pop()
    # The lone one ends: growth comes before newcomers.
    delta = chain.next(*grown, busy)
    assert [row.market_id for row in delta.added] == ["500005"]
    assert [each.market_id for each in delta.removed] == ["500003"]
    # The event ends: now there is room.
    delta = chain.next(busy)
    assert [row.market_id for row in delta.added] == ["500004"]
    assert [row.market_id for row in fold(chain.files).markets] == ["500004"]


def test_an_incumbent_keeps_its_tokens(chain: Chain, make_market: MakeMarket) -> None:
    later = make_market(2)
    chain.discovered(later)
    thief = make_market(1, clobTokenIds=later["clobTokenIds"])
    delta = chain.next(thief, later)
    assert delta.is_empty
    assert delta.stats.markets_left_out == {"token_of_another_market": 1}


def test_a_directory_a_run_and_a_file_are_read_alike(
    chain: Chain, make_market: MakeMarket, tmp_path: Path
) -> None:
    chain.discovered(make_market(1))
    chain.next(make_market(1), make_market(2))
    directory = chain.written(tmp_path / "run" / "universe")
    for stranger in ("1.json", "000001.json.tmp", ".000002.json.77.0.tmp", "0000003.json"):
        (directory / stranger).write_bytes(b"")
    assert [path.name for path in generation_files(directory)] == ["000000.json", "000001.json"]
    since = read_since(directory)
    assert since == read_since(tmp_path / "run")
    assert since.universe == fold(chain.files)
    whole = tmp_path / "whole.json"
    whole.write_bytes(encode_generation(since.universe))
    assert read_since(whole).universe == since.universe


def test_chains_that_are_none(chain: Chain, make_market: MakeMarket, tmp_path: Path) -> None:
    full = chain.discovered(make_market(1))
    first = chain.next(make_market(2))
    second = chain.next(make_market(3))
    assert isinstance(full, UniverseFile)
    cases: list[tuple[list[UniverseFile | Delta], str]] = [
        ([], "no generation at all"),
        ([first], "generation 1: it follows 0, but there is nothing before it"),
        ([full, second], "generation 2: it follows 1, but there is 0 before it"),
        ([full, full], "generation 0: it comes after 0"),
    ]
    for broken, words in cases:
        with pytest.raises(BrokenChain, match=words):
            fold(broken)
    directory = chain.written(tmp_path / "universe")
    (directory / "000001.json").unlink()
    with pytest.raises(BadGeneration, match="it follows 1, but there is 0 before it"):
        read_since(directory)
    with pytest.raises(BadGeneration, match="expected a full universe"):
        read_since(directory / "000002.json")
    (directory / "000002.json").write_bytes(b'{"kind":"delta"}')
    with pytest.raises(BadGeneration, match=r"000002\.json is no universe generation: .*missing"):
        read_since(directory)
    (directory / "000002.json").write_bytes(b'{"kind":"other"}')
    with pytest.raises(BadGeneration, match=r"found .other."):
        read_since(directory)
    (empty := tmp_path / "empty").mkdir()
    with pytest.raises(MissingGeneration, match="holds no universe generation"):
        read_since(empty)
    with pytest.raises(MissingGeneration, match="cannot be read"):
        read_since(tmp_path / "nowhere.json")


def test_a_delta_must_fit_what_it_follows(chain: Chain, make_market: MakeMarket) -> None:
    one, other = Chain(), Chain()
    full = one.discovered(make_market(1))
    same_number = other.discovered(make_market(2))
    gone = one.next(make_market(3))
    for start, delta, words in [
        (same_number, gone, "generation 1: it removes a market that is not there: 500001"),
        (full, Chain.next(other, make_market(2), make_market(1)), "adds a market .* 500001"),
    ]:
        with pytest.raises(BrokenChain, match=words):
            fold([start, delta])
    changed = chain.discovered(make_market(1)), chain.next(make_market(1, orderMinSize=7))
    with pytest.raises(BrokenChain, match="changes a market that is not there: 500001"):
        fold([same_number, changed[1]])
