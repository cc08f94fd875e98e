"""What happens when, and that nothing known later is used earlier."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import settings as effort
from hypothesis import strategies as st
from simulated import Script, fills, only, script, simulate
from streams import CENT, MS, NO, SHARE, T0, WALL, YES, Stream, walk

from pm_frames.continuity import State
from pm_frames.events import CorruptEvents, EventReader, Kind, Settled
from pm_sim import (
    Buy,
    Cancel,
    Context,
    Intent,
    MarketState,
    Merge,
    Portfolio,
    PxE6,
    Sell,
    Strategy,
    SzE6,
    Tif,
    Timer,
    TopOfBook,
    Urgency,
)
from pm_sim.engine import Engine
from pm_sim.lens import StrategyFailed
from pm_sim.mask import Mask
from pm_sim.orders import Reject, RejectReason
from pm_sim.resolutions import Resolution
from pm_sim.settings import CENTRAL, WORST, OnError, Settings, Unheld
from pm_sim.strategies.controls import RandomTaker, RoundTrip
from pm_sim.strategies.toy_spread import ToySpread


def buy(px: int, size: int = 10, token: int = YES, **more: Any) -> Buy:
    return Buy(token, PxE6(px * CENT), SzE6(size * SHARE), **more)


def sell(px: int, size: int = 10, token: int = YES, **more: Any) -> Sell:
    return Sell(token, PxE6(px * CENT), SzE6(size * SHARE), **more)


def plan(steps: Any) -> Callable[[], Strategy]:
    return lambda: Script(steps)


def test_an_order_meets_the_book_of_the_moment_of_its_arrival() -> None:
    """The book of seq 1 is what it saw; that of seq 3, of its own arrival's instant, is what it gets."""
    data = Stream().market().book(YES, {40: 50}, {50: 50}).book(YES, {40: 50}, {48: 50})
    data.book(YES, {40: 50}, {47: 50}).book(YES, {40: 50}, {45: 50})
    engine = simulate(data.end(), plan({1: [buy(50)]}), latency_ns=2 * MS)
    [fill] = fills(engine)
    assert (fill.px_e6, fill.at_ns, fill.seq) == (47 * CENT, T0 + 3 * MS, 3)


def test_what_is_due_at_the_end_still_happens_and_nothing_after_it() -> None:
    data = Stream().market().book(YES, {40: 50}, {50: 50})
    assert len(fills(simulate(data.end(later=5), plan({1: [buy(50)]}), latency_ns=5))) == 1
    data = Stream().market().book(YES, {40: 50}, {50: 50})
    engine = simulate(data.end(later=5), plan({1: [buy(50)]}), latency_ns=6)
    assert not fills(engine)
    assert len(only(engine).exchange.open_orders()) == 1


def test_timers_fire_before_the_next_event_and_after_what_arrives_with_them() -> None:
    data = Stream().market().book(YES, {40: 50}, {50: 50}).book(YES, {40: 50}, {50: 50}).end()
    intents = [Timer(T0 + MS + 5, "t"), Timer(0, "late"), buy(50)]
    engine = simulate(data, plan({1: intents}), latency_ns=5)
    told = script(engine).told
    assert [getattr(one, "tag", "fill") for one in told] == ["late", "fill", "t"]
    assert script(engine).times == [T0 + MS, T0 + MS + 5, T0 + MS + 5]


def test_an_intent_is_answered_with_the_number_of_its_order() -> None:
    data = Stream().market().book(YES, {40: 50}, {50: 50}).book(YES, {40: 50}, {50: 50})
    steps = {1: [buy(40, tif=Tif.GTC, urgency=Urgency.MAKER), buy(41, tif=Tif.GTC)], 2: [Cancel(1)]}
    engine = simulate(data.end(), plan(steps))
    assert script(engine).answers == [1, 2, None]
    [(order, _, resting)] = only(engine).exchange.open_orders()
    assert (order.order_id, resting) == (2, True)
    assert only(engine).counts["cancelled"] == 1


def test_a_market_that_resolves_in_the_stream_pays_at_once_and_ends_its_orders() -> None:
    data = Stream().market().mirrored({40: 50}, {50: 50})
    data.mirrored({45: 50}, {50: 50}).resolved(YES).end()
    steps = {1: [buy(50)], 3: [sell(60, tif=Tif.GTC), buy(30, tif=Tif.GTC)], 4: [sell(45, 5)]}
    for latency in (0, 10 * MS):
        engine = simulate(bytes(data.data), plan(steps), latency_ns=latency)
        lens = only(engine)
        assert not lens.exchange.open_orders()
        assert lens.ledger.positions_e6() == {}
        assert lens.totals().reserved_e6 == 0
        if not latency:
            assert lens.totals().total_pnl_e6 == 10 * SHARE - 5 * SHARE - lens.totals().fees_paid_e6
        assert {one.reason for one in script(engine).told if isinstance(one, Reject)} <= {
            RejectReason.MARKET_CLOSED, RejectReason.NOT_HELD,
        }  # fmt: skip


@pytest.mark.parametrize(("payout", "pays"), [(1_000_000, 10), (0, 0), (500_000, 5)])
def test_a_resolution_pays_at_its_time_even_after_the_end(payout: int, pays: int) -> None:
    data = Stream().market().book(YES, {40: 50}, {50: 50}).book(YES, {40: 50}, {50: 50}).end()
    day = 86_400 * 10**9
    payouts = {"t0": PxE6(payout), "t1": PxE6(1_000_000 - payout)}
    ended = Resolution(payouts, WALL + 2 * day)
    engine = simulate(data, plan({1: [buy(50)]}), engine={"resolutions": [ended]})
    totals = only(engine).totals()
    assert totals.realized_pnl_e6 == pays * SHARE - 5 * SHARE
    assert totals.unrealized_pnl_e6 == 0
    assert only(engine).ledger.capital_days_e6(engine.books.now_ns) in range(9_999_000, 10_000_001)


def test_a_resolution_within_the_stream_closes_the_market_then() -> None:
    data = Stream().market().book(YES, {40: 50}, {50: 50}).book(YES, {40: 50}, {50: 50})
    ended = Resolution({"t0": PxE6(0), "t1": PxE6(1_000_000)}, WALL + MS + 1)
    engine = simulate(data.end(), plan({2: [buy(50)]}), engine={"resolutions": [ended]})
    [reject] = script(engine).told
    assert reject.reason is RejectReason.MARKET_CLOSED


def test_a_book_that_is_lost_refuses_and_a_label_taints() -> None:
    data = Stream().market().book(YES, {40: 50}, {50: 50}).status(YES, State.RECONNECTING)
    data.book(NO, {40: 50}, {60: 50}).end()
    refused = simulate(bytes(data.data), plan({3: [buy(50)]}))
    assert [one.reason for one in script(refused).told] == [RejectReason.NOT_LIVE]
    from pm_sim.exchange import Taint

    labelled = simulate(bytes(data.data), plan({3: [buy(50)]}), taint=Taint.LABEL)
    [fill] = fills(labelled)
    assert (fill.is_tainted, fill.state) == (True, State.RECONNECTING)
    totals = only(labelled).totals()
    assert totals.clean_pnl_e6 == 0
    assert totals.tainted_pnl_e6 == totals.total_pnl_e6 < 0


@pytest.mark.parametrize(("lost", "worth"), [(False, 4), (True, 0)])
def test_a_position_whose_book_was_lost_is_worth_nothing_at_the_end(lost: bool, worth: int) -> None:
    data = Stream().market().book(YES, {40: 50}, {50: 50}).book(YES, {40: 50}, {50: 50})
    data.status(YES, State.RECONNECTING if lost else State.ENDED)
    totals = only(simulate(data.end(), plan({1: [buy(50)]}))).totals()
    assert totals.unrealized_pnl_e6 == worth * SHARE - 5 * SHARE


@pytest.mark.parametrize(("depth", "second"), [(True, 10), (False, 0)])
def test_a_level_behind_the_best_is_seen_to_go_only_with_depth(depth: bool, second: int) -> None:
    data = Stream(depth=depth).market().book(YES, {40: 50}, {50: 10})
    for asks in ({50: 10}, {45: 10}, {45: 10}, {50: 10}, {50: 10}):
        data.book(YES, {40: 50}, asks)
    engine = simulate(data.end(), plan({1: [buy(50)], 5: [buy(50)]}))
    assert [one.size_e6 for one in fills(engine)] == [10 * SHARE] + [second * SHARE] * bool(second)


def test_a_mask_takes_fills_away() -> None:
    data = Stream().market().book(YES, {40: 50}, {50: 50}).book(YES, {40: 50}, {50: 50}).end()
    mask = Mask("x", {"t0": [(T0 + 2 * MS, T0 + 3 * MS)]})
    engine = simulate(data, plan({1: [buy(50)], 2: [buy(50)]}), engine={"mask": mask})
    assert [type(one).__name__ for one in script(engine).told] == ["Fill", "Reject"]


@pytest.mark.parametrize(
    ("seconds", "breaks_first", "mark"),
    [(0, False, 40), (9, False, 40), (11, False, None), (0, True, None)],
)
def test_a_run_that_stops_as_planned_leaves_its_last_bids_to_mark_by(
    seconds: int, breaks_first: bool, mark: int | None
) -> None:
    """pm-capture closes its connections before it ends; long before that a book is not known to the end."""
    data = Stream().market().mirrored({40: 50}, {50: 50})
    if breaks_first:
        data.now += MS
        data.event(Kind.TICK_SIZE, YES, bid_px_e6=CENT)
    data.status(YES, State.PLANNED_CHANGE)
    data.now += seconds * 1_000_000_000
    data.status(YES, State.ENDED, State.PLANNED_CHANGE)
    engine = simulate(data.end(), plan({1: [buy(50)]}))
    assert only(engine).marks() == {YES: None if mark is None else mark * CENT}


def test_a_mask_on_one_token_takes_fills_of_its_mirror_and_its_mark() -> None:
    data = Stream().market()
    for _ in range(3):
        data.mirrored({40: 50}, {50: 50})
    mask = Mask("x", {"t1": [(T0 + 2 * MS, T0 + 9 * MS)]})
    engine = simulate(data.end(), plan({1: [buy(50)], 3: [buy(50)]}), engine={"mask": mask})
    assert [type(one).__name__ for one in script(engine).told] == ["Fill", "Reject"]
    assert only(engine).rejects[RejectReason.MASKED] == 1
    assert only(engine).marks() == {YES: None}


class Endless(Strategy):
    """Yields the same intent for ever."""

    def on_top_of_book(
        self, ctx: Context, event: TopOfBook, market_state: MarketState, portfolio: Portfolio
    ) -> Iterator[Intent]:
        while True:
            yield Timer(ctx.now_ns + 1)


@pytest.mark.parametrize("policy", list(OnError))
def test_a_strategy_that_yields_without_end_is_at_fault(policy: OnError) -> None:
    data = Stream().market().book(YES, {40: 50}, {50: 50}).book(YES, {40: 50}, {50: 50}).end()

    def run() -> Engine:
        return simulate(data, ("e", Endless), max_intents_per_callback=7, on_error=policy)

    if policy is OnError.FATAL:
        with pytest.raises(StrategyFailed, match="more intents than one call may"):
            run()
        return
    [ended] = only(run()).runs
    assert ended.is_disabled is (policy is OnError.DISABLE)
    assert ended.errors == (1 if policy is OnError.DISABLE else 2)


def test_as_many_intents_as_a_call_may_yield_are_no_fault() -> None:
    data = Stream().market().book(YES, {40: 50}, {50: 50}).end()
    seven = plan({1: [buy(50, size=5) for _ in range(7)]})
    assert only(simulate(data, seven, max_intents_per_callback=7)).intents.count == 7
    assert only(simulate(data, seven, max_intents_per_callback=6)).runs[0].errors == 1


def test_tops_from_the_middle_of_a_batch_are_not_shown() -> None:
    data = Stream().market().book(YES, {40: 50}, {50: 50}, settled=Settled.UNSETTLED).end()

    class Greedy(Script):
        sees_unsettled = True

    assert not script(simulate(data, plan({1: [buy(50)]}))).answers
    assert script(simulate(data, lambda: Greedy({1: [buy(50)]}))).answers == [1]


def test_pairs_are_merged_for_a_dollar_that_comes_later() -> None:
    data = Stream().market().mirrored({40: 50}, {50: 50}).mirrored({40: 50}, {50: 50})
    steps = {2: [buy(50), buy(60, token=NO)], 4: [Merge(YES, SzE6(10 * SHARE))]}
    engine = simulate(data.end(later=2), plan(steps), merge_delay_ns=1)
    totals = only(engine).totals()
    assert only(engine).ledger.positions_e6() == {}
    assert totals.total_pnl_e6 == -SHARE - totals.fees_paid_e6
    assert totals.in_transit_e6 == 0


def test_a_sale_of_what_is_not_held_becomes_the_complement_if_that_is_wanted() -> None:
    data = Stream().market().mirrored({40: 50}, {50: 50}).mirrored({40: 50}, {50: 50}).end()
    refused = simulate(data, plan({2: [sell(40)]}))
    assert [one.reason for one in script(refused).told] == [RejectReason.NOT_HELD]
    turned = simulate(data, plan({2: [sell(40)]}), unheld=Unheld.COMPLEMENT)
    [fill] = fills(turned)
    assert (fill.token, fill.px_e6) == (NO, 60 * CENT)


def test_the_lenses_share_nothing_and_the_worst_has_half() -> None:
    data = Stream().market().book(YES, {40: 50}, {50: 15}).book(YES, {40: 50}, {50: 15}).end()
    engine = simulate(data, plan({1: [buy(50)]}), lenses=(WORST, CENTRAL))
    worst, central = engine.lenses
    assert worst.ledger.positions_e6() == {YES: 7_500_000}
    assert central.ledger.positions_e6() == {YES: 10_000_000}


class Raises(Script):
    """Raises at its second top."""

    def on_top_of_book(self, *seen: Any) -> Iterator[Any]:
        yield from super().on_top_of_book(*seen)
        if seen[1].seq == 2:
            raise ZeroDivisionError("mine")


@pytest.mark.parametrize(
    "bad", ["raise", "float", "number", "tag", "token", "thing", "gtd", "late"]
)
def test_a_strategy_that_goes_wrong_is_contained_and_others_are_not_touched(bad: str) -> None:
    data = Stream().market()
    for _ in range(4):
        data.book(YES, {40: 50}, {50: 500})
    wrong: Any = {
        "raise": [], "float": [Buy(YES, 0.5, SzE6(SHARE))], "number": [buy(50)._replace(token=True)],  # type: ignore[arg-type]
        "tag": [buy(50, tag="a|b")], "token": [buy(50, token=99)], "thing": ["buy"],
        "gtd": [buy(50)._replace(tif=Tif.GTD)], "late": [buy(50)._replace(expires_ns=1)],
    }[bad]  # fmt: skip
    make = (lambda: Raises({})) if bad == "raise" else plan({2: wrong, 3: wrong})
    steps = plan({2: [buy(50)], 3: [buy(50)]})
    engine = simulate(data.end(), ("a", make), ("b", steps))
    bad_one, good = only(engine).runs
    assert (bad_one.errors, bad_one.is_disabled) == (1, True)
    assert bad_one.first_error is not None
    assert bad_one.first_error.startswith("on_top_of_book at seq 2")
    assert len(good.strategy.told) == 2  # type: ignore[attr-defined]
    counted = simulate(bytes(data.data), ("a", make), on_error=OnError.COUNT)
    assert only(counted).runs[0].errors == (1 if bad == "raise" else 2)
    with pytest.raises(StrategyFailed, match="a: on_top_of_book at seq 2"):
        simulate(bytes(data.data), ("a", make), on_error=OnError.FATAL)


def test_a_strategy_that_answers_itself_for_ever_is_stopped() -> None:
    class Again(Script):
        def on_reject(self, ctx: Any, reject: Any, portfolio: Any) -> Iterator[Any]:  # type: ignore[override]
            yield sell(50)

    data = Stream().market().book(YES, {40: 50}, {50: 50}).book(YES, {40: 50}, {50: 50}).end()
    [run] = only(simulate(data, lambda: Again({1: [sell(50)]}))).runs
    assert run.is_disabled
    assert "for ever" in str(run.first_error)


def test_events_that_are_not_new_are_ignored_and_a_wrong_end_is_found() -> None:
    stream = Stream().market().book(YES, {40: 50}, {50: 50})
    stream.seq = 0
    stream.book(YES, {40: 50}, {30: 50})
    data = stream.end()
    engine = simulate(data, plan({1: [buy(50)]}))
    assert engine.ignored == 1
    assert engine.books.tops[YES][8] == 50 * CENT
    stream = Stream().market().book(YES, {40: 50}, {50: 50})
    stream.seq = 7
    with pytest.raises(CorruptEvents, match="another last event"):
        simulate(stream.end(), plan({}))
    with pytest.raises(CorruptEvents, match="not defined"):
        simulate(Stream().book(YES, {40: 50}, {50: 50}).end(), plan({}))


@pytest.mark.parametrize("seed", range(6))
def test_asking_for_depth_changes_no_hash_of_a_strategy_of_tops(seed: int) -> None:
    hashes = {
        only(
            simulate(walk(seed, 200, depth=depth, markets=2), lambda: ToySpread(min_spread_e6=1))
        ).intents.hexdigest()
        for depth in (False, True)
    }
    assert len(hashes) == 1


@pytest.mark.parametrize("lens", [WORST, CENTRAL])
@pytest.mark.parametrize("control", [RoundTrip, RandomTaker])
def test_the_negative_controls_lose_on_every_seed(control: type[Strategy], lens: str) -> None:
    for seed in range(12):
        engine = simulate(walk(seed, 400), control, lenses=(lens,), seed=seed)
        assert only(engine).fills.count > 50
        assert only(engine).totals().total_pnl_e6 < 0, seed


@effort(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 10**6),
    depth=st.booleans(),
    latency=st.sampled_from([0, 1, MS, 7 * MS]),
    lens=st.sampled_from([WORST, CENTRAL]),
)
def test_laws_of_every_simulation(seed: int, depth: bool, latency: int, lens: str) -> None:
    told: list[Any] = []
    limits: dict[int, int] = {}

    class Watched(RandomTaker):
        def _act(self, *seen: Any) -> Iterator[Any]:
            for intent in super()._act(*seen):
                order_id = yield intent
                if order_id is not None:
                    limits[order_id] = intent.limit_px_e6

    data = walk(seed, 60, depth=depth)
    engine = simulate(
        data,
        lambda: Watched(one_in=2),
        latency_ns=latency,
        lenses=(lens,),
        seed=seed,
        engine={"tell_fill": lambda lens, fill: told.append(fill)},
    )
    ledger = only(engine).ledger
    cash = 1_000_000_000
    for fill in told:
        assert 0 < fill.px_e6 < 1_000_000
        better = limits[fill.order_id] - fill.px_e6
        assert better >= 0 if fill.side.value == "buy" else better <= 0
        assert fill.at_ns >= T0 + latency
        amount = fill.px_e6 * fill.size_e6
        signed = -amount if fill.side.value == "buy" else amount
        cash += signed // 10**6 - fill.fee_e6  # both are rounded against the trader
    totals = only(engine).totals()
    assert totals.cash_e6 + totals.reserved_e6 == cash
    assert totals.clean_pnl_e6 + totals.tainted_pnl_e6 == totals.total_pnl_e6
    assert sum(ledger.balances.values()) + totals.cost_basis_e6 == 0
    again = simulate(
        data, lambda: RandomTaker(one_in=2), latency_ns=latency, lenses=(WORST, CENTRAL), seed=seed
    )
    same = next(one for one in again.lenses if one.name == lens)
    assert same.fills.hexdigest() == only(engine).fills.hexdigest()


def test_a_stream_without_strategies_is_read_to_its_end() -> None:
    from io import BytesIO

    reader = EventReader(BytesIO(walk(1, 10)))
    engine = Engine(reader.header, Settings(), [])
    engine.run(reader.blocks())
    assert reader.end is not None
    engine.finish(reader.end)
    assert engine.books.seq == 20


class OneToken(Script):
    """Is shown one token."""

    def sees_token(self, facts: Any) -> bool:
        return bool(facts.token == NO)


def test_a_strategy_is_shown_the_tokens_that_it_wants_and_the_hashes_are_the_same() -> None:
    data = walk(5, 60, depth=False)
    steps: dict[int, list[Any]] = {seq: [buy(60, token=NO)] for seq in range(2, 100, 6)}
    some = simulate(data, ("s", lambda: OneToken(steps)))
    every = simulate(data, ("s", plan(steps)))
    assert len(script(some).answers) == 17
    for name in ("intents", "fills"):
        assert getattr(only(some), name).hexdigest() == getattr(only(every), name).hexdigest()
    other = {seq: [buy(60)] for seq in range(1, 100, 6)}
    assert not script(simulate(data, lambda: OneToken(other))).answers


def test_depth_of_a_token_that_is_not_wanted_is_not_shown() -> None:
    class Looks(OneToken):
        def on_depth(self, ctx: Any, event: Any, book: Any, portfolio: Any) -> None:
            self.told.append(event.token)

    engine = simulate(walk(5, 10), lambda: Looks({}))
    assert script(engine).told == [NO] * 10


def test_what_is_wanted_is_asked_again_when_a_market_is_stated_anew() -> None:
    class Fine(Script):
        def sees_token(self, facts: Any) -> bool:
            return bool(facts.market.tick_e6 < CENT)

    data = Stream().market().book(YES, {40: 50}, {50: 50})
    data.market(tick_size_e6=1_000).book(YES, {40: 50}, {50: 50}).end()
    engine = simulate(bytes(data.data), lambda: Fine({1: [buy(50)], 2: [buy(50)]}))
    assert script(engine).answers == [1]


def test_a_strategy_that_cannot_say_what_it_wants_is_contained() -> None:
    class Unsure(Script):
        def sees_token(self, facts: Any) -> bool:
            raise ZeroDivisionError

    data = Stream().market().book(YES, {40: 50}, {50: 50}).book(YES, {40: 50}, {50: 50}).end()
    engine = simulate(data, ("a", lambda: Unsure({1: [buy(50)]})), ("b", plan({2: [buy(50)]})))
    first, second = only(engine).runs
    assert (first.errors, first.is_disabled, second.is_disabled) == (1, True, False)
    assert str(first.first_error).startswith("sees_token at seq 1")
    assert len(script(engine, 1).answers) == 1


def test_an_integer_of_a_kind_of_its_own_is_hashed_as_a_number() -> None:
    class Odd(int):
        def __format__(self, spec: str) -> str:
            return "odd"

    data = Stream().market().book(YES, {40: 50}, {50: 50}).book(YES, {40: 50}, {50: 50}).end()
    odd = Buy(Odd(YES), PxE6(Odd(50 * CENT)), SzE6(Odd(10 * SHARE)))
    plain = Buy(YES, PxE6(50 * CENT), SzE6(10 * SHARE))
    first, second = (simulate(data, ("s", plan({1: [one]}))) for one in (odd, plain))
    for name in ("intents", "fills"):
        assert getattr(only(first), name).hexdigest() == getattr(only(second), name).hexdigest()
    assert only(first).fills.count == 1


def test_a_strategy_that_raises_for_one_token_is_shown_no_other() -> None:
    seen: list[int] = []

    class Fails(Strategy):
        def sees_token(self, facts: Any) -> bool:
            return bool(1 // (facts.token - 2))

        def on_top_of_book(self, ctx: Any, event: TopOfBook, *more: Any) -> None:
            seen.append(event.token)

    data = Stream().market().market(1).book(YES, {40: 50}, {50: 50})
    data.book(2, {40: 50}, {50: 50}).book(YES, {40: 50}, {51: 50})
    simulate(data.end(), Fails)
    assert seen == [YES]
