"""The loop: one pass over a stream, every event to every lens.

At one instant the events of the stream come first, then what is due (docs/design/simulation.md). The loop
reads raw slots, and makes of them only what somebody looks at.
"""

import heapq
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Final, NamedTuple

from pm_frames.continuity import State
from pm_frames.events import NO_TOKEN, NONE, CorruptEvents, End, Event, Header, Kind, Settled, Side
from pm_frames.events.slots import SLOT
from pm_sim.books import Books, Slot
from pm_sim.facts import Facts
from pm_sim.fixed import PxE6, SzE6
from pm_sim.lens import NEVER, Lens, StrategyFailed
from pm_sim.markets import Market, Markets
from pm_sim.mask import Mask, doubts, suspects
from pm_sim.orders import Fill
from pm_sim.resolutions import Resolution
from pm_sim.running import Running, market_state
from pm_sim.settings import Settings
from pm_sim.strategy import Strategy
from pm_sim.views import MarketState, StateChange, TokenFacts, TopOfBook, Trade

_TOB: Final = int(Kind.TOB)
_LEVEL: Final = int(Kind.LEVEL)
_BOOK: Final = int(Kind.BOOK)
_CLOCK: Final = int(Kind.CLOCK)
_TRADE: Final = int(Kind.TRADE)
_NAMES: Final = {int(kind): kind.name.lower() for kind in Kind}
_SETTLED_BITS: Final = 0x18
_UNSETTLED: Final = Settled.UNSETTLED << 3
RUNS_FROM_EVENT: Final = 2_000_000  # until then loading numpy takes more than it spares
BOOK_ONLY: Final = "book-only"  # a profile that leaves out what breaks a book

Make = Callable[[], Strategy]
Told = tuple[Running, Any, Any, Lens]
# Who is told settled tops of a token, who those from the middle of a batch, and its facts.
Shown = tuple[Sequence[Told], Sequence[Told], TokenFacts | None]


@contextmanager
def _nobody_leaves() -> Iterator[None]:
    """Make a failure of what would end the program without a word, such as `exit()` in a hook."""
    try:
        yield
    except (SystemExit, GeneratorExit) as error:
        raise StrategyFailed(f"a strategy has left the simulation by {error!r}") from error


class _Settlement(NamedTuple):
    due_ns: int
    number: int
    resolution: Resolution


class Engine:
    """A simulation of one stream."""

    def __init__(
        self,
        header: Header,
        settings: Settings,
        strategies: Iterable[tuple[str, Make]],
        *,
        mask: Mask | None = None,
        resolutions: Iterable[Resolution] = (),
        tell_fill: Callable[[Lens, Fill], object] | None = None,
        runs_from_event: int = RUNS_FROM_EVENT,
    ) -> None:
        """`strategies`: id, and what makes one of them; each lens gets its own.

        `runs_from_event`: after so many events runs of tops are looked at together (`tops_run`), where numpy is
        installed and the stream tells tops alone. It gives the same; loading it takes a tenth to a third of a second.
        """
        self.header = header
        self.settings = settings
        self.markets = Markets(accepts_uncounted=settings.accepts_uncounted_sets)
        self.facts = Facts(self.markets)
        self.books = Books(
            has_levels=bool(header.facts.get("depth")),
            tells_breaks=header.facts.get("profile") != BOOK_ONLY,
        )
        self.books.now_ns = header.t0_mono_ns
        self.ignored = 0  # events that were not newer than the last
        self.end: End | None = None
        self.counts: Counter[str] = Counter()
        self.due_ns = NEVER
        self.is_waiting = False  # orders for the end of a batch, or strategies for depth
        self._runs_from_event = runs_from_event
        self._disabled = 0
        self.shown: dict[int, Shown] = {}
        self.choices = 0  # how often any of that was forgotten
        self.unasked: set[int] = set()  # of which it was, for `tops_run` to empty
        self._changed: set[int] = set()  # tokens whose levels changed since their last top
        self.lenses = [
            Lens(
                name,
                settings,
                self.facts,
                self.books,
                suspects(mask, self.markets),
                doubts(mask, self.books, self.markets),
            )
            for name in settings.lenses
        ]
        for strategy_id, make in strategies:
            for lens in self.lenses:
                lens.add(make(), strategy_id)
        self.hears_trades = any(
            "on_trade" in lens.hooks or lens.exchange.hears_trades for lens in self.lenses
        )
        if tell_fill is not None:
            for lens in self.lenses:
                lens.tell_fill = tell_fill
        self._settlements = [
            _Settlement(self._mono(one.closed_wall_ns), number, one)
            for number, one in enumerate(resolutions)
        ]
        self._untold: dict[str, Resolution] = {}  # that are due, by their first token
        heapq.heapify(self._settlements)
        self._regroup()
        self._look()

    # -- the stream -----------------------------------------------------------------------------

    def run(self, blocks: Iterable[bytes | Event]) -> None:
        """Take the stream as `EventReader.blocks` gives it; the first call starts the strategies.

        Raises `StrategyFailed`, and `CorruptEvents` if events are missing.
        """
        with _nobody_leaves():
            self._run(blocks)

    def _run(self, blocks: Iterable[bytes | Event]) -> None:
        for lens in self.lenses:
            lens.call("on_start")
        self._look()
        take: Callable[[bytes], None] = self.each
        for block in blocks:
            if isinstance(block, Event):
                self._with_payload(block)
                continue
            if self.books.seq >= self._runs_from_event and not self.books.has_levels:
                take, self._runs_from_event = self._quicker(), NEVER
            take(block)

    def finish(self, end: End) -> None:
        """Take END: what is due up to its stamp still happens, then markets are settled that end later.

        Raises `CorruptEvents` if the events are not as many as END says.
        """
        if end.seq != self.books.seq:
            raise CorruptEvents(
                "END names another last event", kind="bad_count", expected=end.seq, found=self.books.seq
            )  # fmt: skip
        self.end = end
        with _nobody_leaves():
            self._come_to_an_end(end)

    def _come_to_an_end(self, end: End) -> None:
        self.advance(end.ts_recv_ns + 1)
        self.books.now_ns = max(self.books.now_ns, end.ts_recv_ns)
        late = [
            one._replace(due_ns=end.ts_recv_ns) if one.due_ns == NEVER else one
            for one in self._settlements
        ]
        for one in sorted(late):
            self._settle(one.resolution, one.due_ns)
        self._settlements.clear()
        if self._untold:
            self.counts["resolutions_passed_over"] += len(self._untold)
            self._untold.clear()

    def _quicker(self) -> Callable[[bytes], None]:
        try:
            from pm_sim.tops_run import TopsRuns
        except ImportError:  # numpy is not installed
            return self.each
        return TopsRuns(self).take

    def each(self, block: bytes) -> None:  # noqa: C901 -- the hot loop: every call costs 5 %
        """Take slots without payloads one by one."""
        books, shown, make = self.books, self.shown, tuple.__new__
        tops, level, none = books.tops, books.level, NONE
        gates, tellers = books.gates, [lens.depth.told for lens in self.lenses]
        due = self.due_ns
        for slot in SLOT.iter_unpack(block):
            now = slot[1]
            if now > due:
                due = self.advance(now)
            kind = slot[10]
            if kind == _TOB:
                if slot[0] != books.seq + 1:
                    self._gap(slot)
                    continue
                books.seq = slot[0]
                books.now_ns = now
                token = slot[6]
                tops[token] = slot
                if gates and token in gates:
                    gate = gates[token]
                    if not (slot[7] > gate[0] and none != slot[8] < gate[1]):
                        for told in tellers:
                            told(slot)
                if self.is_waiting:
                    due = self._watched(slot)
                to = shown.get(token)
                if to is None:
                    to = self._choose(slot)
                groups, early, known = to
                if slot[11] & _SETTLED_BITS == _UNSETTLED:
                    groups = early
                if not groups:
                    continue
                top = make(TopOfBook, slot)
                state = make(MarketState, (known, top, slot[11] & 7))
                for run, hook, ctx, lens in groups:
                    try:
                        intents = hook(ctx, top, state, lens.portfolio)
                        if intents is None:
                            continue
                        first = next(intents, None)
                    except Exception as error:
                        due = self.raised(lens, run, error)
                        continue
                    if first is not None:
                        due = self.driven(lens, run, intents, first)
                    intents = None  # what a generator still has to do is done now
            elif kind == _LEVEL:
                level(slot)
                if self._depth_lenses:
                    self._changed.add(slot[6])
            else:
                due = self._other(slot)

    def _other(self, slot: Slot) -> int:
        """Take a slot of a rarer kind without a payload."""
        kind = slot[10]
        if kind == _BOOK:
            self.books.replaced(slot)
            if self._depth_lenses:
                self._changed.add(slot[6])
            return self.due_ns
        if kind == _CLOCK or not self._is_new(slot):
            return self.due_ns
        self.counts[_NAMES[kind]] += 1
        if slot[6] not in self.facts.tokens:
            self._undefined(slot)
        if kind == _TRADE:
            return self._look() if self._trade(slot) else self.due_ns
        if kind == Kind.STATUS:
            self._status(slot)
        elif kind == Kind.TICK_SIZE:
            self.books.broken(slot)
            market = self.markets.tick_changed(slot)
            if market is not None:
                self._tell_market(market)
        return self._look()

    def _with_payload(self, event: Event) -> None:
        now = event.ts_recv_ns
        if now > self.due_ns:
            self.advance(now)
        self.books.now_ns = max(self.books.now_ns, now)
        market = self._stated(event)
        if market is not None:
            if not market.is_open:
                self._closed(market)
            self._tell_market(market)
            for token in market.tokens:
                early = self._untold.pop(self.markets.ids.get(token, ""), None)
                if early is not None:
                    self._settle(early, self.books.now_ns)
        self._look()

    def _stated(self, event: Event) -> Market | None:
        """Take what a slot with a payload states; return the market that it is about."""
        try:
            if event.kind == Kind.TOKEN:
                self.markets.define(event.token, event.text())
                self.facts.defined(event.token)
            elif event.kind == Kind.META:
                return self.markets.meta(event.json())
            elif self._is_new(event):
                self.counts[Kind(event.kind).name.lower()] += 1
                if event.kind == Kind.MARKET:
                    return self.markets.changed(event)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise CorruptEvents(
                f"a payload is not what its kind has: {error!r}",
                kind="bad_payload",
                found=event.kind,
            ) from error
        return None

    def _is_new(self, slot: Slot | Event) -> bool:
        if slot[0] != self.books.seq + 1:
            self._gap(slot)
            return False
        self.books.seq = slot[0]
        self.books.now_ns = slot[1]
        return True

    def _gap(self, slot: Slot | Event) -> None:
        """Pass over an event that is not new; CorruptEvents if events before it are missing."""
        if slot[0] > self.books.seq:
            raise CorruptEvents(
                "events are missing", kind="bad_count", expected=self.books.seq + 1, found=slot[0]
            )
        self.ignored += 1

    def _undefined(self, slot: Slot) -> None:
        if slot[6] != NO_TOKEN:
            raise CorruptEvents(
                "an event names a token that is not defined", kind="bad_payload", found=slot[6]
            )

    # -- what the stream says -------------------------------------------------------------------

    def _watched(self, slot: Slot) -> int:
        happened = False
        for lens in self.lenses:
            happened |= lens.top(slot)
        if slot[6] in self._changed:
            self._changed.discard(slot[6])
            top, book = self.books.top(slot[6]), self.books.book(slot[6])
            known = self.facts.tokens.get(slot[6])
            for lens in self._depth_lenses:
                lens.call("on_depth", top, book, lens.portfolio, of=known)
            happened = True
        return self._look() if happened else self.due_ns

    def _trade(self, slot: Slot) -> bool:
        """Let a trade eat queues, and tell it; say whether there was anybody for whom it was something."""
        trade: Trade | None = None
        happened = False
        for lens in self.lenses:
            outcomes = lens.exchange.traded(slot)
            if not outcomes and "on_trade" not in lens.hooks:
                continue
            happened = True
            lens.take(outcomes)
            trade = trade or Trade(
                slot[0], slot[1], slot[2], slot[6], PxE6(slot[7]), SzE6(slot[3]), Side(slot[8])
            )
            lens.call("on_trade", trade, market_state(lens, slot[6]), lens.portfolio)
        return happened

    def _status(self, slot: Slot) -> None:
        self.books.status(slot)
        change = StateChange(
            slot[0], slot[1], slot[6], State(slot[11] & 7), State(slot[4]), slot[3]
        )
        for lens in self.lenses:
            lens.take(lens.exchange.status(slot))
            lens.call("on_state", change, lens.portfolio)

    def _tell_market(self, market: Market) -> None:
        change = self.facts.change(market, self.books.now_ns)
        for lens in self.lenses:
            lens.call("on_market", change, lens.portfolio)

    def _closed(self, market: Market) -> None:
        now = self.books.now_ns
        for lens in self.lenses:
            lens.closed(market, now)

    # -- strategies -----------------------------------------------------------------------------

    def _regroup(self) -> None:
        """List whom tops are told, in the order of lenses and ids."""
        groups = [
            (run, run.strategy.on_top_of_book, run.ctx, lens)
            for lens in self.lenses
            for run in lens.runs
            if not run.is_disabled and "on_top_of_book" in run.hooks
        ]
        self.groups: Sequence[Told] = groups
        self._forget_shown(list(self.shown))
        self._depth_lenses = [
            lens
            for lens in self.lenses
            if any("on_depth" in run.hooks and not run.is_disabled for run in lens.runs)
        ]

    def _forget_shown(self, tokens: list[int]) -> None:
        for token in tokens:
            self.shown.pop(token, None)
        self.unasked.update(tokens)
        self.choices += 1

    def _choose(self, slot: Slot) -> Shown:
        """Note who is shown the tops of a token, until its facts or the strategies change."""
        token = slot[6]
        known = self.facts.tokens.get(token)
        if known is None and self.groups:
            self._undefined(slot)
        told = [one for one in self.groups if known is None or one[3].shows(one[0], known)]
        early = [one for one in told if one[0].strategy.sees_unsettled]
        # One that has raised may be disabled now: it is in the lists of other tokens.
        if sum(lens.disabled for lens in self.lenses) != self._disabled:
            self._look()
        found = self.shown[token] = told, early, known
        return found

    def raised(self, lens: Lens, run: Running, error: Exception) -> int:
        lens.raised(run, "on_top_of_book", error)
        return self._look()

    def driven(self, lens: Lens, run: Running, intents: Any, first: Any) -> int:
        lens.drive(run, intents, first, "on_top_of_book")
        if not lens.is_stirred:
            return self.due_ns
        lens.settle_down()
        return self._look()

    # -- time -----------------------------------------------------------------------------------

    def advance(self, before_ns: int) -> int:
        """Let everything happen that is due before a time; return what is due then."""
        while self._settlements and self._settlements[0].due_ns < before_ns:
            one = heapq.heappop(self._settlements)
            for lens in self.lenses:
                lens.advance(one.due_ns)
            self._settle(one.resolution, one.due_ns)
        for lens in self.lenses:
            lens.advance(before_ns)
        return self._look()

    def _settle(self, resolution: Resolution, now_ns: int) -> None:
        numbers = self.markets.numbers
        payouts = {
            numbers[token]: payout
            for token, payout in resolution.payouts_e6.items()
            if token in numbers
        }
        if not payouts and self.end is None:
            # It was closed before the stream tells of it; most are of markets of which it never does.
            self._untold[next(iter(resolution.payouts_e6))] = resolution
            return
        market = self.markets.of(next(iter(payouts))) if payouts else None
        if market is None or market.payouts_e6 is not None or set(market.tokens) != set(payouts):
            self.counts["resolutions_passed_over"] += 1
            return
        self.markets.resolve(market, payouts)
        self.books.now_ns = max(self.books.now_ns, now_ns)
        self._closed(market)
        self._tell_market(market)

    def _look(self) -> int:
        """Say when the next thing is due, and note whether a lens waits for tops."""
        due = self._settlements[0].due_ns if self._settlements else NEVER
        waiting, disabled = bool(self._depth_lenses), 0
        for lens in self.lenses:
            disabled += lens.disabled
            due = min(due, lens.due_ns)
            waiting = waiting or lens.exchange.is_waiting
        self.is_waiting = waiting
        if self.facts.changed:
            self._forget_shown(self.facts.changed)
            self.facts.changed.clear()
        if disabled != self._disabled:
            self._disabled = disabled
            self._regroup()
        self.due_ns = due
        return due

    def _mono(self, wall_ns: int | None) -> int:
        """Return a time of UTC on the receive clock; `NEVER` where that is not known."""
        if wall_ns is None or self.header.t0_wall_ns < 0:
            return NEVER
        return self.header.t0_mono_ns + wall_ns - self.header.t0_wall_ns
