import json
from typing import Any

from pm_mock.channel import Channel, Subscribe
from pm_mock.hub import Hub
from pm_mock.sources.generated import GeneratedSource

SECOND = 1_000_000_000
WALL = 1_800_000_000 * SECOND


def source(
    hub: Hub, *, rate: float = 100, markets: int = 6, lifecycle: float = 0
) -> GeneratedSource:
    return GeneratedSource(
        hub,
        seed=4,
        markets=markets,
        rate=rate,
        lifecycle_seconds=lifecycle,
        start_ns=0,
        wall_offset_ns=WALL,
    )


def subscribed(
    hub: Hub, made: GeneratedSource, *tokens: str, custom: bool = False, dump: bool = True
) -> Channel:
    channel = Channel(1)
    channel.subscribed, channel.custom = True, custom
    hub.subscribe(channel, tokens)
    made.subscribed(channel, Subscribe(tokens, True, dump), 0)
    return channel


def tokens(made: GeneratedSource) -> list[str]:
    return [t for one in made.catalogue.listings() if one.market for t in one.token_ids or ()]


def taken(channel: Channel) -> list[Any]:
    values = [json.loads(payload) for item in channel.outbox for payload in item.payloads]
    channel.outbox.clear()
    return values


def test_one_array_has_the_books_of_the_tokens_that_have_one() -> None:
    hub = Hub()
    made = source(hub)
    first, second, *_ = tokens(made)
    channel = subscribed(hub, made, second, "999", first)
    assert b'","' in channel.outbox[0].payloads[0], "compact"
    [array] = taken(channel)
    assert [book["asset_id"] for book in array] == [second, first]
    for book in array:
        served = made.summary_of(book["asset_id"])
        assert served is not None
        assert json.loads(served)["hash"] == book["hash"]
        assert list(book)[-3:] == ["tick_size", "event_type", "last_trade_price"]


def test_unknown_tokens_get_an_empty_array_and_no_dump_gets_nothing() -> None:
    hub = Hub()
    made = source(hub)
    assert taken(subscribed(hub, made, "999")) == [[]]
    assert taken(subscribed(hub, made)) == [[]]
    assert taken(subscribed(hub, made, tokens(made)[0], dump=False)) == []
    duplicate = Channel(2)
    made.subscribed(duplicate, Subscribe((), False, True), 0)
    assert taken(duplicate) == []


def test_events_come_at_the_rate_with_the_wall_clock() -> None:
    hub = Hub()
    made = source(hub, rate=100)
    channel = subscribed(hub, made, *tokens(made))
    taken(channel)
    now = 0
    while (due := made.deadline()) is not None and due < 2 * SECOND:
        now = due
        made.deadline_reached(now)
    assert made.counts() == {"engine_events": 200}
    stamps = [
        int(event["timestamp"])
        for value in taken(channel)
        for event in (value if isinstance(value, list) else [value])
    ]
    assert min(stamps) >= WALL // 1_000_000
    assert max(stamps) == (WALL + now) // 1_000_000


def test_nothing_is_generated_while_a_reader_is_behind() -> None:
    hub = Hub()
    made = source(hub, rate=0)
    assert made.deadline() is None, "full speed waits for a subscriber"
    channel = subscribed(hub, made, tokens(made)[0])
    assert made.deadline() == 0
    hub.set_blocked(channel, blocked=True)
    assert made.deadline() is None
    made.deadline_reached(5 * SECOND)
    assert made.counts() == {"engine_events": 0}
    hub.set_blocked(channel, blocked=False)
    made.deadline_reached(5 * SECOND)
    assert made.counts() == {"engine_events": 64}


def test_a_market_lists_trades_closes_and_resolves() -> None:
    hub = Hub()
    made = source(hub, rate=2000, lifecycle=3)
    before = set(tokens(made))
    channel = subscribed(hub, made, *before, custom=True)
    plain = subscribed(hub, made, *before)
    taken(channel), taken(plain)
    values: list[dict[str, Any]] = []
    while (due := made.deadline()) is not None and due <= 3 * SECOND:
        made.deadline_reached(due)
        values += [value for value in taken(channel) if isinstance(value, dict)]
    [listed] = [value for value in values if value["event_type"] == "new_market"]
    [resolved] = [value for value in values if value["event_type"] == "market_resolved"]
    assert listed["active"] is False
    assert listed["assets_ids"] == listed["clob_token_ids"]
    assert listed["outcomes"] == ["Up", "Down"]
    assert listed["fee_schedule"] == {
        "exponent": "1",
        "rate": "0.07",
        "taker_only": True,
        "rebate_rate": "0.2",
    }
    new = set(tokens(made)) - before
    assert new == set(listed["assets_ids"])
    assert made.catalogue.by_id(listed["id"]) is not None

    assert resolved["winning_asset_id"] in resolved["assets_ids"]
    assert resolved["winning_outcome"] in ("Up", "Down")
    gone = made.catalogue.by_id(resolved["id"])
    assert gone is not None
    assert gone.closed
    assert made.summary_of(resolved["winning_asset_id"]) is None
    last = [value for value in values if resolved["market"] == value["market"]][-1]
    assert last["event_type"] == "market_resolved"
    assert not any(
        isinstance(value, dict)
        and value["event_type"] in ("new_market", "market_resolved", "best_bid_ask")
        for value in taken(plain)
    )


def test_long_lived_markets_stay() -> None:
    hub = Hub()
    made = source(hub, rate=10, lifecycle=1)
    long_lived = {
        one.market_id for one in made.catalogue.listings() if one.market and not one.short_lived
    }
    while (due := made.deadline()) is not None and due <= 60 * SECOND:
        made.deadline_reached(due)
    still = {one.market_id for one in made.catalogue.listings() if one.market}
    assert long_lived <= still
    assert len(still) <= 8
