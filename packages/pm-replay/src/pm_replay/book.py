"""The full book of one token: prices in millionths, sizes as the venue wrote them, the top always exact.

Most sizes are never told, so only that of a best level is made a number. Every size in a book has been
judged: it is one that `Sizes` takes, and not 0.

The venue's lists end with the best level, but nothing here depends on their order: the best is the
maximum of the bids and the minimum of the asks, kept by comparison and looked for only when it goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from pm_replay.e6 import BAD, NO_SIDE, Prices, Sizes, to_e6
from pm_replay.messages import Level

Levels: TypeAlias = dict[int, str]  # price in millionths to size as text


class Side:
    """Levels of one side of a message, and how many of them could not be read."""

    __slots__ = ("invalid", "levels")

    def __init__(
        self, given: Sequence[Level], prices: Prices, sizes: Sizes, ours: Levels | None = None
    ) -> None:
        """`ours` is a side of a book: what equals it, and then is it, needs no other proof that it is sound."""
        levels = {prices[level.price]: level.size for level in given}
        self.invalid = 0
        if ours is not None and levels == ours and len(levels) == len(given):
            self.levels: Levels = ours
            return
        # A repeated price takes its last size, as an object of JSON would.
        if (
            len(levels) < len(given)
            or BAD in levels
            or (levels and min(map(sizes.__getitem__, levels.values())) <= 0)
        ):
            # Careful from here: what is invalid is left out and counted, size 0 is no level.
            levels = {}
            for level in given:
                price, size = prices[level.price], sizes[level.size]
                if price == BAD or size == BAD:
                    self.invalid += 1
                elif size:
                    levels[price] = level.size
                else:
                    levels.pop(price, None)
        self.levels = levels


class L2:
    """Both sides; `bid` and `ask` are the best prices, `NO_SIDE` with size 0 where there is none."""

    __slots__ = ("ask", "ask_size", "asks", "bid", "bid_size", "bids")

    bid: int
    ask: int

    def __init__(self) -> None:
        self.bids: Levels = {}
        self.asks: Levels = {}
        self.find_bid()
        self.find_ask()

    def replace(self, bids: Levels, asks: Levels) -> None:
        """Take a whole book; the dicts become ours."""
        if bids is not self.bids:
            self.bids = bids
            self.find_bid()
        if asks is not self.asks:
            self.asks = asks
            self.find_ask()

    def set_bid(self, price: int, text: str, size: int) -> None:
        """Set the total of a bid level, as text and in millionths; 0 removes it."""
        if size:
            self.bids[price] = text
            if price >= self.bid:
                self.bid = price
                self.bid_size = size
        else:
            self.bids.pop(price, None)
            if price == self.bid:
                self.find_bid()

    def set_ask(self, price: int, text: str, size: int) -> None:
        """Set the total of an ask level, as text and in millionths; 0 removes it."""
        if size:
            self.asks[price] = text
            if price <= self.ask or self.ask == NO_SIDE:
                self.ask = price
                self.ask_size = size
        else:
            self.asks.pop(price, None)
            if price == self.ask:
                self.find_ask()

    def find_bid(self) -> None:
        """Look for the best bid."""
        self.bid = max(self.bids, default=NO_SIDE)
        self.bid_size = to_e6(self.bids[self.bid]) if self.bids else 0

    def find_ask(self) -> None:
        """Look for the best ask."""
        self.ask = min(self.asks, default=NO_SIDE)
        self.ask_size = to_e6(self.asks[self.ask]) if self.asks else 0


def differing(one: Levels, other: Levels) -> int:
    """Return how many levels of two sides are not the same, by value."""
    if one == other:
        return 0
    return sum(
        one.get(price) != other.get(price)
        and to_e6(one.get(price, "0")) != to_e6(other.get(price, "0"))
        for price in one.keys() | other.keys()
    )
