import json
from fractions import Fraction
from typing import Any

import pytest

from pm_mock.channel import Channel, Subscribe
from pm_mock.hub import Hub
from pm_mock.plantplan import Arbitrage, Mirror, Plant
from pm_mock.sources.generated import GeneratedSource

SECOND = 1_000_000_000
WALL = 1_800_000_000 * SECOND
CALM = ["0.24", "0.36", "0.46"]
ASKS = ["0.21", "0.32", "0.40"]


def arbitrage(**more: Any) -> Arbitrage:
    return Arbitrage(calm=CALM, asks=ASKS, size="60", **more)


class Reader:
    """A client that keeps the books of all tokens that it is told of, on an idle venue with plants."""

    def __init__(self, *plants: Plant) -> None:
        self.hub = Hub()
        self.source = GeneratedSource(
            self.hub, seed=4, markets=4, rate=1e-9, lifecycle_seconds=0, start_ns=0,
            wall_offset_ns=WALL, plants=plants,
        )  # fmt: skip
        self.planted = list(self.source.catalogue.listings())[-sum(map(size_of, plants)) :]
        self.channel = Channel(1)
        self.channel.subscribed = self.channel.custom = True
        self.asks: dict[str, dict[str, str]] = {}
        self.events: list[dict[str, Any]] = []

    def subscribe(self, *tokens: str, at_ns: int) -> None:
        self.hub.subscribe(self.channel, tokens)
        self.source.subscribed(self.channel, Subscribe(tokens, True, True), at_ns)
        self.take()

    def run_until(self, now_ns: int) -> None:
        while (due := self.source.deadline()) is not None and due <= now_ns:
            self.source.deadline_reached(due)
            self.take()

    def take(self) -> None:
        """One message of the channel at a time."""
        payloads = [payload for item in self.channel.outbox for payload in item.payloads]
        self.channel.outbox.clear()
        for payload in payloads:
            value = json.loads(payload)
            for event in value if isinstance(value, list) else [value]:
                self.events.append(event)
                if event["event_type"] == "book":
                    self.asks[event["asset_id"]] = {
                        level["price"]: level["size"] for level in event["asks"]
                    }
                for change in event.get("price_changes", ()):
                    if change["side"] == "SELL":
                        book = self.asks[change["asset_id"]]
                        book[change["price"]] = change["size"]
                        if change["size"] == "0":
                            del book[change["price"]]

    def best(self, token: str) -> tuple[str, str]:
        return min(self.asks[token].items(), key=lambda level: Fraction(level[0]))


def size_of(plant: Plant) -> int:
    return len(plant.asks) if isinstance(plant, Arbitrage) else 1


def yes_of(reader: Reader) -> list[str]:
    return [listing.token_ids[0] for listing in reader.planted if listing.token_ids]


def all_of(reader: Reader) -> list[str]:
    return [token for listing in reader.planted for token in listing.token_ids or ()]


def test_the_set_is_cheap_at_the_stated_time_and_size_and_no_longer() -> None:
    reader = Reader(arbitrage(at=1.0, seconds=2.0))
    event = reader.planted[0].event
    assert [one.event for one in reader.planted] == [event] * 3
    assert event.neg_risk_market_id is not None
    assert not event.neg_risk_augmented
    first, *others = all_of(reader)
    reader.subscribe(*others, at_ns=0)
    reader.run_until(5 * SECOND)  # one token is missing: nothing begins
    reader.subscribe(first, at_ns=5 * SECOND)
    calm = [("0.24", "1000"), ("0.36", "1000"), ("0.46", "1000")]
    reader.run_until(6 * SECOND - 1)
    assert [reader.best(token) for token in yes_of(reader)] == calm
    reader.run_until(8 * SECOND - 1)
    planted = [("0.21", "60"), ("0.32", "60"), ("0.4", "60")]
    assert [reader.best(token) for token in yes_of(reader)] == planted
    reader.run_until(100 * SECOND)
    assert [reader.best(token) for token in yes_of(reader)] == calm
    assert reader.source.deadline() is None or reader.source.deadline() > 100 * SECOND  # type: ignore[operator]


def test_one_market_wins_and_the_others_lose() -> None:
    reader = Reader(arbitrage(at=1.0, seconds=2.0, winner=1, resolve_after=0.5))
    reader.subscribe(*all_of(reader), at_ns=0)
    reader.run_until(3_500_000_000 - 1)
    assert not any(event["event_type"] == "market_resolved" for event in reader.events)
    reader.run_until(4 * SECOND)
    resolved = [event for event in reader.events if event["event_type"] == "market_resolved"]
    assert [event["winning_outcome"] for event in resolved] == ["No", "Yes", "No"]
    assert [event["market"] for event in resolved] == [one.condition_id for one in reader.planted]
    assert all(one.closed for one in reader.planted)
    assert all(reader.source.summary_of(token) is None for token in all_of(reader))


def test_without_a_time_it_stays_calm() -> None:
    reader = Reader(arbitrage(winner=0))
    reader.subscribe(*all_of(reader), at_ns=0)
    before = len(reader.events)
    reader.run_until(1000 * SECOND)
    assert len(reader.events) == before
    assert {event["event_type"] for event in reader.events} == {"book"}


@pytest.mark.parametrize("how", ["split", "stale"])
def test_the_asks_of_a_mirror_sum_to_less_only_between_two_frames(how: Any) -> None:
    reader = Reader(Mirror(how=how, at=1.0, every=1.0, count=3, seconds=0.5))
    yes, no = all_of(reader)

    def total() -> Fraction:
        return Fraction(reader.best(yes)[0]) + Fraction(reader.best(no)[0])

    reader.subscribe(yes, no, at_ns=0)
    assert total() == Fraction("1.02")
    for number in range(3):
        told = len(reader.events)
        reader.run_until((number + 1) * SECOND)
        assert total() == Fraction("0.95"), "for who joins the two"
        [first] = reader.events[told:]
        named = [change["asset_id"] for change in first["price_changes"]]
        assert set(named) == ({yes, no} if how == "stale" else {(yes, no)[number % 2]})
        reader.run_until((number + 1) * SECOND + SECOND // 2)
        assert total() == Fraction("1.02")
        second = reader.events[-1]
        # One batch: one stamp, and each token has one hash in it.
        assert second["timestamp"] == first["timestamp"]
        stated = json.loads(reader.source.summary_of(second["price_changes"][0]["asset_id"]) or "")
        assert stated["hash"] == second["price_changes"][0]["hash"]


def test_the_rest_of_the_universe_is_what_it_is_without_plants() -> None:
    plain, planted = Reader(), Reader(arbitrage())
    listed = [one.condition_id for one in plain.source.catalogue.listings()]
    assert [one.condition_id for one in planted.source.catalogue.listings()][:-3] == listed
