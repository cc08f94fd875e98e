"""The full book of one token: prices and sizes in millionths, the best level always exact.

The venue's lists end with the best level, but nothing here depends on their order: the best is the
maximum of the bids and the minimum of the asks, kept by comparison and looked for only when it goes.
"""

from __future__ import annotations

from collections.abc import Sequence

from pm_replay.e6 import BAD, NO_SIDE, Prices, Sizes
from pm_replay.messages import Level


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
        self.levels: dict[int, int] = levels


class L2:
    """Both sides; `bid` and `ask` are the best prices, `NO_SIDE` where there is none."""

    __slots__ = ("ask", "asks", "bid", "bids")

    def __init__(self) -> None:
        self.bids: dict[int, int] = {}
        self.asks: dict[int, int] = {}
        self.bid = NO_SIDE
        self.ask = NO_SIDE

    def replace(self, bids: dict[int, int], asks: dict[int, int]) -> None:
        """Take a whole book; the dicts become ours."""
        self.bids = bids
        self.asks = asks
        self.bid = max(bids, default=NO_SIDE)
        self.ask = min(asks, default=NO_SIDE)

    def set_bid(self, price: int, size: int) -> None:
        """Set the total of a bid level; 0 removes it."""
        if size:
            self.bids[price] = size
            if price > self.bid:
                self.bid = price
        else:
            self.bids.pop(price, None)
            if price == self.bid:
                self.bid = max(self.bids, default=NO_SIDE)

    def set_ask(self, price: int, size: int) -> None:
        """Set the total of an ask level; 0 removes it."""
        if size:
            self.asks[price] = size
            if price < self.ask or self.ask == NO_SIDE:
                self.ask = price
        else:
            self.asks.pop(price, None)
            if price == self.ask:
                self.ask = min(self.asks, default=NO_SIDE)

    def top(self) -> tuple[int, int, int, int]:
        """Return bid price, bid size, ask price, ask size; price -1 and size 0 for an empty side."""
        return (
            self.bid,
            self.bids[self.bid] if self.bid >= 0 else 0,
            self.ask,
            self.asks[self.ask] if self.ask >= 0 else 0,
        )
