import json
from pathlib import Path

import pytest

from pm_mock.channel import Channel, Subscribe
from pm_mock.sources.recording import (
    BLOCK_BYTES,
    BadRecording,
    MissingRecording,
    RecordingSource,
    blocks,
    discover,
    offsets_ns,
    read_recording,
)
from pm_mock.wire import text_frame

REAL = Path(__file__).parents[4] / "shared" / "data" / "frames"
MS = 1_000_000
BOOK = b'[{"market":"0xc0","asset_id":"11","timestamp":"1766481546000","hash":"ab","bids":[],"asks":[],"event_type":"book","last_trade_price":"0.500"}]'
CHANGE = b'{"market":"0xc0", "price_changes":[{"asset_id":"11", "price":"0.5"}, {"asset_id":"22", "price":"0.5"}], "timestamp":"1766481546250", "event_type":"price_change"}'
LINES = [BOOK, CHANGE, b"[]", b"not json"]


def payloads(channel: Channel) -> list[bytes]:
    taken = [payload for item in channel.outbox for payload in item.payloads]
    channel.outbox.clear()
    return taken


def begin(source: RecordingSource, number: int = 1, now: int = 0) -> Channel:
    channel = Channel(number)
    source.subscribed(channel, Subscribe(("11",), True, True), now)
    return channel


def test_every_subscriber_gets_every_line_from_its_subscription_on() -> None:
    source = RecordingSource(LINES, speed=None)
    first = begin(source)
    source.deadline_reached(0)
    assert payloads(first) == LINES
    second = begin(source, 2, now=5)
    source.subscribed(first, Subscribe(("22",), False, True), 6)
    source.deadline_reached(6)
    assert payloads(second) == LINES
    assert payloads(first) == []
    assert source.deadline() is None


def test_repeat() -> None:
    source = RecordingSource(LINES, speed=None, repeat=3)
    channel = begin(source)
    while source.deadline() is not None:
        source.deadline_reached(0)
    assert payloads(channel) == LINES * 3


def test_a_slow_reader_holds_up_nobody_else() -> None:
    source = RecordingSource(LINES, speed=None)
    slow, quick = begin(source), begin(source, 2)
    slow.blocked = True
    source.deadline_reached(0)
    assert payloads(quick) == LINES
    assert payloads(slow) == []
    assert source.deadline() is None
    slow.blocked = False
    assert source.deadline() == 0
    source.deadline_reached(0)
    assert payloads(slow) == LINES
    source.closed(slow)
    source.closed(slow)


def test_timing_follows_the_venues_own_timestamps() -> None:
    assert offsets_ns(LINES, speed=1) == [0, 250 * MS, 250 * MS, 250 * MS]
    assert offsets_ns([CHANGE, BOOK, CHANGE], speed=2) == [0, 0, 0]
    source = RecordingSource(LINES, speed=0.5)
    channel = begin(source, now=1000)
    source.deadline_reached(1000)
    assert payloads(channel) == [BOOK]
    assert source.deadline() == 1000 + 500 * MS
    source.deadline_reached(1000 + 500 * MS)
    assert payloads(channel) == LINES[1:]


def test_repeats_follow_one_another_in_time() -> None:
    source = RecordingSource([BOOK, CHANGE], speed=1, repeat=2)
    channel = begin(source)
    times = []
    while (due := source.deadline()) is not None:
        source.deadline_reached(due)
        times += [due // MS] * len(payloads(channel))
    assert times == [0, 250, 250, 500]


def test_blocks_keep_every_byte_in_order_and_a_turn_is_bounded() -> None:
    lines = [b"%07d" % number + b"x" * 1000 for number in range(1000)]
    made = blocks(lines)
    assert [payload for item in made for payload in item.payloads] == lines
    assert b"".join(item.wire for item in made) == b"".join(map(text_frame, lines))
    assert max(len(item.wire) for item in made) < BLOCK_BYTES + 2000
    source = RecordingSource(lines, speed=None)
    channel = begin(source)
    source.deadline_reached(0)
    assert sum(map(len, payloads(channel))) < 6 * BLOCK_BYTES


def test_discovery_offers_binary_markets_of_the_tokens_found() -> None:
    new_market = b'{"event_type":"new_market","market":"0xd0","assets_ids":["33","44"],"outcomes":["Up","Down"],"slug":"s","question":"Q?","order_price_min_tick_size":"0.001"}'
    lonely = b'{"event_type":"last_trade_price","market":"0xe0","asset_id":"55","price":"0.5"}'
    books, catalogue = discover([*LINES, new_market, lonely, b'{"gameId":1,"slug":"game"}'])
    pair, newer, single = catalogue.listings()
    assert pair.token_ids == ("11", "22")
    assert pair.outcomes == ("Yes", "No")
    assert (newer.token_ids, newer.outcomes) == (("33", "44"), ("Up", "Down"))
    assert (newer.slug, newer.question, newer.tick_size) == ("s", "Q?", "0.001")
    assert single.token_ids is not None
    assert single.token_ids[0] == "55"
    assert single.token_ids[1].isdecimal()
    assert json.loads(books["11"])["hash"] == "ab"
    source = RecordingSource(LINES, speed=None)
    assert source.summary_of("11") == books["11"]
    assert source.summary_of("22") is None


@pytest.mark.parametrize("assets", ["5", "true", "-1.5", '"33"', '{"33":1}', '[33,{"a":1},null]'])
def test_discovery_passes_over_what_is_no_token(assets: str) -> None:
    line = f'{{"market":"0xd0","assets_ids":{assets},"price_changes":{assets},"asset_id":{assets}}}'
    _, catalogue = discover([line.encode(), BOOK])
    first = {one.condition_id: (one.token_ids or ("",))[0] for one in catalogue.listings()}
    assert first == {"0xc0": "11"} | ({"0xd0": "33"} if assets == '"33"' else {})


def test_a_line_that_is_nested_without_end_is_sent_like_any_other() -> None:
    deep = b'{"market":"0xd0","asset_id":' + b"[" * 100_000
    source = RecordingSource([BOOK, deep], speed=None)
    channel = begin(source)
    source.deadline_reached(0)
    assert payloads(channel) == [BOOK, deep]


@pytest.mark.parametrize("data", [b"", b"\n\n"])
def test_a_recording_without_a_line_is_none(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(data)
    with pytest.raises(MissingRecording, match="no line to send"):
        read_recording(path)
    with pytest.raises(MissingRecording, match="No such file"):
        read_recording(tmp_path / "none.jsonl")


def test_a_line_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(b"{}\n\xff\n")
    with pytest.raises(BadRecording, match="line 2, byte 0: a text frame must be UTF-8"):
        read_recording(path)


def test_lines_are_verbatim(tmp_path: Path) -> None:
    path = tmp_path / "r.jsonl"
    path.write_bytes(b'{"a": 1}  \n\n[]\r\n"last"')
    assert read_recording(path) == [b'{"a": 1}  ', b"[]\r", b'"last"']


@pytest.mark.skipif(not REAL.is_dir(), reason="no real data beside the repository")
@pytest.mark.parametrize(
    "name", ["frames_2025-12-23", "vendor_semi_real_messages", "frames_2026-10-02_trimmed"]
)
def test_real_recordings_offer_their_tokens(name: str) -> None:
    path = REAL / f"{name}.jsonl"
    lines = read_recording(path)
    assert b"\n".join(lines) == path.read_bytes().strip(b"\n")
    _, catalogue = discover(lines)
    listings = list(catalogue.listings())
    assert listings
    for listing in listings:
        assert listing.token_ids is not None
        assert any(token.encode() in path.read_bytes() for token in listing.token_ids)
