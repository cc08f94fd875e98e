"""What a plant script makes of a generated venue: markets of its own that move by the script alone.

A plant begins when all its tokens have been subscribed, so that no reader is too late for it. Times are ns of
the venue's monotonic clock.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

from pm_mock.announcements import market_resolved
from pm_mock.catalogue import Catalogue, Listing
from pm_mock.engine import Engine
from pm_mock.events import Change, Message, Statement, spaced
from pm_mock.fixed import ONE_E4, PRICE_TEXT, UNIT_E6
from pm_mock.market import NO, OUTCOMES, YES, Market
from pm_mock.pace import SECOND_NS
from pm_mock.plantplan import TICK_E4, Arbitrage, Mirror, Plant, price_e4, size_e6
from pm_mock.universe import Builder, list_event

DEPTH_E6 = 1_000 * UNIT_E6  # what rests at every price but the planted ones
HIGH_E4, LOW_E4 = 5_000, 4_300  # bids for YES between which a mirror market moves
SPREAD_E4 = 2 * TICK_E4


class _Step(NamedTuple):
    after_ns: int  # since the plant began
    act: Callable[[int], Iterable[Message]]  # with the wall time in ms


class _Planted:
    """One plant: the tokens that it still waits for, and what is still to come."""

    def __init__(self, tokens: Iterable[str], steps: Iterable[_Step]) -> None:
        self.missing = set(tokens)
        self.steps = deque(sorted(steps, key=lambda step: step.after_ns))
        self.began_ns: int | None = None

    def deadline(self) -> int | None:
        if self.began_ns is None or not self.steps:
            return None
        return self.began_ns + self.steps[0].after_ns


class Plants:
    """All plants of a script."""

    def __init__(
        self,
        script: Iterable[Plant],
        builder: Builder,
        catalogue: Catalogue,
        engine: Engine,
        *,
        now_ms: int,
    ) -> None:
        """List the markets of the script, and open their books."""
        self._builder = builder
        self._catalogue = catalogue
        self._engine = engine
        self._planted = [
            self._arbitrage(plant, now_ms)
            if isinstance(plant, Arbitrage)
            else self._mirror(plant, now_ms)
            for plant in script
        ]

    def subscribed(self, tokens: Sequence[str], now_ns: int) -> None:
        """Note who is listening; a plant begins with the last of its tokens."""
        for one in self._planted:
            if one.missing:
                one.missing.difference_update(tokens)
                if not one.missing:
                    one.began_ns = now_ns

    def deadline(self) -> int | None:
        """When something happens next."""
        return min(
            (due for one in self._planted if (due := one.deadline()) is not None), default=None
        )

    def deadline_reached(self, now_ns: int, now_ms: int) -> Iterator[Message]:
        """Do what is due."""
        for one in self._planted:
            while (due := one.deadline()) is not None and due <= now_ns:
                yield from one.steps.popleft().act(now_ms)

    # -- a set arbitrage ------------------------------------------------------------------------

    def _arbitrage(self, plant: Arbitrage, now_ms: int) -> _Planted:
        event = self._builder.election(now_ms, len(plant.asks))
        markets = []
        for listing, calm, ask in zip(event.listings, plant.calm, plant.asks, strict=True):
            market = self._market(listing, now_ms)
            # The bid for YES lies a tick below the planted ask all the time.
            market.put(YES, price_e4(ask) - TICK_E4, DEPTH_E6)
            market.put(NO, ONE_E4 - price_e4(calm), DEPTH_E6)
            market.settle(now_ms)
            markets.append(market)
        listings = list(event.listings)
        list_event(self._catalogue, event)

        def offer(size: int) -> Callable[[int], Iterator[Message]]:
            def act(at_ms: int) -> Iterator[Message]:
                for market, ask in zip(markets, plant.asks, strict=True):
                    change = Change(NO, ONE_E4 - price_e4(ask), size)
                    market.put(*change)
                    market.settle(at_ms)
                    yield from _best_prices(market)
                    payload = Statement(market).price_change((change,), lead=YES)
                    yield Message(payload, market.tokens)

            return act

        def resolve(at_ms: int) -> Iterator[Message]:
            for number, (listing, market) in enumerate(zip(listings, markets, strict=True)):
                winner = YES if number == plant.winner else NO
                self._engine.release(market)
                self._catalogue.resolve(listing, winner)
                yield Message(spaced(market_resolved(listing, winner, at_ms)), (), custom=True)

        steps = []
        if plant.at is not None:
            over = plant.at + plant.seconds
            steps += [_step(plant.at, offer(size_e6(plant.size))), _step(over, offer(0))]
            if plant.winner is not None:
                steps.append(_step(over + plant.resolve_after, resolve))
        return _Planted((token for one in markets for token in one.tokens), steps)

    # -- a mirror artefact ----------------------------------------------------------------------

    def _mirror(self, plant: Mirror, now_ms: int) -> _Planted:
        event = self._builder.question(now_ms)
        market = self._market(event.listings[0], now_ms)
        market.put(YES, HIGH_E4, DEPTH_E6)
        market.put(NO, ONE_E4 - HIGH_E4 - SPREAD_E4, DEPTH_E6)
        market.settle(now_ms)
        list_event(self._catalogue, event)
        steps = []
        for number in range(plant.count):
            # At first YES falls, then NO does, and so on.
            falls = OUTCOMES[number % 2]
            first, second = _move(market, falls, stale=plant.how == "stale")
            at = plant.at + number * plant.every
            steps += [_step(at, first), _step(at + plant.seconds, second)]
        return _Planted(market.tokens, steps)

    def _market(self, listing: Listing, now_ms: int) -> Market:
        """Give a listing a book that only the script moves."""
        listing.tick_size = PRICE_TEXT[TICK_E4]
        assert listing.token_ids is not None
        yes, no = listing.token_ids
        listing.market = Market(
            listing.condition_id,
            (yes, no),
            tick_e4=TICK_E4,
            timestamp_ms=now_ms,
            min_order_size=listing.min_size,
            neg_risk=listing.event.neg_risk_market_id is not None,
        )
        self._engine.hold(listing.market)
        return listing.market


def _move(
    market: Market, falls: int, *, stale: bool
) -> tuple[Callable[[int], Iterable[Message]], Callable[[int], Iterable[Message]]]:
    """Let the price of a token fall; the first step tells its book, the second that of the other."""
    other = 1 - falls
    told_later: list[Message] = []

    def first(at_ms: int) -> Iterator[Message]:
        old = Statement(market)
        bid = market.ladders[falls].best_e4
        against = market.ladders[other].best_e4
        by = HIGH_E4 - LOW_E4
        changes = (
            Change(falls, bid, 0),
            Change(falls, bid - by, DEPTH_E6),
            Change(other, against, 0),
            Change(other, against + by, DEPTH_E6),
        )
        for change in changes:
            market.put(*change)
        market.settle(at_ms)
        new = Statement(market)
        payload = new.price_change(changes, lead=falls, alone=True)
        if stale:
            # The other token is named, with the level and the best prices that it had.
            same = old.price_change((Change(other, against, DEPTH_E6),), lead=other, alone=True)
            payload = _joined(payload, same)
        yield Message(payload, market.tokens)
        late = new.price_change(changes, lead=other, alone=True)
        told_later.append(Message(late, market.tokens))

    def second(at_ms: int) -> Iterable[Message]:
        yield told_later.pop()

    return first, second


def _joined(first: bytes, second: bytes) -> bytes:
    """Put the entries of a price_change behind those of another one, whose stamp counts."""
    start, end = b'"price_changes":[', b'], "timestamp":'
    head, tail = first.split(end, 1)
    entries = second.split(start, 1)[1].split(end, 1)[0]
    return head + b", " + entries + end + tail


def _best_prices(market: Market) -> Iterator[Message]:
    stated = Statement(market)
    for outcome in OUTCOMES:
        yield Message(stated.best_bid_ask(outcome), (market.tokens[outcome],), custom=True)


def _step(after_s: float, act: Callable[[int], Iterable[Message]]) -> _Step:
    return _Step(round(after_s * SECOND_NS), act)
