"""A seeded universe: events of several kinds, and markets that a client's filter must leave out.

Names are invented. Fees, delays, outcomes and flags follow what the real venue lists for each category.
"""

import random
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta

from pm_mock.catalogue import Catalogue, Event, Fees, Listing

DAY_MS = 86_400_000
QUARTER_MS = 900_000
MARKET_ID_FIRST = 600_000
EVENT_ID_FIRST = 40_000

CRYPTO = Fees("crypto_fees_v2", "0.07", "0.2")
SPORTS = Fees("sports_fees_v2", "0.05", "0.15")
POLITICS = Fees("politics_fees", "0.04", "0.25")
WEATHER = Fees("weather_fees", "0.05", "0.25")

COINS = ("Bitcoin", "Ethereum", "Solana", "Dogecoin", "XRP")
TEAMS = ("Harbour City", "Northgate", "Old Mill", "Red Valley", "Saint Orwin", "Westmere")
PEOPLE = ("Ada Brook", "Ben Calder", "Cora Dunn", "Dov Ellery", "Eve Farrow", "Finn Garrick")
PLACES = ("Alder Bay", "Brightwater", "Copperfield", "Dunmore", "Eastwick")
OFFICES = ("mayor", "governor", "senator", "premier")
# The usual tick is 0.01; the others are in use as well.
TICKS = ("0.01",) * 7 + ("0.001",) * 4 + ("0.0025", "0.005", "0.1")


def iso(at_ms: int) -> str:
    """An instant as Gamma writes it."""
    instant = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(milliseconds=at_ms)
    return instant.strftime("%Y-%m-%dT%H:%M:%SZ")


def slug_of(text: str) -> str:
    kept = "".join(c if c.isalnum() else "-" for c in text.lower())
    return "-".join(part for part in kept.split("-") if part)


class Builder:
    """Makes events with their listings; ids and names are unique within one builder."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._market_id = MARKET_ID_FIRST
        self._event_id = EVENT_ID_FIRST

    def event(self, now_ms: int) -> Event:
        """An event of some category with its listings, not yet in any catalogue."""
        kinds: tuple[Callable[[int], Event], ...] = (
            self.up_or_down,
            self.game,
            self.election,
            self.weather,
            self.question,
        )
        return self._rng.choice(kinds)(now_ms)

    def up_or_down(self, now_ms: int) -> Event:
        """A short-lived crypto market with outcomes Up and Down."""
        start_ms = now_ms // QUARTER_MS * QUARTER_MS
        coin = self._rng.choice(COINS)
        title = f"{coin} Up or Down - {iso(start_ms)[5:16].replace('T', ' ')} UTC #{self._event_id}"
        event = self._event(title, "Crypto", start_ms + QUARTER_MS, tags=("crypto", "up-or-down"))
        listing = self._listing(event, title, now_ms, outcomes=("Up", "Down"), fees=CRYPTO)
        listing.tick_size = "0.01"
        listing.short_lived = True
        return event

    def game(self, now_ms: int) -> Event:
        """A sports market whose outcomes are the teams, with the venue's delay for takers."""
        home, away = self._rng.sample(TEAMS, 2)
        title = f"{home} vs. {away} #{self._event_id}"
        event = self._event(title, "Sports", now_ms + DAY_MS, tags=("sports", "games"))
        self._listing(
            event, title, now_ms, outcomes=(home, away), fees=SPORTS
        ).seconds_delay = self._rng.choice((0, 3))
        return event

    def election(self, now_ms: int, people: int | None = None) -> Event:
        """A neg-risk event: three to six markets of which exactly one resolves to Yes.

        With `people` there are so many (at most six), and no outcome is added later.
        """
        rng = self._rng
        office, place = rng.choice(OFFICES), rng.choice(PLACES)
        title = f"Next {office} of {place} #{self._event_id}"
        event = self._event(
            title, "Politics", now_ms + 300 * DAY_MS, tags=("politics", "elections")
        )
        event.neg_risk_market_id = f"0x{rng.getrandbits(248):062x}00"
        event.neg_risk_augmented = rng.random() < 0.5 and people is None
        for person in rng.sample(PEOPLE, people or rng.randrange(3, 7)):
            self._listing(
                event,
                f"Will {person} be the next {office} of {place}? #{self._market_id}",
                now_ms,
                fees=POLITICS,
            )
        return event

    def weather(self, now_ms: int) -> Event:
        place, degrees = self._rng.choice(PLACES), self._rng.randrange(5, 35)
        title = f"Will it be {degrees}°C or more in {place}? #{self._event_id}"
        event = self._event(title, "Weather", now_ms + 2 * DAY_MS, tags=("weather",))
        self._listing(event, title, now_ms, fees=WEATHER)
        return event

    def question(self, now_ms: int) -> Event:
        """A market without fees."""
        place = self._rng.choice(PLACES)
        title = f'Will {place} sign the "Blue River" accord this year? #{self._event_id}'
        event = self._event(title, "Geopolitics", now_ms + 60 * DAY_MS, tags=("world",))
        self._listing(event, title, now_ms)
        return event

    def _event(self, title: str, category: str, end_ms: int, *, tags: tuple[str, ...]) -> Event:
        event_id = str(self._event_id)
        self._event_id += 1
        description = f"This market will resolve to the outcome that comes true.\n{title}"
        return Event(event_id, slug_of(title), title, description, category, iso(end_ms), tags)

    def _listing(
        self,
        event: Event,
        question: str,
        now_ms: int,
        *,
        outcomes: tuple[str, ...] = ("Yes", "No"),
        fees: Fees | None = None,
    ) -> Listing:
        rng = self._rng
        market_id = str(self._market_id)
        self._market_id += 1
        listing = Listing(
            market_id=market_id,
            condition_id=f"0x{rng.getrandbits(256):064x}",
            question_id=f"0x{rng.getrandbits(256):064x}",
            slug=f"{slug_of(question)}-{market_id}",
            question=question,
            description=event.description,
            event=event,
            outcomes=outcomes,
            token_ids=tuple(str(rng.getrandbits(256)) for _ in outcomes),
            start_date=iso(now_ms - DAY_MS),
            end_date=event.end_date,
            tick_size=rng.choice(TICKS),
            fees=fees,
            version=rng.choice((None, "v1")),
            volume=f"{rng.randrange(10**9)}.{rng.randrange(10**6):06d}",
            liquidity=f"{rng.randrange(10**6)}.{rng.randrange(10**4):04d}",
            true_arrays=rng.random() < 0.1,
        )
        if rng.random() < 0.05:
            # "Poly V2": a structural condition id of 31 bytes, and `positionIds` beside the token ids.
            listing.version = "v2"
            listing.condition_id = f"0x01{rng.getrandbits(240):060x}"
        event.listings.append(listing)
        return listing

    def decoys(self, now_ms: int) -> Iterator[Event]:
        """Without end, events of one market that nobody can trade: closed, inactive, without a book, not binary."""
        flaws: tuple[Callable[[Listing], Listing], ...] = (
            lambda it: replace(it, closed=True, accepting_orders=False, winner=0),
            lambda it: replace(it, active=False),
            lambda it: replace(it, accepting_orders=False),
            lambda it: replace(it, order_book=False),
            lambda it: replace(it, archived=True),
            lambda it: replace(
                it,
                outcomes=("Low", "Middle", "High"),
                token_ids=(*(it.token_ids or ()), str(self._rng.getrandbits(256))),
            ),
            lambda it: replace(it, token_ids=None),
            lambda it: replace(it, token_ids=(it.token_ids or ())[:1]),
            lambda it: replace(it, token_ids=()),
        )
        while True:
            for flaw in flaws:
                event = self.question(now_ms)
                event.listings = [flaw(event.listings[0])]
                yield event


def list_event(catalogue: Catalogue, event: Event) -> None:
    """Enter an event and its listings into a catalogue."""
    listings, event.listings = event.listings, []
    for listing in listings:
        catalogue.add(listing)


def build(builder: Builder, *, markets: int, now_ms: int, rng: random.Random) -> Catalogue:
    """A catalogue with exactly `markets` tradable binary markets and about a fifth of decoys.

    Some markets are short-lived, if there are at least four.
    """
    catalogue = Catalogue()
    decoys = builder.decoys(now_ms)
    decoys_left = max(9, markets // 5)
    tradable = 0
    while tradable < markets:
        first = not tradable and markets >= 4
        event = builder.up_or_down(now_ms) if first else builder.event(now_ms)
        del event.listings[markets - tradable :]
        tradable += len(event.listings)
        list_event(catalogue, event)
        if markets < 4:
            for listing in event.listings:
                listing.short_lived = False
        while decoys_left and rng.random() < 0.3:
            decoys_left -= 1
            list_event(catalogue, next(decoys))
    for _ in range(decoys_left):
        list_event(catalogue, next(decoys))
    return catalogue
