from argparse import ArgumentParser
from typing import Any

import pytest

from pm_frames.command import UsageError
from pm_frames.selection import Selection, select_tokens, selection_arguments, selection_of


def market(slug: str, event: str, condition: str, *tokens: tuple[str, str]) -> dict[str, Any]:
    return {
        "slug": slug,
        "event_slug": event,
        "condition_id": condition,
        "tokens": [{"token_id": token_id, "outcome": outcome} for token_id, outcome in tokens],
    }


UNIVERSE: list[dict[str, Any]] = [
    {
        "kind": "full",
        "markets": [
            market("rain", "weather", "0xaa", ("11", "Yes"), ("12", "No")),
            market("snow", "weather", "0xbb", ("21", "Yes"), ("22", "No")),
            market("btc-up", "btc", "0xcc", ("31", "Up"), ("32", "Down")),
        ],
    },
    {
        "kind": "delta",
        "removed": [{"condition_id": "0xaa", "token_ids": ["11", "12"]}],
        "changed": [{"market": market("snow", "weather", "0xbb", ("21", "Yes"), ("22", "No"))}],
        "added": [market("hail", "weather", "0xdd", ("41", "Yes"), ("42", "No"))],
    },
    {"kind": "delta"},
]


@pytest.mark.parametrize(
    ("selection", "expected"),
    [
        (Selection(), ["11", "12", "21", "22", "31", "32", "41", "42"]),
        (Selection(events=("weather",)), ["11", "12", "21", "22", "41", "42"]),
        (Selection(markets=("snow",)), ["21", "22"]),
        (Selection(markets=("0xcc", "rain")), ["11", "12", "31", "32"]),
        (Selection(tokens=("42", "btc-up:down")), ["32", "42"]),
        (Selection(("btc",), ("btc-up",), ("btc-up:Up",)), ["31", "32"]),
    ],
)
def test_tokens_are_chosen_by_any_name_in_the_order_of_the_universe(
    selection: Selection, expected: list[str]
) -> None:
    assert select_tokens(selection, UNIVERSE) == expected


@pytest.mark.parametrize(
    ("selection", "match"),
    [
        (Selection(events=("wether",)), "--event wether: .* did you mean weather"),
        (Selection(markets=("weather",)), "--market weather: no such name in this run$"),
        (Selection(tokens=("rain:Yess",)), "did you mean rain:yes"),
        (Selection(tokens=("99",)), "--token 99: no such name"),
        (Selection(("weather",), ("0xzz",)), "--market 0xzz"),
    ],
)
def test_a_name_that_fits_nothing_is_refused(selection: Selection, match: str) -> None:
    with pytest.raises(UsageError, match=match):
        select_tokens(selection, UNIVERSE)


def test_without_a_universe_only_ids_can_be_chosen() -> None:
    assert select_tokens(Selection(), []) == []
    assert select_tokens(Selection(tokens=("7", "5", "7")), []) == ["7", "5"]
    with pytest.raises(UsageError, match="it has no universe file"):
        select_tokens(Selection(markets=("rain",)), [])
    with pytest.raises(UsageError, match="it has no universe file"):
        select_tokens(Selection(tokens=("rain:Yes",)), [])


def test_arguments() -> None:
    parser = ArgumentParser()
    selection_arguments(parser)
    assert selection_of(parser.parse_args([])) == Selection()
    arguments = parser.parse_args(["--event", "a", "--market", "b", "--token", "c", "--token", "d"])
    assert selection_of(arguments) == Selection(("a",), ("b",), ("c", "d"))
