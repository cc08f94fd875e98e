"""The full book of one token: prices and sizes in millionths, the top always exact.

Every size in a book has been judged: it is one that `Sizes` takes, and not 0.

The venue's lists end with the best level, but nothing here depends on their order: the best is the
maximum of the bids and the minimum of the asks, kept by comparison and looked for only when it goes.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

from pm_replay.e6 import BAD, NO_SIDE, Prices, Sizes
from pm_replay.messages import Level

Levels: TypeAlias = dict[int, int]  # price to size, in millionths


class Side:
    """Levels of one side of a message, and how many of them could not be read."""

    __slots__ = ("invalid", "levels")

    def __init__(self, given: Sequence[Level], prices: Prices, sizes: Sizes) -> None:
        levels = {prices[level.price]: sizes[level.size] for level in given}
        self.invalid = 0
        # A repeated price takes its last size, as an object of JSON would.
        if len(levels) < len(given) or BAD in levels or (levels and min(levels.values()) <= 0):
            # Careful from here: what is invalid is left out and counted, size 0 is no level.
            levels = {}
            for level in given:
                price, size = prices[level.price], sizes[level.size]
                if price == BAD or size == BAD:
                    self.invalid += 1
                elif size:
                    levels[price] = size
                else:
                    levels.pop(price, None)
        self.levels: Levels = levels


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
        self.bids = bids
        self.asks = asks
        self.find_bid()
        self.find_ask()

    def set_bid(self, price: int, size: int) -> None:
        """Set the total of a bid level; 0 removes it."""
        if size:
            self.bids[price] = size
            if price >= self.bid:
                self.bid = price
                self.bid_size = size
        else:
            self.bids.pop(price, None)
            if price == self.bid:
                self.find_bid()

    def set_ask(self, price: int, size: int) -> None:
        """Set the total of an ask level; 0 removes it."""
        if size:
            self.asks[price] = size
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
        self.bid_size = self.bids.get(self.bid, 0)

    def find_ask(self) -> None:
        """Look for the best ask."""
        self.ask = min(self.asks, default=NO_SIDE)
        self.ask_size = self.asks.get(self.ask, 0)


def differing(one: Levels, other: Levels) -> int:
    """Return how many levels of two sides are not the same."""
    if one == other:
        return 0
    return sum(one.get(price) != other.get(price) for price in one.keys() | other.keys())
