"""The venue without sockets: what it is told, what it wants written, and when it wants to be woken."""

import json
from typing import Any

import pytest

from pm_mock.faultplan import parse_faults
from pm_mock.faults import Faults
from pm_mock.http_message import Response, request
from pm_mock.hub import Hub
from pm_mock.sources.generated import GeneratedSource
from pm_mock.sources.recording import RecordingSource
from pm_mock.venue import CLOSE_TIMEOUT_NS, MARKET_PATH, Ending, Source, Venue

SECOND = 1_000_000_000
WALL = 1_800_000_000 * SECOND
START = 50 * SECOND


def generated(script: str = "", *, rate: float = 100, duration: float | None = None) -> Venue:
    hub = Hub()
    source = GeneratedSource(
        hub,
        seed=1,
        markets=5,
        rate=rate,
        lifecycle_seconds=0,
        start_ns=START,
        wall_offset_ns=WALL,
    )
    return assembled(source, hub, script, duration=duration)


def recorded(lines: list[bytes], script: str = "") -> Venue:
    return assembled(RecordingSource(lines, speed=None), Hub(), script)


def assembled(source: Source, hub: Hub, script: str, *, duration: float | None = None) -> Venue:
    return Venue(
        source,
        hub,
        Faults(parse_faults(script, name="test"), start_ns=START, seed=1),
        start_ns=START,
        wall_offset_ns=WALL,
        duration_ns=None if duration is None else round(duration * SECOND),
    )


def connect(venue: Venue, now: int = START) -> int:
    number, refusal = venue.handshake(MARKET_PATH, now)
    assert refusal is None
    venue.connection_opened(number, now)
    return number


def say(venue: Venue, number: int, now: int = START, **form: Any) -> None:
    venue.text_received(number, json.dumps(form), now)


def written(venue: Venue, number: int) -> list[bytes]:
    """What a connection is given now; what others are given is thrown away."""
    outputs = {output.number: output for output in venue.outputs()}
    if number not in outputs:
        return []
    return [payload for item in outputs[number].items for payload in item.payloads]


def endings(venue: Venue) -> dict[int, Ending]:
    return {output.number: output.ending for output in venue.outputs() if output.ending}


def run(venue: Venue, until: int) -> None:
    while (due := venue.deadline()) is not None and due <= until:
        venue.deadline_reached(due)


def get(venue: Venue, target: str, now: int = START) -> Response:
    return venue.respond(request("GET", target), now)


def tokens(venue: Venue) -> list[str]:
    markets = json.loads(get(venue, "/markets?limit=500").body)
    found: list[str] = []
    for market in markets:
        ids = market.get("clobTokenIds") or []
        ids = json.loads(ids) if isinstance(ids, str) else ids
        if len(ids) == 2 and get(venue, f"/book?token_id={ids[0]}").status == 200:
            found += ids
    return found


def test_one_port_answers_gamma_the_clob_and_geoblock() -> None:
    venue = generated()
    assert json.loads(get(venue, "/markets/keyset?limit=5").body)["markets"]
    assert json.loads(get(venue, "/events/keyset?limit=5").body)["events"]
    assert json.loads(get(venue, "/time").body) == (START + WALL) // SECOND
    assert json.loads(get(venue, "/api/geoblock").body)["blocked"] is False
    assert get(venue, "/nothing").status == 404
    assert venue.respond(request("POST", "/markets"), START).status == 405
    assert venue.counts()["http_requests"] == 6


def test_a_subscription_is_answered_and_followed_by_events() -> None:
    venue = generated()
    number = connect(venue)
    wanted = tokens(venue)
    say(venue, number, assets_ids=wanted, type="market")
    [array] = written(venue, number)
    assert {book["asset_id"] for book in json.loads(array)} == set(wanted)
    run(venue, START + SECOND)
    frames = written(venue, number)
    assert len(frames) > 50
    assert written(venue, number) == [], "each output is given once"
    say(venue, number, operation="unsubscribe", assets_ids=wanted)
    run(venue, START + 2 * SECOND)
    assert written(venue, number) == []


def test_the_stream_and_the_book_endpoint_state_one_hash() -> None:
    venue = generated()
    number = connect(venue)
    say(venue, number, assets_ids=tokens(venue), type="market")
    stated: dict[str, str] = {}
    for _ in range(40):
        run(venue, (venue.deadline() or 0))
        for payload in written(venue, number):
            value = json.loads(payload)
            for event in value if isinstance(value, list) else [value]:
                for entry in event.get("price_changes", [event]):
                    if "hash" in entry:
                        stated[entry["asset_id"]] = entry["hash"]
    for token, hash_hex in stated.items():
        assert json.loads(get(venue, f"/book?token_id={token}").body)["hash"] == hash_hex


def test_text_binary_and_other_paths() -> None:
    venue = generated()
    number = connect(venue)
    venue.text_received(number, "PING", START)
    venue.binary_received(number)
    assert written(venue, number) == [b"PONG", b"INVALID OPERATION"]
    assert venue.handshake("/ws/user", START) == (2, 404)
    venue.text_received(99, "PING", START)
    venue.binary_received(99)
    venue.connection_closed(99)


def test_a_reader_that_is_behind_stops_the_generator() -> None:
    venue = generated(rate=0)
    number = connect(venue)
    say(venue, number, assets_ids=tokens(venue), type="market")
    assert venue.deadline() is not None
    venue.blocked(number, blocked=True)
    assert venue.deadline() is None
    venue.blocked(number, blocked=False)
    assert venue.deadline() is not None
    venue.blocked(number, blocked=True)
    venue.connection_closed(number)
    second = connect(venue)
    say(venue, second, assets_ids=[], type="market")
    assert venue.deadline() is not None, "who is gone holds nobody up"


def test_a_fault_closes_after_what_was_queued_and_nothing_follows() -> None:
    venue = generated('[[fault]]\nkind="close"\nat=1\nconnection=1\ncode=1012\nreason="x"\n')
    first, second = connect(venue), connect(venue)
    wanted = tokens(venue)
    for number in (first, second):
        say(venue, number, assets_ids=wanted, type="market")
    run(venue, START + SECOND)
    outputs = {output.number: output for output in venue.outputs()}
    assert outputs[first].ending == Ending(1012, "x", "fault")
    assert outputs[first].items, "what was queued goes out before"
    assert outputs[second].ending is None
    venue.text_received(first, "PING", START + SECOND)
    run(venue, START + SECOND + CLOSE_TIMEOUT_NS - 1)
    assert written(venue, first) == []
    venue.connection_closed(first)
    run(venue, START + 10 * SECOND)
    assert endings(venue) == {}


def test_a_peer_that_does_not_answer_the_close_is_dropped() -> None:
    venue = generated('[[fault]]\nkind="close"\nat=1\n')
    number = connect(venue)
    run(venue, START + SECOND)
    assert endings(venue) == {number: Ending(1001, "", "fault")}
    run(venue, START + SECOND + CLOSE_TIMEOUT_NS)
    assert [ending.code for ending in endings(venue).values()] == [1006]


def test_frozen_mute_and_garbage() -> None:
    venue = generated(
        '[[fault]]\nkind="freeze"\nat=1\nseconds=1\nconnection=1\n'
        '[[fault]]\nkind="mute"\nat=1\nconnection=2\n'
        '[[fault]]\nkind="garbage"\nat=3\nconnection=1\ntext="{oops"\n'
    )
    frozen, mute = connect(venue), connect(venue)
    wanted = tokens(venue)
    for number in (frozen, mute):
        say(venue, number, assets_ids=wanted, type="market")
    run(venue, START + SECOND - 1)
    list(venue.outputs())
    run(venue, START + SECOND + SECOND // 2)
    for number in (frozen, mute):
        venue.text_received(number, "PING", START)
        say(venue, number, operation="unsubscribe", assets_ids=wanted[:2])
        say(venue, number, operation="subscribe", assets_ids=wanted[:2])
    outputs = {output.number: output.items for output in venue.outputs()}
    assert [item.payloads for item in outputs[frozen]] == [(b"PONG",)]
    assert mute not in outputs
    run(venue, START + 3 * SECOND)
    after = written(venue, frozen)
    assert len(after) > 10
    assert b"{oops" in after


def test_starved_tokens_get_no_book_until_they_are_rescued() -> None:
    probe = tokens(generated())
    script = f'[[fault]]\nkind="no_book"\ntokens=["{probe[0]}"]\nresubscribes=1\n'
    venue = generated(script)
    number = connect(venue)
    say(venue, number, assets_ids=probe[:2], type="market")
    [array] = written(venue, number)
    assert [book["asset_id"] for book in json.loads(array)] == [probe[1]]
    run(venue, START + 200 * SECOND)
    later = [json.loads(payload) for payload in written(venue, number)]
    assert any(isinstance(value, list) for value in later)
    of = [event for value in later for event in (value if isinstance(value, list) else [value])]
    assert probe[1] in {event.get("asset_id") for event in of}
    assert probe[0] not in {event.get("asset_id") for event in of}
    assert probe[0] in {one["asset_id"] for event in of for one in event.get("price_changes", [])}
    say(venue, number, operation="unsubscribe", assets_ids=probe[:1])
    say(venue, number, operation="subscribe", assets_ids=probe[:1])
    [array] = written(venue, number)
    assert [book["asset_id"] for book in json.loads(array)] == [probe[0]]


def test_refusals_and_spoiled_answers() -> None:
    venue = generated(
        '[[fault]]\nkind="refuse"\ncount=1\n[[fault]]\nkind="gamma_429"\ncount=1\nretry_after=2\n'
    )
    assert venue.handshake(MARKET_PATH, START) == (1, 503)
    assert venue.handshake(MARKET_PATH, START) == (2, None)
    assert get(venue, "/book?token_id=1").status == 404, "only Gamma is spoiled"
    limited = get(venue, "/markets/keyset")
    assert (limited.status, limited.headers) == (429, (("Retry-After", "2"),))
    assert get(venue, "/markets/keyset").status == 200
    assert venue.counts()["faults"] == 2


def test_a_recording_goes_to_everyone_verbatim() -> None:
    lines = [b'[{"asset_id":"11","event_type":"book","market":"0xc0"}]', b"[]", b"junk"]
    venue = recorded(lines)
    first, second = connect(venue), connect(venue)
    say(venue, first, assets_ids=["11"], type="market")
    say(venue, second, assets_ids=["other"], type="market")
    venue.text_received(first, "PING", START)
    venue.deadline_reached(START)
    assert written(venue, first) == [b"PONG", *lines]
    say(venue, second, operation="subscribe", assets_ids=["11"])
    assert written(venue, second) == []
    assert venue.deadline() is None


def test_stop_closes_everyone_and_generates_nothing_more() -> None:
    venue = generated(duration=2)
    number = connect(venue)
    say(venue, number, assets_ids=tokens(venue), type="market")
    run(venue, START + 2 * SECOND)
    assert venue.stopping
    assert endings(venue) == {number: Ending(1001, "", "shutdown")}
    assert venue.deadline() == START + 2 * SECOND + CLOSE_TIMEOUT_NS
    venue.connection_closed(number)
    assert venue.deadline() is None


@pytest.mark.parametrize("early", [0, 1])
def test_an_early_wake_up_does_nothing(early: int) -> None:
    venue = generated('[[fault]]\nkind="close"\nat=1\n', rate=0.001)
    connect(venue)
    venue.deadline_reached(START - 1 + early)
    assert endings(venue) == {}
