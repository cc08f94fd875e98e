"""Quotes inside the spread: their prices, the inventory, and every limit on their rate."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from set_streams import SetStream
from simulated import only, simulate

from pm_frames.continuity import State
from pm_frames.events import Side as TradeSide
from pm_sim import (
    Buy,
    Cancel,
    Intent,
    MarketState,
    Merge,
    OpenOrder,
    Portfolio,
    PxE6,
    Sell,
    Side,
    SzE6,
    Tif,
    Timer,
    TopOfBook,
    Urgency,
)
from pm_sim.engine import Engine
from pm_sim.exchange import QueueModel
from pm_sim.strategies.spread_capture import NS_PER_S, Bucket, SpreadCapture

MS = 1_000_000
SHARE, CENT = 1_000_000, 10_000
LIVE_SETTLED_END = int(State.LIVE) | 1 << 3 | 0x80


class Desk:
    """Calls the hooks by hand: what is yielded becomes an order that rests at once."""

    def __init__(self, **values: Any) -> None:
        self.strategy = SpreadCapture(**values)
        self.now_ns = 10 * NS_PER_S
        self.held: dict[int, int] = {}
        self.orders: dict[int, OpenOrder] = {}
        self.count = 0
        self.timers: list[Timer] = []
        self.strategy.on_start(self.ctx)

    @property
    def ctx(self) -> Any:
        market = SimpleNamespace(tokens=(0, 1), is_open=True, tick_e6=CENT)
        return SimpleNamespace(
            now_ns=self.now_ns,
            open_orders=lambda: tuple(self.orders.values()),
            facts=lambda token: SimpleNamespace(complement=1 - token, market=market),
        )

    @property
    def portfolio(self) -> Portfolio:
        return Portfolio(0, 0, 0, self.held)  # type: ignore[arg-type]

    def take(self, intents: Any) -> list[Intent]:
        """Answer what a hook yields; timers are kept apart."""
        taken: list[Intent] = []
        answer = None
        while intents is not None:
            try:
                intent = intents.send(answer)
            except StopIteration:
                break
            answer = None
            if isinstance(intent, Timer):
                self.timers.append(intent)
                continue
            taken.append(intent)
            if isinstance(intent, Cancel):
                self.orders.pop(intent.order_id, None)
            elif isinstance(intent, Buy | Sell):
                self.count += 1
                answer = self.count
                side = Side.BUY if isinstance(intent, Buy) else Side.SELL
                self.orders[answer] = OpenOrder(
                    answer, intent.token, side, intent.limit_px_e6, intent.size_e6, "", True
                )
        return taken

    def top(self, bid: int, ask: int, after_ms: int = 1_000, token: int = 0) -> list[Intent]:
        """Tell a top in cents, some time after the last."""
        self.now_ns += after_ms * MS
        event = TopOfBook(
            1, self.now_ns, -1, SzE6(SHARE), SzE6(SHARE), 0, token, PxE6(bid * CENT),
            PxE6(ask * CENT), 0, 16, LIVE_SETTLED_END,
        )  # fmt: skip
        facts = self.ctx.facts(token)
        state = MarketState(facts, event, int(State.LIVE))
        return self.take(self.strategy.on_top_of_book(self.ctx, event, state, self.portfolio))


def quoted(intents: list[Intent]) -> list[tuple[str, int, int]]:
    """Return kind, token and cents of orders."""
    assert all(
        one.tif is Tif.GTC and one.urgency is Urgency.MAKER
        for one in intents if isinstance(one, Buy | Sell)
    )  # fmt: skip
    return [
        (type(one).__name__, one.token, one.limit_px_e6 // CENT)
        for one in intents
        if isinstance(one, Buy | Sell)
    ]


def test_both_sides_are_quoted_and_the_ask_is_a_bid_for_the_other_token() -> None:
    assert quoted(Desk().top(40, 50)) == [("Buy", 0, 43), ("Buy", 1, 53)]
    desk = Desk()
    desk.held = {0: 10 * SHARE}
    assert quoted(desk.top(40, 50)) == [("Buy", 0, 43), ("Sell", 0, 47)]
    desk = Desk()
    desk.held = {1: 10 * SHARE}
    assert quoted(desk.top(40, 50)) == [("Sell", 1, 57), ("Buy", 1, 53)]


@pytest.mark.parametrize(("ask", "quotes"), [(43, 0), (44, 2), (50, 2)])
def test_a_spread_of_two_edges_is_needed(ask: int, quotes: int) -> None:
    assert len(quoted(Desk().top(40, ask))) == quotes


def test_quotes_are_a_tick_inside_of_the_best_prices() -> None:
    assert quoted(Desk().top(40, 44)) == [("Buy", 0, 41), ("Buy", 1, 57)]
    # An edge beyond the best prices would be no quote inside the spread.
    assert quoted(Desk(edge=0).top(40, 41)) == []
    assert quoted(Desk(edge=0).top(40, 42)) == []


def test_the_other_token_shows_the_same_book_and_is_not_looked_at() -> None:
    assert Desk().top(40, 50, token=1) == []


@given(
    st.integers(1, 998), st.integers(1, 998), st.sampled_from([1_000, 5_000, 10_000]),
    st.integers(0, 60),
)  # fmt: skip
def test_prices_lie_inside_on_the_tick_and_do_not_meet(
    one: int, other: int, tick: int, edge: int
) -> None:
    bid, ask = sorted((one * 1_000 // tick * tick, other * 1_000 // tick * tick))
    strategy = SpreadCapture(edge=edge * 1_000, tick_size=1_000)
    top: Any = SimpleNamespace(bid_px_e6=bid, ask_px_e6=ask)
    prices = strategy.prices(top, tick)
    if ask - bid < max(2 * edge * 1_000, 2 * tick):
        assert prices == {}
    elif prices:
        buy, sell = prices[Side.BUY], prices[Side.SELL]
        assert bid < buy < sell < ask
        assert buy % tick == sell % tick == 0
        assert buy - (bid + ask) / 2 <= max(-edge * 1_000, bid + tick - (bid + ask) / 2)


@given(st.integers(-150, 150))
def test_beyond_the_ratio_one_side_is_left_and_the_limit_is_never_passed(net: int) -> None:
    sides = SpreadCapture().sides(net * SHARE)
    assert (Side.BUY in sides) == (net <= 50)
    assert (Side.SELL in sides) == (net >= -50)


def test_the_largest_inventory_counts_the_quote_itself() -> None:
    strategy = SpreadCapture(max_inventory=15 * SHARE, rebalance_ratio=1_000_000)
    assert strategy.sides(5 * SHARE) == {Side.BUY, Side.SELL}
    assert strategy.sides(6 * SHARE) == {Side.SELL}
    assert strategy.sides(-6 * SHARE) == {Side.BUY}


def test_a_quote_at_its_price_stays_and_one_that_is_off_is_replaced() -> None:
    desk = Desk()
    desk.top(40, 50)
    assert desk.top(40, 50) == []
    moved = desk.top(42, 52)
    assert [type(one).__name__ for one in moved] == ["Cancel", "Buy", "Cancel", "Buy"]
    assert quoted(moved) == [("Buy", 0, 45), ("Buy", 1, 51)]
    assert len(desk.orders) == 2
    assert len(desk.timers) == 1


def test_a_change_below_the_least_is_none() -> None:
    desk = Desk(min_change_ticks=3)
    desk.top(40, 50)
    assert desk.top(42, 52) == []
    assert len(desk.top(43, 53)) == 4


@pytest.mark.parametrize(
    ("name", "value", "early_ms"),
    [
        ("min_requote_interval_ms", 700, 699),
        ("min_quote_lifetime_ms", 700, 699),
        ("min_side_replace_interval_ms", 700, 699),
    ],
)
def test_changes_wait_for_their_interval(name: str, value: int, early_ms: int) -> None:
    none = dict.fromkeys(
        ("min_requote_interval_ms", "min_quote_lifetime_ms", "min_side_replace_interval_ms"), 0
    )
    desk = Desk(**{**none, name: value})
    desk.top(40, 50)
    assert desk.top(42, 52, after_ms=early_ms) == []
    assert len(desk.top(42, 52, after_ms=1)) == 4


def test_a_jump_of_the_middle_takes_the_quotes_away_for_a_while() -> None:
    desk = Desk()
    desk.top(40, 50)
    assert [type(one) for one in desk.top(44, 54)] == [Cancel, Cancel]
    assert desk.orders == {}
    assert len(quoted(desk.top(44, 54))) == 2


def test_a_lost_book_and_a_stale_one_have_no_quotes() -> None:
    desk = Desk()
    desk.top(40, 50)
    change: Any = SimpleNamespace(token=0, state=State.RECONNECTING)
    lost = desk.take(desk.strategy.on_state(desk.ctx, change, desk.portfolio))
    assert [type(one) for one in lost] == [Cancel, Cancel]
    desk = Desk()
    desk.top(40, 50)
    [timer] = desk.timers
    assert timer.at_ns == desk.now_ns + 2_000 * MS
    # A top in between puts it off.
    desk.top(40, 50, after_ms=1_500)
    desk.now_ns = timer.at_ns
    assert desk.take(desk.strategy.on_timer(desk.ctx, timer, desk.portfolio)) == []
    again = desk.timers[-1]
    assert again.at_ns == timer.at_ns + 1_500 * MS
    desk.now_ns = again.at_ns
    gone = desk.take(desk.strategy.on_timer(desk.ctx, again, desk.portfolio))
    assert [type(one) for one in gone] == [Cancel, Cancel]


def test_orders_and_cancels_have_a_rate_in_event_time() -> None:
    desk = Desk(rate_capacity=3, rate_refill_per_sec=1, cancel_rate_capacity=1,
                cancel_rate_refill_per_sec=1)  # fmt: skip
    assert len(quoted(desk.top(40, 50))) == 2
    # One order is left, and one more has come; but there is one cancel alone.
    assert [type(one) for one in desk.top(42, 52)] == [Cancel, Buy]
    assert [type(one) for one in desk.top(42, 52)] == [Cancel, Buy]
    assert len(desk.orders) == 2


def test_a_quote_that_is_being_cancelled_can_still_fill_and_takes_up_room() -> None:
    desk = Desk(max_inventory=15 * SHARE, rebalance_ratio=1_000_000)
    assert len(quoted(desk.top(40, 50))) == 2
    # In either direction ten could still be had at the old price: ten more would be too many.
    assert [type(one) for one in desk.top(42, 52)] == [Cancel, Cancel]
    assert quoted(desk.top(42, 52)) == [("Buy", 0, 45), ("Buy", 1, 51)]
    roomy = Desk(max_inventory=20 * SHARE, rebalance_ratio=1_000_000)
    roomy.top(40, 50)
    assert [type(one) for one in roomy.top(42, 52)] == [Cancel, Buy, Cancel, Buy]


def test_what_a_lost_cancel_left_is_swept_up() -> None:
    desk = Desk()
    desk.top(40, 50)
    desk.orders[99] = OpenOrder(99, 1, Side.BUY, PxE6(10 * CENT), SzE6(SHARE), "", True)
    assert desk.top(40, 50) == [Cancel(99)]
    assert 99 not in desk.orders


def test_pairs_are_merged_but_not_what_is_offered() -> None:
    desk = Desk()
    desk.held = {0: 10 * SHARE, 1: 4 * SHARE}
    assert desk.top(40, 50)[0] == Merge(0, SzE6(4 * SHARE))
    # Now ten of the first are offered: nothing of it is free.
    assert not any(isinstance(one, Merge) for one in desk.top(40, 50))


@given(st.integers(1, 6), st.integers(0, 5), st.lists(st.integers(0, 2 * NS_PER_S), max_size=40))
def test_a_bucket_never_gives_more_than_its_capacity_and_what_time_brought(
    capacity: int, refill: int, waits: list[int]
) -> None:
    bucket, now, times = Bucket(capacity, refill), 0, []
    for wait in waits:
        now += wait
        if bucket.take(now):
            times.append(now)
    for at, first in enumerate(times):
        for count, last in enumerate(times[at:], start=1):
            assert (count - capacity) * NS_PER_S <= (last - first) * refill


def test_a_bucket_is_full_again_and_not_fuller() -> None:
    bucket = Bucket(2, 1)
    assert [bucket.take(0) for _ in range(3)] == [True, True, False]
    assert [bucket.take(NS_PER_S - 1), bucket.take(NS_PER_S)] == [False, True]
    assert [bucket.take(99 * NS_PER_S) for _ in range(3)] == [True, True, False]


# -- in the simulation ------------------------------------------------------------------------------


def churn(trades: int, **settings: Any) -> Engine:
    """Trades that go through the spread, both ways, on a book that stands still."""
    stream = SetStream(step_ns=400 * MS).event_of(1, neg_risk=False)
    for at in range(trades):
        stream.both(0, {40: 100}, {50: 100})
        stream.trade(0, 43 if at % 2 else 47, 40, TradeSide.SELL if at % 2 else TradeSide.BUY)
    return simulate(stream.end(later=61 * NS_PER_S), SpreadCapture, latency_ns=50 * MS, **settings)


def test_makers_do_not_fill_by_default() -> None:
    engine = churn(40)
    assert only(engine).fills.count == 0
    assert only(engine).runs[0].first_error is None
    assert only(engine).ledger.cash_e6 + only(engine).totals().reserved_e6 == 1_000_000_000


def test_in_the_queue_it_earns_the_spread_of_a_book_that_stands_still() -> None:
    engine = churn(60, queue=QueueModel.CONSERVATIVE)
    lens = only(engine)
    assert lens.runs[0].first_error is None
    assert lens.fills.count > 10
    assert lens.totals().fees_paid_e6 == 0
    assert lens.totals().realized_pnl_e6 > 0
    assert all(size <= 100 * SHARE for size in lens.ledger.positions_e6().values())
