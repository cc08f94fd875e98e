"""A generated market: seeded order flow at a rate, with markets that list and resolve."""

import random
from collections.abc import Iterable, Iterator

from pm_mock.announcements import market_resolved, new_market
from pm_mock.catalogue import Catalogue, Listing
from pm_mock.channel import Channel, Subscribe
from pm_mock.engine import Engine
from pm_mock.events import Message, spaced
from pm_mock.fixed import ONE_E4, PRICE_TEXT
from pm_mock.flow import OrderFlow
from pm_mock.hub import Hub
from pm_mock.lifecycle import Lifecycle, Step
from pm_mock.market import OUTCOMES, EmptySide, Market
from pm_mock.pace import SECOND_NS, Pace
from pm_mock.plantplan import Plant
from pm_mock.plants import Plants
from pm_mock.universe import Builder, build, list_event
from pm_mock.wire import outgoing

NS_PER_MS = 1_000_000


class GeneratedSource:
    """Feeds the hub from an engine and its plants. `wall_offset_ns` makes wall time of the monotonic `now`."""

    def __init__(
        self,
        hub: Hub,
        *,
        seed: int,
        markets: int,
        rate: float,
        lifecycle_seconds: float,
        start_ns: int,
        wall_offset_ns: int,
        plants: Iterable[Plant] = (),
    ) -> None:
        self._hub = hub
        self._seed = seed
        self._wall_offset_ns = wall_offset_ns
        self._full_speed = rate == 0
        self._pace = Pace(rate, start_ns=start_ns)
        self._lifecycle = Lifecycle(
            period_ns=round(lifecycle_seconds * SECOND_NS), start_ns=start_ns
        )
        self._builder = Builder(random.Random(f"{seed}:universe"))
        self._rng = random.Random(f"{seed}:lifecycle")
        self._engine = Engine(random.Random(f"{seed}:engine"))
        self._closing: tuple[Listing, int] | None = None
        start_ms = self._now_ms(start_ns)
        self.catalogue: Catalogue = build(
            self._builder, markets=markets, now_ms=start_ms, rng=random.Random(f"{seed}:decoys")
        )
        for listing in self.catalogue.listings():
            if tradable(listing):
                self._open(listing, start_ms)
        self._plants = Plants(plants, self._builder, self.catalogue, self._engine, now_ms=start_ms)

    # -- what the venue asks of a source --------------------------------------------------------

    def subscribed(self, channel: Channel, request: Subscribe, now_ns: int) -> None:
        """Answer with one array of the books that these tokens have; `[]` if none has one."""
        self._plants.subscribed(request.tokens, now_ns)
        if not request.dump or not (request.tokens or request.initial):
            return
        books = [self._engine.book_of(token) for token in request.tokens]
        array = b",".join(market.compact_book(outcome) for market, outcome in filter(None, books))
        channel.send(outgoing(b"[" + array + b"]"))

    def closed(self, channel: Channel) -> None:
        """Nothing is kept for a connection."""

    def summary_of(self, token: str) -> bytes | None:
        """The text of `GET /book`."""
        found = self._engine.book_of(token)
        return found[0].summary(found[1]) if found else None

    def wall_ms(self, now_ns: int) -> int | None:
        """The messages follow the clock of this machine."""
        return None

    def closings(self) -> tuple[()]:
        """Only faults end a connection."""
        return ()

    def deadline(self) -> int | None:
        """When something happens next: never while a reader is behind, nor at full speed unheard."""
        if self._hub.blocked:
            return None
        deadlines = [self._lifecycle.deadline(), self._plants.deadline()]
        if not (self._full_speed and self._hub.deserted):
            deadlines.append(self._pace.deadline())
        return min((due for due in deadlines if due is not None), default=None)

    def deadline_reached(self, now_ns: int) -> None:
        """Produce what is due, at most one burst."""
        if self._hub.blocked:
            return
        now_ms = self._now_ms(now_ns)
        for step in self._lifecycle.deadline_reached(now_ns):
            for message in self._live(step, now_ms):
                self._hub.publish(message)
        for message in self._plants.deadline_reached(now_ns, now_ms):
            self._hub.publish(message)
        if not len(self._engine) or (self._full_speed and self._hub.deserted):
            return
        publish, listening = self._hub.publish, self._hub.listening
        for _ in range(self._pace.due(now_ns)):
            for message in self._engine.step(now_ms, listening):
                publish(message)

    def counts(self) -> dict[str, int]:
        """Figures for the last line of the program."""
        return {"engine_events": self._engine.batches}

    # -- markets that come and go ---------------------------------------------------------------

    def _live(self, step: Step, now_ms: int) -> Iterator[Message]:
        if step is Step.LIST:
            event = self._builder.up_or_down(now_ms)
            list_event(self.catalogue, event)
            self._open(event.listings[0], now_ms)
            yield Message(spaced(new_market(event, event.listings[0], now_ms)), (), custom=True)
        elif step is Step.CLOSE:
            oldest = next(
                (one for one in self.catalogue.listings() if one.short_lived and one.market), None
            )
            if oldest is not None:
                self._closing = (oldest, self._rng.choice(OUTCOMES))
                self._engine.close_towards(oldest.condition_id, self._closing[1])
        elif self._closing is not None:
            listing, winner = self._closing
            self._closing = None
            yield from self._engine.remove(listing.condition_id)
            self.catalogue.resolve(listing, winner)
            yield Message(spaced(market_resolved(listing, winner, now_ms)), (), custom=True)

    def _open(self, listing: Listing, now_ms: int) -> None:
        """Give a listing its book and let it trade."""
        rng = random.Random(f"{self._seed}:{listing.condition_id}")
        tick_e4 = PRICE_TEXT.index(listing.tick_size)
        assert listing.token_ids is not None
        yes, no = listing.token_ids
        market = Market(
            listing.condition_id,
            (yes, no),
            tick_e4=tick_e4,
            timestamp_ms=now_ms,
            min_order_size=listing.min_size,
            neg_risk=listing.event.neg_risk_market_id is not None,
            empty_side=rng.choice(list(EmptySide)),
        )
        # A quarter begins near a bound, where ticks change and books are lopsided.
        fair_e4 = rng.choice((500, 700, 9300, 9500)) if rng.random() < 0.25 else 0
        fair_e4 = fair_e4 or rng.randrange(1500, 8500)
        fair_e4 = max(2 * tick_e4, min(fair_e4, ONE_E4 - 2 * tick_e4))
        thin = rng.random() < 0.15
        depth = rng.randrange(2, 4) if thin else rng.randrange(8, 40)
        flow = OrderFlow(market, rng, fair_e4=fair_e4, depth=depth, thin=thin)
        self._engine.add(market, flow, timestamp_ms=now_ms)
        listing.market = market

    def _now_ms(self, now_ns: int) -> int:
        return (now_ns + self._wall_offset_ns) // NS_PER_MS


def tradable(listing: Listing) -> bool:
    """Whether a listing is an active binary market with a book."""
    return (
        listing.active
        and not listing.closed
        and not listing.archived
        and listing.accepting_orders
        and listing.order_book
        and len(listing.outcomes) == 2
        and len(listing.token_ids or ()) == 2
    )
