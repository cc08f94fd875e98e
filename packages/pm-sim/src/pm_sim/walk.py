"""What an order would take of a book, level by level, and what it can cost at most."""

from typing import Final, NamedTuple

from pm_sim.depth import Depth
from pm_sim.fees import QUANTUM_E6, FeeModel
from pm_sim.fixed import BPS, ONE, CashE6, PxE6, SzE6, cost_up, proceeds_down
from pm_sim.orders import BUY, SELL, Side
from pm_sim.rules import SIZE_STEP_E6

# Costs and fees are rounded up for each fill: at most this much, in millionths, for each level taken.
ROUNDING_E6: Final = 22


class Step(NamedTuple):
    """A part of an order at one level."""

    level_px_e6: PxE6
    size_e6: SzE6
    paid_px_e6: PxE6  # after slippage


class Quote(NamedTuple):
    """What a whole size would come to on the book as it is."""

    last_px_e6: PxE6  # level that is reached
    worst_px_e6: PxE6  # after slippage
    amount_e6: CashE6  # paid or got, each fill rounded against the trader
    fee_e6: CashE6


def walk(
    depth: Depth, token: int, side: Side, limit_px_e6: PxE6, size_e6: SzE6, *, slippage_bps: int
) -> list[Step]:
    """Return what would be filled at which level, and at which price after slippage."""
    left: int = size_e6
    steps: list[Step] = []
    for px, size in depth.reachable(token, side, limit_px_e6):
        worse = -(-px * slippage_bps // BPS)
        paid = PxE6(px + worse if side is BUY else px - worse)
        behind = paid > limit_px_e6 if side is BUY else paid < limit_px_e6
        # A price behind the limit is never paid: then the level cannot be had at all.
        if not left or behind or not 0 < paid <= ONE:
            break
        # Nor is anything sold for less than the smallest fee.
        if side is SELL and proceeds_down(paid, SzE6(min(left, size))) < QUANTUM_E6:
            break
        steps.append(Step(px, SzE6(min(left, size)), paid))
        left -= steps[-1].size_e6
    return steps


def quote(
    depth: Depth, fees: FeeModel, token: int, side: Side, size_e6: SzE6, *, slippage_bps: int
) -> Quote | None:
    """Return what an order would come to whatever its limit; None if so much is not to be had."""
    limit = ONE if side is BUY else PxE6(0)
    steps = walk(depth, token, side, limit, size_e6, slippage_bps=slippage_bps)
    if not steps or sum(step.size_e6 for step in steps) < size_e6:
        return None
    worth = cost_up if side is BUY else proceeds_down
    return Quote(
        steps[-1].level_px_e6,
        steps[-1].paid_px_e6,
        CashE6(sum(worth(step.paid_px_e6, step.size_e6) for step in steps)),
        CashE6(sum(fees.fee(side, step.paid_px_e6, step.size_e6) for step in steps)),
    )


def buy_at_most_e6(fees: FeeModel, limit_px_e6: PxE6, size_e6: SzE6, tick_e6: int) -> CashE6:
    """Return what a purchase can cost at most: the limit, the dearest fee, and every rounding."""
    fills = min(limit_px_e6 // tick_e6 + 1, size_e6 // SIZE_STEP_E6 + 1)
    fee = fees.fee_at_most(BUY, limit_px_e6, size_e6)
    return CashE6(cost_up(limit_px_e6, size_e6) + fee + ROUNDING_E6 * fills)
