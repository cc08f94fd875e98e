"""All that a simulation is told besides its events and strategies; the whole of it goes into the result id."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Final

from pm_sim.allocator import Limits
from pm_sim.exchange import QueueModel, Taint
from pm_sim.fixed import CashE6
from pm_sim.latency import Fixed, Latency

WORST: Final = "worst"
CENTRAL: Final = "central"
NS_PER_S: Final = 1_000_000_000
DEPOSIT_E6: Final = CashE6(1_000_000_000)  # $1,000
NO_LIMITS: Final = Limits()


class OnError(StrEnum):
    """What becomes of a strategy that raises."""

    DISABLE = "disable"  # it is called no more; the result is not ok
    FATAL = "fatal"  # the simulation stops; the result is not ok
    COUNT = "count"  # it goes on, and the errors are counted


class Unheld(StrEnum):
    """What becomes of a sale of more than is held and free."""

    REFUSE = "refuse"
    COMPLEMENT = "complement"  # the other token is bought at one minus the price


@dataclass(frozen=True, slots=True)
class Settings:
    """Defaults are those of the command line."""

    cash_e6: CashE6 = DEPOSIT_E6
    fee_bps: int = 100
    slippage_bps: int = 0
    order_latency: Latency = field(default_factory=lambda: Fixed(100_000_000))
    cancel_latency: Latency = field(default_factory=lambda: Fixed(100_000_000))
    taint: Taint = Taint.REFUSE
    queue: QueueModel = QueueModel.NONE
    unheld: Unheld = Unheld.REFUSE
    accepts_uncounted_sets: bool = False
    merge_delay_ns: int = 60 * NS_PER_S
    limits: Limits = NO_LIMITS
    # What one call of a hook may yield: more is a strategy that yields without end.
    max_intents_per_callback: int = 10_000
    seed: int = 0
    on_error: OnError = OnError.DISABLE
    lenses: tuple[str, ...] = (WORST, CENTRAL)

    def as_json(self) -> dict[str, Any]:
        """Return every setting as JSON has it."""
        return {
            "cash_e6": self.cash_e6,
            "fee_bps": self.fee_bps,
            "slippage_bps": self.slippage_bps,
            "order_latency": self.order_latency.name,
            "cancel_latency": self.cancel_latency.name,
            "taint": self.taint.value,
            "queue": self.queue.value,
            "unheld": self.unheld.value,
            "accepts_uncounted_sets": self.accepts_uncounted_sets,
            "merge_delay_ns": self.merge_delay_ns,
            "limits": self.limits._asdict(),
            "max_intents_per_callback": self.max_intents_per_callback,
            "seed": self.seed,
            "on_error": self.on_error.value,
            "lenses": list(self.lenses),
        }
