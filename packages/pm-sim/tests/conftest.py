"""A venue of one market with two tokens, and the slots that a stream would have: for tests."""

from collections.abc import Callable
from typing import Any

import pytest

from pm_frames.continuity import State
from pm_frames.events import NONE, RUNLOG_SHARD, Event, Flags, Kind, Settled
from pm_sim.books import Books
from pm_sim.depth import Depth
from pm_sim.exchange import Exchange, Terms
from pm_sim.fees import FlatBps
from pm_sim.fixed import CashE6, PxE6, SzE6
from pm_sim.ledger import Ledger
from pm_sim.markets import Markets
from pm_sim.orders import Order, Outcome, Reject, RejectReason, Side, Tif, Urgency

YES, NO = 0, 1
FREE = Terms(fees=lambda market: FlatBps(0))


def flags(state: State = State.LIVE, settled: Settled = Settled.SETTLED) -> int:
    return Flags(state, settled, batch_end=True).byte()


class Scene:
    """What an engine would do, by hand: time goes on by one with every call that tells the venue something."""

    def __init__(
        self,
        terms: Terms = FREE,
        *,
        cash_e6: int = 1_000_000_000,
        depth: dict[str, Any] | None = None,
        **facts: Any,
    ) -> None:
        self.markets = Markets()
        for token, name in ((YES, "yes"), (NO, "no")):
            self.markets.define(token, name)
        self.market = self.markets.meta(
            {
                "market_id": "0xm",
                "tokens": [{"token": YES, "outcome": "Yes"}, {"token": NO, "outcome": "No"}],
                "tick_size_e6": 10_000,
                "min_size_e6": 5_000_000,
                **facts,
            }
        )
        self.books = Books()
        self.depth = Depth(self.books, **(depth or {}))
        self.ledger = Ledger(CashE6(cash_e6))
        self.venue = Exchange(self.markets, self.depth, self.ledger, terms)
        self.now = 0
        self.orders = 0

    def tick(self) -> int:
        self.now += 1
        return self.now

    def book(
        self,
        token: int,
        bids: dict[int, int],
        asks: dict[int, int],
        *,
        levels: bool = True,
        settled: Settled = Settled.SETTLED,
        state: State = State.LIVE,
    ) -> list[Outcome]:
        """Tell a whole book: prices and sizes in hundredths."""
        now = self.tick()
        if levels:
            self.books.replaced(slot(Kind.BOOK, now, token)[:12])
            for side, entries in ((0, bids), (1, asks)):
                for px, size in entries.items():
                    level = slot(Kind.LEVEL, now, token)
                    told = level._replace(
                        bid_px_e6=px * 10_000, bid_sz_e6=size * 10_000, ask_px_e6=side
                    )
                    self.books.level(told[:12])
        bid, ask = max(bids, default=None), min(asks, default=None)
        top = slot(Kind.TOB, now, token)._replace(
            bid_px_e6=NONE if bid is None else bid * 10_000,
            bid_sz_e6=0 if bid is None else bids[bid] * 10_000,
            ask_px_e6=NONE if ask is None else ask * 10_000,
            ask_sz_e6=0 if ask is None else asks[ask] * 10_000,
            flags=flags(state, settled),
        )
        self.books.tops[token] = top[:12]
        self.books.seq = now
        return self.venue.top(top[:12])

    def trade(
        self, token: int, px: int, size: int, *, bought: bool, stamp_ns: int = NONE
    ) -> list[Outcome]:
        event = slot(Kind.TRADE, self.tick(), token)._replace(
            ts_event_ns=stamp_ns,
            bid_px_e6=px * 10_000, bid_sz_e6=size * 10_000, ask_px_e6=0 if bought else 1,
        )  # fmt: skip
        return self.venue.traded(event[:12])

    def lose(self, token: int) -> list[Outcome]:
        event = slot(Kind.STATUS, self.tick(), token)
        lost = event._replace(flags=flags(State.RECONNECTING))
        self.books.statuses[token] = lost[:12]
        return self.venue.status(lost[:12])

    def order(
        self,
        token: int,
        side: Side,
        px: int,
        size: int,
        *,
        tif: Tif = Tif.IOC,
        urgency: Urgency = Urgency.TAKER,
        expires_ns: int | None = None,
    ) -> list[Outcome]:
        """Submit an order that arrives at once; price in cents, size in hundredths."""
        self.orders += 1
        now = self.tick()
        order = Order(
            self.orders, "s", 1, token, side, PxE6(px * 10_000), SzE6(size * 10_000), tif, urgency,
            "", now, now, expires_ns,
        )  # fmt: skip
        reason = self.submit(order)
        if reason is not None:
            return [Reject(self.orders, "s", token, reason, order.size_e6, now)]
        return self.venue.arrived(order, now)

    def submit(self, order: Order) -> RejectReason | None:
        """Set aside what an order needs, and let it be under way."""
        reason: RejectReason | None = self.venue.set_aside(order.order_id, *order[3:7], order[10])
        if reason is None:
            self.venue.sent(order)
        return reason

    def give(self, token: int, size: int) -> None:
        """Hold shares that cost nothing."""
        self.ledger.reserve_cash(CashE6(0), self.now)
        self.ledger.bought(token, PxE6(0), SzE6(size * 10_000), CashE6(0), self.now, tainted=False)


@pytest.fixture(scope="session")
def new_scene() -> Callable[..., Scene]:
    """Make a venue of one market; each call makes another."""
    return Scene


def slot(kind: Kind, now: int, token: int) -> Event:
    return Event(now, now, -1, 0, 0, now, token, NONE, NONE, RUNLOG_SHARD, kind, flags())
