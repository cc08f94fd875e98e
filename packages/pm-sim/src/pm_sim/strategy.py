"""The base of every strategy, and what the engine hands to its hooks.

A hook is a generator that yields intents, or a plain method that returns None. It can be tested without an
engine: make the strategy, call the hook with values, and look at what it yields.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from random import Random
from typing import Any, ClassVar, Protocol

from pm_sim.intents import Intent, Timer
from pm_sim.orders import Fill, Reject
from pm_sim.parameters import Param, ParameterError, plain
from pm_sim.set_views import Sets
from pm_sim.views import (
    Book,
    MarketChange,
    MarketState,
    OpenOrder,
    Portfolio,
    StateChange,
    TokenFacts,
    TopOfBook,
    Trade,
)

Hook = Generator[Intent, int | None, None] | Iterator[Intent] | None


class Context(Protocol):
    """Who is asked, what time it is, and whatever else is known by now; read-only."""

    @property
    def strategy_id(self) -> str:
        """The id under which this strategy runs."""

    @property
    def parameters(self) -> Mapping[str, int | str]:
        """The parameters as set."""

    @property
    def now_ns(self) -> int:
        """The receive clock of the run."""

    @property
    def seq(self) -> int:
        """Number of the last event."""

    @property
    def random(self) -> Random:
        """A generator that depends on the seed of the run and on the strategy's id alone."""

    @property
    def sets(self) -> Sets:
        """Sets of tokens that together pay a sure amount."""

    def tokens(self) -> Sequence[int]:
        """Return the tokens that are defined by now."""

    def token(self, token_id: str) -> int | None:
        """Return the number of a token id, None if it is not defined."""

    def facts(self, token: int) -> TokenFacts:
        """Return what is known of a token. KeyError if it is not defined."""

    def market_state(self, token: int) -> MarketState | None:
        """Return the last state of a token, None before its first top."""

    def book(self, token: int) -> Book:
        """Return all levels that are displayed for a token."""

    def open_orders(self) -> tuple[OpenOrder, ...]:
        """Return the orders of this strategy that are not over, oldest first."""


class Strategy:
    """Derive from this, declare parameters, and write the hooks that you need; others are never called."""

    declared: ClassVar[Mapping[str, Param]] = {}
    # Whether tops from the middle of an engine batch are seen: they match nothing at the venue.
    sees_unsettled: ClassVar[bool] = False

    def __init_subclass__(cls, **settings: Any) -> None:
        """Collect the parameters; the class keeps their defaults."""
        super().__init_subclass__(**settings)
        own = {name: value for name, value in vars(cls).items() if isinstance(value, Param)}
        cls.declared = {**cls.declared, **own}
        for name, value in own.items():
            setattr(cls, name, plain(value.default))

    def __init__(self, **values: int | str) -> None:
        """Set parameters by name, as values and not as texts. ParameterError."""
        for name, value in values.items():
            if name not in self.declared:
                known = ", ".join(self.declared) or "none"
                raise ParameterError(f"no parameter {name!r}; there are: {known}")
            setattr(self, name, self.declared[name].checked(value))

    def sees_token(self, facts: TokenFacts) -> bool:
        """Say whether tops and depth of a token are shown; of all, unless this is overridden.

        Asked anew when anything of its market is stated anew, so it depends on nothing but the facts and the parameters.
        A token that is not shown costs nearly nothing.
        """
        del facts
        return True

    def on_start(self, ctx: Context) -> Hook:
        """Take the beginning: nothing is known yet but the parameters."""

    def on_top_of_book(
        self, ctx: Context, event: TopOfBook, market_state: MarketState, portfolio: Portfolio
    ) -> Hook:
        """Take a top that is settled, or not stated."""

    def on_depth(self, ctx: Context, event: TopOfBook, book: Book, portfolio: Portfolio) -> Hook:
        """Take a whole book after each message that changed a level; before `on_top_of_book`."""

    def on_trade(
        self, ctx: Context, trade: Trade, market_state: MarketState | None, portfolio: Portfolio
    ) -> Hook:
        """Take a trade print."""

    def on_timer(self, ctx: Context, timer: Timer, portfolio: Portfolio) -> Hook:
        """Take a timer of this strategy."""

    def on_fill(self, ctx: Context, fill: Fill, portfolio: Portfolio) -> Hook:
        """Take a fill of an order of this strategy."""

    def on_reject(self, ctx: Context, reject: Reject, portfolio: Portfolio) -> Hook:
        """Take the end of an order (or of the rest of one) that did not fill."""

    def on_state(self, ctx: Context, change: StateChange, portfolio: Portfolio) -> Hook:
        """Take a change of the continuity of a book."""

    def on_market(self, ctx: Context, change: MarketChange, portfolio: Portfolio) -> Hook:
        """Take the facts of a market, new or changed, or its end."""
