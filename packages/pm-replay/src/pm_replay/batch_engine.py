"""The engine with its hot path spelt out: one level of both tokens of a market, in today's schema.

It gives what `Engine` gives, byte for byte and count for count. Nearly every frame of the venue is a change of
one level, told from both sides: a bid of one token, an ask of the other. Those are taken here, without a call
for each step; whatever else comes goes through `Engine.frame`. `quick` counts the former.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Any, Final

from pm_frames.events import Kind, Settled
from pm_frames.events.slots import BATCH_END, SETTLED_SHIFT, SLOT
from pm_frames.layout import Flag
from pm_frames.rows import FrameRow
from pm_replay.decoder import UNREADABLE, decode_one
from pm_replay.e6 import NO_SIDE
from pm_replay.engine import Engine
from pm_replay.messages import Change, PriceChange
from pm_replay.token import Token

_BREAK: Final = int(Flag.FIRST | Flag.SALVAGED)
_TOB: Final = int(Kind.TOB)
_SETTLED: Final = int(Settled.SETTLED)
_UNSETTLED: Final = int(Settled.UNSETTLED)
_SETTLED_FLAG: Final = _SETTLED << SETTLED_SHIFT
_UNSETTLED_FLAG: Final = _UNSETTLED << SETTLED_SHIFT
_SERIALS: Final = 2  # that a frame with one message takes
_NEVER: Final = 1 << 62
_TEXTS_MAX: Final = 1 << 16
_pack_two: Final = Struct(SLOT.format + SLOT.format.lstrip("<")).pack


class BatchEngine(Engine):
    """Replays one run."""

    def __init__(self, *settings: Any) -> None:
        super().__init__(*settings)
        self._is_quick = (
            self._plain and self._options.full and not self._filtered and self.oracles.counts_only
        )
        # As `_prices` and `_stated`, but plain: a text that is not there yet makes a frame unusual.
        self._price_of: dict[str | None, int] = {}
        self._stated_of: dict[str | None, int] = {}

    def feed(self, rows: Sequence[FrameRow]) -> None:  # noqa: C901, PLR0915
        """Feed rows of frames, in merge order; stops where `full` becomes true."""
        if not (self._is_quick and self.emitting):
            super().feed(rows)
            return
        price_of, stated_of, size_of, times = (
            self._price_of, self._stated_of, self._sizes, self._times,
        )  # fmt: skip
        find, last_stamp = self.registry.tokens.get, self._last_stamp
        every = self.oracles.sample_every or _NEVER
        serial, seq = self._serial, self.seq
        events: list[bytes] = []
        tell = events.append
        taken = agreed = 0

        for row in rows:
            mono, shard, ordinal, flags, payload = row
            message: Any = None
            try:
                message = decode_one(payload)
                one, two = message.price_changes
                price, other_price = price_of[one.price], price_of[two.price]
                stated_bid, stated_ask = stated_of[one.best_bid], stated_of[one.best_ask]
                other_stated_bid, other_stated_ask = (
                    stated_of[two.best_bid], stated_of[two.best_ask],
                )  # fmt: skip
            except _UNUSUAL:
                first = None
            else:
                first, second = find(one.asset_id), find(two.asset_id)
            if (
                first is not None
                and second is not None
                and first is not second
                and first.shard == shard == second.shard
                and first.known
                and second.known
                and (size := size_of[one.size]) >= 0
                and (other_size := size if two.size == one.size else size_of[two.size]) >= 0
                and ((is_bid := one.side == "BUY") or one.side == "SELL")
                and two.side == ("SELL" if is_bid else "BUY")
                and (serial + _SERIALS) % every
                and not flags & _BREAK
            ):
                taken += 1
                serial += _SERIALS
                seq += 2
                last_stamp[shard] = mono
                text = message.timestamp
                ts = times.get(text)
                if ts is None:
                    ts = self._time(text)

                # What was told before is judged where another engine batch begins.
                if (
                    first.group_settled == second.group_settled == _SETTLED
                    and one.hash != first.group_hash
                    and two.hash != second.group_hash
                ):
                    agreed += 2
                else:
                    self._turn(first, one, text)
                    self._turn(second, two, text)
                first.group_text = second.group_text = text
                first.group_hash = one.hash
                second.group_hash = two.hash

                if is_bid:
                    buyer, bid_price, bid_size = first, price, size
                    seller, ask_price, ask_size = second, other_price, other_size
                else:
                    buyer, bid_price, bid_size = second, other_price, other_size
                    seller, ask_price, ask_size = first, price, size
                levels = buyer.bids
                if bid_size:
                    levels[bid_price] = bid_size
                    if bid_price > buyer.bid:
                        buyer.bid = bid_price
                else:
                    levels.pop(bid_price, None)
                    if bid_price == buyer.bid:
                        buyer.bid = max(levels, default=NO_SIDE)
                levels = seller.asks
                if ask_size:
                    levels[ask_price] = ask_size
                    if ask_price < seller.ask or seller.ask < 0:
                        seller.ask = ask_price
                else:
                    levels.pop(ask_price, None)
                    if ask_price == seller.ask:
                        seller.ask = min(levels, default=NO_SIDE)

                bid, ask = first.bid, first.ask
                other_bid, other_ask = second.bid, second.ask
                state, other_state = first.state | _SETTLED_FLAG, second.state | _SETTLED_FLAG
                first.group_settled = second.group_settled = _SETTLED
                if stated_bid != bid or stated_ask != ask:
                    first.group_settled = _UNSETTLED
                    state = first.state | _UNSETTLED_FLAG
                if other_stated_bid != other_bid or other_stated_ask != other_ask:
                    second.group_settled = _UNSETTLED
                    other_state = second.state | _UNSETTLED_FLAG
                first.stated_bid, first.stated_ask = one.best_bid, one.best_ask
                second.stated_bid, second.stated_ask = two.best_bid, two.best_ask
                first.changed_px, second.changed_px = price, other_price
                first.mark = second.mark = serial
                first.group_shard = second.group_shard = shard
                first.group_frame = second.group_frame = ordinal
                tell(
                    _pack_two(
                        seq - 1, mono, ts, first.bids[bid] if bid >= 0 else 0,
                        first.asks[ask] if ask >= 0 else 0, ordinal, first.number, bid, ask, shard,
                        _TOB, state,
                        seq, mono, ts, second.bids[other_bid] if other_bid >= 0 else 0,
                        second.asks[other_ask] if other_ask >= 0 else 0, ordinal, second.number,
                        other_bid, other_ask, shard, _TOB, other_state | BATCH_END,
                    )
                )  # fmt: skip
                continue
            # Not of the usual shape: the readable path, from a state as if there were no other.
            self._write(events)
            events.clear()
            self._serial, self.seq = serial, seq
            self.frame(*row)
            serial, seq = self._serial, self.seq
            if type(message) is PriceChange:
                self._learn(message.price_changes)

        self._write(events)
        self._serial, self.seq = serial, seq
        self.frames += taken
        self.quick += taken
        self.decoder.fast += taken
        self.oracles.agree += agreed

    def _turn(self, token: Token, change: Change, text: str) -> None:
        """Judge what was told of a token if this change belongs to another engine batch."""
        if change.hash != token.group_hash or text != token.group_text:
            self.oracles.close_group(token, sampled=False)
        elif token.group_settled == _UNSETTLED:
            self.oracles.unsettled(token)

    def _learn(self, changes: Sequence[Change]) -> None:
        """Make texts known that were read for the first time, so that the next frame with them is quick."""
        for known in (self._price_of, self._stated_of):
            if len(known) >= _TEXTS_MAX:
                known.clear()
        for change in changes:
            price = self._prices[change.price]
            if price > 0:
                self._price_of[change.price] = price
            for text in (change.best_bid, change.best_ask):
                if text is not None:
                    self._stated_of[text] = self._stated[text]


# Unreadable by the decoder, of another type or number of changes, or with a text that is not known yet.
_UNUSUAL: Final = (*UNREADABLE, AttributeError, ValueError, KeyError)
