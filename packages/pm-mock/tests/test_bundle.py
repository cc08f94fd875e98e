import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from pm_frames import BundleError, Flag, ShardWriter
from pm_frames.bundle import open_bundle
from pm_mock.channel import Channel, Subscribe
from pm_mock.compose import Options, compose, read_ingredients
from pm_mock.http_message import Request, Response
from pm_mock.hub import Hub
from pm_mock.sources.bundle import BundleSource
from pm_mock.venue import Ending

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
    level = {"price": "0.5", "size": "7"}
    return json.dumps(
        [
            {
                "market": "0xc0",
                "asset_id": token,
                "timestamp": "1000",
                "hash": "h",
                "bids": [level],
                "asks": [],
                "tick_size": "0.001",
                "event_type": "book",
                "last_trade_price": "0.140",
            }
            for token in tokens
        ]
    ).encode()


def change(token: str, number: int) -> bytes:
    entry = {"asset_id": token, "price": "0.6", "size": str(number), "side": "SELL", "hash": "g"}
    return json.dumps(
        {"price_changes": [entry], "timestamp": "1001", "event_type": "price_change"}
    ).encode()


NEW = b'{"event_type":"new_market", "assets_ids":["55", "66"]}'
RESOLVED = b'{"event_type":"market_resolved", "assets_ids":["11", "22"], "winning_asset_id":"22"}'
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


class Client:
    """One subscriber: what it got and when, in ms since it subscribed first."""

    def __init__(self, hub: Hub, source: BundleSource, number: int, *, custom: bool = False):
        self.channel = Channel(number)
        self.channel.custom = custom
        self.hub, self.source = hub, source

    def subscribe(self, *tokens: str, now_ns: int, initial: bool = True) -> None:
        self.channel.tokens.update(dict.fromkeys(tokens))
        self.hub.subscribe(self.channel, tokens)
        self.source.subscribed(self.channel, Subscribe(tokens, initial, dump=True), now_ns)

    def take(self) -> list[bytes]:
        got = [payload for item in self.channel.outbox for payload in item.payloads]
        self.channel.outbox.clear()
        return got


def served(
    run_dir: Path,
    count: int = 1,
    *,
    speed: float | None = 1,
    hold_ms: int = 0,
    disconnects: bool = False,
    custom: bool = False,
) -> tuple[BundleSource, list[Client]]:
    """A bundle, and so many clients of it."""
    hub = Hub()
    source = BundleSource(
        hub, open_bundle(run_dir), speed=speed, hold_ns=hold_ms * MS, disconnects=disconnects
    )
    return source, [Client(hub, source, number, custom=custom) for number in range(1, count + 1)]


def play(
    run_dir: Path, *tokens: str, speed: float | None = 1, custom: bool = False
) -> list[tuple[int, bytes]]:
    """What one subscriber gets and when, in ms after its subscription."""
    source, [client] = served(run_dir, speed=speed, custom=custom)
    client.subscribe(*tokens, now_ns=1000)
    got: list[tuple[int, bytes]] = []
    while (due := source.deadline()) is not None:
        source.deadline_reached(due)
        got += [((due - 1000) // MS, payload) for payload in client.take()]
    return got


def run_until(source: BundleSource, end_ns: int) -> None:
    while (due := source.deadline()) is not None and due <= end_ns:
        source.deadline_reached(due)


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


def test_the_playback_waits_for_all_tokens_but_not_for_ever(run_dir: Path) -> None:
    source, [first, second] = served(run_dir, 2, hold_ms=500)
    assert source.deadline() is None
    first.subscribe("11", "22", "33", now_ns=0)
    assert source.deadline() == 500 * MS
    source.deadline_reached(499 * MS)
    assert first.take() == []
    second.subscribe("44", now_ns=100 * MS)
    assert source.deadline() == 100 * MS
    source.deadline_reached(100 * MS)
    assert first.take() == [book("11", "22")], "the recorded bytes, nothing before them"
    assert second.take() == []


def test_one_clock_for_all_and_a_right_book_for_who_comes_late(run_dir: Path) -> None:
    source, [early, late] = served(run_dir, 2)
    early.subscribe("11", now_ns=0)
    run_until(source, 30 * MS)
    assert source.summary_of("99") is None
    late.subscribe("11", "33", "44", now_ns=31 * MS)
    [answer] = late.take()
    eleven, three = json.loads(answer)
    assert (eleven["asset_id"], three["asset_id"]) == ("11", "33")
    assert eleven["bids"] == [{"price": "0.5", "size": "7"}]
    assert eleven["asks"] == [{"price": "0.6", "size": "1"}]
    summary = json.loads(source.summary_of("11") or b"")
    assert summary["hash"] == eleven["hash"]
    text = json.dumps(summary | {"hash": ""}, separators=(",", ":"))
    assert hashlib.sha1(text.encode()).hexdigest() == eleven["hash"]
    late.subscribe("22", now_ns=32 * MS, initial=False)
    assert [one["asset_id"] for one in json.loads(late.take()[0])] == ["22"]
    run_until(source, 60 * MS)
    assert late.take() == [change("22", 2)]
    assert source.counts() == {"frames_played": 9, "frames_withheld": 0}
    late.subscribe("44", now_ns=70 * MS, initial=False)
    assert late.take() == [b"[]"]


def test_a_slow_reader_holds_the_clock_and_nobody_runs_it_at_full_speed(run_dir: Path) -> None:
    source, [client] = served(run_dir, speed=None)
    hub = client.hub
    client.subscribe("11", now_ns=0)
    hub.set_blocked(client.channel, blocked=True)
    assert source.deadline() is None
    source.deadline_reached(0)
    assert client.take() == []
    hub.set_blocked(client.channel, blocked=False)
    assert source.deadline() == 0
    source.deadline_reached(0)
    assert len(client.take()) == 2
    hub.remove(client.channel)
    source.closed(client.channel)
    assert source.deadline() is None


def record(at_ms: int, record_type: str, **fields: Any) -> dict[str, Any]:
    stamps = {"run_id": "r", "ts_mono_ns": FIRST_NS + at_ms * MS, "ts_wall_ns_utc": 1}
    return {"record_type": record_type, **stamps, **fields}


CONNECTED = [
    record(-3, "ws_connect", shard_id=0, connection=1),
    record(-3, "ws_connect", shard_id=1, connection=1),
    record(-2, "subscribe_attempt", shard_id=0, connection=1, token_ids=["11", "22"]),
    record(-2, "subscribe_attempt", shard_id=1, connection=1, token_ids=["33", "44"]),
]


def write_runlog(run_dir: Path, *records: dict[str, Any]) -> None:
    lines = [json.dumps(each) for each in (*CONNECTED, *records)]
    (run_dir / "runlog.ndjson").write_text("\n".join(lines) + "\n")


LOSS = (
    record(15, "disconnect", shard_id=0, connection=1, trigger="peer_closed", planned=False,
           since_mono_ns=FIRST_NS, close_code=1001, close_reason="restart"),
    record(16, "ws_connect", shard_id=0, connection=2),
    record(17, "subscribe_attempt", shard_id=0, connection=2, token_ids=["11", "22"]),
)  # fmt: skip


def test_a_gap_is_silence_until_the_recorded_books(run_dir: Path) -> None:
    write_runlog(run_dir, *LOSS)
    # The change at 50 ms came before any book of the new connection: it is a change to nothing.
    assert play(run_dir, "22") == [(3, book("11", "22"))]
    source, [client] = served(run_dir)
    client.subscribe("33", now_ns=0)
    run_until(source, 17 * MS)
    assert source.summary_of("11") is not None
    run_until(source, 20 * MS)
    assert source.summary_of("11") is None
    client.subscribe("11", now_ns=21 * MS, initial=False)
    assert client.take()[-1] == b"[]"
    assert list(source.closings()) == []


def test_a_frame_is_for_the_tokens_that_its_shard_had_been_subscribed_for(run_dir: Path) -> None:
    writer = ShardWriter(run_dir / "capture", 2)
    writer.append([(int(Flag.TEXT), book("11"))], rx_mono_ns=FIRST_NS + 7 * MS, rx_wall_ns_utc=1)
    binary = [(int(Flag.BINARY), change("77", 9))]
    writer.append(binary, rx_mono_ns=FIRST_NS + 8 * MS, rx_wall_ns_utc=1)
    writer.close()
    write_runlog(run_dir)
    assert [payload for _, payload in play(run_dir, "11", "33", "77")] == [
        book("11", "22"),
        book("33"),
        change("11", 1),
        change("33", 3),
    ]


def test_a_runlog_that_names_no_tokens_withholds_nothing(run_dir: Path) -> None:
    """As the predecessors wrote it: nobody knows what was asked for, so what arrived counts."""
    asked = [record(-2, "subscribe_attempt", shard_id=n, connection=1) for n in (0, 1)]
    lines = [json.dumps(each) for each in asked]
    (run_dir / "runlog.ndjson").write_text("\n".join(lines) + "\n")
    assert play(run_dir, "11") == [(2, book("11", "22")), (12, change("11", 1))]


def test_a_record_that_cannot_be_placed_is_damage_or_left_out(run_dir: Path) -> None:
    write_runlog(run_dir, record(5, "universe_refresh", reason="APPLIED") | {"ts_mono_ns": 2**63})
    assert len(play(run_dir, "11")) == 2
    write_runlog(run_dir, LOSS[0] | {"ts_mono_ns": 2**63})
    with pytest.raises(BundleError, match="impossible stamp"):
        play(run_dir, "11")


def test_recorded_losses_close_the_connections_of_their_tokens_on_request(run_dir: Path) -> None:
    write_runlog(run_dir, *LOSS)
    source, clients = served(run_dir, 3, disconnects=True)
    for client, tokens in zip(clients, (("11",), ("33",), ("22", "44")), strict=True):
        client.subscribe(*tokens, now_ns=0)
    run_until(source, 30 * MS)
    assert list(source.closings()) == [(1, 1001, "restart"), (3, 1001, "restart")]
    assert list(source.closings()) == []


def test_the_venue_of_a_bundle(run_dir: Path) -> None:
    """Through the venue: the close frame of a recorded loss, then the state of the books on request."""
    write_runlog(run_dir, *LOSS)
    anchors = {"t0_mono_ns": FIRST_NS, "t0_wall_ns_utc": 1_700_000_000_000 * MS}
    (run_dir / "manifest.json").write_text(json.dumps(anchors))
    options = Options(bundle=run_dir, hold_seconds=0, replay_disconnects=True)
    venue = compose(options, read_ingredients(options), start_ns=0, wall_offset_ns=0)
    number, _ = venue.handshake("/ws/market", 0)
    venue.connection_opened(number, 0)
    venue.text_received(number, '{"type":"market","assets_ids":["11"]}', 0)
    written: list[bytes] = []
    endings = []
    while (due := venue.deadline()) is not None and due < 30 * MS:
        venue.deadline_reached(due)
        for output in venue.outputs():
            written += [payload for item in output.items for payload in item.payloads]
            endings += [output.ending] if output.ending else []
    assert written == [book("11", "22"), change("11", 1)]
    assert endings == [Ending(1001, "restart", "recorded")]

    def ask(path: str, method: str = "GET", body: bytes = b"", **query: str) -> Response:
        asked = {name: [value] for name, value in query.items()}
        return venue.respond(Request(method, path, asked, body), 30 * MS)

    assert ask("/book", token_id="11").status == 404
    assert json.loads(ask("/book", token_id="33").body)["asset_id"] == "33"
    wanted = b'[{"token_id":"11"},{"token_id":"33"}]'
    assert [one["asset_id"] for one in json.loads(ask("/books", "POST", wanted).body)] == ["33"]
    assert json.loads(ask("/tick-size", token_id="33").body) == {"minimum_tick_size": 0.001}
    assert json.loads(ask("/fee-rate", token_id="11").body) == {"base_fee": 1000}
    assert json.loads(ask("/time").body) == 1_700_000_000


def test_the_end_of_the_recording_leaves_the_last_books(run_dir: Path) -> None:
    stop = LOSS[0] | {"trigger": "stop", "planned": True, "ts_mono_ns": FIRST_NS + 70 * MS}
    write_runlog(run_dir, stop, record(71, "capture_stop", reason="duration"))
    source, [late] = served(run_dir)
    late.subscribe(now_ns=0)
    run_until(source, 99 * MS)
    assert source.deadline() is None
    late.subscribe("11", now_ns=100 * MS, initial=False)
    assert [one["asset_id"] for one in json.loads(late.take()[-1])] == ["11"]


def test_what_the_recorder_did_itself_closes_nothing(run_dir: Path) -> None:
    write_runlog(run_dir, LOSS[0] | {"trigger": "data_idle_timeout"})
    source, [client] = served(run_dir, disconnects=True)
    client.subscribe("11", now_ns=0)
    run_until(source, 30 * MS)
    assert list(source.closings()) == []


def test_generations_apply_when_the_recording_applied_them(run_dir: Path) -> None:
    added = MARKET | {"market_id": "300", "slug": "new", "tokens": OTHER["tokens"]}
    generation = {
        "kind": "delta",
        "removed": [{"market_id": "77", "reason": "not_listed"}],
        "changed": [{"market": MARKET | {"min_size": "15"}}],
        "added": [added],
    }
    (run_dir / "universe" / "000001.json").write_text(json.dumps(generation))
    write_runlog(
        run_dir,
        record(25, "universe_refresh", reason="SKIPPED_INFLIGHT", universe_file="nothing"),
        record(35, "universe_refresh", reason="APPLIED", universe_file="universe/000001.json"),
    )
    source, [client] = served(run_dir)
    client.subscribe("11", now_ns=0)
    run_until(source, 37 * MS)
    assert [one.market_id for one in source.catalogue.listings()] == ["77", "501"]
    run_until(source, 38 * MS)
    assert [(one.market_id, one.min_size) for one in source.catalogue.listings()] == [
        ("300", "5"),
        ("501", "15"),
    ]


def test_a_generation_outside_of_the_bundle_is_refused(run_dir: Path) -> None:
    write_runlog(
        run_dir, record(5, "universe_refresh", reason="APPLIED", universe_file="../000001.json")
    )
    with pytest.raises(BundleError, match="not a universe file of the bundle"):
        play(run_dir, "11")


def test_a_resolution_closes_the_market_with_its_winner(run_dir: Path) -> None:
    writer = ShardWriter(run_dir / "capture", 2)
    writer.append([(int(Flag.TEXT), RESOLVED)] * 2, rx_mono_ns=FIRST_NS + 7 * MS, rx_wall_ns_utc=1)
    writer.close()
    source, [client] = served(run_dir, custom=True)
    client.subscribe("33", now_ns=0)
    run_until(source, 10 * MS)
    assert client.take() == [book("33"), RESOLVED]
    listing = source.catalogue.by_token("11")
    assert listing is not None
    assert (listing.closed, listing.winner) == (True, 1)


def test_the_time_is_that_of_the_recording(run_dir: Path) -> None:
    assert served(run_dir)[0].wall_ms(0) is None
    anchors = {"t0_mono_ns": FIRST_NS, "t0_wall_ns_utc": 1_700_000_000_000 * MS}
    (run_dir / "manifest.json").write_text(json.dumps(anchors))
    source, [client] = served(run_dir, speed=2)
    client.subscribe("11", now_ns=0)
    source.deadline_reached(0)
    run_until(source, 12 * MS)
    assert source.wall_ms(12 * MS) == 1_700_000_000_024
    assert source.wall_ms(90 * MS) == 1_700_000_000_030, "not beyond what is to be played next"
    run_until(source, 90 * MS)
    assert source.wall_ms(90 * MS) == 1_700_000_000_180


def test_a_crashed_recording_is_played_to_its_last_whole_frame(run_dir: Path) -> None:
    with (run_dir / "capture" / "shard_01.frames").open("ab") as file:
        file.write(b"PMCAPv02 torn")
    assert len(play(run_dir, "33")) == 2


def test_a_damaged_bundle_is_named_when_it_is_reached(run_dir: Path) -> None:
    path = run_dir / "capture" / "shard_00.frames"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(BundleError, match=r"shard_00\.frames"):
        play(run_dir, "22")
