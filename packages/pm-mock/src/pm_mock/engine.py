"""The matching engine of a generated venue: which market moves next, and the messages of its batch.

One seed gives one history: what happens in a market depends on its own seeded flow alone, and which market
is next on another. Time enters only as the timestamp of a batch.
"""

import random
from bisect import bisect
from collections.abc import Callable
from dataclasses import dataclass, field
from itertools import accumulate

from pm_mock.events import Message, Statement, array, tick_size_changes
from pm_mock.flow import Batch, OrderFlow
from pm_mock.market import OUTCOMES, Market


@dataclass(slots=True)
class Desk:
    """A trading market, its flow, and prints that are still to be sent."""

    market: Market
    flow: OrderFlow
    held_prints: list[Message] = field(default_factory=list)


class Engine:
    """All trading markets. Popularity falls with the order in which they were added."""

    def __init__(self, rng: random.Random) -> None:
        self._rng = rng
        self._desks: dict[str, Desk] = {}
        self._tokens: dict[str, tuple[Market, int]] = {}
        self._order: list[Desk] = []
        self._cumulative: list[float] = []
        self.batches = 0

    def __len__(self) -> int:
        return len(self._desks)

    def add(self, market: Market, flow: OrderFlow, *, timestamp_ms: int) -> None:
        """Open a market for trading with its first orders."""
        flow.open()
        market.settle(timestamp_ms)
        self._desks[market.condition_id] = Desk(market, flow)
        for outcome in OUTCOMES:
            self._tokens[market.tokens[outcome]] = (market, outcome)
        self._rank()

    def hold(self, market: Market) -> None:
        """Serve the books of a market that nobody trades in: it moves when its owner says so."""
        for outcome in OUTCOMES:
            self._tokens[market.tokens[outcome]] = (market, outcome)

    def release(self, market: Market) -> None:
        """Serve a held market no more."""
        for token in market.tokens:
            del self._tokens[token]

    def remove(self, condition_id: str) -> list[Message]:
        """Stop trading in a market; returns the prints that were still held back."""
        desk = self._desks.pop(condition_id)
        for token in desk.market.tokens:
            del self._tokens[token]
        self._rank()
        return desk.held_prints

    def close_towards(self, condition_id: str, winner: int) -> None:
        """Let a market's price drift to what the winning outcome will pay."""
        self._desks[condition_id].flow.close_towards(winner)

    def book_of(self, token: str) -> tuple[Market, int] | None:
        """The market of a token that has a book, and which of its outcomes the token is."""
        return self._tokens.get(token)

    def step(self, now_ms: int, listening: Callable[[Market], bool]) -> list[Message]:
        """Run one engine batch in some market.

        Returns its messages, none if nobody is listening to that market (it moves all the same).
        """
        point = self._rng.random() * self._cumulative[-1]
        desk = self._order[bisect(self._cumulative, point)]
        market = desk.market
        tops = market.tops_e4()
        batch = desk.flow.next()
        market.settle(now_ms)
        self.batches += 1
        heard = listening(market)
        messages = self._messages(desk, batch, tops_moved=tops != market.tops_e4()) if heard else []
        if not heard:
            desk.held_prints.clear()
        if (finer_e4 := desk.flow.finer_tick_e4()) is not None:
            old_e4 = market.tick_e4
            market.refine_tick(finer_e4)
            if heard:
                messages += tick_size_changes(market, old_e4=old_e4)
        return messages

    def _messages(self, desk: Desk, batch: Batch, *, tops_moved: bool) -> list[Message]:
        market = desk.market
        stated = Statement(market)
        held, desk.held_prints = desk.held_prints, []
        # A print may come after the next batch, but prints keep their order.
        messages = held if batch.trade is not None else []
        if tops_moved:
            for outcome in OUTCOMES:
                payload = stated.best_bid_ask(outcome)
                messages.append(Message(payload, (market.tokens[outcome],), custom=True))
        for changes in batch.frames:
            payload = stated.price_change(changes, lead=batch.lead)
            messages.append(Message(payload, market.tokens))
            if batch.echo:
                payload = stated.price_change(changes, lead=1 - batch.lead)
                messages.append(Message(payload, market.tokens))
        if batch.trade is None:
            messages += held
        else:
            token, other = (
                market.tokens[outcome] for outcome in (batch.trade.outcome, 1 - batch.trade.outcome)
            )
            trade = Message(stated.last_trade_price(batch.trade), (token,))
            if batch.joined:
                # A print is for who subscribed its token; the others get the same changes without it.
                last = messages.pop()
                messages.append(Message(array(last.payload, trade.payload), (token,)))
                messages.append(Message(last.payload, (other,), unless=token))
            messages += [
                Message(market.spaced_book(outcome), (market.tokens[outcome],))
                for outcome in OUTCOMES
            ]
            if batch.late:
                desk.held_prints.append(trade)
            elif not batch.joined:
                messages.append(trade)
        return messages

    def _rank(self) -> None:
        self._order = list(self._desks.values())
        weights = [1 / (rank + 2) ** 0.5 for rank in range(len(self._order))]
        self._cumulative = list(accumulate(weights))
