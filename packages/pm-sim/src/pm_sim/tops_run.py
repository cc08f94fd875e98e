"""Runs of tops of which nothing comes but calls of hooks: most of a long stream.

`Engine.each` looks at every slot for all that could be due, and is what this has to agree with, byte for byte. Here
the slots of a block are looked at together, as columns: those that nobody is shown are passed over, the others are
shown one after the other, and the books learn of them when somebody looks. It needs numpy.
"""

from bisect import bisect_right
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, Final

import numpy as np
import numpy.typing as npt

from pm_frames.events import NONE, Kind, Settled
from pm_frames.events.slots import SETTLED_SHIFT, SLOT, SLOT_BYTES
from pm_sim.books import Slot
from pm_sim.views import MarketState, TopOfBook

if TYPE_CHECKING:
    from pm_sim.engine import Engine

BLOCK_SLOTS_MIN: Final = 256  # of fewer the columns cost more than they spare
RUN_SLOTS_MIN: Final = 64  # of fewer what is done for each costs more than it spares
BUSY_SLOTS: Final = 48  # something comes of more than one in so many: then each is looked at anyway
ALONE_SLOTS: Final = (64, 1 << 16)  # that are then looked at by themselves: at first, and at most
ASKING_SLOTS: Final = 16  # so it is where somebody looks at the books of more than one in so many
TRIED_SLOTS: Final = 512  # that are shown before it is seen who looks
FEW_SLOTS: Final = 24  # the books learn of fewer sooner without columns
TOKENS_MAX: Final = 1 << 20  # of the tables: streams count tokens from 0, but need not
# Of kind and flags together: what says that a slot is a top, and one that is settled or not stated.
_UNSETTLED: Final = (Settled.UNSETTLED << SETTLED_SHIFT) << 8
_TOP_BITS: Final = 0xFF | _UNSETTLED
# What is known of a token: that it has been asked who is shown it, and whether there is somebody.
_ASKED, _SHOWN, _SHOWN_EARLY = 1, 2, 4
# Each bid is higher and each ask lower, also 2^32 - 1, which stands for none.
_NO_GATE: Final = -(1 << 32), 1 << 32
_NOT_ASKED: Final = (), (), None
_HALF: Final = (1 << 32) - 1
_make: Any = tuple.__new__
_Places = npt.NDArray[np.intp]
_Flags = npt.NDArray[np.bool_]


class TopsRuns:
    """Takes blocks of slots without payloads for an engine."""

    def __init__(self, engine: "Engine") -> None:
        """Begin anywhere in a stream."""
        self._engine = engine
        self._alone, self._left_alone = ALONE_SLOTS[0], 0
        # Tables by number of the token + 1. The first place is for what is no top, the last for any other token.
        self._known = np.array([_ASKED, 0], np.uint8)
        self._last = np.zeros(2, np.intp)  # where it was last in the block
        self._gate_bids = np.full(2, _NO_GATE[0], np.int64)
        self._gate_asks = np.full(2, _NO_GATE[1], np.int64)
        self._choices = -1  # of the engine, that `_known` is of
        # Of the block: columns, the slots that are shown, and where they are in it.
        self._block = b""
        self._seq = self._stamps = memoryview(b"")
        self._owners: _Places
        self._bids: npt.NDArray[np.int64]
        self._asks: npt.NDArray[np.int64]
        self._state: int | None = None  # that all have, if it is one
        self._trades: _Flags | None = None  # None: if there are any, they end a run
        self._all: _Places
        self._shown = memoryview(b"")
        self._places: _Places
        # Of what is told: the shown slots that are left, where they stop, and how far the books have come.
        self._left: Any = iter(())
        self._stop = 0
        self._taken = 0
        self._looks = 0  # how often somebody has looked at them

    def take(self, block: bytes) -> None:
        """Take a block: runs of tops here, all else one by one."""
        engine, each, at = self._engine, self._engine.each, 0
        for start, stop in self._runs(block):
            each(block[SLOT_BYTES * at : SLOT_BYTES * start])
            at = start
            while stop - at >= RUN_SLOTS_MIN and engine.choices == self._choices:
                if not self._left_alone:
                    begun, at = at, self._tell(at, stop)
                    if at == stop and not self._is_asked(at - begun):
                        self._alone = ALONE_SLOTS[0]
                        break
                    self._left_alone = self._alone
                    self._alone = min(2 * self._alone, ALONE_SLOTS[1])
                alone = min(self._left_alone, stop - at)
                each(block[SLOT_BYTES * at : SLOT_BYTES * (at + alone)])
                at += alone
                self._left_alone -= alone
        each(block[SLOT_BYTES * at :])

    # -- where runs are -------------------------------------------------------------------------

    def _runs(self, block: bytes) -> list[tuple[int, int]]:
        """Look at a block; return where it is long nothing but the next top, or a trade that nobody hears of.

        A run ends for a top of a token of which it has not been asked who is shown it, and for one in the middle of
        a batch that is shown.
        """
        size = len(block) // SLOT_BYTES
        if size < BLOCK_SLOTS_MIN:
            return []
        if self._left_alone >= size:
            self._left_alone -= size
            return []
        # Words of eight bytes: seq; stamp; token and bid; ask, shard, kind and flags.
        seq, stamps, low, high = np.frombuffer(block, "<u8").reshape(-1, 8).T[[0, 1, 6, 7]]
        kinds = high >> 48
        tokens = (low & _HALF).astype(np.intp) + 1
        known = self._asked(tokens)
        is_shown = (kinds & _TOP_BITS == Kind.TOB) & (known >= _SHOWN)
        is_next = (seq[1:] - seq[:-1] == 1) & (stamps[1:] >= stamps[:-1])
        self._trades, self._owners, self._shown = None, tokens, memoryview(block)
        if is_shown.all() and is_next.all():
            runs = [(0, size)]
        else:
            runs = self._long_runs(kinds, known, is_next)
            slots = np.frombuffer(block, f"V{SLOT_BYTES}")
            self._shown = memoryview(slots[is_shown].tobytes())
        if runs:
            self._block, self._seq, self._stamps = block, memoryview(seq), memoryview(stamps)
            self._bids, self._asks = low.view(np.int64) >> 32, (high << 32).view(np.int64) >> 32
            self._asks[self._asks == NONE] = _HALF
            self._places, self._all = np.flatnonzero(is_shown), np.arange(size)
            states = kinds >> 8 & 7
            self._state = int(states[0]) if (states == states[0]).all() else None
        return runs

    def _long_runs(
        self, kinds: npt.NDArray[np.uint64], known: npt.NDArray[np.uint8], is_next: _Flags
    ) -> list[tuple[int, int]]:
        """Return where runs are; let owners and trades be those of a block that is not all tops."""
        is_top = kinds & 0xFF == Kind.TOB
        self._owners = np.where(is_top, self._owners, 0)
        is_quiet = is_top & ((kinds & _UNSETTLED == 0) | (known < _SHOWN_EARLY))
        if not self._engine.hears_trades:
            self._trades = kinds & 0xFF == Kind.TRADE
            is_quiet |= self._trades
        is_quiet &= known > 0
        is_end = ~is_quiet
        is_end[1:] |= ~is_next
        edges = np.concatenate(([0], is_end.nonzero()[0], [len(kinds)]))
        starts, stops = edges[:-1], edges[1:]
        is_long = stops - starts > RUN_SLOTS_MIN
        starts, stops = starts[is_long], stops[is_long]
        return list(zip((starts + ~is_quiet[starts]).tolist(), stops.tolist(), strict=True))

    def _asked(self, places: _Places) -> npt.NDArray[np.uint8]:
        """Return what is known of tokens by their places in the tables; 0 for one that is new."""
        engine = self._engine
        if self._choices != engine.choices:
            self._choices = engine.choices
            forgotten = np.fromiter(engine.unasked, np.intp) + 1
            self._known[forgotten[forgotten < len(self._known)]] = 0
            engine.unasked.clear()
        known = self._known.take(places, mode="clip")
        if known.all():
            return known
        for place in np.unique(places[known == 0]).tolist():
            told, early, facts = engine.shown.get(place - 1, _NOT_ASKED)
            if facts is not None and place <= TOKENS_MAX:
                if place >= len(self._known) - 1:
                    self._grow(2 * place)
                self._known[place] = (
                    _ASKED | (_SHOWN if told else 0) | (_SHOWN_EARLY if early else 0)
                )
        return self._known.take(places, mode="clip")

    def _grow(self, size: int) -> None:
        for name, filling in (
            ("_known", 0),
            ("_last", 0),
            ("_gate_bids", _NO_GATE[0]),
            ("_gate_asks", _NO_GATE[1]),
        ):
            table = getattr(self, name)
            more = np.full(size, filling, table.dtype)
            setattr(self, name, np.append(table, more))

    # -- telling them ---------------------------------------------------------------------------

    def _tell(self, at: int, stop: int) -> int:
        """Tell a run, up to a slot before which something happens that is not for this; return its place."""
        engine, stamps = self._engine, self._stamps
        if self._seq[at] != engine.books.seq + 1:
            return at
        is_one = len(engine.groups) == 1 and self._state is not None
        show = self._show_one if is_one else self._show
        last_ns, begun, stops, told = stamps[stop - 1], at, 0, self._index(at)
        self._looks = 0
        self._taken, self._left, self._stop = at, iter(()), told
        engine.books.behind = self.catch_up
        try:
            while at < stop:
                stamp = stamps[at]
                if stamp > engine.due_ns:
                    self._take_to(at)
                    engine.advance(stamp)
                stops += 1
                is_busy = stops * BUSY_SLOTS > at - begun + 4 * BUSY_SLOTS
                is_other = engine.is_waiting or engine.choices != self._choices
                if is_other or is_busy or self._is_asked(at - begun):
                    break
                end = stop
                if last_ns > engine.due_ns:
                    end = bisect_right(stamps, engine.due_ns, at, stop)
                last = self._index(end)
                if last > told + TRIED_SLOTS:
                    last = told + TRIED_SLOTS
                    end = int(self._places[last - 1]) + 1
                self._stop = last
                self._left = SLOT.iter_unpack(self._shown[SLOT_BYTES * told : SLOT_BYTES * last])
                if show(self._left):
                    told = last - self._left.__length_hint__()
                    at = int(self._places[told - 1]) + 1
                else:
                    told, at = last, end
        except BaseException:
            self.catch_up()
            raise
        finally:
            engine.books.behind = None
        self._take_to(at)
        return at

    def _index(self, at: int) -> int:
        """Return how many slots are shown before one of the block."""
        places = self._places
        return at if len(places) == len(self._all) else int(places.searchsorted(at))

    def _is_asked(self, slots: int) -> bool:
        return self._looks * ASKING_SLOTS > slots + 4 * ASKING_SLOTS

    def _show(self, left: Iterator[Slot]) -> bool:
        """Show tops; say whether something came of one, which is then the last."""
        shown, happened = self._engine.shown, False
        make, top_of_book, market_state = _make, TopOfBook, MarketState
        for slot in left:
            told, _, known = shown[slot[6]]
            top = make(top_of_book, slot)
            state = make(market_state, (known, top, slot[11] & 7))
            for run, hook, ctx, lens in told:
                try:
                    intents = hook(ctx, top, state, lens.portfolio)
                    if intents is None:
                        continue
                    first = next(intents, None)
                except Exception as error:
                    happened = True
                    self._stamp(slot)
                    self._engine.raised(lens, run, error)
                    continue
                if first is not None:
                    happened = True
                    self._stamp(slot)
                    self._engine.driven(lens, run, intents, first)
                intents = None  # as in `Engine.each`
            if happened:
                return True
        return False

    def _show_one(self, left: Iterator[Slot]) -> bool:
        """Do the same for one strategy in one lens, and slots of one state: it takes 100 ns less for each."""
        [(run, hook, ctx, lens)] = self._engine.groups
        facts, portfolio, number = self._engine.facts.tokens, lens.portfolio, self._state
        make, top_of_book, market_state = _make, TopOfBook, MarketState
        for slot in left:
            top = make(top_of_book, slot)
            state = make(market_state, (facts[slot[6]], top, number))
            try:
                intents = hook(ctx, top, state, portfolio)
                if intents is None:
                    continue
                first = next(intents, None)
            except Exception as error:
                self._stamp(slot)
                self._engine.raised(lens, run, error)
                return True
            if first is not None:
                self._stamp(slot)
                self._engine.driven(lens, run, intents, first)
                return True
            intents = None
        return False

    # -- the books ------------------------------------------------------------------------------

    def _stamp(self, slot: Slot) -> None:
        """Let the books know what time it is: all that an intent asks of them before it arrives."""
        self._engine.books.seq, self._engine.books.now_ns = slot[:2]

    def catch_up(self) -> None:
        """Let the books know the top that is being told, and what came before it."""
        told = self._stop - self._left.__length_hint__()
        stop = int(self._places[told - 1]) + 1 if told else 0
        if stop > self._taken:
            self._looks += 1
            self._take_to(stop)

    def _take_to(self, stop: int) -> None:
        """Let the books know the slots of the block before this one."""
        start, books = self._taken, self._engine.books
        if start >= stop:
            return
        self._taken = stop
        if stop - start < FEW_SLOTS:
            self._take_few(self._block[SLOT_BYTES * start : SLOT_BYTES * stop])
            return
        if self._trades is not None:
            trades = int(np.count_nonzero(self._trades[start:stop]))
            if trades:
                self._engine.counts["trade"] += trades
        if books.gates:
            self._judge(start, stop)
        last, owners, places = self._last, self._owners[start:stop], self._all[start:stop]
        last[owners] = places  # of equal ones the last stays
        latest = places[last.take(owners) == places].tolist()
        block, tops, unpack_from = self._block, books.tops, SLOT.unpack_from
        slots: Iterable[Slot]
        if 3 * len(latest) > stop - start:  # so many are sooner taken one after the other
            slots = SLOT.iter_unpack(block[SLOT_BYTES * start : SLOT_BYTES * stop])
        else:
            slots = (unpack_from(block, SLOT_BYTES * place) for place in latest)
        for slot in slots:
            if slot[10] == Kind.TOB:
                tops[slot[6]] = slot
        books.seq, books.now_ns = slot[:2]  # of the last of them all

    def _take_few(self, slots: bytes) -> None:
        engine, books = self._engine, self._engine.books
        tops, gates = books.tops, books.gates
        for slot in SLOT.iter_unpack(slots):
            token = slot[6]
            if slot[10] != Kind.TOB:
                engine.counts["trade"] += 1
                continue
            tops[token] = slot
            if token in gates:
                bid, ask = gates[token]
                if not (slot[7] > bid and NONE != slot[8] < ask):
                    for lens in engine.lenses:
                        lens.depth.told(slot)
        books.seq, books.now_ns = slot[:2]

    def _judge(self, start: int, stop: int) -> None:
        """Let tops say what has become of what was taken: those that are not better than all of it."""
        books, at = self._engine.books, start
        while books.gates and at < stop:
            self._take_gates()
            owners = self._owners[at:stop]
            is_judging = self._bids[at:stop] <= self._gate_bids.take(owners)
            is_judging |= self._asks[at:stop] >= self._gate_asks.take(owners)
            begun, at = at, stop
            for place in is_judging.nonzero()[0].tolist():
                slot = SLOT.unpack_from(self._block, SLOT_BYTES * (begun + place))
                books.tops[slot[6]] = slot
                for lens in self._engine.lenses:
                    lens.depth.told(slot)
                if books.regated:
                    at = begun + place + 1
                    break

    def _take_gates(self) -> None:
        books = self._engine.books
        for token in books.regated:
            if token < TOKENS_MAX:
                if token + 1 >= len(self._known) - 1:
                    self._grow(2 * token + 2)
                gate = books.gates.get(token, _NO_GATE)
                self._gate_bids[token + 1], self._gate_asks[token + 1] = gate
        books.regated.clear()
