"""What a taker pays: flat basis points, the venue's own schedule, or the dearer of the two.

The venue charges takers C x rate x (p(1-p))^exponent dollars for C shares at price p, rounded to five
decimals, at least 0.00001 where anything is due; makers pay nothing (docs/spec/events.md, META:
`fee_schedule`, `fees_enabled`). The rates are data of the market and differ between them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from typing import Any, Final, Protocol

from pm_sim.fixed import BPS, E6, ONE, CashE6, PxE6, SzE6, cost_up, proceeds_down
from pm_sim.orders import BUY, Side

QUANTUM_E6: Final = 10  # 0.00001 dollars
# The dearest published rate (crypto, 2026-09), for a market that states none.
UNKNOWN_RATE: Final = Fraction(7, 100)


class FeeModel(Protocol):
    """What one fill costs its taker."""

    @property
    def name(self) -> str:
        """What the summary calls it."""

    def fee(self, side: Side, px_e6: PxE6, size_e6: SzE6) -> CashE6:
        """Return the fee in millionths of a dollar, rounded up."""

    def fee_at_most(self, side: Side, limit_px_e6: PxE6, size_e6: SzE6) -> CashE6:
        """Return a bound on the fee of any one fill of this size that keeps the limit."""


@dataclass(frozen=True, slots=True)
class FlatBps:
    """Basis points of the notional, rounded up."""

    bps: int
    name: str = "flat"

    def fee(self, side: Side, px_e6: PxE6, size_e6: SzE6) -> CashE6:
        """Return the fee of one fill."""
        notional = cost_up(px_e6, size_e6) if side is BUY else proceeds_down(px_e6, size_e6)
        return CashE6(-(-notional * self.bps // BPS))

    def fee_at_most(self, side: Side, limit_px_e6: PxE6, size_e6: SzE6) -> CashE6:
        """Buying is dearest at the limit, selling at 1; one more for each of the two roundings."""
        px = limit_px_e6 if side is BUY else ONE
        return CashE6(-(-cost_up(px, size_e6) * self.bps // BPS))


@dataclass(frozen=True, slots=True)
class VenueSchedule:
    """The schedule of a market: rate as an exact fraction, and a whole exponent."""

    rate: Fraction
    exponent: int
    name: str = "venue"

    def fee(self, side: Side, px_e6: PxE6, size_e6: SzE6) -> CashE6:
        """Return the fee of one fill; the same for both sides."""
        del side
        return self._fee(px_e6 * (ONE - px_e6), size_e6)

    def fee_at_most(self, side: Side, limit_px_e6: PxE6, size_e6: SzE6) -> CashE6:
        """The curve rises to one half: that bounds all prices up to (or down to) the limit."""
        half = ONE // 2
        px = min(limit_px_e6, half) if side is BUY else max(limit_px_e6, half)
        return self._fee(px * (ONE - px), size_e6)

    def _fee(self, spread_e12: int, size_e6: SzE6) -> CashE6:
        rate = self.rate
        numerator = size_e6 * rate.numerator * spread_e12**self.exponent
        denominator = rate.denominator * (E6 * E6) ** self.exponent * QUANTUM_E6
        return CashE6(-(-numerator // denominator) * QUANTUM_E6)


@dataclass(frozen=True, slots=True)
class Dearer:
    """Of two models the one that charges more, fill by fill."""

    first: FeeModel
    second: FeeModel
    name: str = "dearer"

    def fee(self, side: Side, px_e6: PxE6, size_e6: SzE6) -> CashE6:
        """Return the larger fee."""
        return max(self.first.fee(side, px_e6, size_e6), self.second.fee(side, px_e6, size_e6))

    def fee_at_most(self, side: Side, limit_px_e6: PxE6, size_e6: SzE6) -> CashE6:
        """Return the larger bound."""
        return max(
            self.first.fee_at_most(side, limit_px_e6, size_e6),
            self.second.fee_at_most(side, limit_px_e6, size_e6),
        )


@dataclass(frozen=True, slots=True)
class MarketFees:
    """The venue's schedule of one market, and whether the market really stated it."""

    model: VenueSchedule
    is_known: bool


UNKNOWN: Final = MarketFees(VenueSchedule(UNKNOWN_RATE, 1, "venue-unknown"), is_known=False)
FREE: Final = MarketFees(VenueSchedule(Fraction(0), 1), is_known=True)


def market_fees(meta: Mapping[str, Any]) -> MarketFees:
    """Read the schedule of a META payload; one that is absent or not understood is `UNKNOWN`.

    `rate` and `exponent` are numbers or decimal text; an exponent that is not whole, and a rate outside
    [0, 1], are not understood.
    """
    if meta.get("fees_enabled") is False:
        return FREE
    schedule = meta.get("fee_schedule")
    if not isinstance(schedule, Mapping):
        return UNKNOWN
    rate, exponent = _exact(schedule.get("rate")), _exact(schedule.get("exponent"))
    if rate is None or exponent is None or not 0 <= rate <= 1:
        return UNKNOWN
    if exponent.denominator != 1 or not 0 <= exponent <= 8:
        return UNKNOWN
    return MarketFees(VenueSchedule(rate, int(exponent)), is_known=True)


def _exact(value: object) -> Fraction | None:
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    try:
        # The text of a float is the decimal that was written.
        return Fraction(str(value))
    except (ValueError, ZeroDivisionError):
        return None
