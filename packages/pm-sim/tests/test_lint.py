"""The import contract of a user's strategy: what breaks it, where, and what does not."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import pm_sim.strategies
from pm_sim.lint import lines, lint

GOOD = '''\
"""A strategy."""

from collections import deque
from decimal import Decimal
from random import Random

import pm_sim
from pm_sim import Buy, Context, Strategy, param, px


class Mine(Strategy):
    edge = param(px("0.01"))

    def on_start(self, ctx):
        self.seen = {}
        self.random = Random(7)
        self._last = deque(maxlen=3)

    def on_top_of_book(self, ctx, event, market_state, portfolio):
        held = dict(portfolio.held_e6)
        held[event.token] = 0
        self.seen[event.token] = event.seq
        self._last.append(ctx.random.random())
        best = event
        best = self.seen
        best[1] = 2
        top = event._replace if False else None
        yield Buy(event.token, event.ask_px_e6, pm_sim.shares("5"))

    def _help(self, event):
        event.count = 1
'''
BODY = """\
from pm_sim import Strategy

SEEN = [1]

class Mine(Strategy):
    def on_top_of_book(self, ctx, event, market_state, portfolio):
        {}
"""


def rules(source: str) -> list[tuple[int, str]]:
    return [(one.line, one.rule) for one in lint(source)]


def test_what_is_good_is_good_but_for_a_private_name() -> None:
    assert rules(GOOD) == [(27, "internals")]
    assert lint(GOOD.replace("        top = event._replace if False else None\n", "")) == []


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("import socket", "outside"),
        ("import urllib.request as r", "outside"),
        ("from os import environ", "outside"),
        ("import asyncio, threading", "outside"),
        ("from pathlib import Path", "outside"),
        ("import time", "clock"),
        ("from time import monotonic_ns", "clock"),
        ("from random import random", "chance"),
        ("import secrets", "chance"),
        ("from numpy import random", "chance"),
        ("import numpy.random", "chance"),
        ("import importlib", "dynamic"),
        ("import io", "outside"),
        ("import pickle", "outside"),
        ("import platform", "outside"),
        ("import _socket", "dynamic"),
        ("from random import *", "chance"),
        ("import pm_sim.engine", "internals"),
        ("from pm_sim.lens import Lens", "internals"),
        ("from pm_sim import engine", "internals"),
        ("from pm_frames.events import Kind", "internals"),
        ("from .sibling import x", "internals"),
    ],
)
def test_what_must_not_be_imported(line: str, rule: str) -> None:
    found = rules("\n\n" + line + "\n" + BODY.format("pass"))
    assert found
    assert set(found) == {(3, rule)}


@pytest.mark.parametrize(
    ("line", "rule"),
    [
        ("import random; random.shuffle([])", "chance"),
        ("import random as r; r.Random()", "chance"),
        ("from random import Random; Random()", "chance"),
        ("import random; random.SystemRandom()", "chance"),
        ("import numpy as np; np.random.rand()", "chance"),
        ("hash('x')", "chance"),
        ("import datetime; datetime.datetime.now()", "clock"),
        ("from datetime import datetime as d; d.utcnow()", "clock"),
        ("from datetime import date; date.today()", "clock"),
        ("open('x')", "outside"),
        ("print(1)", "outside"),
        ("breakpoint()", "outside"),
        ("vars(ctx)", "dynamic"),
        ("getattr(ctx, '_world')", "internals"),
        ("SEEN.append(1)", "shared"),
        ("SEEN[0] += 1", "shared"),
        ("Mine.seen = 1", "shared"),
        ("type(self).seen = 1", "shared"),
        ("self.__class__.seen = 1", "shared"),
        ("eval('1')", "dynamic"),
        ("__import__('os')", "dynamic"),
        ("ctx._world", "internals"),
        ("ctx.book.__self__", "internals"),
        ("().__class__", "internals"),
        ("import pm_sim; pm_sim.engine", "internals"),
        ("portfolio.cash_e6 = 5", "state"),
        ("portfolio.held_e6[1] = 5", "state"),
        ("portfolio.held_e6[1] += 5", "state"),
        ("del ctx.parameters['x']", "state"),
        ("ctx.parameters.update(x=1)", "state"),
        ("p = portfolio.held_e6; p[1] = 2", "state"),
        ("a, p = 1, portfolio; p.cash_e6 = 2", "state"),
        ("for one in ctx.parameters: one.x = 1", "state"),
        ("setattr(ctx, 'now_ns', 1)", "state"),
        ("global x", "shared"),
    ],
)
def test_what_a_hook_must_not_do(line: str, rule: str) -> None:
    assert {one.rule for one in lint(BODY.format(line))} == {rule}


@pytest.mark.parametrize(
    "line",
    [
        "import random; random.Random(ctx.seq)",
        "import datetime; datetime.datetime.fromtimestamp(0)",
        "held = list(ctx.open_orders()); held.append(1)",
        "p = portfolio; p = {}; p[1] = 2",
        "self.open = 1; self.open += 1",
        "SEEN = [1]; SEEN.append(2)",
        "first = SEEN[:1]; first.append(1)",
        "for SEEN in ([],): SEEN.append(1)",
    ],
)
def test_what_a_hook_may_do(line: str) -> None:
    assert lint(BODY.format(line)) == []


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (
            "    def on_top_of_boook(self, ctx, event, state, portfolio): ...",
            "is on_top_of_book meant?",
        ),
        ("    def on_fill(self, ctx, fill): ...", "takes 4 arguments"),
        ("    def see_token(self, facts): ...", "is sees_token meant?"),
        ("    def sees_token(self, ctx, facts): ...", "takes 2 arguments"),
        ("    async def on_start(self, ctx): ...", "is async"),
        ("    seen = {}", "all lenses share"),
        ("    seen: dict[int, int] = dict()", "all lenses share"),
    ],
)
def test_hooks_that_are_none_and_state_that_is_shared(body: str, message: str) -> None:
    [found] = lint("from pm_sim import Strategy\nclass Mine(Strategy):\n" + body + "\n")
    assert found.line == 3
    assert message in found.message


def test_a_method_of_its_own_is_no_hook() -> None:
    body = "from pm_sim import Strategy\nclass Mine(Strategy):\n    def seen(self, token): ...\n"
    assert lint(body) == []


def test_hooks_may_take_more_than_they_name() -> None:
    body = "    def on_fill(self, *rest): ...\n    def on_start(self, ctx, more=None): ..."
    assert lint("from pm_sim import Strategy\nclass Mine(Strategy):\n" + body) == []


def test_a_file_without_a_strategy_and_one_that_is_no_python() -> None:
    assert rules("x = 1\n") == [(1, "hook")]
    [found] = lint("x = (\n")
    assert (found.rule, found.line) == ("syntax", 1)
    assert next(lines("mine.py", [found])).startswith("mine.py:1:5: syntax: ")


def test_a_strategy_of_a_strategy_is_one() -> None:
    source = "import pm_sim\nclass A(pm_sim.Strategy): ...\nclass B(A):\n    x = []\n"
    assert rules(source) == [(4, "shared")]


def test_what_is_built_in_keeps_the_contract() -> None:
    [folder] = pm_sim.strategies.__path__
    files = [path for path in Path(folder).glob("*.py") if path.stem != "__init__"]
    assert len(files) >= 4
    assert {path.stem: lint(path.read_bytes()) for path in files} == {
        path.stem: [] for path in files
    }


@settings(max_examples=40, deadline=None)
@given(st.binary(max_size=200) | st.text(max_size=200))
def test_any_text_has_a_verdict(text: str | bytes) -> None:
    assert all(one.line >= 1 and one.column >= 1 for one in lint(text))
