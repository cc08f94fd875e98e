"""Hooks, sets and ends as a strategy meets them in the engine."""

from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from simulated import Script, fills, only, script, simulate
from streams import CENT, MS, NO, SHARE, WALL, YES, Stream

from pm_frames.continuity import State
from pm_frames.events import Kind, Side
from pm_sim import Buy, Cancel, Convert, Merge, PxE6, Sell, Strategy, SzE6, Tif
from pm_sim.allocator import Limits
from pm_sim.exchange import QueueModel, Taint
from pm_sim.fixed import ONE, CashE6
from pm_sim.orders import RejectReason
from pm_sim.report import verdict
from pm_sim.resolutions import Resolution
from pm_sim.settings import CENTRAL, WORST, OnError


def buy(px: int, size: int = 10, token: int = YES) -> Buy:
    return Buy(token, PxE6(px * CENT), SzE6(size * SHARE))


class Notes(Strategy):
    """Notes what each hook is given."""

    def __init__(self) -> None:
        super().__init__()
        self.seen: list[tuple[str, Any]] = []

    def on_depth(self, ctx: Any, event: Any, book: Any, portfolio: Any) -> None:
        self.seen.append(("depth", (event.token, book.bids[0].px_e6, len(book.asks))))

    def on_top_of_book(self, ctx: Any, event: Any, market_state: Any, portfolio: Any) -> None:
        self.seen.append(("top", event.token))

    def on_trade(self, ctx: Any, trade: Any, market_state: Any, portfolio: Any) -> None:
        self.seen.append(("trade", (trade.px_e6, trade.size_e6, trade.side, market_state.top.seq)))

    def on_state(self, ctx: Any, change: Any, portfolio: Any) -> None:
        self.seen.append(("state", (change.token, change.before, change.state, ctx.now_ns)))

    def on_market(self, ctx: Any, change: Any, portfolio: Any) -> None:
        self.seen.append(
            ("market", (change.facts.tick_e6, change.facts.is_open, change.payouts_e6))
        )


def test_every_hook_is_told_what_the_stream_says_in_its_order() -> None:
    data = Stream().market().book(YES, {40: 50}, {50: 50, 51: 9}).trade(YES, 50, 3, Side.BUY)
    data.event(Kind.TICK_SIZE, YES, bid_px_e6=1000, ask_px_e6=CENT)
    data.status(YES, State.RECONNECTING).resolved(YES)
    lost_at = data.now - MS
    [run] = only(simulate(data.end(), Notes)).runs
    assert isinstance(run.strategy, Notes)
    assert run.strategy.seen == [
        ("market", (CENT, True, None)),
        ("depth", (YES, 40 * CENT, 2)),
        ("top", YES),
        ("trade", (50 * CENT, 3 * SHARE, Side.BUY, 1)),
        ("market", (1000, True, None)),
        ("state", (YES, State.LIVE, State.RECONNECTING, lost_at)),
        ("market", (1000, False, {YES: 1_000_000, NO: 0})),
    ]


def test_depth_is_told_once_for_each_message_that_changed_a_level() -> None:
    data = Stream().market().book(YES, {40: 50}, {50: 50})
    data.event(Kind.TOB, YES, bid_px_e6=40 * CENT, ask_px_e6=50 * CENT)
    [run] = only(simulate(data.end(), Notes)).runs
    assert [name for name, _ in run.strategy.seen] == ["market", "depth", "top", "top"]  # type: ignore[attr-defined]


SET = {"neg_risk": True, "neg_risk_market_id": "0xset", "event_markets": 3}


def three() -> Stream:
    data = Stream()
    for number in range(3):
        data.market(number, **SET)
    for number in range(3):
        data.mirrored({40: 50}, {45: 50}, number)
    return data


@pytest.mark.parametrize(("wait", "sold"), [(1, False), (6, True)])
def test_a_conversion_pays_and_gives_its_shares_only_when_it_is_done(wait: int, sold: bool) -> None:
    """NO of two of three: a dollar a share, and YES of the third, both after the delay."""
    data = three()
    for _ in range(wait):
        data.mirrored({40: 50}, {45: 50})
    size = SzE6(10 * SHARE)
    yes = Sell(4, PxE6(40 * CENT), SzE6(5 * SHARE))
    plan: dict[int, list[Any]] = {
        6: [buy(60, token=1), buy(60, token=3)],
        7: [Convert((1, 3), size)],
        6 + 2 * wait: [yes],
    }
    data.mirrored({40: 50}, {45: 50})
    engine = simulate(data.end(), lambda: Script(plan), merge_delay_ns=3 * MS)
    told = script(engine).told
    assert (told[-1].reason.value if not sold else told[-1].px_e6) == (
        "not_held" if not sold else 40 * CENT
    )
    lens = only(engine)
    assert lens.ledger.positions_e6() == {4: (5 if sold else 10) * SHARE}
    assert lens.totals().in_transit_e6 == (0 if sold else 10 * SHARE)
    fees = lens.totals().fees_paid_e6
    # 12 dollars became 10 and YES shares that cost 2 and are worth 4, sold or not.
    assert lens.totals().total_pnl_e6 == 2 * SHARE - fees


def test_of_an_event_that_is_not_all_told_nothing_is_converted() -> None:
    """R409: the YES shares of a market that the stream leaves out would be missing."""
    data = Stream()
    for number in range(3):
        data.market(number, **{**SET, "event_markets": 4})
        data.mirrored({40: 50}, {45: 50}, number)
    data.mirrored({40: 50}, {45: 50})
    engine = simulate(
        data.end(), lambda: Script({6: [buy(60, token=1)], 7: [Convert((1,), SzE6(10 * SHARE))]})
    )
    assert only(engine).rejects.total() == 1
    assert only(engine).ledger.positions_e6() == {1: 10 * SHARE}


def test_a_conversion_that_cannot_be_is_refused() -> None:
    data = three()
    data.mirrored({40: 50}, {45: 50})
    size = SzE6(10 * SHARE)
    bad = [
        Convert((0,), size),
        Convert((1, 1), size),
        Convert((1,), size),
        Convert((1, 3), SzE6(0)),
    ]
    engine = simulate(data.end(), lambda: Script({6: [buy(45, token=0)], 7: bad}))
    assert only(engine).rejects.total() == 4
    assert only(engine).ledger.positions_e6() == {0: 10 * SHARE}


def test_shares_under_way_from_a_conversion_are_paid_out_when_their_market_ends() -> None:
    data = three()
    data.mirrored({40: 50}, {45: 50}).resolved(4, number=2).mirrored({40: 50}, {45: 50})
    plan: dict[int, list[Any]] = {
        6: [buy(60, token=1), buy(60, token=3)],
        7: [Convert((1, 3), SzE6(10 * SHARE))],
    }
    lens = only(simulate(data.end(later=9 * MS), lambda: Script(plan), merge_delay_ns=5 * MS))
    assert lens.ledger.positions_e6() == {}
    assert lens.totals().total_pnl_e6 == 8 * SHARE - lens.totals().fees_paid_e6


@pytest.mark.parametrize(("no", "pnl"), [(60, -1), (45, 0)])
def test_a_loss_that_is_under_way_counts_and_a_gain_does_not(no: int, pnl: int) -> None:
    data = Stream().market().book(YES, {40: 50}, {50: 50})
    data.book(NO, {35: 50}, {no: 50}).book(YES, {40: 50}, {65: 50})
    plan: dict[int, list[Any]] = {
        1: [buy(50)],
        2: [buy(no, token=NO)],
        3: [Merge(YES, SzE6(10 * SHARE))],
    }
    totals = only(simulate(data.end(), lambda: Script(plan), taint=Taint.LABEL)).totals()
    assert totals.in_transit_e6 == (50 + no) * SHARE // 10
    assert totals.total_pnl_e6 == pnl * SHARE - totals.fees_paid_e6
    assert totals.clean_pnl_e6 + totals.tainted_pnl_e6 == totals.total_pnl_e6


def test_a_market_that_has_ended_stays_so_under_another_id() -> None:
    data = Stream().market(0, market_id="0x0").book(YES, {40: 50}, {50: 50}).resolved(YES)
    data.market(0, market_id="named later").book(YES, {40: 50}, {50: 50})
    engine = simulate(data.end(), lambda: Script({3: [buy(50)]}))
    assert [one.reason.value for one in script(engine).told] == ["market_closed"]
    assert [one.market_id for one in engine.markets] == ["named later"]


@pytest.mark.parametrize(
    ("facts", "delay_ms"),
    [
        ({}, 0), ({"seconds_delay": 3}, 3000), ({"seconds_delay": "0.5"}, 500),
        ({"seconds_delay": "soon"}, 3000), ({"seconds_delay": -1}, 3000),
        ({"fee_type": "crypto_fees_v2"}, 50), ({"fee_type": "crypto_fees_v2", "seconds_delay": 1}, 1000),
    ],
)  # fmt: skip
def test_the_delay_of_a_market_is_never_less_than_what_is_known(
    facts: dict[str, Any], delay_ms: int
) -> None:
    engine = simulate(Stream().market(0, **facts).book(YES, {40: 5}, {50: 5}).end())
    assert engine.markets.by_token[YES].taker_delay_ns == delay_ms * MS


@pytest.mark.parametrize("lens", [WORST, CENTRAL])
@pytest.mark.parametrize("bps", [0, 100, 1000])
def test_fees_that_are_not_known_are_the_dearest(lens: str, bps: int) -> None:
    data = Stream().market(0, fee_schedule=None, fees_enabled=None).book(YES, {40: 50}, {50: 50})
    totals = only(
        simulate(data.end(), lambda: Script({1: [buy(50)]}), lenses=(lens,), fee_bps=bps)
    ).totals()
    assert totals.fees_paid_e6 == max(175_000, 5 * SHARE * bps // 10_000)


def test_a_stream_without_books_or_with_a_strategy_that_ran_away_is_not_ok() -> None:
    class Again(Script):
        def on_reject(self, ctx: Any, reject: Any, portfolio: Any) -> Iterator[Any]:  # type: ignore[override]
            yield Sell(YES, PxE6(50 * CENT), SzE6(5 * SHARE))

    data = Stream().market().book(YES, {40: 50}, {50: 50}).end()
    sale = Sell(YES, PxE6(50 * CENT), SzE6(5 * SHARE))
    ran = simulate(data, lambda: Again({1: [sale]}), on_error=OnError.COUNT)
    assert (verdict(ran, None).ok, verdict(simulate(data), None).ok) == (False, True)
    judged = verdict(simulate(Stream().market().status(YES, State.LIVE).end()), None)
    assert (judged.ok, judged.error) == (False, "the stream tells of no book")


PATHS = st.lists(
    st.tuples(st.integers(41, 60), st.integers(5, 20), st.booleans()), min_size=1, max_size=8
)


@effort(max_examples=30, deadline=None)
@given(PATHS, st.sampled_from([WORST, CENTRAL]))
def test_the_profit_of_a_flat_book_is_what_was_paid_and_got_whatever_the_path(
    path: list[tuple[int, int, bool]], lens: str
) -> None:
    """Buy on each book, and sell everything in one go or in two; then what is left."""
    data, plan = Stream(), dict[int, list[Any]]()
    data.market(0, min_size_e6=SHARE)
    fills: list[Any] = []
    held = 0
    for mid, size, halves in path:
        data.book(YES, {mid - 1: 1000}, {mid + 1: 1000})
        steps: list[Any] = [buy(mid + 1, size)]
        data.book(NO, {10: 10}, {99: 10})
        plan[data.seq - 1] = steps
        held += size
        if halves and held > 1:
            data.book(YES, {mid: 1000}, {mid + 2: 1000})
            part = held // 2
            plan[data.seq] = [Sell(YES, PxE6(mid * CENT), SzE6(part * SHARE))]
            held -= part
    data.book(YES, {30: 10_000}, {95: 10})
    plan[data.seq] = [Sell(YES, PxE6(30 * CENT), SzE6(held * SHARE))]
    engine = simulate(
        data.end(), lambda: Script(plan), lenses=(lens,),
        engine={"tell_fill": lambda _, fill: fills.append(fill)},
    )  # fmt: skip
    totals = only(engine).totals()
    assert only(engine).ledger.positions_e6() == {}
    flows = sum(
        one.px_e6 * one.size_e6 // 10**6 * (-1 if one.side.value == "buy" else 1) - one.fee_e6
        for one in fills
    )
    assert totals.total_pnl_e6 == totals.realized_pnl_e6 - totals.fees_paid_e6 == flows
    assert totals.cash_e6 == 1_000_000_000 + flows


def test_a_queue_in_the_engine_is_moved_by_trades_alone() -> None:
    order = buy(45)._replace(tif=Tif.GTC)
    data = Stream().market().book(YES, {45: 20}, {50: 50}).book(YES, {45: 20}, {50: 50})
    data.trade(YES, 45, 25, Side.SELL)
    lens = only(simulate(data.end(), lambda: Script({1: [order]}), queue=QueueModel.CONSERVATIVE))
    assert lens.ledger.positions_e6() == {YES: 5 * SHARE}
    assert lens.totals().fees_paid_e6 == 0


def test_the_worst_lens_takes_a_print_that_comes_again_for_the_same_trade() -> None:
    order = buy(45)._replace(tif=Tif.GTC)
    data = Stream().market().book(YES, {45: 20}, {50: 50}).book(YES, {45: 20}, {50: 50})
    for token, px, side in ((YES, 45, Side.SELL), (NO, 55, Side.BUY)):
        data.trade(token, px, 22, side, ts_event_ns=WALL)
    engine = simulate(
        data.end(),
        lambda: Script({1: [order]}),
        lenses=(WORST, CENTRAL),
        queue=QueueModel.CONSERVATIVE,
    )
    held = [lens.ledger.positions_e6() for lens in engine.lenses]
    assert held == [{YES: 2 * SHARE}, {YES: 10 * SHARE}]


def test_the_worst_lens_pays_the_dearer_fee_and_slippage_and_believes_no_restatement() -> None:
    data = Stream().market(0, fee_schedule={"rate": "0.1", "exponent": "1"})
    for size in (20, 30, 30):
        data.book(YES, {40: 50}, {50: size})
    plan = {1: [buy(60, 20)], 2: [buy(60, 20)]}
    engine = simulate(
        data.end(), lambda: Script(plan), lenses=(WORST, CENTRAL), slippage_bps=200, fee_bps=100
    )
    worst, central = engine.lenses
    assert worst.ledger.positions_e6() == {YES: 15 * SHARE}  # half of 20, then of 30 what is left
    assert central.ledger.positions_e6() == {YES: 40 * SHARE}
    assert worst.totals().cost_basis_e6 == 15 * 510_000
    assert worst.totals().fees_paid_e6 == 374_850  # 15 x 0.1 x 0.51 x 0.49
    flat = only(
        simulate(bytes(data.data), lambda: Script({1: [buy(60)]}), lenses=(WORST,), fee_bps=2000)
    )
    assert flat.totals().fees_paid_e6 == SHARE


def test_a_cancel_is_under_way_as_long_as_an_order() -> None:
    data = Stream().market()
    for _ in range(9):
        data.book(YES, {40: 50}, {50: 50})
    whole = data.end()
    for sent, cancelled in ((5, 1), (6, 1), (7, 0)):  # the stream ends 9 ms after it began
        plan: dict[int, list[Any]] = {1: [buy(45)._replace(tif=Tif.GTC)], sent: [Cancel(1)]}
        lens = only(simulate(whole, lambda plan=plan: Script(plan), latency_ns=3 * MS))  # type: ignore[misc]
        assert lens.counts["cancelled"] == cancelled


def test_fees_that_change_under_way_are_paid_and_must_be_afforded() -> None:
    for cash, reason in ((6_000_000, "fill"), (5_400_000, "cash")):
        data = Stream().market().book(YES, {40: 50}, {50: 50})
        data.book(YES, {40: 50}, {50: 50})
        data.market(0, fee_schedule={"rate": "0.3", "exponent": "1"})
        data.book(YES, {40: 50}, {50: 50}).book(YES, {40: 50}, {50: 50})
        engine = simulate(
            data.end(), lambda: Script({2: [buy(50)]}),
            lenses=(WORST,), latency_ns=MS, cash_e6=cash,
        )  # fmt: skip
        told = script(engine).told
        assert [one.reason.value if hasattr(one, "reason") else "fill" for one in told] == [reason]
        paid = 750_000 if reason == "fill" else 0
        assert only(engine).totals().fees_paid_e6 == paid
    data = Stream().market().book(YES, {40: 50}, {50: 50}).status(NO, State.LIVE)
    data.market(0, fee_schedule={"rate": "0.3", "exponent": "1"}).book(YES, {40: 50}, {50: 50})
    lens = only(simulate(data.end(), lambda: Script({1: [buy(50)], 3: [buy(50)]}), lenses=(WORST,)))
    assert lens.totals().fees_paid_e6 == 100_000 + 750_000


def test_a_resolution_that_leaves_out_an_outcome_is_passed_over() -> None:
    data = Stream().market().book(YES, {40: 50}, {50: 50}).end()
    half = Resolution({"t0": PxE6(1_000_000)}, None)
    engine = simulate(data, engine={"resolutions": [half]})
    assert engine.counts["resolutions_passed_over"] == 1
    assert engine.markets.by_token[YES].is_open


@pytest.mark.parametrize("limit", ["market_usd_e6", "total_usd_e6"])
def test_what_orders_hold_is_at_risk(limit: str) -> None:
    data = Stream().market().book(YES, {40: 50}, {50: 50}).book(YES, {40: 50}, {50: 50})
    steps = {1: [buy(45)._replace(tif=Tif.GTC)], 2: [buy(44), buy(30, 5)]}
    limits = Limits(**{limit: CashE6(7 * SHARE)})
    lens = only(simulate(data.end(), lambda: Script(steps), limits=limits))
    assert lens.allocator.dropped == {limit[:-3]: 1}


@pytest.mark.parametrize(("lens", "second"), [(WORST, 0), (CENTRAL, 12)])
def test_with_tops_alone_a_restated_size_is_believed_by_the_central_lens(
    lens: str, second: int
) -> None:
    data = Stream(depth=False).market().book(YES, {40: 50}, {50: 10})
    data.book(YES, {40: 50}, {50: 12}).book(YES, {40: 50}, {50: 12})
    plan = {1: [buy(50, 20)], 2: [buy(50, 20)]}
    engine = simulate(data.end(), lambda: Script(plan), lenses=(lens,))
    first = 10 if lens == CENTRAL else 5
    extra = 1 if lens == WORST else second  # half of what came on top
    assert only(engine).ledger.positions_e6() == {YES: (first + extra) * SHARE}


def test_with_tops_alone_an_empty_side_is_a_level_that_is_gone() -> None:
    data = Stream(depth=False).market()
    for asks in ({50: 50}, {50: 50}, {}, {50: 50}):
        data.book(YES, {40: 50}, asks)
    steps = {1: [buy(50, 25)], 2: [buy(50, 25)], 4: [buy(50, 25)]}
    assert [
        one.seq for one in fills(simulate(data.end(), lambda: Script(steps), lenses=(WORST,)))
    ] == [1, 4]


def test_a_market_that_was_over_before_it_is_told_is_settled_when_it_is() -> None:
    data = Stream().market().mirrored({40: 50}, {50: 50}).mirrored({40: 50}, {50: 50})
    over = Resolution({"t0": PxE6(0), "t1": ONE}, WALL - 1)
    elsewhere = Resolution({"x": PxE6(0), "y": ONE}, WALL - 1)
    engine = simulate(
        data.end(), lambda: Script({1: [buy(50)]}), engine={"resolutions": [over, elsewhere]}
    )
    assert fills(engine) == []
    assert only(engine).rejects[RejectReason.MARKET_CLOSED] == 1
    assert engine.counts["resolutions_passed_over"] == 1
