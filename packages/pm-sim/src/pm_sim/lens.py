"""One lens: an account at its own venue, with its own instances of the strategies.

The engine tells it what the stream says and how late it is; everything that is due in between, in the order
of docs/design/simulation.md, happens in `advance`.
"""

import heapq
from collections import Counter, deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Final, NamedTuple, cast

from pm_sim.allocator import NO_RISK, Allocator, Risk
from pm_sim.books import Books, Slot
from pm_sim.depth import Depth
from pm_sim.exchange import Exchange, Terms
from pm_sim.facts import Facts
from pm_sim.fees import Dearer, FeeModel, FlatBps, MarketFees
from pm_sim.fixed import BPS, CashE6, PxE6, SzE6
from pm_sim.hashing import LineHash, fill_line, intent_line
from pm_sim.intents import Buy, Cancel, Convert, Merge, Sell, Timer
from pm_sim.ledger import Ledger, Totals
from pm_sim.markets import Market
from pm_sim.orders import BUY, SELL, Fill, Order, Outcome, Reject, RejectReason, Side
from pm_sim.running import IntentError, Running, checked, complement_of
from pm_sim.settings import WORST, OnError, Settings, Unheld
from pm_sim.strategy import Strategy
from pm_sim.views import EMPTY_PORTFOLIO, Portfolio, TokenFacts

NEVER: Final = 1 << 63
_ARRIVAL, _TIMER = 0, 1
_make: Any = tuple.__new__  # a NamedTuple's own constructor takes twice as long


class StrategyFailed(Exception):
    """A strategy raised, and the policy is that this ends the simulation."""


class _Due(NamedTuple):
    due_ns: int
    rank: int
    number: int  # in the order in which they were sent
    run: Running
    what: Order | Cancel | Timer


class Lens:
    """Everything that one lens knows; see the module."""

    def __init__(
        self,
        name: str,
        settings: Settings,
        facts: Facts,
        books: Books,
        masked: Callable[[int, int], bool],
        doubted: Callable[[int], bool],
    ) -> None:
        """Open the account.

        `masked`: whether a hindsight mask covers a token at a time; `doubted`: whether it covers the last top.
        """
        worst = name == WORST
        self.name = name
        self.settings = settings
        self.facts = facts
        self.books = books
        self._doubted = doubted
        self.ledger = Ledger(settings.cash_e6)
        self.terms = _terms(settings, masked, worst=worst)
        self.depth = Depth(
            books, share_bps=BPS // 2 if worst else BPS, forget_on_restatement=not worst
        )
        self.exchange = Exchange(facts.markets, self.depth, self.ledger, self.terms)
        self.allocator = Allocator(settings.limits)
        self.runs: list[Running] = []
        self.hooks: frozenset[str] = frozenset()  # that any of them has
        self.portfolio: Portfolio = EMPTY_PORTFOLIO
        self.due_ns = NEVER
        self.is_stirred = False  # by an intent: something is to be told, or due at another time
        self.intents = LineHash()
        self.fills = LineHash()
        self.submitted = 0
        self.disabled = 0  # strategies
        self.rejects: Counter[RejectReason] = Counter()
        self.counts: Counter[str] = Counter()
        self.tell_fill: Callable[[Lens, Fill], object] = lambda lens, fill: None
        self._is_turning = settings.unheld is Unheld.COMPLEMENT
        self._latency_ns = settings.order_latency.draw_ns
        self._heap: list[_Due] = []
        self._sent = 0
        self._orders = 0
        self._tokens: list[int] = []  # of order n at n - 1
        self._told: deque[Outcome] = deque()
        self._is_telling = False
        self._moves = 0
        self._postings = 0
        self._by_id: dict[str, Running] = {}
        self._refresh()

    def add(self, strategy: Strategy, strategy_id: str) -> Running:
        """Let a strategy take part; they are asked in the order of their ids."""
        run = Running(strategy, strategy_id, self, self.settings.seed)
        self._by_id[strategy_id] = run
        self.runs = [self._by_id[one] for one in sorted(self._by_id)]
        self.hooks = frozenset().union(*(one.hooks for one in self.runs))
        return run

    # -- strategies -----------------------------------------------------------------------------

    def call(self, hook: str, *arguments: object, of: TokenFacts | None = None) -> None:
        """Call a hook of every strategy that has it; `of`: and that wants to see this token."""
        for run in self.runs if hook in self.hooks else ():
            if not run.is_disabled and hook in run.hooks and (of is None or self.shows(run, of)):
                self._call(run, hook, *arguments)
        self.settle_down()

    def drive(self, run: Running, intents: Iterator[Any], first: Any, hook: str) -> None:
        """Take what a hook yields, from `first` on, and answer each intent."""
        send = getattr(intents, "send", None)
        intent, tokens = first, self.facts.tokens
        left = self.settings.max_intents_per_callback
        while intent is not None:
            if not left:
                self.raised(run, hook, IntentError("it yields more intents than one call may"))
                break
            left -= 1
            try:
                wanted = checked(intent, tokens)
            except IntentError as error:
                self.raised(run, hook, error)
                break
            if isinstance(wanted, Buy) or isinstance(wanted, Sell):
                answer = self._place(run, wanted)
            else:
                answer = None
                self._intend(run, wanted)
            try:
                intent = next(intents) if send is None else send(answer)
            except StopIteration:
                break
            except Exception as error:
                self.raised(run, hook, error)
                break

    def raised(self, run: Running, hook: str, error: Exception) -> None:
        """Contain what a strategy raised, by the policy. Raises `StrategyFailed` if that is `fatal`."""
        self.is_stirred = True
        run.raised(hook, self.books.seq, error)
        if self.settings.on_error is OnError.FATAL:
            raise StrategyFailed(f"{run.strategy_id}: {run.first_error}") from error
        if self.settings.on_error is OnError.DISABLE:
            self._disable(run)

    def shows(self, run: Running, known: TokenFacts) -> bool:
        """Say whether a strategy is shown the books of a token."""
        try:
            return not run.is_disabled and bool(run.strategy.sees_token(known))
        except Exception as error:
            self.raised(run, "sees_token", error)
            return False

    def _disable(self, run: Running) -> None:
        self.disabled += not run.is_disabled
        run.is_disabled = True

    def settle_down(self) -> None:
        """Tell outcomes until there are none, and say what is due next."""
        if self._is_telling:
            return
        self._is_telling = True
        try:
            while self._told:
                self._tell(self._told.popleft())
        finally:
            self._is_telling = False
        self.is_stirred = False
        self._refresh()

    def _call(self, run: Running, hook: str, *arguments: object) -> None:
        try:
            intents = getattr(run.strategy, hook)(run.ctx, *arguments)
            if intents is None:
                return
            first = next(intents, None)
        except Exception as error:
            self.raised(run, hook, error)
            return
        if first is not None:
            self.drive(run, intents, first, hook)

    def _call_back(self, run: Running, hook: str, argument: object) -> None:
        """Call a hook that the strategy itself has caused."""
        if run.is_disabled or hook not in run.hooks:
            return
        if run.answers_itself(self.books.now_ns):
            self.raised(run, hook, RuntimeError("it answers itself at one instant for ever"))
            self._disable(run)
            return
        self._refresh()
        self._call(run, hook, argument, self.portfolio)

    # -- intents --------------------------------------------------------------------------------

    def _intend(self, run: Running, intent: Cancel | Merge | Convert | Timer) -> None:
        if isinstance(intent, Timer):
            self._push(max(intent.at_ns, self.books.now_ns), _TIMER, run, intent)
            return
        if not self._lets_through(run, NO_RISK):
            return
        if isinstance(intent, Cancel):
            known = 0 < intent.order_id <= len(self._tokens)
            self._hash(run, intent, self._tokens[intent.order_id - 1] if known else None)
            self.submitted += 1
            delay = self.settings.cancel_latency.draw_ns(intent.order_id)
            self._push(self.books.now_ns + delay, _ARRIVAL, run, intent)
        elif isinstance(intent, Merge):
            self._hash(run, intent, intent.token)
            self._merge(run, intent)
        else:
            self._hash(run, intent, intent.tokens[0] if intent.tokens else None)
            self._convert(run, intent)

    def _place(self, run: Running, intent: Buy | Sell) -> int | None:
        wanted: Buy | Sell = intent
        if self._is_turning and isinstance(intent, Sell):
            other = self.facts.markets.complement(intent.token)
            if other is not None and self.ledger.holding(intent.token).free_e6 < intent.size_e6:
                wanted = complement_of(intent, other)
        token, px_e6, size_e6, tif, urgency, tag, expires_ns = wanted
        books, number, strategy_id = self.books, self._orders + 1, run.strategy_id
        seq, now = books.seq, books.now_ns
        side = BUY if isinstance(wanted, Buy) else SELL
        allocator, exchange = self.allocator, self.exchange
        risk = self._risk(token, side, px_e6, size_e6) if allocator.limits_money else NO_RISK
        if not allocator.lets_through(strategy_id, (seq, now), risk):
            return None
        self._orders = number
        self._tokens.append(token)
        market_id = self.facts.markets.ids[intent[0]]
        self.intents.add(intent_line(seq, strategy_id, market_id, intent))
        reason = exchange.set_aside(number, token, side, px_e6, size_e6, now)
        if reason is None:
            arrives = now + self._latency_ns(number)
            order: Order = _make(Order, (
                number, strategy_id, seq, token, side, px_e6, size_e6, tif, urgency, tag or "",
                now, arrives, expires_ns,
            ))  # fmt: skip
            exchange.sent(order)
            self.submitted += 1
            self._push(arrives, _ARRIVAL, run, order)
        elif run.hears_rejects:
            self._tell_later(Reject(number, strategy_id, token, reason, size_e6, now))
        else:
            self.rejects[reason] += 1
        return number

    def _lets_through(self, run: Running, risk: Risk) -> bool:
        return self.allocator.lets_through(
            run.strategy_id, (self.books.seq, self.books.now_ns), risk
        )

    def _risk(self, token: int, side: Side, px_e6: PxE6, size_e6: SzE6) -> Risk:
        if side is SELL:
            return NO_RISK
        market = self.facts.markets.of(token)
        tokens = (token,) if market is None else market.tokens
        costs = sum(self.ledger.holding(one).cost_e6 for one in tokens)
        totals = self.ledger.totals({})
        return Risk(
            self.exchange.bounds.buy_e6(token, px_e6, size_e6),
            costs + self.exchange.reserved_e6(tokens),
            totals.cost_basis_e6 + totals.reserved_e6,
        )

    def _hash(self, run: Running, intent: Cancel | Merge | Convert, token: int | None) -> None:
        market_id = "" if token is None else self.facts.markets.ids[token]
        self.intents.add(intent_line(self.books.seq, run.strategy_id, market_id, intent))

    def _merge(self, run: Running, intent: Merge) -> None:
        market = self.facts.markets.of(intent.token)
        done = (
            market is not None
            and len(market.tokens) == 2
            and intent.size_e6 > 0
            and self.ledger.merge(
                market.tokens,
                intent.size_e6,
                pays_e6=CashE6(int(intent.size_e6)),
                at_ns=self.books.now_ns,
                due_ns=self.books.now_ns + self.settings.merge_delay_ns,
            )
        )
        self._settled_on_chain(run, intent.token, intent.size_e6, done=done)

    def _convert(self, run: Running, intent: Convert) -> None:
        got = _yes_of_the_others(self.facts.markets, intent.tokens)
        done = (
            got is not None
            and intent.size_e6 > 0
            and self.ledger.convert(
                intent.tokens,
                got,
                intent.size_e6,
                at_ns=self.books.now_ns,
                due_ns=self.books.now_ns + self.settings.merge_delay_ns,
            )
        )
        token = intent.tokens[0] if intent.tokens else -1
        self._settled_on_chain(run, token, intent.size_e6, done=done)

    def _settled_on_chain(self, run: Running, token: int, size_e6: SzE6, *, done: bool) -> None:
        if done:
            self.submitted += 1
            self.is_stirred = True
            self._refresh()
            return
        reason = RejectReason.NOT_HELD
        self._tell_later(Reject(0, run.strategy_id, token, reason, size_e6, self.books.now_ns))

    def _tell_later(self, outcome: Outcome) -> None:
        self._told.append(outcome)
        self.is_stirred = True

    def _push(self, due_ns: int, rank: int, run: Running, what: Order | Cancel | Timer) -> None:
        self._sent += 1
        self.is_stirred = True
        heapq.heappush(self._heap, _Due(due_ns, rank, self._sent, run, what))

    # -- time -----------------------------------------------------------------------------------

    def advance(self, before_ns: int) -> None:
        """Let everything happen that is due before a time."""
        while self.due_ns < before_ns:
            self.books.now_ns = now = self.due_ns
            arrival, deadline = self.ledger.next_arrival_ns(), self.exchange.deadline()
            if arrival is not None and arrival <= now:
                self.ledger.arrive(now)
            elif deadline is not None and deadline <= now:
                self.take(self.exchange.deadline_reached(now))
            else:
                self._happen(heapq.heappop(self._heap))
            self.settle_down()

    def _happen(self, due: _Due) -> None:
        what = due.what
        if isinstance(what, Order):
            self.take(self.exchange.arrived(what, self.books.now_ns))
        elif isinstance(what, Cancel):
            self.take(self.exchange.cancel(what.order_id, due.run.strategy_id, self.books.now_ns))
        else:
            self._call_back(due.run, "on_timer", what)

    def take(self, outcomes: Sequence[Outcome]) -> None:
        """Take what the venue has done; it is told in `settle_down`."""
        self._told.extend(outcomes)

    def _tell(self, outcome: Outcome) -> None:
        run = self._by_id[outcome.strategy_id]
        if isinstance(outcome, Fill):
            self.fills.add(fill_line(outcome, self.facts.markets.ids[outcome.token]))
            self.counts["maker_fills" if outcome.is_maker else "taker_fills"] += 1
            self.counts["tainted_fills"] += outcome.is_tainted
            self.tell_fill(self, outcome)
            self._call_back(run, "on_fill", outcome)
        elif isinstance(outcome, Reject):
            self.rejects[outcome.reason] += 1
            self._call_back(run, "on_reject", outcome)
        else:
            self.counts[type(outcome).__name__.lower()] += 1

    def _refresh(self) -> None:
        """Make the portfolio anew if money has moved, and say when the next thing is due."""
        ledger = self.ledger
        if self._postings != ledger.postings:
            self._postings = ledger.postings
            balances = ledger.balances
            positions = self.portfolio.held_e6
            if self._moves != ledger.moves:
                self._moves = ledger.moves
                positions = cast("Mapping[int, SzE6]", MappingProxyType(ledger.held_e6.copy()))
            self.portfolio = Portfolio(
                cast(CashE6, balances["cash"]),
                cast(CashE6, balances["reserved"]),
                cast(CashE6, balances["in_transit"]),
                positions,
            )
        due = self._heap[0].due_ns if self._heap else NEVER
        arrival, deadline = ledger.next_arrival_ns(), self.exchange.deadline()
        if arrival is not None and arrival < due:
            due = arrival
        if deadline is not None and deadline < due:
            due = deadline
        self.due_ns = due

    # -- the stream -----------------------------------------------------------------------------

    def top(self, slot: Slot) -> bool:
        """Take a TOB that may matter to an order or to what was taken; say whether anything came of it."""
        outcomes = self.exchange.top(slot)
        if outcomes:
            self.take(outcomes)
            self.settle_down()
        return bool(outcomes)

    def closed(self, market: Market, now_ns: int) -> None:
        """Take the end of a market: orders end, and shares are paid out if it is known what they pay."""
        self.ledger.arrive(now_ns)
        self.take(self.exchange.closed(market, now_ns))
        for token, payout in (market.payouts_e6 or {}).items():
            if self.ledger.settle(token, payout, now_ns):
                self.counts["settled"] += 1
        self.settle_down()

    def marks(self) -> dict[int, PxE6 | None]:
        """Return the best bid of which something is left, of every token that is held.

        None where there is no such bid, or the book cannot be believed.
        """
        marks: dict[int, PxE6 | None] = {}
        for token in self.ledger.positions_e6():
            complement = self.facts.markets.complement(token)
            believed = (
                self.books.is_markable(token)
                and not self.books.is_crossed(token, complement)
                and not self._doubted(token)
            )
            bids = self.depth.reachable(token, SELL, PxE6(1)) if believed else []
            marks[token] = bids[0].px_e6 if bids else None
        return marks

    def totals(self) -> Totals:
        """Value the account as it stands."""
        return self.ledger.totals(self.marks())


def _terms(settings: Settings, masked: Callable[[int, int], bool], *, worst: bool) -> Terms:
    flat = FlatBps(settings.fee_bps)
    made: dict[str, tuple[MarketFees, FeeModel]] = {}  # by market, while its fees are the same

    def dearer(market: Market) -> FeeModel:
        found = made.get(market.market_id)
        if found is None or found[0] is not market.fees:
            found = made[market.market_id] = market.fees, Dearer(flat, market.fees.model)
        return found[1]

    def stated(market: Market) -> FeeModel:
        return market.fees.model if market.fees.is_known else dearer(market)

    return Terms(
        fees=dearer if worst else stated,
        slippage_bps=settings.slippage_bps if worst else 0,
        taint=settings.taint,
        queue=settings.queue,
        doubts_prints=worst,
        masked=masked,
    )


def _yes_of_the_others(markets: Any, given: tuple[int, ...]) -> list[int] | None:
    """Return the YES tokens that a conversion of NO tokens gives; None if they are no such tokens."""
    chosen = [markets.by_token.get(token) for token in given]
    if not chosen or len(set(given)) < len(given) or any(one is None for one in chosen):
        return None
    sets = {one.set_id for one in chosen}
    members = None if None in sets or len(sets) > 1 else markets.complete_set(sets.pop())
    if members is None or any(len(one.tokens) != 2 for one in members):
        return None
    if any(token != one.tokens[1] for token, one in zip(given, chosen, strict=True)):
        return None
    return [one.tokens[0] for one in members if one not in chosen]
