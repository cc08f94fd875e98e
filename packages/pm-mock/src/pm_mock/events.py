"""The text of every event that follows the opening array, in the venue's spacing.

A space after each comma and none after a colon, as captured on the real venue; `event_type` last. The text is
made by hand where it is made thousands of times a second.
"""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple

from pm_mock.fixed import ONE_E4, PRICE_TEXT, size_text
from pm_mock.market import NO, OUTCOMES, YES, Market


class Message(NamedTuple):
    """One message of the market channel and who is to get it.

    Subscribers of any of `tokens`; everyone if there are none. `custom`: only connections that set
    `custom_feature_enabled`. `unless`: nobody who subscribed this token, because another message has it.
    """

    payload: bytes
    tokens: tuple[str, ...]
    custom: bool = False
    unless: str | None = None


class Change(NamedTuple):
    """The new whole size of the bids for an outcome at a price."""

    outcome: int
    price_e4: int
    size_e6: int


class Trade(NamedTuple):
    """A taker's side and outcome token, the price in that token, the size and the transaction."""

    outcome: int
    buys: bool
    price_e4: int
    size_e6: int
    transaction: str


def spaced(value: Any) -> bytes:
    """Any JSON value in the venue's spacing."""
    return json.dumps(value, separators=(", ", ":"), ensure_ascii=False).encode()


class Statement:
    """What one settled batch states of its market: hash and best prices after the whole batch."""

    __slots__ = ("_entry_heads", "_entry_tails", "_market", "_timestamp")

    def __init__(self, market: Market) -> None:
        hashes = market.hashes()
        self._market = market
        self._timestamp = str(market.timestamp_ms)
        self._entry_heads = [f'{{"asset_id":"{token}", "price":"' for token in market.tokens]
        self._entry_tails = [
            f'", "hash":"{hashes[outcome]}", "best_bid":"{market.best_bid(outcome)}",'
            f' "best_ask":"{market.best_ask(outcome)}"}}'
            for outcome in OUTCOMES
        ]

    def price_change(self, changes: Sequence[Change], *, lead: int, alone: bool = False) -> bytes:
        """One frame: each change as an entry for both tokens, that of outcome `lead` first.

        `alone`: the token of that outcome only.
        """
        heads, tails = self._entry_heads, self._entry_tails
        entries = []
        for change in changes:
            size = size_text(change.size_e6)
            for outcome in (lead,) if alone else (lead, 1 - lead):
                if outcome == change.outcome:
                    price, side = change.price_e4, "BUY"
                else:
                    price, side = ONE_E4 - change.price_e4, "SELL"
                entries.append(
                    f'{heads[outcome]}{PRICE_TEXT[price]}", "size":"{size}", "side":"{side}{tails[outcome]}'
                )
        return (
            f'{{"market":"{self._market.condition_id}", "price_changes":[{", ".join(entries)}],'
            f' "timestamp":"{self._timestamp}", "event_type":"price_change"}}'
        ).encode()

    def best_bid_ask(self, outcome: int) -> bytes:
        market = self._market
        return (
            f'{{"market":"{market.condition_id}", "asset_id":"{market.tokens[outcome]}",'
            f' "best_bid":"{market.best_bid(outcome)}", "best_ask":"{market.best_ask(outcome)}",'
            f' "spread":"{market.spread(outcome)}", "timestamp":"{self._timestamp}", "event_type":"best_bid_ask"}}'
        ).encode()

    def last_trade_price(self, trade: Trade) -> bytes:
        market = self._market
        return (
            f'{{"market":"{market.condition_id}", "asset_id":"{market.tokens[trade.outcome]}",'
            f' "price":"{PRICE_TEXT[trade.price_e4]}", "size":"{size_text(trade.size_e6)}", "fee_rate_bps":"0",'
            f' "side":"{"BUY" if trade.buys else "SELL"}", "timestamp":"{self._timestamp}",'
            f' "event_type":"last_trade_price", "transaction_hash":"{trade.transaction}"}}'
        ).encode()

    def tick_size_change(self, outcome: int, *, old_e4: int) -> bytes:
        market = self._market
        return spaced(
            {
                "market": market.condition_id,
                "asset_id": market.tokens[outcome],
                "old_tick_size": PRICE_TEXT[old_e4],
                "new_tick_size": market.tick_size,
                "timestamp": self._timestamp,
                "event_type": "tick_size_change",
            }
        )


def tick_size_changes(market: Market, *, old_e4: int) -> list[Message]:
    """One message for each token of a market whose tick was refined and settled."""
    stated = Statement(market)
    return [
        Message(stated.tick_size_change(outcome, old_e4=old_e4), (market.tokens[outcome],))
        for outcome in (YES, NO)
    ]


def array(*payloads: bytes) -> bytes:
    """Several events in one frame, as captured now and then."""
    return b"[" + b", ".join(payloads) + b"]"
