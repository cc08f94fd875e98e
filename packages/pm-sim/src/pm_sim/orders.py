"""What passes between the engine, the simulated venue and the ledger: orders, fills, rejections.

Times are ns of the receive clock of the run (`_ns`), never of the host. `token` is a number of the event
stream, defined by its TOKEN slot.
"""

from enum import Enum, StrEnum
from typing import Final, NamedTuple

from pm_frames.continuity import State
from pm_sim.fixed import CashE6, PxE6, SzE6


class Side(StrEnum):
    """What the order does with shares of its token."""

    BUY = "buy"
    SELL = "sell"

    # Equal to that of the text, as that of every StrEnum; but not computed in Python.
    __hash__ = str.__hash__


class Tif(StrEnum):
    """How long an order lives."""

    GTC = "gtc"
    GTD = "gtd"
    IOC = "ioc"  # the venue's FAK: what does not fill at once is cancelled
    FOK = "fok"

    __hash__ = str.__hash__


class Urgency(StrEnum):
    """Whether an order is meant to take (and may fill at once) or to make (post-only)."""

    TAKER = "taker"
    MAKER = "maker"

    __hash__ = str.__hash__


# The members themselves, for where it counts: Python 3.11 finds an attribute of an enum in 100 ns.
BUY: Final = Side.BUY
SELL: Final = Side.SELL
GTC: Final = Tif.GTC
GTD: Final = Tif.GTD
IOC: Final = Tif.IOC
FOK: Final = Tif.FOK
TAKER: Final = Urgency.TAKER
MAKER: Final = Urgency.MAKER


class RejectReason(Enum):
    """Why an order did not live; counted by name in the summary."""

    TICK = "tick"
    PRICE_RANGE = "price_range"
    SIZE_DECIMALS = "size_decimals"
    MIN_SIZE = "min_size"
    MIN_NOTIONAL = "min_notional"
    POST_ONLY_CROSSES = "post_only_crosses"
    FOK_UNFILLED = "fok_unfilled"
    NO_MATCH = "no_match"  # an IOC that finds nothing at its limit
    NOT_LIVE = "not_live"  # the book is not in the `live` state
    MASKED = "masked"
    NO_BOOK = "no_book"
    CROSSED_BOOK = "crossed_book"  # a bid meets an ask, also of the other token: one is not true
    UNKNOWN_TOKEN = "unknown_token"
    MARKET_CLOSED = "market_closed"  # resolved, or out of the universe
    CASH = "cash"
    NOT_HELD = "not_held"
    UNKNOWN_ORDER = "unknown_order"  # of a cancel: gone, or never ours
    EXPIRED = "expired"
    LIMIT = "limit"  # the allocator's
    SELF_CROSS = "self_cross"

    __hash__ = object.__hash__


class Order(NamedTuple):
    """An order as the venue gets it."""

    order_id: int  # from 1 in the order of submission
    strategy_id: str
    seq: int  # of the event that led to it
    token: int
    side: Side
    limit_px_e6: PxE6
    size_e6: SzE6
    tif: Tif
    urgency: Urgency
    tag: str
    submitted_ns: int
    arrives_ns: int  # after order latency; the venue's own delay comes on top
    expires_ns: int | None = None  # GTD only


class Fill(NamedTuple):
    """A part of an order that was executed at one price."""

    fill_id: int  # from 1
    order_id: int
    strategy_id: str
    token: int
    side: Side
    px_e6: PxE6
    size_e6: SzE6
    fee_e6: CashE6
    is_maker: bool
    at_ns: int
    seq: int  # last event that the venue had seen
    state: State  # continuity of the book at that moment
    book_age_ns: int  # since the last message that confirmed the book
    shard: int
    frame: int  # the raw frame that the level came from
    is_tainted: bool = False


class Reject(NamedTuple):
    """An order, or the rest of one, that ended without filling."""

    order_id: int
    strategy_id: str
    token: int
    reason: RejectReason
    size_e6: SzE6  # that was not filled
    at_ns: int


class Rested(NamedTuple):
    """An order, or the rest of one, that is in the book."""

    order_id: int
    strategy_id: str
    token: int
    size_e6: SzE6
    at_ns: int


class Cancelled(NamedTuple):
    """The rest of an order that was cancelled on request or at its expiry."""

    order_id: int
    strategy_id: str
    token: int
    size_e6: SzE6
    at_ns: int


Outcome = Fill | Reject | Rested | Cancelled
