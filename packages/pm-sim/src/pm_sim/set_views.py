"""Sets of tokens that together pay a sure amount: what a strategy sees of them, and what one would cost.

One share of each token of a set pays `pays_e6` in all, however the markets end:

- a **pair**, YES and NO of one market: a dollar, at once by `Merge`;
- **all YES** of a neg-risk set: a dollar, when the event is decided;
- **all NO** of a neg-risk set of m markets: m - 1 dollars, at once by `Convert`.
"""

from enum import StrEnum
from typing import NamedTuple, Protocol

from pm_sim.fixed import CashE6, PxE6, SzE6
from pm_sim.views import TopOfBook


class SetKind(StrEnum):
    """What the tokens of a set are to one another."""

    PAIR = "pair"
    ALL_YES = "all_yes"
    ALL_NO = "all_no"


class OutcomeSet(NamedTuple):
    """A set as it is known now; a changed fact makes another."""

    kind: SetKind
    set_id: str  # id of the market, or of the neg-risk set
    tokens: tuple[int, ...]  # in the order in which the markets were stated
    pays_e6: CashE6  # one share of each
    names_other: bool  # an outcome or question speaks of "other", "another", "none", …

    @property
    def key(self) -> tuple[SetKind, str]:
        """What tells it from other sets, also after its facts have changed."""
        return self.kind, self.set_id


class Unready(StrEnum):
    """Why the books of a set cannot be compared now."""

    MID_MESSAGE = "mid_message"  # the message has not told all its books
    CLOSED = "closed"
    NO_BOOK = "no_book"  # no top yet
    NOT_LIVE = "not_live"
    UNSETTLED = "unsettled"  # its message does not confirm the top
    ONE_SIDED = "one_sided"  # nothing to buy, or nobody to sell back to
    CROSSED = "crossed"  # bid >= ask: the venue would have matched them
    STALE = "stale"
    SKEWED = "skewed"  # the legs were told at moments too far apart
    OTHER_INSTANT = "other_instant"  # a pair from two moments
    NOT_MIRRORED = "not_mirrored"  # a pair that is not one book seen from two sides


class Freshness(NamedTuple):
    """How old and how far apart the tops of the legs may be, by the receive clock.

    YES and NO of one market are one book, so that their asks sum to one plus the spread: what shows otherwise
    is an artefact, and `must_mirror` refuses it. Without that, only the same instant is asked for.
    """

    max_age_ns: int
    max_skew_ns: int
    must_mirror: bool = True


class LegCost(NamedTuple):
    """What buying one leg costs if the book stays as it is, and what at most whatever it becomes."""

    token: int
    limit_px_e6: PxE6  # the last level that is needed, and the slippage ticks
    worst_px_e6: PxE6  # dearest price paid if nothing changes
    paid_e6: CashE6  # without fees, each fill rounded up
    fee_e6: CashE6
    at_most_e6: (
        CashE6  # at the limit, the dearest fee, and every rounding: what an order sets aside
    )
    sold_back_e6: CashE6  # what bids would pay for it now, after fees


class CostPlan(NamedTuple):
    """What one purchase of a whole set costs."""

    of: OutcomeSet
    size_e6: SzE6  # shares of each token
    legs: tuple[LegCost, ...]
    cost_e6: CashE6  # with fees, if nothing changes
    at_most_e6: CashE6
    pays_e6: CashE6

    @property
    def profit_e6(self) -> CashE6:
        """What is left if nothing changes."""
        return CashE6(self.pays_e6 - self.cost_e6)

    @property
    def leg_risk_e6(self) -> CashE6:
        """What is lost if all legs but the luckiest are bought, and sold back to the bids of now."""
        losses = [leg.paid_e6 + leg.fee_e6 - leg.sold_back_e6 for leg in self.legs]
        return CashE6(sum(losses) - min(losses))


class Sets(Protocol):
    """The sets that are known by now, and whole: the stream tells every market that the event has.

    A stream that leaves markets out makes all YES of the others look cheap. How many there are only the universe
    says (`event_markets`); of an event where it does not there is no set (`--uncounted-sets accept`).
    """

    def of(self, token: int) -> tuple[OutcomeSet, ...]:
        """Return the sets that a token is in: none of an event that is augmented, not wholly open, or in part."""

    def unready(self, one: OutcomeSet, event: TopOfBook, freshness: Freshness) -> Unready | None:
        """Return why the books of a set cannot be compared at the top that was just told; None if they can."""

    def sizes(self, one: OutcomeSet, at_most_e6: SzE6) -> tuple[SzE6, ...]:
        """Return the sizes worth a plan, largest first: where a leg comes to the end of a level."""

    def plan(self, one: OutcomeSet, size_e6: SzE6, slippage_ticks: int = 0) -> CostPlan | None:
        """Return what buying so many of each token costs; None if it cannot be had, or an order be placed."""
