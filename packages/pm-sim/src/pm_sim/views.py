"""What a strategy sees: values that cannot be changed, each as of the moment at which it was handed over.

Prices, sizes and cash are integer millionths; times are ns of the receive clock of the run.
"""

from collections.abc import Mapping
from types import MappingProxyType
from typing import NamedTuple

from pm_frames.continuity import State
from pm_frames.events import NONE, Settled
from pm_frames.events import Side as TradeSide
from pm_sim.fixed import CashE6, PxE6, SzE6
from pm_sim.orders import Side


class TopOfBook(NamedTuple):
    """The best levels of a token after a message; the fields are those of a slot of the stream."""

    seq: int
    ts_recv_ns: int
    ts_event_ns: int  # the venue's stamp in UTC, -1 for none
    bid_sz_e6: SzE6
    ask_sz_e6: SzE6
    frame: int
    token: int
    bid_px_e6: PxE6  # -1: no bid
    ask_px_e6: PxE6  # -1: no ask
    shard: int
    kind: int
    flags: int

    @property
    def state(self) -> State:
        """Continuity of the book."""
        return State(self.flags & 7)

    @property
    def settled(self) -> Settled:
        """Whether the message confirms this top."""
        return Settled(self.flags >> 3 & 3)

    @property
    def batch_end(self) -> bool:
        """Whether the message has told all its books: only now can two of them be compared."""
        return self.flags >= 0x80

    @property
    def has_both(self) -> bool:
        """Whether there is a bid and an ask."""
        return self.bid_px_e6 != NONE and self.ask_px_e6 != NONE


class Trade(NamedTuple):
    """A trade print."""

    seq: int
    ts_recv_ns: int
    ts_event_ns: int
    token: int
    px_e6: PxE6
    size_e6: SzE6
    side: TradeSide  # of the taker


class StateChange(NamedTuple):
    """The continuity of a token's book has changed."""

    seq: int
    ts_recv_ns: int
    token: int
    state: State
    before: State
    since_ns: int


class MarketFacts(NamedTuple):
    """What is known of a market now. Nothing of how it will end."""

    market_id: str
    slug: str
    question: str
    event_slug: str
    tokens: tuple[int, ...]
    outcomes: tuple[str, ...]
    tick_e6: PxE6
    min_size_e6: SzE6
    taker_delay_ns: int
    end_ns: int | None  # UTC, as the venue announces it
    set_id: str | None  # markets of one neg-risk set exclude one another
    is_augmented: bool
    is_open: bool


class MarketChange(NamedTuple):
    """The facts of a market were stated anew; or it closed, and what its tokens pay is now known."""

    ts_recv_ns: int
    facts: MarketFacts
    payouts_e6: Mapping[int, PxE6] | None


class TokenFacts(NamedTuple):
    """What is known of a token now."""

    token: int
    token_id: str
    outcome: str
    complement: int | None  # the other token of a market of two
    market: MarketFacts


class MarketState(NamedTuple):
    """One token: its facts, its last top, and the continuity of its book."""

    facts: TokenFacts
    top: TopOfBook
    state_number: int

    @property
    def market_id(self) -> str:
        """The token id, which the intent hash calls market id."""
        return self.facts.token_id

    @property
    def state(self) -> State:
        """Continuity of the book now; the top may be older."""
        return State(self.state_number)

    @property
    def last_update_seq(self) -> int:
        """Number of the event that the top is from."""
        return self.top.seq


class Level(NamedTuple):
    """What is displayed at one price."""

    px_e6: PxE6
    size_e6: SzE6


class Book(NamedTuple):
    """All levels of a token, best first. What the stream does not tell (without depth) is not here."""

    bids: tuple[Level, ...]
    asks: tuple[Level, ...]


class OpenOrder(NamedTuple):
    """An order that is not over."""

    order_id: int
    token: int
    side: Side
    limit_px_e6: PxE6
    left_e6: SzE6
    tag: str
    is_resting: bool  # else it is under way, or waits at the venue


class Portfolio(NamedTuple):
    """The account; all strategies of a run share it."""

    cash_e6: CashE6  # that nothing is reserved from
    reserved_e6: CashE6
    in_transit_e6: CashE6
    held_e6: Mapping[int, SzE6]  # shares by token, only what is not zero

    def held(self, token: int) -> SzE6:
        """Return how many shares of a token are held, those offered for sale included."""
        return self.held_e6.get(token, SzE6(0))


EMPTY_PORTFOLIO = Portfolio(CashE6(0), CashE6(0), CashE6(0), MappingProxyType({}))
