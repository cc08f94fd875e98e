"""Runs of tops at their edges: what a stream may say though no venue does, and strategies that err or look back."""

from collections.abc import Callable, Iterator
from typing import Any, Final

import pytest
from simulated import Script, only, simulate
from streams import CENT, MS, NO, SHARE, YES, Stream, walk
from test_tops_run import Pieces

from pm_frames.continuity import State
from pm_frames.events import Flags, Kind, Settled, Side
from pm_sim import Buy, PxE6, Strategy, SzE6
from pm_sim.engine import Engine
from pm_sim.exchange import QueueModel
from pm_sim.intents import Timer
from pm_sim.lens import NEVER
from pm_sim.orders import Tif
from pm_sim.settings import CENTRAL, WORST

BLOCK: Final = 64 * 260
SIZE: Final = SzE6(10 * SHARE)
FLAGS: Final = Flags(State.LIVE, Settled.SETTLED, batch_end=True).byte()


def both(data: bytes, make: Callable[[], Strategy], **settings: Any) -> tuple[Engine, Engine]:
    """Simulate in runs and one by one; what any venue and account tells must be the same."""
    fast, slow = (
        simulate(Pieces(data, BLOCK), make, engine={"runs_from_event": start}, **settings)
        for start in (0, NEVER)
    )
    assert fast.books.tops == slow.books.tops
    assert (fast.books.gates, fast.counts) == (slow.books.gates, slow.counts)
    for one, other in zip(fast.lenses, slow.lenses, strict=True):
        assert one.depth.taken == other.depth.taken
        assert one.fills.hexdigest() == other.fills.hexdigest()
        assert one.intents.hexdigest() == other.intents.hexdigest()
        assert one.runs[0].first_error == other.runs[0].first_error
        assert (one.rejects, one.totals()) == (other.rejects, other.totals())
    return fast, slow


class Lists(Strategy):
    """Gives a list where there is something to do, which is no iterator."""

    def on_top_of_book(self, ctx: Any, event: Any, market_state: Any, portfolio: Any) -> Any:
        """Give one."""
        return None if event.seq < 300 else [Timer(0)]


@pytest.mark.parametrize("lenses", [(WORST,), (WORST, CENTRAL)])
def test_an_error_that_no_line_of_the_strategy_raised_names_no_line(
    lenses: tuple[str, ...],
) -> None:
    fast, _ = both(walk(4, 300, depth=False), Lists, lenses=lenses)
    assert fast.lenses[0].runs[0].first_error == (
        "on_top_of_book at seq 300: TypeError: 'list' object is not an iterator"
    )


class Tidies(Strategy):
    """Leaves what it yields half done, and notes when that is at an end."""

    def __init__(self) -> None:
        super().__init__()
        self.notes: list[Any] = []

    def on_top_of_book(
        self, ctx: Any, event: Any, market_state: Any, portfolio: Any
    ) -> Iterator[Any]:
        """Yield nothing, or something and then nothing."""
        self.notes.append(("top", event.seq))
        try:
            if event.seq % 9 == 0:
                yield Timer(event.ts_recv_ns)
            yield None
        finally:
            self.notes.append((ctx.seq, ctx.now_ns, ctx.market_state(event.token)))

    def on_timer(self, ctx: Any, timer: Any, portfolio: Any) -> None:
        """Note."""
        self.notes.append(("timer", ctx.now_ns))


@pytest.mark.parametrize("lenses", [(WORST,), (WORST, CENTRAL)])
def test_what_a_hook_leaves_half_done_ends_before_the_next_hook_is_called(
    lenses: tuple[str, ...],
) -> None:
    engines = both(walk(4, 300, depth=False), Tidies, lenses=lenses)
    fast, slow = ([lens.runs[0].strategy for lens in engine.lenses] for engine in engines)
    for one, other in zip(fast, slow, strict=True):
        assert isinstance(one, Tidies)
        assert isinstance(other, Tidies)
        assert one.notes == other.notes
        tops = [at for at, note in enumerate(one.notes) if note[0] == "top"]
        assert len(tops) == 600
        assert all(one.notes[at][1] == one.notes[at + 1][0] for at in tops)


def test_a_token_may_have_any_number() -> None:
    stream = Stream(depth=False).market()
    high = 3_000_000_000
    stream.writer.define_token(high, "high", ts_recv_ns=stream.now)
    for _ in range(600):
        stream.mirrored({40: 50}, {50: 50})
        if stream.seq % 100 == 0:
            stream.book(high, {40: 50}, {50: 50})
    fast, _ = both(
        stream.end(), lambda: Script({650: [Buy(high, PxE6(50 * CENT), SIZE)]}), latency_ns=60 * MS
    )
    assert only(fast).counts["taker_fills"] == 1
    assert high in fast.books.gates


def test_no_price_of_a_trade_makes_a_top_of_it() -> None:
    stream = Stream(depth=False).market()
    for number in range(800):
        if number < 400:
            stream.mirrored({40: 50}, {50: 50})
        else:
            stream.book(NO, {50: 50}, {60: 50})
            stream.event(Kind.TRADE, YES, bid_px_e6=-(1 << 31), bid_sz_e6=SHARE, ask_px_e6=0)
    order = Buy(YES, PxE6(50 * CENT), SIZE)
    fast, _ = both(stream.end(), lambda: Script({600: [order]}), latency_ns=MS)
    assert only(fast).counts["taker_fills"] == 1
    assert fast.books.tops[YES][10] == Kind.TOB


def test_an_ask_below_none_says_nothing_of_what_was_taken() -> None:
    stream = Stream(depth=False).market()
    for number in range(400):
        stream.mirrored({40: 50}, {50: 50})
        if number > 300:
            stream.event(
                Kind.TOB, NO, bid_px_e6=50 * CENT, bid_sz_e6=0, ask_px_e6=-5, flags=FLAGS
            )  # fmt: skip
            break
    for _ in range(400):
        stream.book(YES, {40: 50}, {50: 50})
    order = Buy(YES, PxE6(50 * CENT), SIZE)
    fast, _ = both(stream.end(), lambda: Script({550: [order]}), latency_ns=MS, lenses=(WORST,))
    assert NO in only(fast).depth.taken


class Asks(Script):
    """Follows a script, and asks at some tops."""

    def on_top_of_book(self, ctx: Any, event: Any, market_state: Any, portfolio: Any) -> Any:
        """Ask, and do what is planned."""
        if 796 < event.seq < 806:
            assert ctx.market_state(event.token) == market_state
        return super().on_top_of_book(ctx, event, market_state, portfolio)


@pytest.mark.parametrize("kind", [Script, Asks])
@pytest.mark.parametrize(
    ("lens", "then", "forgets"),
    [
        (WORST, ({40: 50}, {}), True),  # a book without asks: the level is gone
        (WORST, ({40: 50}, {50: 60}), False),
        (CENTRAL, ({40: 50}, {50: 60}), True),
        (CENTRAL, ({40: 50}, {50: 50}), False),
        (CENTRAL, ({40: 50}, {49: 60}), False),  # what is behind the best is not seen
        (WORST, ({40: 50}, {51: 60}), True),
    ],
)
def test_one_top_in_a_long_run_says_what_became_of_what_was_taken(
    kind: type[Script], lens: str, then: tuple[dict[int, int], dict[int, int]], forgets: bool
) -> None:
    stream = Stream(depth=False).market()
    for number in range(600):
        book: tuple[dict[int, int], dict[int, int]] = ({40: 50}, {50: 50})
        if number >= 400:
            book = then if number == 400 else ({40: 50}, {49: 50})  # which says nothing of 50
        stream.mirrored(*book)
    order = Buy(YES, PxE6(50 * CENT), SIZE)
    fast, _ = both(stream.end(), lambda: kind({700: [order]}), latency_ns=MS, lenses=(lens,))
    assert only(fast).counts["taker_fills"] == 1
    assert bool(only(fast).depth.taken) is not forgets


class Counts(Strategy):
    """Counts what it is shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[int] = []

    def on_top_of_book(self, ctx: Any, event: Any, market_state: Any, portfolio: Any) -> None:
        """Count."""
        self.shown.append(event.seq)


@pytest.mark.parametrize("lenses", [(WORST,), (WORST, CENTRAL)])
def test_every_top_of_a_very_long_run_is_shown_once(lenses: tuple[str, ...]) -> None:
    data = walk(4, 3000, depth=False)
    engine = simulate(Pieces(data, 64 * 2000), Counts, engine={"runs_from_event": 0}, lenses=lenses)
    for lens in engine.lenses:
        strategy = lens.runs[0].strategy
        assert isinstance(strategy, Counts)
        assert strategy.shown == list(range(1, 6001))


class OfTick(Counts):
    """Looks at markets of a tick of one cent."""

    def sees_token(self, facts: Any) -> bool:
        """Say whether it has one."""
        return bool(facts.market.tick_e6 == CENT)


@pytest.mark.parametrize("lenses", [(WORST,), (WORST, CENTRAL)])
def test_who_is_shown_a_token_is_asked_again_when_its_market_is_stated_anew(
    lenses: tuple[str, ...],
) -> None:
    stream = Stream(depth=False)
    ticks = (CENT, CENT // 10, CENT)
    for tick in ticks:
        stream.market(tick_size_e6=tick)
        for number in range(400):
            if number == 200:
                stream.market(1)  # ends a block: from here on it is known who is shown what
            stream.mirrored({40: 50}, {50: 50})
    engine = simulate(
        Pieces(stream.end(), 64 * 2500), OfTick, engine={"runs_from_event": 0}, lenses=lenses
    )
    for lens in engine.lenses:
        strategy = lens.runs[0].strategy
        assert isinstance(strategy, OfTick)
        assert strategy.shown == [*range(1, 801), *range(1601, 2401)]


@pytest.mark.parametrize("lens", [WORST, CENTRAL])
def test_an_order_that_arrives_just_before_a_run_ends_meets_the_book_of_then(lens: str) -> None:
    stream, plan = Stream(depth=False).market(), {}
    for number in range(1400):
        if number % 100 == 93 and number > 400:
            plan[stream.seq] = [Buy(YES, PxE6(60 * CENT), SIZE)]
        if number % 100 == 0:
            stream.event(Kind.CLOCK, YES)  # which no run has in it
        stream.mirrored({40: 50}, {50 + number % 7: 50})
    fast, _ = both(
        stream.end(), lambda: Script(plan), latency_ns=5 * stream.step_ns, lenses=(lens,)
    )
    assert only(fast).counts["taker_fills"] == len(plan) == 10


def test_an_order_that_begins_to_rest_in_a_run_hears_the_trades_of_it() -> None:
    stream = Stream(depth=False).market()
    for number in range(900):
        stream.mirrored({40: 50}, {50: 50})
        if number % 20 == 0:
            stream.trade(YES, 45, 3, Side.SELL)
    order = Buy(YES, PxE6(45 * CENT), SIZE, tif=Tif.GTC)
    fast, _ = both(
        stream.end(), lambda: Script({1000: [order]}), latency_ns=MS, queue=QueueModel.CONSERVATIVE
    )
    assert only(fast).counts["maker_fills"] == 4


@pytest.mark.parametrize("state", [State.UNKNOWN, State.PLANNED_CHANGE])
@pytest.mark.parametrize("tops", [range(900, 901), range(1200)], ids=["one", "all"])
def test_each_top_is_shown_in_its_own_state(state: State, tops: range) -> None:
    stream = Stream(depth=False).market()
    for number in range(1200):
        stream.now += MS
        told = state if number in tops else State.LIVE
        flags = Flags(told, Settled.SETTLED, batch_end=True).byte()
        stream.event(Kind.TOB, YES, bid_px_e6=40 * CENT, ask_px_e6=50 * CENT, flags=flags)

    class States(Strategy):
        """Compares the state of a top with what it was told with."""

        def on_top_of_book(self, ctx: Any, event: Any, market_state: Any, portfolio: Any) -> None:
            """Compare."""
            expected = state if event.seq - 1 in tops else State.LIVE
            assert (event.state, market_state.state) == (expected, expected)

    fast, _ = both(stream.end(), States)
    assert only(fast).runs[0].first_error is None
