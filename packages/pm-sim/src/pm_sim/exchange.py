"""The simulated venue of one lens: what becomes of an order when it arrives.

Nothing here knows what comes next in the stream. An order that can take waits out the market's own delay,
and, where the book is in the middle of an engine batch, the end of that batch; then it walks the levels up
to its limit and no further. What rests does not fill, unless a queue model is given. Money is the
ledger's: cash or shares are set aside when an order is submitted, before it is under way.
"""

import heapq
from collections.abc import Callable, Collection
from dataclasses import dataclass
from enum import StrEnum
from typing import Final, NamedTuple

from pm_frames.continuity import State
from pm_frames.events import Settled
from pm_sim.books import ASK, BID, Slot
from pm_sim.bounds import Bounds
from pm_sim.depth import Depth
from pm_sim.fees import FeeModel
from pm_sim.fixed import ONE, CashE6, PxE6, SzE6
from pm_sim.ledger import Ledger
from pm_sim.markets import Market, Markets
from pm_sim.orders import (
    BUY,
    FOK,
    GTC,
    GTD,
    IOC,
    MAKER,
    SELL,
    Cancelled,
    Fill,
    Order,
    Outcome,
    Reject,
    RejectReason,
    Rested,
    Side,
)
from pm_sim.prints import Prints
from pm_sim.rules import SIZE_STEP_E6, refusal, taker_refusal
from pm_sim.walk import Step, walk

_LIVE: Final = int(State.LIVE)
_UNSETTLED: Final = int(Settled.UNSETTLED)
_STATES: Final = {int(one): one for one in State}
_CASH: Final = RejectReason.CASH
_NOT_HELD: Final = RejectReason.NOT_HELD
UNKNOWN_QUEUE_E6: Final = 1 << 62  # more than ever trades


class Taint(StrEnum):
    """What becomes of an order whose book is in doubt."""

    REFUSE = "refuse"
    LABEL = "label"


class QueueModel(StrEnum):
    """Whether resting orders fill."""

    NONE = "none"
    CONSERVATIVE = "conservative"  # last at the level, and only trades move the queue


@dataclass(frozen=True, slots=True)
class Terms:
    """What a lens grants."""

    fees: Callable[[Market], FeeModel]
    slippage_bps: int = 0
    taint: Taint = Taint.REFUSE
    queue: QueueModel = QueueModel.NONE
    doubts_prints: bool = False  # that may be of a trade that was told already
    # Whether a hindsight mask covers a token at a moment (mono ns).
    masked: Callable[[int, int], bool] = lambda token, at_ns: False


class _Waiting(NamedTuple):
    due_ns: int
    order_id: int


@dataclass(slots=True)
class _Resting:
    order: Order
    left_e6: int
    ahead_e6: int  # what the queue model has before us


class Exchange:
    """Orders of one account against the books of one lens; each verb returns what came of it."""

    def __init__(self, markets: Markets, depth: Depth, ledger: Ledger, terms: Terms) -> None:
        """Open with nothing in the book."""
        self._markets = markets
        self._depth = depth
        self._books = depth.books
        self._ledger = ledger
        self._terms = terms
        self._refuses = terms.taint is Taint.REFUSE
        self.hears_trades = terms.queue is not QueueModel.NONE
        self._resting: dict[int, _Resting] = {}
        self._by_token: dict[int, dict[int, None]] = {}  # resting orders, oldest first
        self._delayed: list[_Waiting] = []
        self._orders: dict[int, Order] = {}  # under way, or waiting to be matched
        self._reserved: dict[int, int] = {}  # cash, for each buy that is not over
        self._priced: dict[int, tuple[object, object]] = {}  # the fees and rules that it is for
        self._unsettled: dict[int, list[int]] = {}  # orders that wait for the end of a batch
        self._expiries: list[_Waiting] = []
        self._prints = Prints()
        self.bounds = Bounds(markets, terms.fees)
        self._fills = 0

    # -- orders ---------------------------------------------------------------------------------

    def set_aside(
        self, order_id: int, token: int, side: Side, px_e6: PxE6, size_e6: SzE6, now_ns: int
    ) -> RejectReason | None:
        """Set aside what an order may need; return why it ends here if the account has not got it."""
        if px_e6 < 0 or size_e6 < 0:
            # Less than nothing would be set aside: cash or shares that are not there. The rest is the venue's to refuse.
            return RejectReason.PRICE_RANGE if px_e6 < 0 else RejectReason.SIZE_DECIMALS
        ledger = self._ledger
        if side is SELL:
            return None if ledger.offer_shares(token, size_e6) else _NOT_HELD
        amount = self.bounds.buy_e6(token, px_e6, size_e6)
        if not ledger.reserve_cash(amount, now_ns):
            return _CASH
        self._reserved[order_id] = amount
        market = self._markets.by_token.get(token)
        if market is not None:
            self._priced[order_id] = market.fees, market.rules
        return None

    def sent(self, order: Order) -> None:
        """Take an order for which everything was set aside: it is under way."""
        self._orders[order.order_id] = order

    def arrived(self, order: Order, now_ns: int) -> list[Outcome]:
        """Take an order that has reached the venue; nothing if it was ended under way."""
        if order.order_id not in self._orders:
            return []
        market = self._markets.of(order.token)
        reason = self._refused(order, market, now_ns)
        if reason is not None:
            return self._ended(order, reason, now_ns)
        assert market is not None
        if not self._crosses(order):
            fok = order.tif is FOK
            if fok or order.tif is IOC:
                return self._ended(
                    order, RejectReason.FOK_UNFILLED if fok else RejectReason.NO_MATCH, now_ns
                )
            return self._rest(order, order.size_e6, now_ns)
        if order.urgency is MAKER:
            return self._ended(order, RejectReason.POST_ONLY_CROSSES, now_ns)
        reason = taker_refusal(order.side, order.limit_px_e6, order.size_e6)
        if reason is not None:
            return self._ended(order, reason, now_ns)
        if market.taker_delay_ns:
            due = _Waiting(now_ns + market.taker_delay_ns, order.order_id)
            heapq.heappush(self._delayed, due)
            return []
        return self._walk(order, market, now_ns)

    def cancel(self, order_id: int, strategy_id: str, now_ns: int) -> list[Outcome]:
        """Take a cancel; only what rests can be cancelled, as at the venue."""
        resting = self._resting.get(order_id)
        if resting is None or resting.order.strategy_id != strategy_id:
            return [Reject(order_id, strategy_id, -1, RejectReason.UNKNOWN_ORDER, SzE6(0), now_ns)]
        self._remove(resting, now_ns)
        return [
            Cancelled(order_id, strategy_id, resting.order.token, SzE6(resting.left_e6), now_ns)
        ]

    def open_orders(self) -> list[tuple[Order, int, bool]]:
        """Return the orders that are not over, what is left of each, and whether it rests."""
        orders = [(order, int(order.size_e6), False) for order in self._orders.values()]
        orders += [(one.order, one.left_e6, True) for one in self._resting.values()]
        return sorted(orders)

    def reserved_e6(self, tokens: Collection[int]) -> int:
        """Return the cash that is reserved for buys of these tokens."""
        orders = [*self._orders.values(), *(one.order for one in self._resting.values())]
        return sum(self._reserved.get(one.order_id, 0) for one in orders if one.token in tokens)

    @property
    def is_waiting(self) -> bool:
        """Whether an order waits for the end of an engine batch."""
        return bool(self._unsettled)

    # -- time -----------------------------------------------------------------------------------

    def deadline(self) -> int | None:
        """Return when a venue delay ends or an order expires next."""
        if not self._delayed:
            return self._expiries[0].due_ns if self._expiries else None
        due = self._delayed[0].due_ns
        return min(due, self._expiries[0].due_ns) if self._expiries else due

    def deadline_reached(self, now_ns: int) -> list[Outcome]:
        """Match what has waited long enough, and end what has expired."""
        outcomes: list[Outcome] = []
        while self._delayed and self._delayed[0].due_ns <= now_ns:
            due = heapq.heappop(self._delayed)
            if due.order_id in self._orders:
                outcomes += self._match(self._orders[due.order_id], due.due_ns)
        while self._expiries and self._expiries[0].due_ns <= now_ns:
            due = heapq.heappop(self._expiries)
            resting = self._resting.get(due.order_id)
            if resting is not None:
                order = resting.order
                self._remove(resting, now_ns)
                left = SzE6(resting.left_e6)
                outcomes.append(
                    Cancelled(order.order_id, order.strategy_id, order.token, left, now_ns)
                )
        return outcomes

    # -- the stream -----------------------------------------------------------------------------

    def top(self, slot: Slot) -> list[Outcome]:
        """Take a TOB, after the depth has: the end of a batch lets waiting orders match."""
        self._depth.told(slot)
        if not self._unsettled or slot[11] >> 3 & 3 == _UNSETTLED:
            return []
        outcomes: list[Outcome] = []
        for order_id in self._unsettled.pop(slot[6], ()):
            outcomes += self._match(self._orders[order_id], slot[1])
        return outcomes

    def status(self, slot: Slot) -> list[Outcome]:
        """Take a STATUS: orders that wait for a book that is lost are at an end."""
        if slot[11] & 7 == _LIVE:
            return []
        outcomes: list[Outcome] = []
        for order_id in self._unsettled.pop(slot[6], ()):
            outcomes += self._ended(self._orders[order_id], RejectReason.NOT_LIVE, slot[1])
        return outcomes

    def traded(self, slot: Slot) -> list[Outcome]:
        """Take a TRADE: the only thing that moves a queue."""
        if not self.hears_trades or slot[8] not in {BID, ASK}:
            return []
        complement = self._markets.complement(slot[6])
        # Noted also while nothing rests: what rests a moment later must not be moved by the second print.
        is_again = self._terms.doubts_prints and self._prints.is_again(slot, complement)
        if is_again or not self._resting:
            return []
        outcomes: list[Outcome] = []
        px, size = slot[7], slot[3]
        # A taker who bought met resting sales, or in the other view resting bids.
        bought = slot[8] == BID
        views = [(slot[6], SELL if bought else BUY, px)]
        if complement is not None:
            views.append((complement, BUY if bought else SELL, ONE - px))
        for token, ours, price in views:
            filled = self._drained(token, ours, price, size, slot[1])
            outcomes += filled
            size -= sum(one.size_e6 for one in filled)  # it is one trade, in both views
        return outcomes

    def closed(self, market: Market, now_ns: int) -> list[Outcome]:
        """End every order of a market that is resolved or no longer listed, wherever it is."""
        outcomes: list[Outcome] = []
        for token in market.tokens:
            self._unsettled.pop(token, None)
            for order_id in list(self._by_token.get(token, ())):
                resting = self._resting[order_id]
                self._remove(resting, now_ns)
                outcomes.append(
                    self._reject(resting.order, RejectReason.MARKET_CLOSED, now_ns, resting.left_e6)
                )
        for order in [one for one in self._orders.values() if one.token in market.tokens]:
            outcomes += self._ended(order, RejectReason.MARKET_CLOSED, now_ns)
        return outcomes

    # -- inside ---------------------------------------------------------------------------------

    def _refused(self, order: Order, market: Market | None, now_ns: int) -> RejectReason | None:
        if market is None:
            return RejectReason.UNKNOWN_TOKEN
        reason = refusal(market.rules, order.limit_px_e6, order.size_e6)
        reason = reason or self._refused_now(order, market, now_ns)
        if reason is not None:
            return reason
        for other_id in self._by_token.get(order.token, ()):
            other = self._resting[other_id].order
            if other.side is not order.side and _meet(order, other.limit_px_e6):
                return RejectReason.SELF_CROSS
        return None

    def _refused_now(self, order: Order, market: Market, now_ns: int) -> RejectReason | None:
        """Return why an order cannot be matched at this moment, on arrival or after a wait."""
        if not market.is_open:
            return RejectReason.MARKET_CLOSED
        if order.expires_ns is not None and order.expires_ns <= now_ns:
            return RejectReason.EXPIRED
        # Fees or the tick may have changed under way, and with them what a buy can cost.
        fees, rules = self._priced.get(order.order_id, (None, None))
        if order.side is BUY and not (fees is market.fees and rules is market.rules):
            more = (
                self.bounds.buy_e6(order.token, order.limit_px_e6, order.size_e6)
                - self._reserved[order.order_id]
            )
            if more > 0:
                if not self._ledger.reserve_cash(CashE6(more), now_ns):
                    return RejectReason.CASH
                self._reserved[order.order_id] += more
        return self._doubt(order.token, now_ns)

    def _doubt(self, token: int, now_ns: int) -> RejectReason | None:
        """Return why nothing may be matched on the book of a token now."""
        if self._refuses:
            if self._books.state_number(token) != _LIVE:
                return RejectReason.NOT_LIVE
            if self._terms.masked(token, now_ns):
                return RejectReason.MASKED
        return None if token in self._books.tops else RejectReason.NO_BOOK

    def _is_tainted(self, token: int, now_ns: int) -> bool:
        return self._books.state_number(token) != _LIVE or self._terms.masked(token, now_ns)

    def _crosses(self, order: Order) -> bool:
        best = self._books.best(order.token, order.side)
        return best is not None and _meet(order, PxE6(best))

    def _match(self, order: Order, now_ns: int) -> list[Outcome]:
        """Match an order that has waited, if it is still allowed."""
        market = self._markets.by_token[order.token]
        reason = self._refused_now(order, market, now_ns)
        if reason is not None:
            return self._ended(order, reason, now_ns)
        return self._walk(order, market, now_ns)

    def _walk(self, order: Order, market: Market, now_ns: int) -> list[Outcome]:
        """Walk the book, unless it cannot be looked at now."""
        if self._books.tops[order.token][11] >> 3 & 3 == _UNSETTLED:
            self._unsettled.setdefault(order.token, []).append(order.order_id)
            return []
        complement = self._markets.complement(order.token)
        crossed = self._books.is_crossed(order.token, complement)
        if crossed and self._refuses:
            return self._ended(order, RejectReason.CROSSED_BOOK, now_ns)
        steps = self._steps(order)
        total = sum(step.size_e6 for step in steps)
        if order.tif is FOK and total < order.size_e6:
            return self._ended(order, RejectReason.FOK_UNFILLED, now_ns)
        fees = self._terms.fees(market)
        tainted = crossed or self._is_tainted(order.token, now_ns)
        outcomes: list[Outcome] = []
        for step in steps:
            self._depth.take(
                order.token,
                complement,
                order.side,
                step.level_px_e6,
                step.size_e6,
            )
            fee = fees.fee(order.side, step.paid_px_e6, step.size_e6)
            outcomes.append(
                self._filled(order, step.paid_px_e6, step.size_e6, fee, now_ns, tainted=tainted)
            )
        left = order.size_e6 - total
        if left and (order.tif is GTC or order.tif is GTD):
            return [*outcomes, *self._rest(order, left, now_ns)]
        self._release(order, left, now_ns)
        if left:
            outcomes.append(self._reject(order, RejectReason.NO_MATCH, now_ns, left))
        return outcomes

    def _steps(self, order: Order) -> list[Step]:
        """Return what the order takes of the book as it is."""
        return walk(
            self._depth, order.token, order.side, order.limit_px_e6, order.size_e6,
            slippage_bps=self._terms.slippage_bps,
        )  # fmt: skip

    def _filled(
        self,
        order: Order,
        px_e6: PxE6,
        size_e6: SzE6,
        fee_e6: CashE6,
        now_ns: int,
        *,
        tainted: bool,
        is_maker: bool = False,
    ) -> Fill:
        top = self._books.tops[order.token]
        self._fills += 1
        ledger = self._ledger
        if order.side is BUY:
            paid = ledger.bought(order.token, px_e6, size_e6, fee_e6, now_ns, tainted=tainted)
            self._reserved[order.order_id] -= paid
        else:
            ledger.sold(order.token, px_e6, size_e6, fee_e6, now_ns, tainted=tainted)
        state = _STATES[self._books.state_number(order.token)]
        return Fill(
            self._fills, order.order_id, order.strategy_id, order.token, order.side,
            px_e6, size_e6, fee_e6, is_maker, now_ns, self._books.seq,
            state, now_ns - top[1], top[9], top[5], tainted,
        )  # fmt: skip

    def _rest(self, order: Order, left_e6: int, now_ns: int) -> list[Outcome]:
        ahead = self._ahead(order)
        self._orders.pop(order.order_id, None)
        self._resting[order.order_id] = _Resting(order, left_e6, ahead)
        self._by_token.setdefault(order.token, {})[order.order_id] = None
        if order.expires_ns is not None:
            heapq.heappush(self._expiries, _Waiting(order.expires_ns, order.order_id))
        left = SzE6(left_e6)
        return [Rested(order.order_id, order.strategy_id, order.token, left, now_ns)]

    def _ahead(self, order: Order) -> int:
        """Return what is displayed before us; with tops alone a level behind the best is not known."""
        side = BID if order.side is BUY else ASK
        levels = self._books.sides(order.token)[side]
        shown = levels.get(order.limit_px_e6)
        if shown is None and not self._books.has_levels:
            return UNKNOWN_QUEUE_E6 if not all(_meet(order, PxE6(px)) for px in levels) else 0
        return shown or 0

    def _drained(self, token: int, side: Side, px_e6: int, size_e6: int, now_ns: int) -> list[Fill]:
        """Let a trade at a price eat the queue, and then us; one that went past us had to eat us first."""
        outcomes: list[Fill] = []
        if token not in self._by_token or self._doubt(token, now_ns) is not None:
            return []
        tainted = self._is_tainted(token, now_ns)
        left = size_e6
        best_first = sorted(
            (self._resting[order_id] for order_id in self._by_token[token]),
            key=lambda one: one.order.limit_px_e6 * (-1 if side is BUY else 1),
        )
        for resting in best_first:
            order = resting.order
            if order.side is not side or not left:
                continue
            if order.limit_px_e6 == px_e6:
                drained = min(left, resting.ahead_e6)
                resting.ahead_e6 -= drained
                size = min(left - drained, resting.left_e6)
            elif (order.limit_px_e6 > px_e6) is (side is BUY):
                size = min(left, resting.left_e6)
            else:
                continue
            size -= size % SIZE_STEP_E6
            if size <= 0:
                continue
            left -= size
            resting.left_e6 -= size
            outcomes.append(
                self._filled(
                    order, order.limit_px_e6, SzE6(size), CashE6(0), now_ns,
                    tainted=tainted, is_maker=True,
                )
            )  # fmt: skip
            if not resting.left_e6:
                self._remove(resting, now_ns)
        return outcomes

    def _remove(self, resting: _Resting, now_ns: int) -> None:
        order = resting.order
        del self._resting[order.order_id]
        del self._by_token[order.token][order.order_id]
        self._release(order, resting.left_e6, now_ns)

    def _release(self, order: Order, left_e6: int, now_ns: int) -> None:
        """Give back what an order that is over still holds."""
        self._orders.pop(order.order_id, None)
        if order.side is SELL:
            if left_e6:
                self._ledger.withdraw_shares(order.token, SzE6(left_e6))
            return
        reserved = self._reserved.pop(order.order_id)
        self._priced.pop(order.order_id, None)
        if reserved:
            self._ledger.release_cash(CashE6(reserved), now_ns)

    def _ended(self, order: Order, reason: RejectReason, now_ns: int) -> list[Outcome]:
        self._release(order, order.size_e6, now_ns)
        return [self._reject(order, reason, now_ns)]

    def _reject(
        self, order: Order, reason: RejectReason, now_ns: int, left_e6: int | None = None
    ) -> Reject:
        left = SzE6(order.size_e6 if left_e6 is None else left_e6)
        return Reject(order.order_id, order.strategy_id, order.token, reason, left, now_ns)


def _meet(order: Order, px_e6: PxE6) -> bool:
    """Whether an order may trade at a price."""
    return px_e6 <= order.limit_px_e6 if order.side is BUY else px_e6 >= order.limit_px_e6
