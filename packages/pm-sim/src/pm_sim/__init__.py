"""Simulate strategies on order-book events: conservative fills, a ledger that balances, no flattery.

What is here is the public API: all that a strategy may import.
"""

from pm_frames.continuity import State
from pm_frames.events import NONE, Settled
from pm_sim.fixed import E6, ONE, CashE6, PxE6, SzE6, px, shares, usd
from pm_sim.intents import Buy, Cancel, Convert, Intent, Merge, Sell, Timer
from pm_sim.orders import Fill, Reject, RejectReason, Side, Tif, Urgency
from pm_sim.parameters import ParameterError, param
from pm_sim.set_views import (
    CostPlan,
    Freshness,
    LegCost,
    OutcomeSet,
    SetKind,
    Sets,
    Unready,
)
from pm_sim.strategy import Context, Hook, Strategy
from pm_sim.views import (
    Book,
    Level,
    MarketChange,
    MarketFacts,
    MarketState,
    OpenOrder,
    Portfolio,
    StateChange,
    TokenFacts,
    TopOfBook,
    Trade,
)

__all__ = [
    "E6",
    "NONE",
    "ONE",
    "Book",
    "Buy",
    "Cancel",
    "CashE6",
    "Context",
    "Convert",
    "CostPlan",
    "Fill",
    "Freshness",
    "Hook",
    "Intent",
    "LegCost",
    "Level",
    "MarketChange",
    "MarketFacts",
    "MarketState",
    "Merge",
    "OpenOrder",
    "OutcomeSet",
    "ParameterError",
    "Portfolio",
    "PxE6",
    "Reject",
    "RejectReason",
    "Sell",
    "SetKind",
    "Sets",
    "Settled",
    "Side",
    "State",
    "StateChange",
    "Strategy",
    "SzE6",
    "Tif",
    "Timer",
    "TokenFacts",
    "TopOfBook",
    "Trade",
    "Unready",
    "Urgency",
    "param",
    "px",
    "shares",
    "usd",
]
