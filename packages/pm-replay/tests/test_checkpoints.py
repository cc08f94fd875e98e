"""A window that begins at a checkpoint is byte for byte the window that is read from the start."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Iterable
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from bundles import (
    T0,
    FrameSpec,
    Made,
    RecordSpec,
    book,
    change,
    compact,
    make_at,
    price_change,
    subscribed,
)
from hypothesis import given, settings
from hypothesis import strategies as st

from pm_frames.events import Event, EventReader, Kind
from pm_replay.__main__ import main
from pm_replay.checkpoints import Cache, resumed
from pm_replay.pipeline import Request, Result, replay
from pm_replay.telling import Options

SEAL = {"sha256sums_sha256": "ab" * 32}
PRICES = [f"0.{cents}" for cents in range(30, 36)]
# Tokens by market; the last market is in no universe file.
MARKETS = {"0xaa": ["1", "2"], "0xbb": ["3", "4"], "0xcc": ["5", "6"]}
TOKENS = [token for tokens in MARKETS.values() for token in tokens]


def row(market: str) -> dict[str, Any]:
    tokens = [{"token_id": token, "outcome": token} for token in MARKETS[market]]
    return {"condition_id": market, "slug": market, "tick_size": "0.01", "tokens": tokens}


UNIVERSE = {"universe_version": 0, "kind": "full", "markets": [row("0xaa")]}
DELTA = {"universe_version": 1, "kind": "delta", "added": [row("0xbb")]}


def sealed(
    path: Path,
    frames: Iterable[FrameSpec],
    records: Iterable[RecordSpec] | None,
    universe: dict[str, Any] | None = UNIVERSE,
) -> Made:
    made = make_at(path, frames, records, universe=universe)
    (made.path / "seal.json").write_text(json.dumps(SEAL))
    return made


sides = st.dictionaries(st.sampled_from(PRICES), st.integers(1, 9).map(str), max_size=3)
levels = st.tuples(sides, sides)


@st.composite
def payloads(draw: st.DrawFn, market: str) -> bytes:
    tokens = draw(st.lists(st.sampled_from(MARKETS[market]), min_size=1, max_size=3))
    ts = draw(st.integers(1, 5).map(str))
    kind = draw(st.sampled_from("bbbpppppppppptkmmux0"))
    if kind == "b":
        found: Any = [book(token, *draw(levels), ts=ts, market=market) for token in tokens]
    elif kind == "p":
        changes = [
            change(token, draw(st.sampled_from(PRICES)), draw(st.integers(0, 9).map(str)), side, bid="0.3", ask="0.35")
            for token, side in zip(tokens, draw(st.permutations(["BUY", "SELL", "BUY"])), strict=False)
        ]  # fmt: skip
        found = price_change(*changes, ts=ts) | {"market": market}
    elif kind == "t":
        found = {
            "event_type": "last_trade_price", "market": market, "asset_id": tokens[0], "price": "0.3",
            "size": "1", "side": "BUY", "timestamp": ts,
        }  # fmt: skip
    elif kind == "k":
        found = {
            "event_type": "tick_size_change", "market": market, "asset_id": tokens[0],
            "old_tick_size": "0.01", "new_tick_size": "0.001", "timestamp": ts,
        }  # fmt: skip
    elif kind in "mx":
        found = {
            "event_type": "new_market", "market": market, "assets_ids": MARKETS[market], "timestamp": "1",
        }  # fmt: skip
        if kind == "x":
            found = [found, book(draw(st.sampled_from(TOKENS)), *draw(levels), ts=ts, market="")]
    elif kind == "u":
        found = {"event_type": "news", "asset_id": tokens[0], "timestamp": ts}
    else:
        return b"PONG"
    return compact(found)


@st.composite
def runs(draw: st.DrawFn) -> tuple[list[FrameSpec], list[RecordSpec]]:
    """Frames on three shards, and what their connections went through meanwhile."""
    stamp = T0
    frames: list[FrameSpec] = []
    records: list[RecordSpec] = []
    connections = [1, 1, 1]

    def subscribe(shard: int, tokens: list[str]) -> None:
        where = {"shard_id": shard, "connection": connections[shard]}
        records.append((stamp, "subscribe_attempt", {**where, "token_ids": tokens}))

    for step in draw(st.lists(st.sampled_from("f" * 25 + "cdsub"), min_size=20, max_size=60)):
        stamp += draw(st.integers(0, 2))
        shard = draw(st.integers(0, 2))
        # Nearly always on the shard that has asked for it; the opening below is in this order too.
        market = list(MARKETS)[(shard + draw(st.sampled_from([0] * 9 + [1]))) % 3]
        where = {"shard_id": shard, "connection": connections[shard]}
        if step == "f":
            frames.append((shard, stamp, draw(payloads(market))))
        elif step == "c":
            connections[shard] += 1
            records.append((stamp, "ws_connect", {**where, "connection": connections[shard]}))
            subscribe(
                shard, [*MARKETS[market], *draw(st.lists(st.sampled_from(TOKENS), max_size=1))]
            )
        elif step == "d":
            planned = draw(st.booleans())
            records.append((stamp, "disconnect", {**where, "planned": planned}))
        elif step == "s":
            subscribe(shard, draw(st.lists(st.sampled_from(TOKENS), max_size=2)))
        elif step == "u":
            applied = {"reason": "APPLIED", "universe_file": "universe/000001.json"}
            records.append((stamp, "universe_refresh", applied))
        else:
            records.append((stamp, "heartbeat", {"hb_mono_ns": stamp, "hb_wall_ns_utc": stamp}))
    # Everything is asked for at first, so that most of what follows has a book to go to.
    opening = [
        record
        for shard, tokens in enumerate(MARKETS.values())
        for record in subscribed(*tokens, at=T0 - 2, shard=shard)
    ]
    return frames, sorted(opening, key=lambda record: record[0]) + records


requests = st.builds(
    Request,
    chosen=st.none() | st.lists(st.sampled_from(TOKENS), min_size=1, max_size=4, unique=True),
    from_mono_ns=st.integers(T0 - 1, T0 + 60),
    before_mono_ns=st.none() | st.integers(T0 + 30, T0 + 90),
    max_ns=st.none() | st.integers(1, 30),
    sample_every=st.just(0),
    verdicts=st.none(),
    options=st.builds(
        Options,
        full=st.just(True),
        depth=st.booleans(),
        changes_only=st.booleans(),
        max_events=st.none() | st.integers(0, 9),
    ),
)


def told(made: Made, request: Request, cache: Cache | None = None) -> tuple[Result, bytes, bool]:
    out: list[bytes] = []
    begun = None if cache is None else resumed(made.bundle, request, cache)
    result = replay(made.bundle, request, out.append, source=begun)
    return result, b"".join(out), begun is not None


def events(data: bytes) -> list[Event]:
    return list(EventReader(BytesIO(data)))


def complain(text: str) -> None:
    if "making checkpoints" not in text:
        raise AssertionError(text)


@settings(max_examples=60, deadline=None)
@given(runs(), st.lists(requests, min_size=1, max_size=4), st.integers(1, 9), st.booleans())
def test_a_window_from_a_checkpoint_is_the_window_from_the_start(
    run: tuple[list[FrameSpec], list[RecordSpec]],
    asked: list[Request],
    every: int,
    with_universe: bool,
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        frames, records = run
        made = sealed(
            Path(folder) / "run", frames, records, universe=UNIVERSE if with_universe else None
        )
        (made.path / "universe").mkdir(exist_ok=True)
        (made.path / "universe" / "000001.json").write_text(json.dumps(DELTA))
        if not with_universe:
            (made.path / "universe" / "000000.json").write_text('{"universe_version": 0}')
        cache = Cache(Path(folder) / "cache", every, complain)
        for request in asked:
            plain, expected, _ = told(made, request)
            assert plain.error is None
            result, found, used = told(made, request, cache)
            assert events(found) == events(expected)  # tells where, if they differ
            assert found == expected
            assert result.last_mono_ns == plain.last_mono_ns
            assert result.first_mono_ns == plain.first_mono_ns
            start = request.from_mono_ns or 0
            before = sum(frame[1] < start for frame in frames)
            assert used or before <= every


@settings(max_examples=40, deadline=None)
@given(runs(), requests)
def test_a_window_of_some_tokens_is_that_part_of_the_whole(
    run: tuple[list[FrameSpec], list[RecordSpec]], request: Request
) -> None:
    """But for `seq`, which counts what is told, and batch ends, which are those of what is told."""
    request = request._replace(max_ns=None, options=Options())
    with tempfile.TemporaryDirectory() as folder:
        made = sealed(Path(folder) / "run", *run)
        (made.path / "universe" / "000001.json").write_text(json.dumps(DELTA))
        whole = events(told(made, Request())[1])
        part = events(told(made, request)[1])
    numbers = {event.text(): event.token for event in whole if event.kind == Kind.TOKEN}
    chosen = None if request.chosen is None else {numbers.get(each, -1) for each in request.chosen}

    def wanted(event: Event) -> bool:
        start, before = request.from_mono_ns or 0, request.before_mono_ns or 2**63
        if event.kind == Kind.MARKET or not event.seq:
            return False  # a market is told for the tokens it lists, and by a winner only where that is told
        inside = start <= event.ts_recv_ns < before
        return inside and (chosen is None or event.token in chosen or event.kind == Kind.UNKNOWN)

    def facts(event: Event) -> tuple[object, ...]:
        return (*event[1:11], event.flags & 0x7F, event.payload)

    assert [facts(e) for e in part if wanted(e)] == [facts(e) for e in whole if wanted(e)]
    assert [e.seq for e in part if e.seq] == list(range(1, sum(bool(e.seq) for e in part) + 1))


# The file, and what can be wrong with it.


@pytest.fixture
def made(tmp_path: Path) -> Made:
    frames = [
        (0, T0 + 10, compact([book("1", {"0.4": "1"}, {"0.6": "1"}), book("2", {"0.4": "1"}, {"0.6": "1"})])),
        *(
            (0, T0 + 100 * n, compact(price_change(change("1", "0.4", str(n), "BUY", bid="0.4", ask="0.6"), ts=str(n))))
            for n in range(1, 40)
        ),
    ]  # fmt: skip
    return sealed(tmp_path / "run", frames, subscribed("1", "2"))


WINDOW = Request(chosen=["1"], from_mono_ns=T0 + 2050, before_mono_ns=T0 + 2450)


def test_frames_before_the_checkpoint_are_not_read(made: Made, tmp_path: Path) -> None:
    cache = Cache(tmp_path / "cache", 4)
    assert told(made, WINDOW)[0].frames == 25
    result, _, _ = told(made, WINDOW, cache)
    assert result.frames == 25 - 20
    # Not even looked at: the first frames can be gone.
    shard = made.path / "capture" / "shard_00.frames"
    data = bytearray(shard.read_bytes())
    data[:1000] = bytes(1000)
    data[:12] = shard.read_bytes()[:12]
    shard.write_bytes(data)
    assert told(made, WINDOW, cache)[0].error is None
    assert told(made, WINDOW)[0].error is not None


def test_a_window_without_frames_ends_where_it_ends_without_a_checkpoint(
    made: Made, tmp_path: Path
) -> None:
    request = Request(from_mono_ns=T0 + 301, before_mono_ns=T0 + 399)
    result, data, used = told(made, request, Cache(tmp_path / "cache", 4))
    assert used
    assert result.last_mono_ns == T0 + 300
    assert data == told(made, request)[1]


def test_a_state_that_only_records_have_changed_is_carried_over(tmp_path: Path) -> None:
    opening = compact(book("1", {"0.4": "1"}, {"0.6": "1"}))
    other = [(1, T0 + 100 * n, compact(book("2", {"0.4": str(n)}, {}))) for n in range(1, 40)]
    frames = sorted([(0, T0 + 10, opening), *other, (0, T0 + 3105, opening)], key=lambda f: f[1])
    records = sorted([*subscribed("1"), *subscribed("2", shard=1)], key=lambda r: r[0])
    records.append((T0 + 1050, "disconnect", {"shard_id": 0, "connection": 1, "planned": False}))
    records += subscribed("1", at=T0 + 2050, connection=2)
    made = sealed(tmp_path / "run", frames, records)
    request = Request(chosen=["1"], from_mono_ns=T0 + 3050)
    _, data, used = told(made, request, Cache(tmp_path / "cache", 4))
    assert used
    assert data == told(made, request)[1]
    assert [e.kind for e in events(data) if e.seq] == [Kind.STATUS, Kind.TOB]


def test_every_damaged_byte_of_the_cache_is_noticed_or_of_no_account(
    made: Made, tmp_path: Path
) -> None:
    expected = told(made, WINDOW)[1]
    heard: list[str] = []
    cache = Cache(tmp_path / "cache", 4, heard.append)
    told(made, WINDOW, cache)
    [path] = cache.directory.iterdir()
    sound = path.read_bytes()
    rebuilt = 0
    for at in range(0, len(sound), 7):
        damaged = bytearray(sound)
        damaged[at] ^= 1 << at % 8
        path.write_bytes(damaged)
        heard.clear()
        assert told(made, WINDOW, cache)[1:] == (expected, True)
        if heard:
            assert "made again" in heard[0]
            assert path.read_bytes() == sound
            rebuilt += 1
    assert rebuilt > 10
    for size in (0, 1, 8, 40, len(sound) // 2, len(sound) - 1):
        path.write_bytes(sound[:size])
        heard.clear()
        assert told(made, WINDOW, cache)[1:] == (expected, True)
        assert heard, size
    assert [each.name for each in cache.directory.iterdir()] == [path.name]


def test_a_cache_of_another_version_or_bundle_is_made_again(
    made: Made, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    heard: list[str] = []
    cache = Cache(tmp_path / "cache", 4, heard.append)
    monkeypatch.setattr("pm_replay.checkpoints.version", lambda name: "0.0.1")
    told(made, WINDOW, cache)
    monkeypatch.undo()
    heard.clear()
    told(made, WINDOW, cache)
    assert "of pm-replay 0.0.1; made again" in heard[0]
    heard.clear()
    with open(made.path / "runlog.ndjson", "ab") as runlog:
        runlog.write(b'{"record_type": "note"}\n')
    told(made, WINDOW, cache)
    assert "of other files; made again" in heard[0]
    heard.clear()
    told(made, WINDOW, cache)
    assert heard == []


@pytest.mark.parametrize("how", ["unsealed", "no digest", "no runlog", "short", "book-only"])
def test_where_checkpoints_cannot_be_none_are_made(how: str, made: Made, tmp_path: Path) -> None:
    request, every = WINDOW, 4
    if how == "unsealed":
        (made.path / "seal.json").unlink()
    elif how == "no digest":
        (made.path / "seal.json").write_text("{}")
    elif how == "no runlog":
        (made.path / "runlog.ndjson").unlink()
    elif how == "short":
        every = 1000
    else:
        request = WINDOW._replace(options=Options(full=False))
    _, data, used = told(made, request, Cache(tmp_path / "cache", every))
    assert not used
    assert data == told(made, request)[1]
    assert not (tmp_path / "cache").exists()


def test_a_run_that_cannot_be_read_whole_is_replayed_without(made: Made, tmp_path: Path) -> None:
    shard = made.path / "capture" / "shard_00.frames"
    damaged = bytearray(shard.read_bytes())
    damaged[-3] ^= 1
    shard.write_bytes(damaged)
    heard: list[str] = []
    cache = Cache(tmp_path / "cache", 4, heard.append)
    assert told(made, WINDOW, cache)[1] == told(made, WINDOW)[1]
    assert "shard_00.frames" in heard[-1]
    assert list(cache.directory.iterdir()) == []


def test_a_cache_directory_that_cannot_be_written_is_told_and_spared(
    made: Made, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    heard: list[str] = []
    cache = Cache(tmp_path / "file" / "cache", 4, heard.append)
    assert told(made, WINDOW, cache)[1] == told(made, WINDOW)[1]
    assert "no checkpoints" in heard[-1]


def test_another_run_pushes_the_checkpoints_out_that_were_not_used_last(
    made: Made, tmp_path: Path
) -> None:
    cache = Cache(tmp_path / "cache", 4)
    others = []
    for letter in "cd":
        other = make_at(
            tmp_path / letter, [(0, T0 + 100 * n, b"PONG") for n in range(40)], subscribed("1")
        )
        (other.path / "seal.json").write_text(json.dumps({"sha256sums_sha256": letter * 64}))
        others.append(other)
    for run in (made, others[0]):
        assert told(run, WINDOW, cache)[2]
    sizes = {path.name[0]: path.stat().st_size for path in cache.directory.iterdir()}
    assert sizes.keys() == {"a", "c"}
    for path in cache.directory.iterdir():
        os.utime(path, ns=(1, 1) if path.name[0] == "a" else (2, 2))
    assert told(made, WINDOW, cache)[2]  # used, and nothing is made
    assert told(others[1], WINDOW, cache._replace(bytes_max=sum(sizes.values())))[2]
    assert {path.name[0] for path in cache.directory.iterdir()} == {"a", "d"}
    # What was just made stays, whatever its size.
    assert told(others[0], WINDOW, cache._replace(bytes_max=0))[2]
    assert {path.name[0] for path in cache.directory.iterdir()} == {"c"}


def test_the_command_uses_its_cache(
    made: Made, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("PM_DATA_CACHE_DIR", raising=False)
    names = ["--token", "1", "--from", "+2050ns", "--to", "+2450ns", "--cache-every", "4"]
    files: list[tuple[bytes, Any]] = []
    for extra in (["--no-cache"], [], []):
        path = tmp_path / f"{len(files)}.pmev"
        code = main(
            [str(made.path), *names, *extra, "--cache-dir", str(tmp_path / "c"), "--events-out", str(path)]
        )  # fmt: skip
        assert code == 0
        files.append((path.read_bytes(), capsys.readouterr()))
    assert len({data for data, _ in files}) == 1
    assert [json.loads(out.out)["frames"] for _, out in files] == [25, 5, 5]
    assert ["making checkpoints" in out.err for _, out in files] == [False, True, False]
    monkeypatch.setenv("PM_DATA_CACHE_DIR", str(tmp_path / "other"))
    assert main([str(made.path), *names]) == 0
    assert [each.suffix for each in (tmp_path / "other").iterdir()] == [".pmck"]
