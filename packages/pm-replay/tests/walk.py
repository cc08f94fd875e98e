"""Frames of markets whose books grow and shrink, in batches, with trades, ticks and books between them."""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import Any

from bundles import book, change, compact, price_change

STAMP = 1_790_000_000_000


class Walk:
    """Three markets whose books grow and shrink by hundreds of levels, told truly but for a few frames."""

    def __init__(self, seed: int) -> None:
        self.source = random.Random(seed)
        self.markets = [f"0x{self.source.getrandbits(256):064x}" for _ in range(3)]
        self.pairs = [
            tuple(str(self.source.randrange(10**75, 10**77)) for _ in range(2)) for _ in range(3)
        ]
        # Bids and asks of the first token, in ten-thousandths; the second is the mirror.
        self.sides: list[tuple[dict[int, int], dict[int, int]]] = [({}, {}) for _ in range(3)]
        self.stamp = STAMP

    def hash(self) -> str:
        return f"{self.source.getrandbits(160):040x}"

    def frames(self, count: int) -> Iterator[bytes]:
        for market in range(3):
            yield compact([self.book(market, 0), self.book(market, 1)])
        for _ in range(count):
            market = self.source.randrange(3)
            chance = self.source.random()
            self.stamp += self.source.random() < 0.5
            if chance < 0.03:
                yield compact(self.book(market, self.source.randrange(2)))
            elif chance < 0.05:
                yield compact(self.trade(market))
            elif chance < 0.055:
                yield compact(self.tick(market))
                yield from (compact(self.book(market, which)) for which in range(2))
            else:
                yield from self.batch(market)

    def batch(self, market: int) -> Iterator[bytes]:
        """Yield one change, or several of one engine batch, with the hash and the best prices of its end."""
        changes = [self.step(market) for _ in range(self.source.choice((1, 1, 1, 2, 4)))]
        hashes = self.hash(), self.hash()
        bids, asks = self.sides[market]
        bid, ask = (max(bids) if bids else 0), (min(asks) if asks else 10_000)
        if self.source.random() < 0.02:
            bid += 1  # the venue says something else
        for price, size, is_bid in changes:
            sides = ("BUY", "SELL") if is_bid else ("SELL", "BUY")
            told = [
                change(token, text(at), size, side, hash=hash_, bid=text(low), ask=text(high))
                for token, at, side, hash_, low, high in zip(
                    self.pairs[market], (price, 10_000 - price), sides, hashes,
                    (bid, 10_000 - ask), (ask, 10_000 - bid), strict=True,
                )
            ]  # fmt: skip
            if self.source.random() < 0.3:
                told.reverse()
            back = 3 if self.source.random() < 0.01 else 0
            value = price_change(*told, ts=str(self.stamp - back))
            yield compact({**value, "market": self.markets[market]})

    def step(self, market: int) -> tuple[int, str, bool]:
        is_bid = self.source.randrange(2) == 0
        levels = self.sides[market][not is_bid]
        price = self.source.randrange(1, 5_000) if is_bid else self.source.randrange(5_000, 10_000)
        if levels and self.source.random() < 0.45:
            best = max(levels) if is_bid else min(levels)
            price = best if self.source.random() < 0.4 else self.source.choice(list(levels))
            del levels[price]
            return price, self.source.choice(("0", "0.00", "0")), is_bid
        levels[price] = self.source.randrange(1, 10**9)
        return price, decimal(levels[price], 2), is_bid

    def book(self, market: int, which: int) -> dict[str, Any]:
        bids, asks = self.sides[market]
        if self.source.random() < 0.2 and bids:
            del bids[self.source.choice(list(bids))]  # a change that was not told
        if which:
            bids, asks = ({10_000 - at: n for at, n in side.items()} for side in (asks, bids))
        sides = (
            {text(at): decimal(side[at], 2) for at in order}
            for side, order in ((bids, sorted(bids)), (asks, sorted(asks, reverse=True)))
        )
        value = book(self.pairs[market][which], *sides, ts=str(self.stamp), hash=self.hash())
        more = {"tick_size": "0.001", "last_trade_price": self.source.choice(("", "0.5"))}
        return {**value, "market": self.markets[market], **more}

    def trade(self, market: int) -> dict[str, Any]:
        return {
            "market": self.markets[market], "asset_id": self.pairs[market][0], "price": "0.5",
            "size": "3", "side": "BUY", "timestamp": str(self.stamp), "fee_rate_bps": "0",
            "event_type": "last_trade_price",
        }  # fmt: skip

    def tick(self, market: int) -> dict[str, Any]:
        return {
            "market": self.markets[market], "asset_id": self.pairs[market][0],
            "old_tick_size": "0.01", "new_tick_size": "0.001", "timestamp": str(self.stamp),
            "event_type": "tick_size_change",
        }  # fmt: skip


def text(price: int) -> str:
    return decimal(price, 4)


def decimal(value: int, places: int) -> str:
    whole_, part = divmod(value, 10**places)
    return f"{whole_}.{part:0{places}d}".rstrip("0").rstrip(".") if part else str(whole_)
