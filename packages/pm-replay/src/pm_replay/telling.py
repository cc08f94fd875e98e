"""Events as packed slots: what is told of the books, of what is chosen and in the window, in its order.

What one frame or record gave is written in the order definitions, depth, events; its last event gets the
batch end.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Final, NamedTuple, Protocol

from pm_frames.events import NO_TOKEN, NONE, RUNLOG_SHARD, Kind
from pm_frames.events.event_writer import FLUSH_PIECES
from pm_frames.events.slots import (
    BATCH_END,
    FLAGS_AT,
    SETTLED_SHIFT,
    SLOT,
    SZ_MAX,
    continuation,
)
from pm_replay.registry import Definition
from pm_replay.token import Token

_END_FLAG: Final = [bytes((flags | BATCH_END,)) for flags in range(256)]


class Options(NamedTuple):
    """What is told; the books are the same whatever is told of them."""

    full: bool = True  # False: the profile book-only
    depth: bool = False
    changes_only: bool = False
    max_events: int | None = None


class Output(Protocol):
    """Where packed slots go: an `EventWriter`."""

    def extend(self, slots: list[bytes], *, hashed: bool = True) -> None: ...

    def extend_deep(self, slots: bytes, hashed: bytes) -> None: ...


class Telling:
    """What is told, in which order; the reading of frames is `pm_replay.engine`."""

    flush_pieces = FLUSH_PIECES  # for its output

    def __init__(self, options: Options, output: Output) -> None:
        self.kinds: Counter[int] = Counter()  # all but TOB
        self.seq = 0
        self.emitting = True  # False before the window that was asked for
        self._options = options
        self._write = output.extend
        self._write_deep = output.extend_deep
        self._left = -1 if options.max_events is None else options.max_events
        self.limited = self._left >= 0
        self.full = self._left == 0  # max_events is reached
        # Nothing but the window decides about a top: no depth, no repeats left out, no limit.
        self._plain = not options.depth and not options.changes_only and self._left < 0
        self._cut = False  # the limit was reached inside of what one frame or record gave
        self._definitions: list[bytes] = []
        self._depth: list[bytes] = []
        self._events: list[bytes] = []
        self._mono = 0
        self._shard = 0
        self._frame = 0

    def clock(self, mono_ns: object, wall_ns: object) -> None:
        """Tell a pair of both clocks."""
        if (
            self._options.full
            and self.emitting
            and isinstance(mono_ns, int)
            and isinstance(wall_ns, int)
            and 0 <= mono_ns <= SZ_MAX
            and 0 <= wall_ns <= SZ_MAX
        ):
            self._definitions.append(
                SLOT.pack(
                    0, self._mono or mono_ns, NONE, mono_ns, wall_ns, 0, NO_TOKEN, NONE, NONE,
                    RUNLOG_SHARD, Kind.CLOCK, 0,
                )
            )  # fmt: skip
            self._end_of_input()

    def _end_of_input(self) -> None:
        """Hand over what one frame or record gave; its last event gets the batch end."""
        if self._definitions:
            self._write(self._definitions)
            self._definitions.clear()
        if self._depth:
            self._write(self._depth, hashed=False)
            self._depth.clear()
        events = self._events
        if events:
            if not self._cut:
                last = events[-1]
                events[-1] = last[:FLAGS_AT] + _END_FLAG[last[FLAGS_AT]] + last[FLAGS_AT + 1 :]
            self._write(events)
            events.clear()

    def _top(self, token: Token, ts: int, settled: int) -> None:
        if not self.emitting or not token.chosen:
            return
        if self._options.depth and not token.depth_told:
            self._whole_depth(token)
        bid, ask = token.bid, token.ask
        bid_size, ask_size = token.bid_size, token.ask_size
        if self._options.changes_only:
            told = (bid, bid_size, ask, ask_size, settled)
            if told == token.last_told:
                return
            token.last_told = told
        if self._left >= 0 and not self._take_one():
            return
        self.seq += 1
        self._events.append(
            SLOT.pack(
                self.seq, self._mono, ts, bid_size, ask_size, self._frame, token.number, bid, ask,
                self._shard, 16, token.state | settled << SETTLED_SHIFT,
            )
        )  # fmt: skip

    def _event(
        self, kind: Kind, token: Token, ts: int, values: tuple[int, int, int, int], flags: int
    ) -> None:
        if token.chosen:
            self._plain_event(kind, token.number, ts, values, flags)

    def _plain_event(
        self,
        kind: Kind,
        number: int,
        ts: int,
        values: tuple[int, int, int, int],  # in the order of the slot: sizes, then prices
        flags: int,
        payload: bytes = b"",
    ) -> None:
        if not self.emitting or (self._left >= 0 and not self._take_one()):
            return
        self.seq += 1
        self.kinds[kind] += 1
        first, second, third, fourth = values
        slot = SLOT.pack(
            self.seq, self._mono, ts, first, second, self._frame, number, third, fourth, self._shard,
            kind, flags,
        )  # fmt: skip
        self._events.append(slot + continuation(payload) if payload else slot)

    def tops(self) -> int:
        """Return how many TOB events were told: all that is no other kind."""
        return self.seq - self.kinds.total()

    def _take_one(self) -> bool:
        if self.full:
            self._cut = True
            return False
        self._left -= 1
        self.full = self._left == 0
        return True

    def _whole_depth(self, token: Token) -> None:
        token.depth_told = True
        self._depth.append(
            SLOT.pack(
                0, self._mono, NONE, len(token.bids), len(token.asks), self._frame, token.number,
                NONE, NONE, self._shard, Kind.BOOK, int(token.state),
            )
        )  # fmt: skip
        for price in sorted(token.bids):
            self._depth.append(self._level(token, price, token.bids[price], 0))
        for price in sorted(token.asks, reverse=True):
            self._depth.append(self._level(token, price, token.asks[price], 1))

    def _level(self, token: Token, price: int, size: int, side: int) -> bytes:
        return SLOT.pack(
            0, self._mono, NONE, size, 0, self._frame, token.number, price, side, self._shard,
            Kind.LEVEL, int(token.state),
        )  # fmt: skip

    def _define(self, definitions: Sequence[Definition], mono_ns: int) -> None:
        for each in definitions:
            slot = SLOT.pack(
                0,
                mono_ns,
                NONE,
                len(each.payload),
                0,
                0,
                each.token,
                NONE,
                NONE,
                RUNLOG_SHARD,
                each.kind,
                0,
            )
            self._definitions.append(slot + continuation(each.payload))
