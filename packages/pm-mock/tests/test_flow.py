import random

import pytest

from pm_mock.fixed import ONE_E4
from pm_mock.flow import Batch, OrderFlow
from pm_mock.market import NO, YES, Market


def opened(
    seed: int, *, tick_e4: int = 100, fair_e4: int = 5000, depth: int = 12, thin: bool = False
) -> tuple[Market, OrderFlow]:
    market = Market("0xc0", ("11", "22"), tick_e4=tick_e4, timestamp_ms=0)
    flow = OrderFlow(market, random.Random(seed), fair_e4=fair_e4, depth=depth, thin=thin)
    flow.open()
    market.settle(0)
    return market, flow


def run(market: Market, flow: OrderFlow, batches: int) -> list[Batch]:
    done = []
    for number in range(batches):
        done.append(flow.next())
        market.settle(number)
    return done


@pytest.mark.parametrize("tick_e4", [1000, 100, 50, 25, 10])
def test_prices_stay_on_the_grid_and_books_bounded(tick_e4: int) -> None:
    market, flow = opened(7, tick_e4=tick_e4)
    for batch in run(market, flow, 3000):
        for change in (one for frame in batch.frames for one in frame):
            assert change.price_e4 % tick_e4 == 0
            assert tick_e4 <= change.price_e4 <= ONE_E4 - tick_e4
            assert change.size_e6 % 10_000 == 0
    assert all(0 < len(ladder) < 60 for ladder in market.ladders)


def test_spreads_stay_narrow() -> None:
    market, flow = opened(1)
    wide = 0
    for _ in range(3000):
        run(market, flow, 1)
        wide += ONE_E4 - sum(market.tops_e4()) > 500
    assert wide < 300


def test_a_side_empties_only_in_a_thin_market() -> None:
    emptied = {}
    for thin in (True, False):
        market, flow = opened(5, depth=2, thin=thin)
        emptied[thin] = 0
        for _ in range(2000):
            run(market, flow, 1)
            emptied[thin] += 0 in market.tops_e4()
    assert emptied[True] > 0
    assert emptied[False] == 0


def test_a_trade_takes_the_best_levels_and_names_price_and_size() -> None:
    market, flow = opened(11)
    trades = 0
    for _ in range(2000):
        before = [dict(zip(one.prices_e4, one.sizes_e6, strict=True)) for one in market.ladders]
        [batch] = run(market, flow, 1)
        if batch.trade is None:
            continue
        trades += 1
        trade = batch.trade
        changes = [one for frame in batch.frames for one in frame]
        maker = changes[0].outcome
        taken = sum(before[maker][one.price_e4] - one.size_e6 for one in changes)
        assert taken == trade.size_e6 > 0
        assert changes[0].price_e4 == max(before[maker])
        worst = changes[-1].price_e4
        # A taker sells the token to its bids, or buys the other one at the mirrored price.
        sold = (trade.outcome, trade.price_e4) == (maker, worst)
        bought = (trade.outcome, trade.price_e4) == (1 - maker, ONE_E4 - worst)
        assert bought if trade.buys else sold
        assert market.last_trade_price == f"{trade.price_e4 / ONE_E4:.3f}"
    assert trades > 50


def test_batches_come_in_every_arrangement() -> None:
    market, flow = opened(2)
    batches = run(market, flow, 5000)
    assert {len(batch.frames) for batch in batches} >= {1, 2, 3}
    assert {batch.lead for batch in batches} == {YES, NO}
    assert any(batch.echo for batch in batches)
    assert any(batch.late for batch in batches)
    assert any(batch.joined for batch in batches)


@pytest.mark.parametrize("winner", [YES, NO])
def test_a_closing_market_goes_to_its_outcome_and_asks_for_a_finer_tick(winner: int) -> None:
    market, flow = opened(3)
    assert flow.finer_tick_e4() is None
    flow.close_towards(winner)
    run(market, flow, 400)
    assert market.tops_e4()[winner] > 9000
    finest = []
    for _ in range(200):
        run(market, flow, 1)
        finest.append(flow.finer_tick_e4())
    assert 10 in finest
