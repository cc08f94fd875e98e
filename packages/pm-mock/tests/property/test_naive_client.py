"""Laws of the generated market, checked by a client that shares no code with it."""

import json
from collections.abc import Callable
from typing import Any

from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from pm_mock.channel import Channel, Subscribe
from pm_mock.hub import Hub
from pm_mock.sources.generated import GeneratedSource

WALL_OFFSET_NS = 1_800_000_000_000_000_000
MS = 1_000_000


def listen(
    seed: int, *, markets: int, bursts: int, lifecycle: float = 0
) -> tuple[Any, list[bytes]]:
    """Run a source at full speed under one subscriber to everything that it lists at first."""
    hub = Hub()
    source = GeneratedSource(
        hub,
        seed=seed,
        markets=markets,
        rate=0,
        lifecycle_seconds=lifecycle,
        start_ns=0,
        wall_offset_ns=WALL_OFFSET_NS,
    )
    channel = Channel(1)
    tokens = tuple(
        t for one in source.catalogue.listings() if one.market for t in one.token_ids or ()
    )
    form = {"type": "market", "assets_ids": tokens, "custom_feature_enabled": True}
    request = channel.text_received(json.dumps(form))
    assert isinstance(request, Subscribe)
    hub.subscribe(channel, request.tokens)
    source.subscribed(channel, request, 0)
    facts = {token: source.summary_of(token) for token in tokens}
    payloads: list[bytes] = []
    for burst in range(1, bursts + 1):
        # Several batches share a millisecond, as at full speed they do.
        source.deadline_reached(burst * 40 * MS)
        for item in channel.outbox:
            payloads += item.payloads
        channel.outbox.clear()
    return (source, facts), payloads


@settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(seed=st.integers(0, 2**32))
@example(seed=65535)  # ends while the print of the last trade is still to come
def test_whoever_applies_every_frame_has_the_books_that_are_stated(
    seed: int, naive_client: Callable[..., Any]
) -> None:
    """Hash, best prices and mirror hold at the end of every batch; `GET /book` states the same book."""
    (source, facts), payloads = listen(seed, markets=5, bursts=12)
    client = naive_client(lambda token: json.loads(facts[token]))
    for token in facts:
        served = json.loads(source.summary_of(token))
        client.last_trade_at_end[served["market"]] = served["last_trade_price"]
    client.play(payloads)
    assert client.checked > 1000
    for token, book in client.books.items():
        served = json.loads(source.summary_of(token))
        assert [(level["price"], level["size"]) for level in served["bids"]] == book.sides()[0]
        assert [(level["price"], level["size"]) for level in served["asks"]] == book.sides()[1]
        last_trade = served["last_trade_price"]
        assert served["hash"] == client.hash_of(token, served["timestamp"], last_trade)


def test_a_run_shows_every_event_type_and_batches_over_several_frames(
    naive_client: Callable[..., Any],
) -> None:
    """All seven event types occur, and one (timestamp, hash) spans several frames."""
    _, payloads = listen(3, markets=8, bursts=80, lifecycle=0.6)
    seen = {
        event["event_type"]
        for payload in payloads
        for event in (lambda v: v if isinstance(v, list) else [v])(json.loads(payload))
    }
    assert seen == {
        "book",
        "price_change",
        "last_trade_price",
        "tick_size_change",
        "best_bid_ask",
        "new_market",
        "market_resolved",
    }
    groups: dict[tuple[str, str, str], int] = {}
    for payload in payloads:
        value = json.loads(payload)
        if isinstance(value, dict) and value["event_type"] == "price_change":
            first = value["price_changes"][0]
            key = (first["asset_id"], value["timestamp"], first["hash"])
            groups[key] = groups.get(key, 0) + 1
    assert max(groups.values()) > 1


@settings(max_examples=5, deadline=None)
@given(seed=st.integers(0, 2**32))
def test_one_seed_gives_one_history(seed: int) -> None:
    """Same seed, same instants: byte for byte the same frames."""
    assert listen(seed, markets=3, bursts=3)[1] == listen(seed, markets=3, bursts=3)[1]
