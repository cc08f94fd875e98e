"""Deltas of the universe: what follows from them, and what is refused."""

import hashlib
import json
from typing import Any

import pytest

from pm_capture.generation import Head, follow, head_of
from pm_capture.policies.expected_churn import Ending
from pm_capture.universe import UniverseError, parse_universe


def row(name: str, *tokens: str, **more: object) -> dict[str, object]:
    return {
        "market_id": name, "condition_id": f"0x{name}",
        "tokens": [{"token_id": token, "outcome": token} for token in tokens], **more,
    }  # fmt: skip


def removed(name: str, *tokens: str) -> dict[str, object]:
    return {
        "market_id": name, "condition_id": f"0x{name}", "token_ids": list(tokens), "reason": "closed",
    }  # fmt: skip


def delta(**changes: Any) -> bytes:
    return json.dumps(
        {"universe_version": 1, "kind": "delta", "since": {"universe_version": 0, "sha256": "x"},
         "removed": [], "changed": [], "added": [], "stats": {"markets_seen": 9}, **changes}
    ).encode()  # fmt: skip


@pytest.fixture
def head() -> Head:
    document = {
        "universe_version": 0, "kind": "full", "selection": {},
        "markets": [row("1", "a", "b", slug="x-5m-1"), row("2", "c", "d", end_date="2026-11-21T12:00:00Z")],
    }  # fmt: skip
    return head_of(parse_universe(json.dumps(document).encode(), "u"))


def test_what_comes_and_what_goes(head: Head) -> None:
    data = delta(removed=[removed("2", "d", "c")], added=[row("3", "e", "f", slug="y")])
    step = follow(head, data, "d")
    assert (step.head.version, step.head.token_count, head.token_count) == (1, 4, 4)
    assert (step.added, step.removed, step.markets_changed) == (("e", "f"), ("c", "d"), 0)
    assert step.endings == (Ending(None, 1_795_262_400_000_000_000), Ending("y", None))
    assert [market.condition_id for market in step.markets_added] == ["0x3"]
    assert (step.data, step.sha256) == (data, hashlib.sha256(data).hexdigest())
    assert step.stats == {"markets_seen": 9}
    # The next one follows this one.
    more = delta(
        universe_version=2, since={"universe_version": 1}, removed=[removed("3", "e", "f")]
    )
    assert follow(step.head, more, "d").removed == ("e", "f")


def test_new_facts_are_kept_for_later(head: Head) -> None:
    now_ends = row("1", "a", "b", end_date="2026-11-21T12:00:00")
    step = follow(head, delta(changed=[{"fields": ["end_date"], "market": now_ends}]), "d")
    assert (step.added, step.removed, step.markets_changed) == ((), (), 1)
    gone = delta(
        universe_version=2, since={"universe_version": 1}, removed=[removed("1", "a", "b")]
    )
    assert follow(step.head, gone, "d").endings == (Ending(None, 1_795_262_400_000_000_000),)


def test_a_token_that_moves_to_another_market_has_not_changed(head: Head) -> None:
    data = delta(removed=[removed("1", "a", "b")], added=[row("9", "a", "z")])
    step = follow(head, data, "d")
    assert (step.added, step.removed) == (("z",), ("b",))


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"{", "d: not a change of the universe"),
        (b"\xff", "d: not a change of the universe"),
        (delta(kind="full"), "expected a delta, found kind 'full'"),
        (delta(universe_version=2), "expected generation 1 since 0, found 2 since 0"),
        (delta(since={"universe_version": 3}), "found 1 since 3"),
        (delta(removed=[removed("7", "q")]), "removes market 7, which is not there"),
        (delta(removed=[removed("1", "a")]), "removes market 1, which is not there"),
        (
            delta(changed=[{"fields": [], "market": row("7", "q")}]),
            "changes market 7, which is not",
        ),
        (delta(added=[row("1", "b", "a")]), "adds market 1, which is there already"),
        (delta(added=[row("7", "a", "q")]), "token a stands in two places"),
        (delta(added=[row("7", "")]), "a market has an empty token id"),
        (delta(removed=[removed("1", "a", "b"), removed("2", "c", "d")]), "leaves no token"),
    ],
)
def test_what_does_not_follow_is_refused(head: Head, data: bytes, words: str) -> None:
    with pytest.raises(UniverseError, match=words):
        follow(head, data, "d")


def test_an_end_that_cannot_be_read_is_not_known(head: Head) -> None:
    step = follow(head, delta(added=[row("3", "e", end_date="soon")]), "d")
    assert step.endings == (Ending(None, None),)
