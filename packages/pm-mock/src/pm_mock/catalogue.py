"""What the venue lists: events and their markets, in the order of their ids.

Decimal facts are text ("0.01"), as they will be written; instants are RFC 3339 text or ms since 1970.
"""

from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, field

from pm_mock.market import Market

RESOLVED_MAX = 500


@dataclass(frozen=True, slots=True)
class Fees:
    """A taker fee curve; every number as decimal text."""

    kind: str
    rate: str
    rebate_rate: str
    exponent: str = "1"


@dataclass(slots=True)
class Event:
    """A question with one market or, for a neg-risk event, several that exclude one another."""

    event_id: str
    slug: str
    title: str
    description: str
    category: str
    end_date: str
    tags: tuple[str, ...]
    neg_risk_market_id: str | None = None
    neg_risk_augmented: bool = False
    listings: list["Listing"] = field(default_factory=list)


@dataclass(slots=True)
class Listing:
    """One market as Gamma lists it; `market` is its live book, if it has one."""

    market_id: str
    condition_id: str
    question_id: str
    slug: str
    question: str
    description: str
    event: Event
    outcomes: tuple[str, ...]
    token_ids: tuple[str, ...] | None
    start_date: str
    end_date: str
    tick_size: str = "0.01"
    min_size: str = "5"
    fees: Fees | None = None
    seconds_delay: int = 0
    version: str | None = None
    volume: str = "0"
    liquidity: str = "0"
    active: bool = True
    closed: bool = False
    archived: bool = False
    accepting_orders: bool = True
    order_book: bool = True
    true_arrays: bool = False
    short_lived: bool = False
    winner: int | None = None
    market: Market | None = None

    def tick(self) -> str:
        """The tick size now."""
        return self.market.tick_size if self.market else self.tick_size


class Catalogue:
    """All listings; the number of resolved ones that are remembered is bounded."""

    def __init__(self) -> None:
        self._events: dict[str, Event] = {}
        self._listings: dict[str, Listing] = {}
        self._by_slug: dict[str, Listing] = {}
        self._by_condition: dict[str, Listing] = {}
        self._by_token: dict[str, Listing] = {}
        self._resolved: deque[Listing] = deque()

    def add(self, listing: Listing) -> None:
        """List a market under its event. Ids must rise. Raises `ValueError` for an id in use."""
        if listing.market_id in self._listings:
            raise ValueError(f"market id {listing.market_id} is in use")
        self._events.setdefault(listing.event.event_id, listing.event)
        listing.event.listings.append(listing)
        self._listings[listing.market_id] = listing
        self._by_slug[listing.slug] = listing
        self._by_condition[listing.condition_id] = listing
        for token in listing.token_ids or ():
            self._by_token[token] = listing

    def sort(self) -> None:
        """Put markets and events into the order of their ids, after some were added out of it."""
        self._listings = dict(sorted(self._listings.items(), key=lambda item: int(item[0])))
        self._events = dict(sorted(self._events.items(), key=lambda item: int(item[0])))

    def resolve(self, listing: Listing, winner: int | None) -> None:
        """Close a market for good. The oldest resolved ones are forgotten beyond a bound."""
        listing.closed = True
        listing.accepting_orders = False
        listing.winner = winner
        listing.market = None
        self._resolved.append(listing)
        if len(self._resolved) > RESOLVED_MAX:
            self.remove(self._resolved.popleft())

    def listings(self) -> Iterator[Listing]:
        return iter(self._listings.values())

    def events(self) -> Iterator[Event]:
        return iter(self._events.values())

    def event(self, event_id: str) -> Event | None:
        return self._events.get(event_id)

    def by_id(self, market_id: str) -> Listing | None:
        return self._listings.get(market_id)

    def by_slug(self, slug: str) -> Listing | None:
        return self._by_slug.get(slug)

    def by_condition(self, condition_id: str) -> Listing | None:
        return self._by_condition.get(condition_id)

    def by_token(self, token: str) -> Listing | None:
        return self._by_token.get(token)

    def remove(self, listing: Listing) -> None:
        """Forget a market; nothing happens the second time."""
        if self._listings.get(listing.market_id) is not listing:
            return
        del self._listings[listing.market_id]
        del self._by_slug[listing.slug]
        del self._by_condition[listing.condition_id]
        for token in listing.token_ids or ():
            del self._by_token[token]
        listing.event.listings.remove(listing)
        if not listing.event.listings:
            del self._events[listing.event.event_id]
