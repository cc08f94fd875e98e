"""What a purchase can cost at most, remembered: strategies ask for the same prices and sizes again and again."""

from collections.abc import Callable
from typing import Final, NamedTuple

from pm_sim.fees import FeeModel, MarketFees
from pm_sim.fixed import CashE6, PxE6, SzE6, cost_up
from pm_sim.markets import Market, Markets
from pm_sim.rules import MarketRules
from pm_sim.walk import buy_at_most_e6

REMEMBERED_MAX: Final = 1 << 12  # of each token


class _Known(NamedTuple):
    """By price and size, while the fees and rules of the market are these."""

    fees: MarketFees
    rules: MarketRules
    amounts_e6: dict[tuple[int, int], CashE6]


class Bounds:
    """The bounds of all tokens in one lens."""

    def __init__(self, markets: Markets, fees: Callable[[Market], FeeModel]) -> None:
        """`fees` is what the lens charges in a market, which depends on the fees that are stated alone."""
        self._markets = markets
        self._fees = fees
        self._known: dict[int, _Known] = {}

    def buy_e6(self, token: int, px_e6: PxE6, size_e6: SzE6) -> CashE6:
        """Return what a buy can cost at most: the limit, the dearest fee, and every rounding."""
        market = self._markets.of(token)
        if market is None:
            return cost_up(px_e6, size_e6)
        known = self._known.get(token)
        if known is None or known[0] is not market.fees or known[1] is not market.rules:
            known = self._known[token] = _Known(market.fees, market.rules, {})
        amounts, of = known[2], (px_e6, size_e6)
        amount = amounts.get(of)
        if amount is None:
            if len(amounts) >= REMEMBERED_MAX:
                amounts.clear()
            fees, tick = self._fees(market), market.rules.tick_e6
            amount = amounts[of] = buy_at_most_e6(fees, px_e6, size_e6, tick)
        return amount
