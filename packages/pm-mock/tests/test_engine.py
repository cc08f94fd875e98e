import json
import random
from typing import Any

from pm_mock.engine import Engine
from pm_mock.events import Message
from pm_mock.flow import OrderFlow
from pm_mock.market import YES, Market


def engine(seed: int = 1, *, markets: int = 3, fair_e4: int = 5000) -> tuple[Engine, list[Market]]:
    made = Engine(random.Random(seed))
    listed = []
    for number in range(markets):
        market = Market(f"0x{number}", (f"{number}1", f"{number}2"), tick_e4=100, timestamp_ms=5)
        flow = OrderFlow(
            market, random.Random(seed + number), fair_e4=fair_e4, depth=10, thin=False
        )
        made.add(market, flow, timestamp_ms=10)
        listed.append(market)
    return made, listed


def events(messages: list[Message]) -> list[dict[str, Any]]:
    flat = []
    for message in messages:
        value = json.loads(message.payload)
        flat += value if isinstance(value, list) else [value]
    return flat


def test_tokens_have_books_until_their_market_is_removed() -> None:
    made, (first, *_) = engine()
    assert made.book_of("02") == (first, 1)
    assert made.book_of("99") is None
    made.remove("0x0")
    assert made.book_of("02") is None
    assert len(made) == 2


def test_nobody_listening_changes_nothing_but_the_messages() -> None:
    heard, markets = engine()
    unheard, same_markets = engine()
    for now in range(500):
        assert unheard.step(now, lambda _: False) == []
        heard.step(now, lambda _: True)
    for one, other in zip(markets, same_markets, strict=True):
        assert one.hashes() == other.hashes()
    assert heard.batches == unheard.batches == 500


def test_best_prices_come_first_and_only_when_they_moved() -> None:
    made, _ = engine()
    tops: dict[str, tuple[str, str]] = {}
    for now in range(2000):
        stated: dict[str, Any] = {}
        for event in events(made.step(now, lambda _: True)):
            if event["event_type"] == "best_bid_ask":
                assert not stated, "after a price_change of its batch"
                token = event["asset_id"]
                top = (event["best_bid"], event["best_ask"])
                assert tops.get(token) != top
                tops[token] = top
            elif event["event_type"] == "price_change":
                stated = event


def test_after_a_trade_both_books_and_the_print_follow() -> None:
    made, _ = engine(markets=1)
    prints = books = late = joined = 0
    for now in range(3000):
        messages = made.step(now, lambda _: True)
        kinds = [event["event_type"] for event in events(messages)]
        books += kinds.count("book")
        prints += kinds.count("last_trade_price")
        late += "last_trade_price" in kinds and "book" not in kinds
        joined += any(message.payload.startswith(b"[") for message in messages)
        assert kinds.count("book") in (0, 2)
        for message in messages:
            assert not message.custom or b"best_bid_ask" in message.payload
    assert books == 2 * prints or books == 2 * (prints + 1), "one print may still be held back"
    assert late > 0
    assert joined > 0


def test_a_print_goes_to_its_own_token_only_and_the_changes_to_both() -> None:
    made, [market] = engine(markets=1)
    prints = {token: 0 for token in market.tokens}
    for now in range(3000):
        changes = dict.fromkeys(market.tokens, 0)
        for message in made.step(now, lambda _: True):
            for event in events([message]):
                if event["event_type"] == "price_change":
                    changes |= {token: changes[token] + 1 for token in message.tokens}
                    continue
                assert message.tokens == (event["asset_id"],)
                if message.payload.startswith(b"["):
                    prints[event["asset_id"]] += 1
        assert len(set(changes.values())) == 1, (
            "one token got a frame of changes that the other did not"
        )
    assert all(prints.values())


def test_ticks_get_finer_beyond_the_bounds() -> None:
    made, [market] = engine(markets=1)
    made.close_towards("0x0", YES)
    changes = []
    for now in range(3000):
        changes += [
            event
            for event in events(made.step(now, lambda _: True))
            if event["event_type"] == "tick_size_change"
        ]
    assert [(one["asset_id"], one["old_tick_size"], one["new_tick_size"]) for one in changes] == [
        ("01", "0.01", "0.001"),
        ("02", "0.01", "0.001"),
    ]
    assert market.tick_size == "0.001"


def test_prints_held_back_come_out_when_a_market_is_removed() -> None:
    for seed in range(40):
        made, _ = engine(seed, markets=1)
        trades = prints = 0
        for now in range(60):
            kinds = [event["event_type"] for event in events(made.step(now, lambda _: True))]
            trades += kinds.count("book") // 2
            prints += kinds.count("last_trade_price")
        assert trades - prints == len(made.remove("0x0"))
