"""Strategies that note all they are told and can ask, and act, raise and say nothing by chance."""

from collections.abc import Callable
from random import Random
from typing import Any, Final

from streams import CENT, MS, SHARE

from pm_sim import Buy, PxE6, Sell, Strategy, SzE6
from pm_sim.intents import Cancel, Merge, Timer
from pm_sim.orders import Tif
from pm_sim.set_views import Freshness

MARKETS: Final = 3
SIZE: Final = SzE6(10 * SHARE)
FRESH: Final = Freshness(max_age_ns=20 * MS, max_skew_ns=5 * MS)


class Curious(Strategy):
    """Notes what it is told and what it can ask, and acts, raises and says nothing by chance."""

    looks_one_in = 6

    def __init__(self, seed: int, acts_one_in: int, raises_one_in: int) -> None:
        super().__init__()
        self.chance = Random(seed)
        self.acts_one_in, self.raises_one_in = acts_one_in, raises_one_in
        self.notes: list[Any] = []
        self.sets: Any = None
        self.top: Any = None
        self.in_runs = 0

    def on_start(self, ctx: Any) -> None:
        """Keep a hold of what is looked at later."""
        self.sets = ctx.sets

    def on_top_of_book(self, ctx: Any, event: Any, market_state: Any, portfolio: Any) -> Any:
        """Note, and do one of several things."""
        self.top = event
        self.note(ctx, event, market_state, portfolio)
        draw = self.chance.randrange
        if self.raises_one_in and not draw(self.raises_one_in):
            raise ArithmeticError(f"at {event.seq}")
        kind = draw(4)
        if kind == 0:
            return None
        if draw(self.acts_one_in):
            return iter(()) if kind == 1 else self.looks(ctx)
        return self.acts(ctx, event, portfolio)

    def note(self, ctx: Any, *told: Any) -> None:
        assert all(isinstance(one, tuple) for one in told)
        self.in_runs += ctx._world._world.books.behind is not None
        self.notes.append(repr((type(told[0]).__name__, told[:-1], told[-1][:3])))
        if not self.chance.randrange(self.looks_one_in):
            self.look(ctx)

    def look(self, ctx: Any) -> None:
        """Ask for everything, in an order that changes."""
        token, top = self.chance.randrange(2 * MARKETS), self.top
        asked: list[Callable[[], Any]] = [
            lambda: ctx.now_ns,
            lambda: ctx.seq,
            lambda: ctx.market_state(token),
            lambda: ctx.book(token),
            ctx.open_orders,
            ctx.tokens,
            lambda: top and [self.sets.unready(one, top, FRESH) for one in self.sets.of(top.token)],
            lambda: [self.sets.plan(one, SIZE) for one in self.sets.of(token)],
            lambda: [self.sets.sizes(one, SIZE) for one in self.sets.of(token)],
        ]
        self.chance.shuffle(asked)
        self.notes.append(repr([one() for one in asked[: self.chance.randrange(1, 10)]]))

    def looks(self, ctx: Any) -> Any:
        """A generator that yields nothing."""
        self.notes.append((ctx.seq, ctx.now_ns))
        if self.chance.randrange(2) > 1:
            yield

    def acts(self, ctx: Any, event: Any, portfolio: Any) -> Any:
        """Yield one to three intents, look in between, and perhaps raise at the end."""
        draw = self.chance.randrange
        for _ in range(draw(1, 4)):
            kind = draw(8)
            if kind == 0:
                answer = yield Timer(ctx.now_ns + draw(60) * MS)
            elif kind == 1:
                answer = yield Cancel(draw(1, 20))
            elif kind == 2:
                answer = yield Merge(event.token, SIZE)
            elif portfolio.held(event.token) >= SIZE and kind < 6:
                answer = yield Sell(event.token, PxE6(max(CENT, event.bid_px_e6)), SIZE)
            else:
                answer = yield Buy(event.token, PxE6(max(CENT, event.ask_px_e6)), SIZE)
            self.notes.append((answer, ctx.seq, ctx.now_ns))
        if self.raises_one_in and not draw(self.raises_one_in):
            raise LookupError

    def on_fill(self, ctx: Any, fill: Any, portfolio: Any) -> Any:
        """Note; now and then ask for more."""
        self.note(ctx, fill, portfolio)
        if not self.chance.randrange(4):
            yield Timer(ctx.now_ns + 3 * MS)

    def on_timer(self, ctx: Any, timer: Any, portfolio: Any) -> None:
        """Note."""
        self.note(ctx, timer, portfolio)

    def on_reject(self, ctx: Any, reject: Any, portfolio: Any) -> None:
        """Note."""
        self.note(ctx, reject, portfolio)

    def on_market(self, ctx: Any, change: Any, portfolio: Any) -> None:
        """Note."""
        self.note(ctx, change, portfolio)

    def on_state(self, ctx: Any, change: Any, portfolio: Any) -> None:
        """Note."""
        self.note(ctx, change, portfolio)


class OfSome(Curious):
    """Is not shown all tokens; asks of them go into its notes."""

    def sees_token(self, facts: Any) -> bool:
        """Take one of two."""
        self.notes.append(repr(facts))
        return bool(facts.token % 2)


class Seldom(Curious):
    """Asks for so little that it is told most in runs."""

    looks_one_in = 60

    def looks(self, ctx: Any) -> Any:
        """A generator that yields nothing, and asks for nothing."""
        if self.chance.randrange(2) > 1:
            yield


class Unsure(Curious):
    """Cannot say whether it wants a token."""

    def sees_token(self, facts: Any) -> bool:
        """Raise for one."""
        return bool(1 // (facts.token - 3))


class Early(Curious):
    """Sees tops from the middle of a batch."""

    sees_unsettled = True


class Deep(Curious):
    """Looks at depth."""

    def on_depth(self, ctx: Any, event: Any, book: Any, portfolio: Any) -> None:
        """Note."""
        self.note(ctx, event, book, portfolio)


class Hears(Curious):
    """Hears trades."""

    def on_trade(self, ctx: Any, trade: Any, market_state: Any, portfolio: Any) -> None:
        """Note."""
        self.note(ctx, trade, market_state, portfolio)


class Rests(Curious):
    """Leaves orders in the book."""

    def acts(self, ctx: Any, event: Any, portfolio: Any) -> Any:
        """Bid behind the best, so that a trade may come to it."""
        yield Buy(event.token, PxE6(max(CENT, event.bid_px_e6)), SIZE, tif=Tif.GTC)


KINDS: Final = (*[Curious] * 3, *[Seldom] * 3, OfSome, Unsure, Early, Deep, Hears, Rests)
