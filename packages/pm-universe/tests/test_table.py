"""Lines for eyes and lines for programs."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from pm_universe.market import parse
from pm_universe.query import Entry, decode
from pm_universe.selection import Selection, Wanted, select
from pm_universe.table import ROWS_SHOWN, plain, summary, table, tsv

MakeMarket = Callable[..., dict[str, Any]]
Choose = Callable[..., Selection]


@pytest.fixture
def choose(make_market: MakeMarket) -> Choose:
    def choose(count: int, *, cap: int = 1000, **changes: Any) -> Selection:
        given = [make_market(number, **changes) for number in range(count)]
        parsed = [parse(Entry(decode(json.dumps(market)), None)) for market in given]
        return select(parsed, Wanted(max_markets=cap))

    return choose


def test_tsv_has_four_columns_and_says_what_the_cap_cut_off(choose: Choose) -> None:
    assert list(tsv(choose(3, cap=2))) == [
        "500000\tselected\tnumber-0\tWill number 0 come up?",
        "500001\tselected\tnumber-1\tWill number 1 come up?",
        "500002\tover_cap\tnumber-2\tWill number 2 come up?",
    ]


def test_nothing_in_a_question_breaks_a_line_or_commands_a_terminal(choose: Choose) -> None:
    (line,) = tsv(choose(1, question="a\tb\nc\r\u2028d\x1b[31m\x00\u202ee  f"))
    assert line.split("\t")[3] == "a b c d[31me f"
    assert plain(" Größe ✓ ") == "Größe ✓"


def test_the_table_fits_the_terminal(choose: Choose) -> None:
    long_ones = choose(3, question="What " * 50, outcomes=["A rather long name of a team", "No"])
    for width in (20, 80, 200):
        assert all(len(line) <= width for line in table(long_ones.selected, width=width))
    head, first, *_ = table(choose(1).selected, width=200)
    assert head.split() == ["MARKET", "OUTCOMES", "TICK", "ENDS", "QUESTION"]
    assert first == "500000  Yes / No  0.01  2026-12-31 00:00  Will number 0 come up?"


def test_a_long_table_says_how_many_are_left(choose: Choose) -> None:
    shown = list(table(choose(ROWS_SHOWN + 7).selected, width=80))
    assert len(shown) == 1 + ROWS_SHOWN + 1
    assert shown[-1] == "… and 7 more (all of them: --tsv or --json)"


def test_unknown_facts_are_question_marks(choose: Choose) -> None:
    selection = choose(1, orderPriceMinTickSize=None, endDate=None, question=None)
    assert list(table(selection.selected, width=80))[1] == "500000  Yes / No  ?     ?     number-0"


def test_the_summary(choose: Choose) -> None:
    assert summary(choose(3, cap=2), pages=1) == (
        "2 markets selected of 3 on 1 pages; 1 over the cap; left out: none"
    )
    assert "left out: 2 closed" in summary(choose(2, closed=True), pages=1)
