"""What replay knows of a token and of its market while it goes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pm_frames.continuity import State
from pm_replay.book import L2
from pm_replay.book_hash import price_forms
from pm_replay.e6 import TEXT_MAX
from pm_replay.messages import Change, Stating

if TYPE_CHECKING:
    from collections.abc import Mapping

TRADE_PRICES_MAX = 6
_NO_CHANGE = Change("", "", "", "", None, None, None)


class Market:
    """A condition: its tokens, its terms, and the trade prices that a hash may contain."""

    __slots__ = (
        "condition_id",
        "min_size",
        "neg_risk",
        "row",
        "tick_size",
        "tokens",
        "trade_prices",
    )

    def __init__(self, condition_id: str) -> None:
        self.condition_id = condition_id
        self.tokens: list[Token] = []
        self.row: Mapping[str, Any] | None = None  # of the universe
        self.min_size: str | None = None
        self.tick_size: str | None = None
        self.neg_risk: bool | None = None
        self.trade_prices: list[str] = []

    def stated(self, tick_size: str | None, last_trade_price: str | None) -> None:
        """Take note of what a whole book says beside its levels."""
        if tick_size:
            self.tick_size = tick_size
        if last_trade_price:
            self.traded(last_trade_price)

    def traded(self, text: str) -> None:
        """Take note of a trade price, the newest first; a text that is too long for one is none."""
        for price in reversed(price_forms(text)):
            if len(price) > TEXT_MAX:
                continue
            if price in self.trade_prices:
                self.trade_prices.remove(price)
            self.trade_prices.insert(0, price)
            del self.trade_prices[TRADE_PRICES_MAX:]


class Token(L2):
    """A token's book, whether it can be known, and what the messages said of it last."""

    __slots__ = (
        "change", "chosen", "depth_told", "group_frame", "group_settled", "group_text", "last_told",
        "mark", "market", "number", "shard", "state", "token_id", "ts",
    )  # fmt: skip

    def __init__(self, number: int, token_id: str, market: Market, *, chosen: bool) -> None:
        super().__init__()
        self.number = number
        self.token_id = token_id
        self.ts = -1  # venue stamp of the book or change before, ns
        self.market = market
        self.chosen = chosen
        self.state = State.UNSUBSCRIBED
        # Where the whole book came from that the levels are built on; -1: they are not those of the venue.
        self.shard = -1
        self.mark = 0  # serial of the message that touched this token last
        # The last one, with the hash of a whole book that came after it.
        self.change: Change | Stating = _NO_CHANGE
        # The engine batch that the last message belongs to: one timestamp, one hash.
        self.group_text = ""
        self.group_settled = -1  # Settled as a number; -1: nothing to be judged
        self.group_frame = 0
        self.last_told: tuple[int, ...] | None = None
        self.depth_told = False

    @property
    def known(self) -> bool:
        """Whether the levels are those of the venue: live, and a whole book since the last break."""
        return self.shard >= 0

    def mate(self) -> Token | None:
        """Return the other token of a binary market, if it is known which one that is."""
        tokens = self.market.tokens
        if len(tokens) != 2 or not self.market.condition_id:
            return None
        return tokens[1] if tokens[0] is self else tokens[0]

    def forget(self) -> None:
        """Drop the levels: they are no longer those of the venue."""
        self.shard = -1
        self.replace({}, {})
        self.group_settled = -1
        self.last_told = None
        self.depth_told = False
