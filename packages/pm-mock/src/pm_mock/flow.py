"""Seeded order flow for one market: placements, cancels, trades and re-quotes.

`OrderFlow.next` decides one engine batch and applies it to the market: everything random about a batch is
decided here, whether or not anyone listens, so that a seed gives one history. Prices stay on the tick
grid, books stay uncrossed, and the number of levels is bounded.
"""

import random
from bisect import bisect_right
from dataclasses import dataclass

from pm_mock.events import Change, Trade
from pm_mock.fixed import CENT_E6, ONE_E4, UNIT_E6
from pm_mock.market import NO, OUTCOMES, YES, Market

# "Ticks only get finer." A tick of 0.0025 has no finer one that its levels would fit.
FINER_TICK_E4 = {1000: 100, 100: 10, 50: 10}
HIGH_2E4, LOW_2E4 = 2 * 9600, 2 * 400

# How many levels behind the touch an order is placed or withdrawn.
DISTANCES = (0, 0, 0, 0, 0, 1, 1, 1, 2, 2, 3, 3, 4, 5, 6, 8, 10, 13, 17, 22)
SIZE_LIMITS_CENTS = (2_000, 10_000, 50_000, 100_000, 1_000_000)


@dataclass(frozen=True, slots=True)
class Batch:
    """One engine batch, applied: its frames, and how its messages are arranged.

    `frames` are the changes of each price_change; `echo` repeats each with the two tokens swapped; `lead` is
    the outcome named first. `late`: the print comes after the next batch; `joined`: it shares a frame.
    """

    frames: tuple[tuple[Change, ...], ...]
    lead: int
    echo: bool = False
    trade: Trade | None = None
    late: bool = False
    joined: bool = False


class OrderFlow:
    """What traders do to one market."""

    def __init__(
        self, market: Market, rng: random.Random, *, fair_e4: int, depth: int, thin: bool
    ) -> None:
        self._market = market
        self._rng = rng
        self._anchor_e4 = fair_e4
        self._fair_e4 = fair_e4
        self._depth = depth
        # A thin market may lose a whole side.
        self._floor = 0 if thin else 1
        self._closing: int | None = None

    # -- the seams ------------------------------------------------------------------------------

    def open(self) -> None:
        """Put the first levels into an empty market."""
        tick = self._market.tick_e4
        for outcome, fair in ((YES, self._fair_e4), (NO, ONE_E4 - self._fair_e4)):
            price = self._grid(fair - tick)
            for _ in range(self._depth):
                if price < tick:
                    break
                self._market.put(outcome, price, self._size_e6())
                price -= tick * self._rng.choice((1, 1, 1, 2, 3))
        if self._rng.random() < 0.8:
            self._market.trade(self._grid(self._fair_e4))

    def close_towards(self, winner: int) -> None:
        """From now on the price drifts to the bound that the winning outcome will pay."""
        self._closing = winner

    def next(self) -> Batch:
        """Decide and apply one batch. The caller settles the market with a timestamp."""
        draw = self._rng.random()
        if self._closing is not None and draw < 0.5:
            return self._quote_anew(self._closing)
        if draw < 0.13:
            return self._quote_anew(self._drift())
        if draw < 0.21:
            return self._take()
        outcome = self._rng.choice(OUTCOMES)
        ladder = self._market.ladders[outcome]
        # The fuller a side, the likelier a cancel: the number of levels hovers around the depth.
        if self._rng.random() * 2 * self._depth < len(ladder):
            return self._cancel(outcome)
        return self._place(outcome)

    def finer_tick_e4(self) -> int | None:
        """The tick that the venue would change to at this price (above 0.96 or below 0.04)."""
        yes, no = self._market.tops_e4()
        if not (yes and no):
            return None
        middle_2e4 = yes + ONE_E4 - no
        if LOW_2E4 <= middle_2e4 <= HIGH_2E4:
            return None
        return FINER_TICK_E4.get(self._market.tick_e4)

    # -- one verb each --------------------------------------------------------------------------

    def _place(self, outcome: int) -> Batch:
        """Add liquidity: inside a wide spread, at the touch, or behind it."""
        market, rng = self._market, self._rng
        tick = market.tick_e4
        ladder = market.ladders[outcome]
        highest = self._highest_bid_e4(outcome)
        if highest < tick:
            return self._cancel(1 - outcome)
        room = (highest - ladder.best_e4) // tick
        if not len(ladder):
            fair = self._fair_e4 if outcome == YES else ONE_E4 - self._fair_e4
            price = self._grid(fair - tick)
        elif room > 0 and rng.random() < (0.75 if room > 2 else 0.3):
            price = ladder.best_e4 + tick * rng.randrange(1, min(room, room // 2 + 2) + 1)
        else:
            behind = rng.choice(DISTANCES) if rng.random() < 0.5 else rng.randrange(self._depth)
            price = ladder.best_e4 - tick * behind
        price = max(min(price, highest), tick)
        return self._apply((Change(outcome, price, ladder.size_at(price) + self._size_e6()),))

    def _cancel(self, outcome: int) -> Batch:
        """Withdraw some or all of a level. The last level of a side goes only in a thin market."""
        rng = self._rng
        ladder = self._market.ladders[outcome]
        if len(ladder) <= self._floor:
            return self._place(outcome)
        index = max(len(ladder) - 1 - rng.choice(DISTANCES), 0)
        price, size = ladder.prices_e4[index], ladder.sizes_e6[index]
        left = 0
        if rng.random() < 0.4:
            left = size // CENT_E6 * rng.randrange(1, 100) // 100 * CENT_E6
        return self._apply((Change(outcome, price, left),))

    def _take(self) -> Batch:
        """A taker hits the best bids for one outcome, through up to three levels."""
        rng = self._rng
        outcome = rng.choice(OUTCOMES)
        ladder = self._market.ladders[outcome]
        reach = min(rng.choice((1, 1, 1, 2, 3)), len(ladder) - self._floor)
        if reach < 1:
            return self._place(outcome)
        swept = range(len(ladder) - 1, len(ladder) - reach, -1)
        changes = [Change(outcome, ladder.prices_e4[index], 0) for index in swept]
        taken = sum(ladder.sizes_e6[index] for index in swept)
        price, size = ladder.prices_e4[-reach], ladder.sizes_e6[-reach]
        part = size
        if rng.random() < 0.7:
            part = max(size // CENT_E6 * rng.randrange(5, 100) // 100, 1) * CENT_E6
        changes.append(Change(outcome, price, size - part))
        sells = rng.random() < 0.5
        trade = Trade(
            outcome=outcome if sells else 1 - outcome,
            buys=not sells,
            price_e4=price if sells else ONE_E4 - price,
            size_e6=taken + part,
            transaction=f"0x{rng.getrandbits(256):064x}",
        )
        self._market.trade(trade.price_e4)
        arrangement = rng.random()
        return self._apply(
            tuple(changes), trade=trade, late=arrangement < 0.1, joined=arrangement > 0.97
        )

    def _quote_anew(self, winner: int) -> Batch:
        """Makers follow the price towards an outcome: lower the bids against it, raise those for it."""
        rng = self._rng
        tick = self._market.tick_e4
        against, towards = self._market.ladders[1 - winner], self._market.ladders[winner]
        steps = rng.choice((1, 1, 2, 3) if self._closing is None else (2, 4, 6))
        kept = bisect_right(against.prices_e4, against.best_e4 - tick * steps)
        pulled = against.prices_e4[max(kept, self._floor) :]
        changes = [Change(1 - winner, price, 0) for price in reversed(pulled)]
        best_against = against.prices_e4[-1 - len(pulled)] if len(against) > len(pulled) else 0
        if not pulled and best_against > tick:
            # The last bid against it moves down instead of away, so that the side does not die out.
            lower = max(best_against - tick * steps, tick)
            changes = [
                Change(1 - winner, best_against, 0),
                Change(1 - winner, lower, self._size_e6()),
            ]
            best_against = lower
        highest = min(self._grid(ONE_E4 - best_against - tick), ONE_E4 - tick)
        top = min(towards.best_e4 + tick * steps, highest)
        changes += [
            Change(winner, price, self._size_e6())
            for price in range(top, max(towards.best_e4, top - tick * steps), -tick)
        ]
        if not changes:
            return self._cancel(rng.choice(OUTCOMES))
        move = tick * steps if winner == YES else -tick * steps
        self._fair_e4 = max(tick, min(ONE_E4 - tick, self._fair_e4 + move))
        return self._apply(tuple(changes))

    def _drift(self) -> int:
        """Where the price moves: at random, but rather back to where it began."""
        if self._rng.random() < 0.7:
            return self._rng.choice(OUTCOMES)
        return YES if self._fair_e4 < self._anchor_e4 else NO

    # -- shared ---------------------------------------------------------------------------------

    def _apply(
        self,
        changes: tuple[Change, ...],
        *,
        trade: Trade | None = None,
        late: bool = False,
        joined: bool = False,
    ) -> Batch:
        rng = self._rng
        for change in changes:
            self._market.put(*change)
        return Batch(
            self._frames(changes),
            lead=rng.choice(OUTCOMES),
            echo=rng.random() < 0.05,
            trade=trade,
            late=late,
            joined=joined,
        )

    def _frames(self, changes: tuple[Change, ...]) -> tuple[tuple[Change, ...], ...]:
        """Spread the changes of a batch over frames; mostly one change a frame, sometimes several."""
        frames = []
        start = 0
        while start < len(changes):
            length = self._rng.choice((1, 1, 2, 3))
            frames.append(changes[start : start + length])
            start += length
        return tuple(frames)

    def _grid(self, price_e4: int) -> int:
        return price_e4 // self._market.tick_e4 * self._market.tick_e4

    def _highest_bid_e4(self, outcome: int) -> int:
        """The highest price on the grid that does not cross the other side."""
        tick = self._market.tick_e4
        other = self._market.ladders[1 - outcome]
        return min(self._grid(ONE_E4 - other.best_e4 - tick), ONE_E4 - tick)

    def _size_e6(self) -> int:
        """From 5 to 10,000 shares, small ones more often; half of them whole."""
        cents = self._rng.randrange(500, self._rng.choice(SIZE_LIMITS_CENTS))
        if cents & 1:
            return cents // 100 * UNIT_E6
        return cents * CENT_E6
