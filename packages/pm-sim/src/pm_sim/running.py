"""A strategy in one lens of a run: its context, its hooks, and what becomes of it when it raises."""

import traceback
from collections.abc import Mapping, Sequence
from random import Random
from types import MappingProxyType
from typing import Any, Final, Protocol, cast

from pm_sim.books import Books
from pm_sim.depth import Depth
from pm_sim.exchange import Exchange, Terms
from pm_sim.facts import Facts
from pm_sim.fixed import ONE, PxE6, SzE6
from pm_sim.hashing import FORBIDDEN
from pm_sim.intents import Buy, Cancel, Convert, Intent, Merge, Sell, Timer
from pm_sim.orders import Tif, Urgency
from pm_sim.set_views import Sets
from pm_sim.sets import LensSets
from pm_sim.strategy import Strategy
from pm_sim.views import Book, MarketState, OpenOrder, TokenFacts

# Fills, rejections and timers at one instant: more than this is a strategy that answers itself for ever.
CALLS_AT_ONE_INSTANT_MAX: Final = 10_000


class IntentError(ValueError):
    """A strategy has yielded what is no intent."""


class World(Protocol):
    """What all strategies of a lens look at."""

    facts: Facts
    terms: Terms

    @property
    def books(self) -> Books: ...

    @property
    def exchange(self) -> Exchange: ...

    @property
    def depth(self) -> Depth: ...


class _CaughtUp:
    """The world as strategies see it: its books know the top that is being told."""

    __slots__ = ("_world", "facts", "terms")

    def __init__(self, world: World) -> None:
        self._world = world
        self.facts, self.terms = world.facts, world.terms

    @property
    def exchange(self) -> Exchange:
        return self._world.exchange

    @property
    def books(self) -> Books:
        books = self._world.books
        if books.behind is not None:
            books.behind()
        return books

    @property
    def depth(self) -> Depth:
        if self._world.books.behind is not None:
            self._world.books.behind()
        return self._world.depth


class RunningContext:
    """The `Context` of one strategy in one lens."""

    __slots__ = ("_parameters", "_random", "_sets", "_strategy_id", "_world")

    def __init__(self, strategy: Strategy, strategy_id: str, world: World, seed: int) -> None:
        """Bind a strategy to its lens."""
        self._strategy_id = strategy_id
        self._world = _CaughtUp(world)
        self._sets = LensSets(self._world)
        self._parameters = MappingProxyType(parameters_of(strategy))
        self._random = Random(f"{seed}|{strategy_id}")

    @property
    def strategy_id(self) -> str:
        """See `Context`, here and below."""
        return self._strategy_id

    @property
    def parameters(self) -> Mapping[str, int | str]:
        return self._parameters

    @property
    def now_ns(self) -> int:
        return self._world.books.now_ns

    @property
    def seq(self) -> int:
        return self._world.books.seq

    @property
    def random(self) -> Random:
        return self._random

    @property
    def sets(self) -> Sets:
        return self._sets

    def tokens(self) -> Sequence[int]:
        return tuple(self._world.facts.tokens)

    def token(self, token_id: str) -> int | None:
        return self._world.facts.markets.numbers.get(token_id)

    def facts(self, token: int) -> TokenFacts:
        return self._world.facts.tokens[token]

    def market_state(self, token: int) -> MarketState | None:
        return market_state(self._world, token)

    def book(self, token: int) -> Book:
        return self._world.books.book(token)

    def open_orders(self) -> tuple[OpenOrder, ...]:
        return tuple(
            OpenOrder(
                one.order_id, one.token, one.side, one.limit_px_e6, SzE6(left), one.tag, resting
            )
            for one, left, resting in self._world.exchange.open_orders()
            if one.strategy_id == self._strategy_id
        )


class Running:
    """One strategy in one lens."""

    def __init__(self, strategy: Strategy, strategy_id: str, world: World, seed: int) -> None:
        """Take a strategy that nothing else uses."""
        self.strategy = strategy
        self.strategy_id = strategy_id
        self.ctx = RunningContext(strategy, strategy_id, world, seed)
        self.hooks = frozenset(
            name
            for name in dir(Strategy)
            if name.startswith("on_")
            and getattr(type(strategy), name) is not getattr(Strategy, name)
        )
        self.hears_rejects = "on_reject" in self.hooks
        self.errors = 0
        self.first_error: str | None = None
        self.is_disabled = False
        self._instant = -1
        self._calls = 0

    def answers_itself(self, now_ns: int) -> bool:
        """Count a call that its own intents may have led to, and say whether it is one too many."""
        if now_ns != self._instant:
            self._instant, self._calls = now_ns, 0
        self._calls += 1
        return self._calls > CALLS_AT_ONE_INSTANT_MAX

    def raised(self, hook: str, seq: int, error: Exception) -> None:
        """Note an error: the first is told, the others are counted."""
        self.errors += 1
        if self.first_error is None:
            frames = traceback.extract_tb(error.__traceback__)
            # The line of the strategy, not one of ours, which the first frame is; no path of this machine.
            ours = len(frames) < 2 or isinstance(error, IntentError)
            line = "" if ours else f", line {frames[-1].lineno} of {frames[-1].name}"
            self.first_error = f"{hook} at seq {seq}: {type(error).__name__}: {error}{line}"


def parameters_of(strategy: Strategy) -> dict[str, int | str]:
    """Return the parameters of a strategy by name, as it has them now."""
    return {name: getattr(strategy, name) for name in sorted(strategy.declared)}


def market_state(world: World, token: int) -> MarketState | None:
    """Return the last state of a token, None before its first top."""
    books = world.books
    if token not in books.tops:
        return None
    return MarketState(world.facts.tokens[token], books.top(token), books.state_number(token))


def checked(intent: Any, tokens: Mapping[int, TokenFacts]) -> Intent:
    """Return what a strategy yielded if it is an intent whose fields are what they must be.

    Raises `IntentError`. Prices and sizes that the venue would refuse are not refused here.
    """
    kind = type(intent)
    if kind is Buy or kind is Sell:
        token, px_e6, size_e6, tif, urgency, tag, expires_ns = intent
        if (  # as nearly all; what is not like this may still be right
            type(token) is int
            and type(px_e6) is int
            and type(size_e6) is int
            and token in tokens
            and type(tif) is Tif
            and type(urgency) is Urgency
            and expires_ns is None
            and tif is not Tif.GTD
            and (tag is None or (type(tag) is str and tag.isascii() and FORBIDDEN.isdisjoint(tag)))
        ):
            return cast(Intent, intent)
    return _looked_at(intent, tokens)


def _looked_at(intent: Any, tokens: Mapping[int, TokenFacts]) -> Intent:
    kind = type(intent)
    if kind not in _INTEGERS:
        raise IntentError(f"{intent!r} is no intent")
    if kind is Convert and not isinstance(intent.tokens, tuple | list):
        raise IntentError(f"{intent.tokens!r} in Convert are no tokens")
    places = kind is Buy or kind is Sell
    named: tuple[Any, ...]
    values: tuple[Any, ...]
    if places:
        named = (intent.token,)
        values = (intent.token, intent.limit_px_e6, intent.size_e6)
    else:
        named = intent.tokens if kind is Convert else (intent.token,) if kind is Merge else ()
        values = (*named, *(getattr(intent, name) for name in _INTEGERS[kind]))
    for value in values:
        if not isinstance(value, int) or value is True or value is False:
            raise IntentError(f"{value!r} in {kind.__name__} is no integer")
    for token in named:
        if token not in tokens:
            raise IntentError(f"no token has the number {token}")
    if places:
        _check_terms(intent)
        # A kind of integer that somebody has made is nowhere formatted in its own way.
        intent = kind(*map(int, intent[:3]), *intent[3:])
    tag = intent.tag
    if tag is not None and not (isinstance(tag, str) and _is_field(tag)):
        raise IntentError(f"the tag {tag!r} is no text without | and ends of lines")
    return cast(Intent, intent)


def _is_field(tag: str) -> bool:
    """Say whether a tag can stand in a line of the hash: half of a pair of UTF-16 cannot."""
    return FORBIDDEN.isdisjoint(tag) and not any("\ud800" <= one <= "\udfff" for one in tag)


def _check_terms(intent: Any) -> None:
    if not isinstance(intent.tif, Tif) or not isinstance(intent.urgency, Urgency):
        raise IntentError(f"tif {intent.tif!r} or urgency {intent.urgency!r} is none")
    if (intent.tif is Tif.GTD) is not isinstance(intent.expires_ns, int):
        raise IntentError("GTD orders have expires_ns, others have not")


_INTEGERS: Final[dict[type, tuple[str, ...]]] = {
    Buy: ("limit_px_e6", "size_e6"),
    Sell: ("limit_px_e6", "size_e6"),
    Cancel: ("order_id",),
    Merge: ("size_e6",),
    Convert: ("size_e6",),
    Timer: ("at_ns",),
}


def complement_of(intent: Sell, complement: int) -> Buy:
    """Return the purchase that comes to the same as a sale of what is not held."""
    px = PxE6(ONE - intent.limit_px_e6)
    return Buy(complement, px, *intent[2:])
