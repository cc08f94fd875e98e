"""Runs of tops that are told at once: everything is as if each slot were looked at by itself."""

from collections.abc import Callable
from io import BytesIO
from random import Random
from typing import Any, Final

import pytest
from curious import KINDS, MARKETS, SIZE, Curious, Early, Hears, OfSome, Rests, Seldom
from hypothesis import given
from hypothesis import strategies as st
from simulated import Script, only, script, simulate
from streams import CENT, MS, NO, SHARE, T0, WALL, YES, Stream, walk

from pm_frames.continuity import State
from pm_frames.events import NONE, CorruptEvents, EventReader, Flags, Kind, Settled, Side
from pm_sim import Buy, PxE6, Strategy
from pm_sim.engine import Engine
from pm_sim.exchange import QueueModel, Taint
from pm_sim.latency import Fixed
from pm_sim.lens import NEVER, StrategyFailed
from pm_sim.mask import Mask
from pm_sim.resolutions import Resolution
from pm_sim.settings import CENTRAL, WORST, OnError, Settings

AT_ONCE: Final[dict[str, Any]] = {"runs_from_event": 0}
AT_MOST: Final = 64 * 260  # of a block: who is shown a token is known from the next one on


class Pieces:
    """A pipe that gives what is there: blocks end anywhere."""

    def __init__(self, data: bytes, at_most: int) -> None:
        self.data, self.at_most = BytesIO(data), at_most

    def read(self, size: int, /) -> bytes:
        return self.data.read(min(size, self.at_most))


# What a run must stop at, or take along; and how many tops come after it.
WHAT: Final = (
    "clock", "unsettled", "repeat", "back", "trade", "status", "live", "tick", "market",
    "resolved", "book", "wide", "one-sided", "same stamp", "late token", "gap",
    "unknown token", "lost",
)  # fmt: skip
PIECES: Final = st.lists(
    st.tuples(
        st.sampled_from(WHAT),
        st.integers(0, 2 * MARKETS - 1),
        st.sampled_from((300, 130, 80, 66, 65, 64, 31, 5, 0)),
    ),
    min_size=1,
    max_size=8,
)


class Written(Stream):
    """Three markets whose tops move by a cent, and whatever a piece says."""

    def __init__(self, seed: int, *, depth: bool) -> None:
        super().__init__(depth=depth)
        self.random = Random(seed)
        self.mids = [50] * MARKETS
        back = self.random.choice((0, 0, 0, -4 * MS))  # a clock that goes back
        self.steps_ns = (0, MS, MS, 3 * MS + 1, 2 * MS + back)
        self.trades_one_in = self.random.choice((0, 0, 3, 20))
        for number in range(MARKETS):
            self.market(number)
        for token in range(2 * MARKETS):
            self.top(token)
        self.event(Kind.CLOCK, YES)  # those that come now are known

    def top(self, token: int, jump: int = 1, **fields: Any) -> None:
        random, number = self.random, token // 2 % MARKETS
        mid = self.mids[number] + random.choice((-jump, 0, 0, jump))
        self.mids[number] = mid = min(90, max(10, mid))
        bid, ask = mid - 1, mid + random.randrange(2)
        if token % 2:
            bid, ask = 100 - ask, 100 - bid
        told = {
            "bid_px_e6": bid * CENT, "bid_sz_e6": random.randrange(5, 60) * SHARE,
            "ask_px_e6": ask * CENT, "ask_sz_e6": random.randrange(5, 60) * SHARE,
            "flags": Flags(State.LIVE, Settled.SETTLED, batch_end=bool(token % 2)).byte(),
        }  # fmt: skip
        self.event(Kind.TOB, token, **{**told, **fields})

    def tops(self, count: int) -> None:
        for _ in range(count):
            self.now += self.random.choice(self.steps_ns)
            if self.trades_one_in and not self.random.randrange(self.trades_one_in):
                self.piece("trade", self.random.randrange(2 * MARKETS))
            self.top(self.random.randrange(2 * MARKETS))

    def piece(self, what: str, token: int) -> None:
        choice, number = self.random.choice, token // 2
        unsettled = Flags(State.LIVE, Settled.UNSETTLED, batch_end=False).byte()
        lost = Flags(State.UNKNOWN, Settled.SETTLED, batch_end=True).byte()
        pieces: dict[str, Callable[[], object]] = {
            "clock": lambda: self.event(Kind.CLOCK, token),
            "unsettled": lambda: self.top(token, flags=unsettled),
            "repeat": lambda: self.gap(-1),
            "gap": lambda: self.gap(choice((0, 0, 1, 256))),
            "back": lambda: self.back(token),
            "trade": lambda: self.trade(
                token, self.mids[number], 10, choice((Side.BUY, Side.SELL))
            ),
            "status": lambda: self.status(token, State.RECONNECTING),
            "live": lambda: self.status(token, State.LIVE),
            "tick": lambda: self.event(Kind.TICK_SIZE, token, bid_px_e6=choice((CENT, CENT // 10))),
            "market": lambda: self.market(number, tick_size_e6=choice((CENT, CENT // 10))),
            "resolved": lambda: self.resolved(2 * number, number),
            "book": lambda: self.book(token, {40: 50, 39: 20}, {42: 30, 50: 50}),
            "wide": lambda: self.top(token, 15),
            "one-sided": lambda: self.top(token, ask_px_e6=NONE, ask_sz_e6=0),
            "same stamp": lambda: self.top(token),
            "unknown token": lambda: self.top(choice((token, token, 99))),
            "late token": lambda: self.late(50),
            "lost": lambda: self.top(token, flags=lost),
        }
        pieces[what]()

    def gap(self, missing: int) -> None:
        self.seq += missing
        self.top(YES)

    def back(self, token: int) -> None:
        self.now -= 2 * MS
        self.top(token)

    def late(self, token: int) -> None:
        self.writer.define_token(token, f"t{token}", ts_recv_ns=self.now)
        self.top(token)


def written(pieces: list[tuple[str, int, int]], seed: int, *, depth: bool) -> bytes:
    """Write a stream: after each piece so many tops."""
    stream = Written(seed, depth=depth)
    for what, token, tops in pieces:
        stream.piece(what, token)
        stream.tops(tops)
    return stream.end(later=stream.random.choice((0, 70 * MS)))


def outcome(
    data: bytes,
    made: list[Callable[[], Curious]],
    at_most: int,
    *,
    runs_from_event: int,
    settings: dict[str, Any],
    engine: dict[str, Any],
) -> list[Any]:
    """Simulate, and return all that can be told of it."""
    told: list[Any] = []
    reader = EventReader(Pieces(data, at_most))
    simulation = Engine(
        reader.header,
        Settings(**settings),
        [(f"s{at}", make) for at, make in enumerate(made)],
        tell_fill=lambda lens, fill: told.append((lens.name, fill)),
        runs_from_event=runs_from_event,
        **engine,
    )
    error = None
    try:
        simulation.run(reader.blocks())
        assert reader.end is not None
        simulation.finish(reader.end)
    except (CorruptEvents, StrategyFailed) as raised:
        error = repr(raised)
    books = simulation.books
    told += [error, books.seq, books.now_ns, books.gates, books.levels, books.statuses]
    told += [[(token, tuple(top)) for token, top in books.tops.items()]]
    told += [simulation.ignored, simulation.counts]
    for lens in simulation.lenses:
        told += [lens.intents.hexdigest(), lens.fills.hexdigest(), lens.rejects, lens.counts]
        told += [lens.portfolio, lens.totals(), lens.depth.taken, lens.submitted, lens.marks()]
        for run in lens.runs:
            assert isinstance(run.strategy, Curious)
            told += [run.errors, run.first_error, run.is_disabled, run.strategy.notes]
    return told


def drawn_settings(seed: int) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return settings of the simulation and arguments of the engine."""
    draw = Random(seed)
    latency = Fixed(draw.choice((0, MS, 7 * MS, 50 * MS)))
    settings = {
        "order_latency": latency,
        "cancel_latency": latency,
        "lenses": draw.choice(((WORST,), (CENTRAL,), (WORST, CENTRAL))),
        "on_error": draw.choice((*OnError, *[OnError.COUNT] * 5)),
        "queue": draw.choice(tuple(QueueModel)),
        "taint": draw.choice(tuple(Taint)),
        "merge_delay_ns": draw.choice((0, 5 * MS)),
        "max_intents_per_callback": draw.choice((1, *[10_000] * 9)),
    }
    ends = [
        Resolution({"t0": PxE6(SHARE), "t1": PxE6(0)}, WALL + draw.randrange(300) * MS),
        Resolution({"t8": PxE6(SHARE), "t9": PxE6(0)}, WALL + 20 * MS),
    ]
    mask = Mask("x", {"t2": [(T0 + 20 * MS, T0 + 90 * MS)]})
    engine = draw.choice(({}, {"resolutions": ends}, {"mask": mask, "resolutions": ends}))
    return settings, engine


def compare(
    pieces: list[tuple[str, int, int]],
    seed: int,
    kinds: list[tuple[type[Curious], bool]],
    at_most: int = 64 * 260,
    *,
    depth: bool = False,
) -> None:
    data = written(pieces, seed, depth=depth)
    settings, engine = drawn_settings(seed)
    draw = Random(seed)
    acts = draw.choice((4, 25, 25, 40, 40, 200))

    def making(kind: type[Curious], raises: bool) -> Callable[[], Curious]:
        one_in = draw.choice((20, 100, 100)) if raises else 0
        return lambda: kind(seed, acts, one_in)

    made = [making(*one) for one in kinds]
    fast = outcome(data, made, at_most, runs_from_event=0, settings=settings, engine=engine)
    slow = outcome(data, made, at_most, runs_from_event=NEVER, settings=settings, engine=engine)
    assert fast == slow


@given(
    PIECES,
    st.integers(0, 1 << 32),
    st.lists(st.tuples(st.sampled_from(KINDS), st.booleans()), min_size=1, max_size=3),
    st.sampled_from((1 << 18, 64 * 600, 64 * 400, 64 * 256, 64 * 70)),
    st.booleans(),
)
def test_what_is_told_in_runs_is_what_is_told_one_by_one(
    pieces: list[tuple[str, int, int]],
    seed: int,
    kinds: list[tuple[type[Curious], bool]],
    at_most: int,
    depth: bool,
) -> None:
    compare(pieces, seed, kinds, at_most, depth=depth)


@pytest.mark.parametrize(
    "kind",
    [
        Seldom,
        *(
            type(f"Seldom{one.__name__}", (Seldom, one), {})
            for one in (OfSome, Early, Hears, Rests)
        ),
    ],
)
@pytest.mark.parametrize("what", WHAT)
def test_so_it_is_where_one_thing_happens_inside_of_long_runs(
    what: str, kind: type[Curious]
) -> None:
    for seed in range(4):
        draw = Random(seed)
        known = ("same stamp", 0, 520)  # of the blocks after these it is known who is shown what
        pieces = [(what, draw.randrange(2 * MARKETS), draw.randrange(60, 200)) for _ in range(5)]
        at_most = 64 * draw.choice((256, 300, 700))
        compare([known, *pieces], draw.randrange(99), [(kind, seed == 3)], at_most)


@pytest.mark.parametrize("lenses", [(WORST,), (WORST, CENTRAL)])
@pytest.mark.parametrize(("acts_one_in", "least"), [(1, 20), (60, 400), (100_000, 540)])
def test_tops_of_a_plain_stream_are_told_in_runs_unless_something_comes_of_most(
    lenses: tuple[str, ...], acts_one_in: int, least: int
) -> None:
    data = Pieces(walk(3, 520, depth=False, markets=2), AT_MOST)
    engine = simulate(
        data, lambda: Seldom(1, acts_one_in, 0), lenses=lenses, latency_ns=9 * MS, engine=AT_ONCE
    )
    for lens in engine.lenses:
        strategy = lens.runs[0].strategy
        assert isinstance(strategy, Curious)
        assert strategy.in_runs > least


class Asks(Strategy):
    """Compares what it is shown with what it can ask, in every call."""

    def __init__(self) -> None:
        super().__init__()
        self.calls = 0

    def on_top_of_book(self, ctx: Any, event: Any, market_state: Any, portfolio: Any) -> Any:
        """Ask."""
        self.calls += 1
        assert (ctx.seq, ctx.now_ns) == event[:2]
        assert ctx.market_state(event.token) == market_state
        assert market_state.top is event
        assert [level.px_e6 for level in ctx.book(event.token).asks] == [event.ask_px_e6]
        other = ctx.market_state(NO if event.token == YES else YES)
        assert other is None or event.seq - other.top.seq in {1, 2, 3}


def test_a_hook_that_asks_gets_what_it_is_shown() -> None:
    engine = simulate(Pieces(walk(4, 300, depth=False), AT_MOST), Asks, engine=AT_ONCE)
    strategy = only(engine).runs[0].strategy
    assert isinstance(strategy, Asks)
    assert (strategy.calls, only(engine).runs[0].first_error) == (600, None)


def test_an_order_that_begins_to_wait_in_a_run_is_matched_by_a_top_of_it() -> None:
    data = Stream(depth=False).market()
    for _ in range(300):
        data.mirrored({40: 50}, {50: 50})
    data.book(YES, {40: 50}, {50: 50}, settled=Settled.UNSETTLED)
    for _ in range(100):
        data.book(NO, {50: 50}, {60: 50})
    data.book(YES, {40: 50}, {50: 50})
    told_ns = data.now
    for _ in range(300):
        data.book(NO, {50: 50}, {60: 50})
    order = Buy(YES, PxE6(50 * CENT), SIZE)
    # It leaves three tops before the book is in the middle of a batch, and arrives some tops after that.
    engine = simulate(
        Pieces(data.end(), 64 * 300),
        lambda: Script({598: [order]}),
        latency_ns=10 * data.step_ns,
        engine=AT_ONCE,
    )
    assert script(engine).times == [told_ns]
    assert engine.books.tops[YES][0] == 702


class Fails(Strategy):
    """Raises in the middle of a run, and asks for nothing."""

    def on_top_of_book(self, ctx: Any, event: Any, market_state: Any, portfolio: Any) -> Any:
        """Raise."""
        if event.seq == 300:
            raise ArithmeticError


@pytest.mark.parametrize("lenses", [(WORST,), (WORST, CENTRAL)])
def test_an_error_is_told_with_the_number_of_the_top_that_it_came_of(
    lenses: tuple[str, ...],
) -> None:
    for lens in simulate(
        Pieces(walk(4, 300, depth=False), AT_MOST), Fails, lenses=lenses, engine=AT_ONCE
    ).lenses:
        assert str(lens.runs[0].first_error).startswith("on_top_of_book at seq 300: Arithmetic")


class Interrupted(Strategy):
    """Is interrupted in the middle of a run."""

    def on_top_of_book(self, ctx: Any, event: Any, market_state: Any, portfolio: Any) -> Any:
        """Raise what no policy contains."""
        if event.seq == 300:
            raise KeyboardInterrupt


def test_after_an_interrupt_the_books_know_what_was_told() -> None:
    reader = EventReader(Pieces(walk(4, 300, depth=False), AT_MOST))
    engine = Engine(reader.header, Settings(), [("s", Interrupted)], **AT_ONCE)
    with pytest.raises(KeyboardInterrupt):
        engine.run(reader.blocks())
    assert engine.books.seq == engine.books.tops[NO][0] == 300
    assert engine.books.behind is None
