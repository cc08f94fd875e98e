"""Strategies without an engine: parameters, hooks as generators, views that cannot be changed."""

from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_sim import ParameterError, Strategy, TopOfBook, param, px, shares, usd
from pm_sim.fixed import e6
from pm_sim.strategies.toy_spread import ToySpread
from pm_sim.views import EMPTY_PORTFOLIO, MarketState


class Mine(Strategy):
    """Has a parameter of each kind."""

    edge = param(px("0.01"))
    size = param(shares("10"), low=1)
    budget = param(usd("5"))
    times = param(3, low=1, high=9)
    careful = param(True)
    mode = param("a", choices=("a", "b"))


def test_defaults_are_plain_integers_in_millionths() -> None:
    mine = Mine()
    assert (mine.edge, mine.size, mine.budget) == (10_000, 10_000_000, 5_000_000)
    assert type(mine.edge) is int
    assert (mine.times, mine.careful, mine.mode) == (3, True, "a")


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("edge", "0.025", 25_000), ("size", "7.5", 7_500_000), ("budget", "12", 12_000_000),
        ("times", "9", 9), ("careful", "no", False), ("mode", "b", "b"),
    ],
)  # fmt: skip
def test_texts_become_values(name: str, text: str, value: object) -> None:
    assert Mine.declared[name].read(text) == value


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("edge", "1.5"), ("edge", "0.0000001"), ("edge", "x"), ("size", "0"), ("size", "-1"),
        ("times", "10"), ("times", "0.5"), ("careful", "maybe"), ("mode", "c"), ("edge", "1e-2"),
    ],
)  # fmt: skip
def test_texts_that_mean_nothing_are_refused(name: str, text: str) -> None:
    with pytest.raises(ParameterError):
        Mine.declared[name].read(text)


def test_values_are_checked_too() -> None:
    assert Mine(edge=px("0.02")).edge == 20_000
    for wrong in ({"edge": 0.02}, {"times": True}, {"nothing": 1}, {"mode": "z"}):
        with pytest.raises(ParameterError):
            Mine(**wrong)
    with pytest.raises(ValueError, match="decimal text"):
        px(0.01)  # type: ignore[arg-type]


@given(st.integers(0, 10**15))
def test_decimals_are_exact(value: int) -> None:
    assert e6(f"{value // 10**6}.{value % 10**6:06d}") == value


def top(bid: int, ask: int) -> TopOfBook:
    return TopOfBook(1, 0, -1, 10, 10, 0, 0, bid, ask, 0, 16, 10)  # type: ignore[arg-type]


def test_a_strategy_is_tested_as_a_generator() -> None:
    toy = ToySpread(min_spread_e6=px("0.02"))
    ctx: Any = SimpleNamespace(strategy_id="toy")
    event = top(400_000, 420_000)
    state: Any = MarketState(None, event, 2)  # type: ignore[arg-type]
    intents = list(toy.on_top_of_book(ctx, event, state, EMPTY_PORTFOLIO) or ())
    assert [(type(one).__name__, one.limit_px_e6, one.tag) for one in intents] == [  # type: ignore[union-attr]
        ("Buy", 400_000, "toy"), ("Sell", 420_000, "toy"),
    ]  # fmt: skip
    assert toy.on_top_of_book(ctx, top(400_000, 419_999), state, EMPTY_PORTFOLIO) is None
    assert toy.on_top_of_book(ctx, top(-1, 419_999), state, EMPTY_PORTFOLIO) is None


def test_what_is_handed_over_cannot_be_changed() -> None:
    event: Any = top(1, 2)
    for name in ("bid_px_e6", "anything"):
        with pytest.raises(AttributeError):
            setattr(event, name, 5)
    portfolio: Any = EMPTY_PORTFOLIO
    with pytest.raises(TypeError):
        portfolio.held_e6[0] = 5
    with pytest.raises(AttributeError):
        portfolio.cash_e6 = 5
