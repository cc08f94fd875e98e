"""Resting bids for one outcome token, worst first, with their text kept ready.

Polymarket has one book a market: an ask for YES at p is a bid for NO at 1 − p. So two ladders of bids
are the whole market, and each keeps the text of its levels twice: as bids of its own token and, with the
price mirrored, as asks of the other. Both texts are in the venue's order as they stand, because bids
ascending and asks descending both end with the best.
"""

from bisect import bisect_left

from pm_mock.booktext import level_text
from pm_mock.fixed import ONE_E4, PRICE_TEXT, size_text


class Ladder:
    """Bids of one token: ascending prices, the best last."""

    __slots__ = ("_asks", "_asks_joined", "_bids", "_bids_joined", "prices_e4", "sizes_e6")

    def __init__(self) -> None:
        self.prices_e4: list[int] = []
        self.sizes_e6: list[int] = []
        self._bids: list[bytes] = []
        self._asks: list[bytes] = []
        self._bids_joined: bytes | None = b""
        self._asks_joined: bytes | None = b""

    def __len__(self) -> int:
        return len(self.prices_e4)

    @property
    def best_e4(self) -> int:
        """The highest bid, 0 if there is none."""
        return self.prices_e4[-1] if self.prices_e4 else 0

    def size_at(self, price_e4: int) -> int:
        """The size resting at a price, 0 if there is none."""
        index = bisect_left(self.prices_e4, price_e4)
        if index < len(self.prices_e4) and self.prices_e4[index] == price_e4:
            return self.sizes_e6[index]
        return 0

    def put(self, price_e4: int, size_e6: int) -> None:
        """Make `size_e6` the whole size at a price; 0 removes the level.

        Raises `ValueError` for a price outside 0 and 1, or a negative size.
        """
        if not 0 < price_e4 < ONE_E4 or size_e6 < 0:
            raise ValueError(f"no level of {size_e6} e-6 can rest at {price_e4} e-4")
        self._bids_joined = self._asks_joined = None
        index = bisect_left(self.prices_e4, price_e4)
        present = index < len(self.prices_e4) and self.prices_e4[index] == price_e4
        if not size_e6:
            if present:
                del (
                    self.prices_e4[index],
                    self.sizes_e6[index],
                    self._bids[index],
                    self._asks[index],
                )
            return
        size = size_text(size_e6)
        bid = level_text(PRICE_TEXT[price_e4], size)
        ask = level_text(PRICE_TEXT[ONE_E4 - price_e4], size)
        if present:
            self.sizes_e6[index] = size_e6
            self._bids[index] = bid
            self._asks[index] = ask
            return
        self.prices_e4.insert(index, price_e4)
        self.sizes_e6.insert(index, size_e6)
        self._bids.insert(index, bid)
        self._asks.insert(index, ask)

    def as_bids(self) -> bytes:
        """The levels as bids of this token, ascending."""
        if self._bids_joined is None:
            self._bids_joined = b",".join(self._bids)
        return self._bids_joined

    def as_asks(self) -> bytes:
        """The levels as asks of the other token, descending."""
        if self._asks_joined is None:
            self._asks_joined = b",".join(self._asks)
        return self._asks_joined
