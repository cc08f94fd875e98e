"""Which intents go through: limits on their number and on the money that they put at risk.

Deterministic: strategies are asked in the order of their ids, their intents come in the order in which they
were yielded, and what is over a limit is dropped and counted, never cut to size. A round is one instant:
all intents at the same event and time.
"""

from collections import Counter
from typing import NamedTuple

from pm_sim.fixed import CashE6


class Limits(NamedTuple):
    """None is no limit. Money in millionths of a dollar."""

    intents_per_round: int | None = None  # of all strategies
    intents_per_strategy: int | None = None  # of each, a round
    order_usd_e6: CashE6 | None = None  # what one order can cost
    market_usd_e6: CashE6 | None = None  # at risk in one market: orders and positions
    total_usd_e6: CashE6 | None = None  # at risk in all


class Risk(NamedTuple):
    """What an order would put at risk; all 0 for one that sells, cancels or merges."""

    order_e6: int = 0
    market_e6: int = 0  # there already
    total_e6: int = 0


NO_RISK = Risk()


class Allocator:
    """Lets intents through, and counts those that it does not by limit."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._is_unlimited = limits == Limits()
        self.dropped: Counter[str] = Counter()
        # Whether the risk of an order must be known.
        self.limits_money = limits[2:] != (None, None, None)
        self._round = (-1, -1)
        self._in_round: Counter[str] = Counter()

    def lets_through(self, strategy_id: str, now: tuple[int, int], risk: Risk = NO_RISK) -> bool:
        """Say whether an intent may go on; `now` is the event's seq and the time."""
        if self._is_unlimited:
            return True
        if now != self._round:
            self._round = now
            self._in_round.clear()
        exceeded = self._exceeded(strategy_id, risk)
        if exceeded is not None:
            self.dropped[exceeded] += 1
            return False
        self._in_round[strategy_id] += 1
        return True

    def _exceeded(self, strategy_id: str, risk: Risk) -> str | None:
        limits = self.limits
        per_round = limits.intents_per_round
        if per_round is not None and self._in_round.total() >= per_round:
            return "intents_per_round"
        per_strategy = limits.intents_per_strategy
        if per_strategy is not None and self._in_round[strategy_id] >= per_strategy:
            return "intents_per_strategy"
        if not risk.order_e6:
            return None
        for name, limit, value in (
            ("order_usd", limits.order_usd_e6, risk.order_e6),
            ("market_usd", limits.market_usd_e6, risk.market_e6 + risk.order_e6),
            ("total_usd", limits.total_usd_e6, risk.total_e6 + risk.order_e6),
        ):
            if limit is not None and value > limit:
                return name
        return None
