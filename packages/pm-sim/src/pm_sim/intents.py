"""What a strategy can want: immutable values that its hooks yield.

    order_id = yield Buy(event.token, event.ask_px_e6, shares("10"))

The engine answers each with the number of the order, or None where the allocator does not let it through.
"""

from typing import NamedTuple

from pm_sim.fixed import PxE6, SzE6
from pm_sim.orders import Tif, Urgency


class Buy(NamedTuple):
    """Buy shares of a token at `limit_px_e6` or less."""

    token: int
    limit_px_e6: PxE6
    size_e6: SzE6
    tif: Tif = Tif.IOC
    urgency: Urgency = Urgency.TAKER
    tag: str | None = None
    expires_ns: int | None = None  # receive clock; GTD only


class Sell(NamedTuple):
    """Sell shares of a token at `limit_px_e6` or more."""

    token: int
    limit_px_e6: PxE6
    size_e6: SzE6
    tif: Tif = Tif.IOC
    urgency: Urgency = Urgency.TAKER
    tag: str | None = None
    expires_ns: int | None = None


class Cancel(NamedTuple):
    """Cancel what is left of an order of the same strategy."""

    order_id: int
    tag: str | None = None


class Merge(NamedTuple):
    """Give YES and NO shares of the market of a token for a dollar a pair, which arrives later."""

    token: int
    size_e6: SzE6
    tag: str | None = None


class Convert(NamedTuple):
    """Give NO shares of several markets of one neg-risk set for YES of the others, and dollars.

    `tokens` are the NO tokens. Every market of the set must be known, open, and of two outcomes.
    """

    tokens: tuple[int, ...]
    size_e6: SzE6
    tag: str | None = None


class Timer(NamedTuple):
    """Be called at a time, or at once after what is due now if it has passed. Not an order, in no hash."""

    at_ns: int  # receive clock
    tag: str = ""


Place = Buy | Sell
Intent = Buy | Sell | Cancel | Merge | Convert | Timer
