"""The engine that lends the books of most tokens to compiled code.

It gives what `Engine` gives, byte for byte and count for count. A pair of tokens is lent when a usual change of it
arrives, and is given back before anything else is done with its market: no other code ever sees a token that is
lent, but for whole books that are taken here. `quick` counts the frames that were taken so.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any, Final

import numpy as np

from pm_frames.continuity import State, Transition
from pm_frames.events import NONE, Kind, Settled
from pm_frames.events.slots import BATCH_END, SETTLED_SHIFT, SLOT, SLOT_BYTES
from pm_frames.rows import FrameRow
from pm_replay import compiled_books as compiled
from pm_replay.batch_engine import BatchEngine
from pm_replay.compiled_books import Frames, Ints
from pm_replay.decoder import UNREADABLE, decode_quick_change
from pm_replay.lent_books import LentBooks
from pm_replay.messages import Book, PriceChange, TickSizeChange
from pm_replay.token import Token

_SETTLED: Final = int(Settled.SETTLED)
_UNSETTLED: Final = int(Settled.UNSETTLED)
_LIVE: Final = int(State.LIVE)
_LIVE_SETTLED_END: Final = _LIVE | _SETTLED << SETTLED_SHIFT | BATCH_END
_WORD_BYTES: Final = 8


def _frames_of(rows: Sequence[FrameRow]) -> Frames:
    *columns, payloads = zip(*rows, strict=True)
    return Frames(
        np.frombuffer(b"".join((*payloads, compiled.PADDING)), np.uint8),
        np.fromiter(map(len, payloads), np.int64, len(rows)).cumsum(),
        *(np.array(column, np.int64) for column in columns),
    )


def _slots(count: int) -> Ints:
    return np.empty((count, SLOT_BYTES // _WORD_BYTES), np.int64)


@cache
def _is_compiled() -> bool:
    """Have everything compiled, or fetched from where it was kept; return whether that could be done."""
    lent = LentBooks()
    frames = _frames_of([(0, 0, 0, 0, b"")])
    try:
        lent.take(
            frames, 0, deep=False, counts=np.zeros(compiled.COUNTS, np.int64), slots=_slots(0)
        )
        lent.read_book(0, frames.data, 0, 0, 0)
        compiled.place_of(frames.data.copy(), 0, 1)
    except Exception:
        return False
    return True


class CompiledEngine(BatchEngine):
    """Replays one run."""

    flush_pieces = 1 << 6  # most are of a whole block
    # To lend a pair and take it back costs as much as compiled code spares with some 30 to 60 frames. Where it does
    # not take so many in between, in `look_frames`, nothing is lent for the next `rest_frames`.
    look_frames = 1 << 13
    taken_per_return_min = 64
    rest_frames = 1 << 20

    def __init__(self, *settings: Any) -> None:
        super().__init__(*settings)
        options = self._options
        self._can_lend = (
            options.full
            and not options.changes_only
            and options.max_events is None
            and not self._filtered
            and self.oracles.counts_only
        )
        self._deep = options.depth
        self._lent = LentBooks()
        self._taken: Ints = np.zeros(compiled.COUNTS, np.int64)
        self._looked_at = (0, 0, 0)  # frames, quick and pairs returned when it was last looked
        self._rests_until = 0
        self.rests = 0

    def feed(self, rows: Sequence[FrameRow]) -> None:
        """Feed rows of frames, in merge order; stops where `full` becomes true."""
        if not (
            self._can_lend
            and self.emitting
            and rows
            and self.frames >= self._rests_until
            and _is_compiled()
        ):
            super().feed(rows)
            return
        frames = _frames_of(rows)
        slots = _slots(len(rows) * (4 if self._deep else 2))
        at = 0
        while at < len(rows):
            why, at = self._take(frames, at, slots)
            if why == compiled.DONE or (why == compiled.NOT_LENT and self._lend(rows[at][-1])):
                continue
            if why == compiled.NO_ROOM:
                self._lent.make_room(int(self._taken[compiled.SIDE]))
                continue
            if why != compiled.BOOK or not self._take_book(rows[at], frames, at):
                self._read_frame(rows[at])
            at += 1
        if self.frames - self._looked_at[0] >= self.look_frames:
            self._weigh()

    def _weigh(self) -> None:
        """Lend nothing for a while if it has not paid."""
        _, quick, returned = self._looked_at
        taken = self.quick - quick
        if taken < (self._lent.returned - returned) * self.taken_per_return_min:
            self.rests += 1
            self._rests_until = self.frames + self.rest_frames
            self._lent.recall_all()
            for shard in self._lent.shards():
                self._catch_up(shard)
        self._looked_at = self.frames, self.quick, self._lent.returned

    def _take(self, frames: Frames, at: int, slots: Ints) -> tuple[int, int]:
        """Let compiled code take frames from a row on; return why it stopped, and at which."""
        taken = self._taken
        taken[:] = 0
        taken[compiled.SEQ] = self.seq
        taken[compiled.SERIAL] = self._serial
        taken[compiled.SAMPLED] = self._next_sampled()
        why, at = self._lent.take(frames, at, deep=self._deep, counts=taken, slots=slots)
        count = int(taken[compiled.TAKEN])
        if count:
            told = slots.astype("<i8", copy=False)
            if self._deep:
                told = told[: 4 * count]
                tops = told.reshape(count, 4, -1)[:, 2:]
                self._write_deep(told.tobytes(), tops.tobytes())
            else:
                self._write([told[: 2 * count].tobytes()])
            self.seq = int(taken[compiled.SEQ])
            self._serial = int(taken[compiled.SERIAL])
            self._count(count)
            self.oracles.agree += int(taken[compiled.AGREE])
            self.oracles.counts["bbo"]["unsettled"] += int(taken[compiled.UNSETTLED])
            if taken[compiled.OUT_OF_ORDER]:
                self.counts["timestamps_out_of_order"] += int(taken[compiled.OUT_OF_ORDER])
        return why, at

    def _count(self, frames: int) -> None:
        self.frames += frames
        self.quick += frames
        self.decoder.fast += frames

    def _read_frame(self, row: FrameRow) -> None:
        """Take the readable path, from a state as if there were no other."""
        self._catch_up(row[1])
        self.frame(*row)

    def _catch_up(self, shard: int) -> None:
        stamp = self._lent.last_stamp(shard)
        if stamp > self._last_stamp.get(shard, -1):
            self._last_stamp[shard] = stamp

    def _lend(self, payload: bytes) -> bool:
        """Lend the tokens of a change of two, if that can be; return whether it was done."""
        try:
            message = decode_quick_change(payload)
            first, second = (
                self.registry.tokens.get(each.asset_id) for each in message.price_changes
            )
        except (*UNREADABLE, ValueError):
            return False
        if first is None or second is None or first.market.condition_id != message.market:
            return False
        if self._deep and not (first.depth_told and second.depth_told):
            return False
        return self._lent.lend(first, second)

    # Whole books of tokens that are lent: what `Engine._book` does.

    def _take_book(self, row: FrameRow, frames: Frames, at: int) -> bool:
        """Take a book if nothing about it is unusual; return whether it was."""
        mono, shard, ordinal, _, payload = row
        begin = compiled.BOOK_TOKEN_AT
        token_length = payload.find(b'"', begin) - begin
        token = self.registry.tokens.get(payload[begin : begin + token_length].decode("latin-1"))
        number = None if token is None else self._lent.number_of(token)
        if (
            token is None
            or number is None
            or not payload.startswith(token.market.condition_id.encode(), compiled.MARKET_AT)
            or token.shard != shard
            or not self._is_live_at(token, shard)
            or self.oracles.is_sampled(self._serial + 1)
        ):
            return False
        end = int(frames.ends[at])
        start = end - len(payload)
        found = self._lent.read_book(number, frames.data, start, end, token_length)
        if found is None:
            return False
        ts = found[compiled.BOOK_STAMP]
        told = self._lent.row_of(number)
        settled = int(told[compiled.SETTLED])
        is_overtaken = settled == _UNSETTLED and told[compiled.GROUP_STAMP] == ts
        if settled >= 0 and settled != _SETTLED and not is_overtaken:
            return False

        self._serial += 1
        self._count(1)
        self._lent.note_stamp(shard, mono)
        tick, trade = (
            payload[found[each] - start : found[each + 1] - start].decode()
            for each in (compiled.TICK_AT, compiled.TRADE_AT)
        )
        token.market.stated(tick, trade)
        if is_overtaken:
            self.oracles.counts["bbo"]["unsettled"] += 1
        elif settled == _SETTLED:
            self.oracles.agree += 1
        token.group_frame = ordinal
        self.oracles.snapshot(token, found[compiled.DIFFERING])
        if ts < told[compiled.STAMP]:
            self.counts["timestamps_out_of_order"] += 1
        hash_at = found[compiled.BOOK_HASH_AT] - start
        self._lent.set_hash(number, payload[hash_at : hash_at + compiled.HASH_BYTES])
        told[compiled.STAMP :] = ts, ts, -1, ordinal, self._serial, True, True
        if found[compiled.DIFFERING]:
            self._lent.replace(number)
        self._tell_book(token, number, mono, ts, ordinal)
        return True

    def _tell_book(self, token: Token, number: int, mono: int, ts: int, ordinal: int) -> None:
        bids, asks = 2 * number, 2 * number + 1
        if self._deep:
            sides = [self._lent.levels(side) for side in (bids, asks)]
            place = (ordinal, token.number)
            slots = [
                SLOT.pack(
                    0, mono, NONE, len(sides[0][0]), len(sides[1][0]), *place, NONE, NONE,
                    token.shard, Kind.BOOK, _LIVE,
                )
            ]  # fmt: skip
            slots += [
                SLOT.pack(
                    0, mono, NONE, size, 0, *place, price, side, token.shard, Kind.LEVEL, _LIVE
                )
                for side, levels in enumerate(sides)
                for price, size in zip(*levels, strict=True)
            ]
            self._write(slots, hashed=False)
        bid, bid_size = self._lent.best(bids)
        ask, ask_size = self._lent.best(asks)
        self.seq += 1
        top = SLOT.pack(
            self.seq, mono, ts, bid_size, ask_size, ordinal, token.number, bid, ask, token.shard,
            Kind.TOB, _LIVE_SETTLED_END,
        )  # fmt: skip
        self._write([top])

    # What else is done with tokens, and may be with the other one of the market.

    def finish(self) -> None:
        """Judge what is still open; nothing more is fed after."""
        self._lent.recall_all()
        super().finish()

    def universe(self, document: Mapping[str, Any], mono_ns: int) -> None:
        """Take a universe generation that is in force from now on."""
        super().universe(document, mono_ns)  # which does nothing to books, but may move tokens
        self._lent.recall_moved()

    def _price_change(self, message: PriceChange) -> None:
        for change in message.price_changes:
            self._recall(change.asset_id, message.market)
        super()._price_change(message)

    def _book(self, message: Book) -> None:
        self._recall(message.asset_id, message.market)
        super()._book(message)

    def _tick_size(self, message: TickSizeChange) -> None:
        self._recall(message.asset_id, message.market)
        super()._tick_size(message)

    def _transitions(self, transitions: Sequence[Transition]) -> None:
        for moved in transitions:
            self._recall(moved.token_id, "")
        super()._transitions(transitions)

    def _recall(self, token_id: str, condition_id: str) -> None:
        """Take back what is lent of the market of a token, and of the one that it is said to be of."""
        token = self.registry.tokens.get(token_id)
        markets = {condition_id} if token is None else {condition_id, token.market.condition_id}
        for each in markets:
            market = self.registry.markets.get(each)
            if market is not None and each:  # of the one without an id nothing is lent
                self._lent.recall(market)
