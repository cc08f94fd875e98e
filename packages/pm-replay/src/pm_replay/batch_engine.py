"""The engine with its hot path spelt out: changes of both tokens of a market, from today's schema, in one loop.

It gives what `Engine` gives, byte for byte and count for count; whatever the loop does not recognise goes to
`Engine.frame`, and `others` counts it. No more than this loop has to be fast: nearly every frame of the venue
is one price change of two tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from pm_frames.events import Kind, Settled
from pm_frames.events.slots import BATCH_END, SETTLED_SHIFT, SLOT
from pm_frames.layout import Flag
from pm_frames.rows import FrameRow
from pm_replay.decoder import UNREADABLE, decode_one
from pm_replay.e6 import NO_SIDE
from pm_replay.engine import Engine
from pm_replay.messages import PriceChange

_FIRST: Final = int(Flag.FIRST)
_TOB: Final = int(Kind.TOB)
_SIDES: Final = frozenset({"BUYSELL", "SELLBUY", "BUYBUY", "SELLSELL"})
_UNSTATED, _SETTLED, _UNSETTLED = (int(each) for each in Settled)
_SERIALS: Final = 2  # that a frame with one message takes
_NEVER: Final = 1 << 62
_pack: Final = SLOT.pack


class BatchEngine(Engine):
    """Replays one run."""

    def __init__(self, *settings: Any) -> None:
        super().__init__(*settings)
        self.quick = 0  # frames that the loop took
        self._is_quick = (
            self._plain and self._options.full and not self._filtered and self.oracles.counts_only
        )

    def feed(self, rows: Sequence[FrameRow]) -> None:  # noqa: C901, PLR0912, PLR0915
        """Feed rows of frames, in merge order; stops where `full` becomes true."""
        if not (self._is_quick and self.emitting):
            super().feed(rows)
            return
        oracles = self.oracles
        prices, sizes, stated, times = self._prices, self._sizes, self._stated, self._times
        known, last_stamp = self.registry.tokens.get, self._last_stamp
        every = oracles.sample_every or _NEVER
        serial, seq = self._serial, self.seq
        events: list[bytes] = []
        tell = events.append
        taken = agreed = 0

        for row in rows:
            mono, shard, ordinal, flags, payload = row
            message = None
            try:
                message = decode_one(payload)
            except UNREADABLE:
                pass
            if (
                type(message) is PriceChange
                and len(changes := message.price_changes) == 2
                and (serial + _SERIALS) % every
                and not flags & _FIRST
            ):
                one, two = changes
                first, second = known(one.asset_id), known(two.asset_id)
                price, other_price = prices[one.price], prices[two.price]
                size, other_size = sizes[one.size], sizes[two.size]
                if (
                    first is not None
                    and second is not None
                    and first.shard == shard == second.shard
                    and first.known
                    and second.known
                    and first is not second
                    and price > 0 < other_price
                    and size >= 0 <= other_size
                    and one.side + two.side in _SIDES
                ):
                    taken += 1
                    serial += _SERIALS
                    last_stamp[shard] = mono
                    text = message.timestamp
                    ts = times.get(text)
                    if ts is None:
                        ts = self._time(text)
                    for token, change, batch_end in ((first, one, 0), (second, two, BATCH_END)):
                        settled = token.group_settled
                        if change.hash != token.group_hash or text != token.group_text:
                            if settled == _SETTLED:
                                agreed += 1
                            elif settled >= 0:
                                oracles.close_group(token, sampled=False)
                            token.group_text = text
                            token.group_hash = change.hash
                        elif settled == _UNSETTLED:
                            oracles.unsettled(token)
                        bids, asks = token.bids, token.asks
                        bid, ask = token.bid, token.ask
                        if change.side == "BUY":
                            if size:
                                bids[price] = size
                                if price > bid:
                                    token.bid = bid = price
                            else:
                                bids.pop(price, None)
                                if price == bid:
                                    token.bid = bid = max(bids, default=NO_SIDE)
                        elif size:
                            asks[price] = size
                            if price < ask or ask < 0:
                                token.ask = ask = price
                        else:
                            asks.pop(price, None)
                            if price == ask:
                                token.ask = ask = min(asks, default=NO_SIDE)
                        token.stated_bid = best_bid = change.best_bid
                        token.stated_ask = best_ask = change.best_ask
                        if best_bid is None and best_ask is None:
                            settled = _UNSTATED
                        elif stated[best_bid or ""] == bid and stated[best_ask or ""] == ask:
                            settled = _SETTLED
                        else:
                            settled = _UNSETTLED
                        token.changed_px = price
                        token.mark = serial
                        token.group_settled = settled
                        token.group_shard = shard
                        token.group_frame = ordinal
                        seq += 1
                        tell(
                            _pack(
                                seq, mono, ts, bids[bid] if bid >= 0 else 0,
                                asks[ask] if ask >= 0 else 0, ordinal, token.number, bid, ask, shard,
                                _TOB, token.state | settled << SETTLED_SHIFT | batch_end,
                            )
                        )  # fmt: skip
                        price, size = other_price, other_size
                    continue
            # Not of the usual shape: the readable path, from a state as if there were no other.
            self._write(events)
            self.seq = seq
            events.clear()
            self._serial = serial
            self.frame(mono, shard, ordinal, flags, payload)
            serial, seq = self._serial, self.seq

        self._write(events)
        self.seq = seq
        self._serial = serial
        self.frames += taken
        self.quick += taken
        self.decoder.fast += taken
        oracles.agree += agreed
