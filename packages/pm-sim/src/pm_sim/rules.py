"""What the venue refuses before it looks at the book: ticks, decimals, minimum sizes.

Prices lie on the tick, from one tick to one minus a tick; sizes have two decimals; a market has a minimum
of shares; an order that takes at once is worth a dollar at least (the venue's own checks, as its client
and its error texts name them).
"""

from typing import Final, NamedTuple

from pm_sim.fixed import ONE, CashE6, PxE6, SzE6, proceeds_down
from pm_sim.orders import BUY, RejectReason, Side

SIZE_STEP_E6: Final = 10_000  # two decimals
MARKETABLE_BUY_MIN_E6: Final = CashE6(1_000_000)
# For a market that states none: the finest tick refuses least of the price, but then says so.
TICK_UNKNOWN_E6: Final = 10_000
MIN_SIZE_UNKNOWN_E6: Final = 5_000_000


class MarketRules(NamedTuple):
    """The limits of one market now."""

    tick_e6: int = TICK_UNKNOWN_E6
    min_size_e6: int = MIN_SIZE_UNKNOWN_E6


def refusal(rules: MarketRules, px_e6: PxE6, size_e6: SzE6) -> RejectReason | None:
    """Return why no order may have this price and size, None if it may."""
    if not rules.tick_e6 <= px_e6 <= ONE - rules.tick_e6:
        return RejectReason.PRICE_RANGE
    if px_e6 % rules.tick_e6:
        return RejectReason.TICK
    if size_e6 <= 0 or size_e6 % SIZE_STEP_E6:
        return RejectReason.SIZE_DECIMALS
    if size_e6 < rules.min_size_e6:
        return RejectReason.MIN_SIZE
    return None


def taker_refusal(side: Side, px_e6: PxE6, size_e6: SzE6) -> RejectReason | None:
    """Return why an order that would take at once is refused besides, None if it is not."""
    if side is BUY and proceeds_down(px_e6, size_e6) < MARKETABLE_BUY_MIN_E6:
        return RejectReason.MIN_NOTIONAL
    return None
