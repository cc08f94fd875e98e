import json
from pathlib import Path
from typing import Any

import pytest

from pm_frames import BundleError, Flag, ShardWriter
from pm_frames.bundle import open_bundle
from pm_mock.channel import Channel, Subscribe
from pm_mock.sources.bundle import BundleSource

MS = 1_000_000
FIRST_NS = 77_000 * MS
MARKET = {
    "market_id": "501",
    "condition_id": "0xc0",
    "slug": "one",
    "question": "One?",
    "category": "Crypto",
    "event_id": "7",
    "event_slug": "seven",
    "neg_risk_market_id": None,
    "neg_risk_augmented": False,
    "tick_size": "0.001",
    "min_size": "5",
    "fee_schedule": {"rate": "0.07", "exponent": "1", "taker_only": True, "rebate_rate": "0.2"},
    "seconds_delay": 3,
    "end_date": "2026-12-01T00:00:00Z",
    "version": "v1",
    "tokens": [{"token_id": "11", "outcome": "Up"}, {"token_id": "22", "outcome": "Down"}],
}
OTHER = MARKET | {
    "market_id": "77",
    "condition_id": "0xd0",
    "slug": "two",
    "fee_schedule": None,
    "tokens": [{"token_id": "33", "outcome": "Yes"}, {"token_id": "44", "outcome": "No"}],
}


def book(*tokens: str) -> bytes:
    return json.dumps([{"asset_id": token, "event_type": "book"} for token in tokens]).encode()


def change(token: str, number: int) -> bytes:
    return b'{"price_changes":[{"asset_id":"%s"}], "n":%d, "event_type":"price_change"}' % (
        token.encode(),
        number,
    )


NEW = b'{"event_type":"new_market", "assets_ids":["55", "66"]}'
FRAMES = {
    0: [
        (0, book("11", "22")),
        (10, change("11", 1)),
        (30, b"PONG"),
        (40, NEW),
        (50, change("22", 2)),
    ],
    1: [(5, book("33")), (20, change("33", 3)), (41, NEW), (60, b"[]")],
}


@pytest.fixture
def run_dir(tmp_path: Path) -> Path:
    capture = tmp_path / "run" / "capture"
    capture.mkdir(parents=True)
    (tmp_path / "run" / "universe").mkdir()
    universe = {"universe_version": 0, "markets": [MARKET, OTHER]}
    (tmp_path / "run" / "universe" / "000000.json").write_text(json.dumps(universe))
    for shard_id, frames in FRAMES.items():
        writer = ShardWriter(capture, shard_id)
        for at_ms, payload in frames:
            writer.append(
                [(int(Flag.TEXT), payload)], rx_mono_ns=FIRST_NS + at_ms * MS, rx_wall_ns_utc=1
            )
        writer.close()
    return tmp_path / "run"


def play(
    run_dir: Path, *tokens: str, speed: float | None = 1, custom: bool = False
) -> list[tuple[int, bytes]]:
    """What one subscriber gets and when, in ms after its subscription."""
    source = BundleSource(open_bundle(run_dir), speed=speed)
    channel = Channel(1)
    channel.custom = custom
    channel.tokens.update(dict.fromkeys(tokens))
    source.subscribed(channel, Subscribe(tokens, True, True), 1000)
    got: list[tuple[int, bytes]] = []
    while (due := source.deadline()) is not None:
        source.deadline_reached(due)
        got += [((due - 1000) // MS, item.payloads[0]) for item in channel.outbox]
        channel.outbox.clear()
    return got


def test_a_subscriber_gets_the_frames_that_mention_its_tokens_in_time(run_dir: Path) -> None:
    assert play(run_dir, "11") == [(0, book("11", "22")), (10, change("11", 1))]
    assert play(run_dir, "22", "33") == [
        (0, book("11", "22")),
        (5, book("33")),
        (20, change("33", 3)),
        (50, change("22", 2)),
    ]
    assert play(run_dir, "99") == []


def test_speed_and_full_speed(run_dir: Path) -> None:
    assert [at for at, _ in play(run_dir, "22", speed=2)] == [0, 25]
    assert [at for at, _ in play(run_dir, "22", speed=None)] == [0, 0]


def test_global_events_come_once_to_those_who_asked(run_dir: Path) -> None:
    assert play(run_dir, custom=True) == [(40, NEW)]
    assert play(run_dir) == []


def test_a_slow_reader_waits_where_it_is(run_dir: Path) -> None:
    source = BundleSource(open_bundle(run_dir), speed=None)
    channel = Channel(1)
    channel.tokens["11"] = None
    source.subscribed(channel, Subscribe(("11",), True, True), 0)
    channel.blocked = True
    assert source.deadline() is None
    source.deadline_reached(0)
    assert channel.outbox == []
    channel.blocked = False
    source.deadline_reached(0)
    assert len(channel.outbox) == 2
    source.closed(channel)
    assert source.deadline() is None
    assert source.summary_of("11") is None
    assert source.counts() == {}


def test_discovery_offers_the_universe_of_the_run(run_dir: Path) -> None:
    second, first = BundleSource(open_bundle(run_dir), speed=1).catalogue.listings()
    assert (first.market_id, first.condition_id, first.slug) == ("501", "0xc0", "one")
    assert (first.outcomes, first.token_ids) == (("Up", "Down"), ("11", "22"))
    assert (first.tick_size, first.seconds_delay, first.event.slug) == ("0.001", 3, "seven")
    assert first.fees is not None
    assert first.fees.rate == "0.07"
    assert second.market_id == "77"
    assert second.fees is None


def test_without_a_universe_the_pinned_markets_serve(run_dir: Path) -> None:
    (run_dir / "universe" / "000000.json").unlink()
    manifest: dict[str, Any] = {"pinned_markets": [{"id": "501", "token_ids": ["11", "22"]}]}
    (run_dir / "manifest.json").write_text(json.dumps(manifest))
    [listing] = BundleSource(open_bundle(run_dir), speed=1).catalogue.listings()
    assert listing.token_ids == ("11", "22")
    (run_dir / "manifest.json").write_text("{}")
    with pytest.raises(BundleError, match=r"manifest\.json: names no market to list"):
        BundleSource(open_bundle(run_dir), speed=1)


@pytest.mark.parametrize("row", [{"market_id": "x"}, {}, 7, {"market_id": "7"}])
def test_a_universe_that_lacks_what_a_listing_needs(run_dir: Path, row: object) -> None:
    path = run_dir / "universe" / "000000.json"
    path.write_text(json.dumps({"markets": [row]}))
    with pytest.raises(BundleError, match=r"000000\.json: a market cannot be listed"):
        BundleSource(open_bundle(run_dir), speed=1)


def test_a_damaged_bundle_is_named_when_it_is_reached(run_dir: Path) -> None:
    path = run_dir / "capture" / "shard_00.frames"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"shard_00\.frames"):
        play(run_dir, "22")
