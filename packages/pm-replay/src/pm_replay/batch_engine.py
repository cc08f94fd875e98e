"""The engine with its hot path spelt out: one level of both tokens of a market, in today's schema.

It gives what `Engine` gives, byte for byte and count for count. Nearly every frame of the venue is a change of
one level, told from both sides: a bid of one token, an ask of the other. Those are taken here, without a call
for each step; whatever else comes goes through `Engine.frame`. `quick` counts the former.
"""

from __future__ import annotations

from collections.abc import Sequence
from struct import Struct
from typing import Any, Final

from pm_frames.continuity import State
from pm_frames.events import NONE, Kind, Settled
from pm_frames.events.slots import BATCH_END, SETTLED_SHIFT, SLOT
from pm_frames.layout import Flag
from pm_frames.rows import FrameRow
from pm_replay.decoder import PRICE_CHANGE_ENDS, UNREADABLE, decode_quick_change
from pm_replay.e6 import NO_SIDE
from pm_replay.engine import Engine
from pm_replay.messages import Stating
from pm_replay.token import Token

_BREAK: Final = int(Flag.FIRST | Flag.SALVAGED)
_TOB: Final = int(Kind.TOB)
_SETTLED: Final = int(Settled.SETTLED)
_UNSETTLED: Final = int(Settled.UNSETTLED)
# The flags of a slot: a book that can be changed is LIVE.
_LIVE_SETTLED: Final = State.LIVE | _SETTLED << SETTLED_SHIFT
_LIVE_UNSETTLED: Final = State.LIVE | _UNSETTLED << SETTLED_SHIFT
_LIVE_SETTLED_END: Final = _LIVE_SETTLED | BATCH_END
_LIVE_UNSETTLED_END: Final = _LIVE_UNSETTLED | BATCH_END
_SERIALS: Final = 2  # that a frame with one message takes
_NEVER: Final = 1 << 62
_TEXTS_MAX: Final = 1 << 13
_pack_two: Final = Struct(SLOT.format + SLOT.format.lstrip("<")).pack


class BatchEngine(Engine):
    """Replays one run."""

    def __init__(self, *settings: Any) -> None:
        super().__init__(*settings)
        self._is_quick = (
            self._plain and self._options.full and not self._filtered and self.oracles.counts_only
        )
        # First token of a frame to both.
        self._pair_of: dict[str, tuple[Token, Token]] = {}
        # As `_prices` and `_stated`, but plain: a text that is not there yet makes a frame unusual.
        self._price_of: dict[str, int] = {}
        self._stated_of: dict[str, int] = {}

    def feed(self, rows: Sequence[FrameRow]) -> None:  # noqa: C901, PLR0915
        """Feed rows of frames, in merge order; stops where `full` becomes true."""
        if not (self._is_quick and self.emitting):
            super().feed(rows)
            return
        pair_of, price_of, stated_of, size_of, times = (
            self._pair_of, self._price_of, self._stated_of, self._sizes, self._times,
        )  # fmt: skip
        last_stamp = self._last_stamp
        serial, seq = self._serial, self.seq
        sampled = self._next_sampled()
        text, ts = "", NONE
        events: list[bytes] = []
        tell = events.append
        taken = turned = 0

        for row in rows:
            mono, shard, ordinal, flags, payload = row
            message: Any = None
            usual = payload.endswith(PRICE_CHANGE_ENDS)
            if usual:
                try:
                    message = decode_quick_change(payload)
                    one, two = message.price_changes
                    first, second = pair_of[one.asset_id]
                    price, other_price = price_of[one.price], price_of[two.price]
                    stated_bid, stated_ask = stated_of[one.best_bid], stated_of[one.best_ask]
                    other_stated_bid, other_stated_ask = (
                        stated_of[two.best_bid], stated_of[two.best_ask],
                    )  # fmt: skip
                except _UNUSUAL:
                    usual = False
                else:
                    usual = (
                        first.shard == shard == second.shard
                        and second.token_id == two.asset_id
                        and (size := size_of[one.size]) >= 0
                        and (other_size := size if two.size == one.size else size_of[two.size]) >= 0
                        and one.side != two.side
                        and serial < sampled
                        and not flags & _BREAK
                    )
            if not usual:
                # The readable path, from a state as if there were no other.
                self._write(events)
                events.clear()
                self._serial, self.seq = serial, seq
                self.frame(*row)
                serial, seq = self._serial, self.seq
                sampled = self._next_sampled()
                if message is not None:
                    self._learn(message.price_changes)
                continue

            taken += 1
            serial += _SERIALS
            seq += 2
            last_stamp[shard] = mono
            if message.timestamp != text or ts < 0:
                text = message.timestamp
                known = times.get(text)
                ts = self._time(text) if known is None else known
            if ts < first.ts or ts < second.ts:
                self._in_time(first, ts)
                self._in_time(second, ts)
            first.ts = second.ts = ts

            # What was told before is judged where another engine batch begins.
            if (
                one.hash == first.change.hash
                or two.hash == second.change.hash
                or not first.group_settled == second.group_settled == _SETTLED
            ):
                turned += 1
                self._turn(first, one, text)
                self._turn(second, two, text)
            first.group_text = second.group_text = text
            first.change = one
            second.change = two
            first.mark = second.mark = serial
            first.group_frame = second.group_frame = ordinal

            if one.side == "BUY":
                buyer, bid_price, bid_size = first, price, size
                seller, ask_price, ask_size = second, other_price, other_size
            else:
                buyer, bid_price, bid_size = second, other_price, other_size
                seller, ask_price, ask_size = first, price, size
            if bid_size:
                buyer.bids[bid_price] = bid_size
                if bid_price >= buyer.bid:
                    buyer.bid = bid_price
                    buyer.bid_size = bid_size
            else:
                buyer.bids.pop(bid_price, None)
                if bid_price == buyer.bid:
                    buyer.bid = bid = max(buyer.bids, default=NO_SIDE)
                    buyer.bid_size = buyer.bids.get(bid, 0)
            if ask_size:
                seller.asks[ask_price] = ask_size
                if ask_price <= seller.ask or seller.ask < 0:
                    seller.ask = ask_price
                    seller.ask_size = ask_size
            else:
                seller.asks.pop(ask_price, None)
                if ask_price == seller.ask:
                    seller.ask = ask = min(seller.asks, default=NO_SIDE)
                    seller.ask_size = seller.asks.get(ask, 0)

            bid, ask, other_bid, other_ask = first.bid, first.ask, second.bid, second.ask
            if stated_bid == bid and stated_ask == ask:
                first.group_settled, marks = _SETTLED, _LIVE_SETTLED
            else:
                first.group_settled, marks = _UNSETTLED, _LIVE_UNSETTLED
            if other_stated_bid == other_bid and other_stated_ask == other_ask:
                second.group_settled, other_marks = _SETTLED, _LIVE_SETTLED_END
            else:
                second.group_settled, other_marks = _UNSETTLED, _LIVE_UNSETTLED_END
            tell(
                _pack_two(
                    seq - 1, mono, ts, first.bid_size, first.ask_size, ordinal, first.number, bid,
                    ask, shard, _TOB, marks,
                    seq, mono, ts, second.bid_size, second.ask_size, ordinal, second.number,
                    other_bid, other_ask, shard, _TOB, other_marks,
                )
            )  # fmt: skip

        self._write(events)
        self._serial, self.seq = serial, seq
        self.frames += taken
        self.quick += taken
        self.decoder.fast += taken
        self.oracles.agree += 2 * (taken - turned)

    def _next_sampled(self) -> int:
        """Return from which serial on a message may be one of the sample, which the readable path takes."""
        every = self.oracles.sample_every
        return (self._serial // every + 1) * every - _SERIALS if every else _NEVER

    def _turn(self, token: Token, change: Stating, text: str) -> None:
        """Judge what was told of a token if this change belongs to another engine batch."""
        if change.hash != token.change.hash or text != token.group_text:
            self.oracles.close_group(token, sampled=False)
        elif token.group_settled == _UNSETTLED:
            self.oracles.unsettled(token)

    def _learn(self, changes: Sequence[Stating]) -> None:
        """Make tokens and texts known that were read for the first time, so that the next such frame is quick."""
        if len(changes) == 2:
            first, second = (self.registry.tokens.get(each.asset_id) for each in changes)
            if first is not None and second is not None and first is not second:
                self._pair_of[first.token_id] = first, second
        for known in (self._price_of, self._stated_of):
            if len(known) >= _TEXTS_MAX:
                known.clear()
        for change in changes:
            price = self._prices[change.price]
            if price > 0:
                self._price_of[change.price] = price
            for text in (change.best_bid, change.best_ask):
                if (stated := self._stated[text]) >= NO_SIDE:
                    self._stated_of[text] = stated


# Unreadable by the decoder, of another number of changes, or with a token or text that is not known yet.
_UNUSUAL: Final = (*UNREADABLE, ValueError, KeyError)
