"""The universe of the run that follows: what the generations of the older one amount to."""

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_capture.generation import follow, head_of
from pm_capture.takeover import Origin, take_over
from pm_capture.universe import UniverseError, parse_universe


def row(
    number: str, *, tick: str = "0.01", event: str | None = "e", legs: int = 2
) -> dict[str, Any]:
    return {
        "market_id": number, "condition_id": f"0x{number}", "tick_size": tick, "event_id": event,
        "tokens": [{"token_id": f"{number}-{legs}-{leg}", "outcome": "ä"} for leg in range(legs)],
    }  # fmt: skip


def full(*markets: dict[str, Any]) -> bytes:
    document = {
        "universe_version": 0, "kind": "full", "created_mono_ns": 1, "created_wall_ns_utc": 2,
        "selection": {"sweep": "whole"}, "stats": {"markets_seen": 9}, "markets": list(markets),
    }  # fmt: skip
    return json.dumps(document).encode()


def delta(version: int, **changes: list[Any]) -> bytes:
    document = {
        "universe_version": version, "kind": "delta", "created_mono_ns": 10 * version,
        "created_wall_ns_utc": 20 * version, "since": {"universe_version": version - 1},
        "selection": {"sweep": "recent"}, "stats": {"markets_seen": 8},
        "removed": [], "changed": [], "added": [], **changes,
    }  # fmt: skip
    return json.dumps(document).encode()


def gone(market: dict[str, Any]) -> dict[str, Any]:
    tokens = [token["token_id"] for token in market["tokens"]]
    return {key: market[key] for key in ("market_id", "condition_id")} | {"token_ids": tokens}


def lay(folder: Path, *generations: bytes) -> Path:
    (folder / "universe").mkdir(parents=True)
    for number, data in enumerate(generations):
        (folder / "universe" / f"{number:06d}.json").write_bytes(data)
    return folder


def test_a_universe_that_never_changed_is_passed_on_byte_for_byte(tmp_path: Path) -> None:
    data = full(row("2"), row("10")) + b"\n "
    universe, origin = take_over(lay(tmp_path / "r", data), "r", 0)
    assert universe.data == data
    assert origin == Origin("r", 0, universe.sha256)


def test_the_newest_generation_becomes_a_full_one(tmp_path: Path) -> None:
    one, two, three, ten = row("1", event=None), row("2"), row("3", legs=3), row("10")
    later = row("2", tick="0.001")
    last = delta(2, removed=[gone(one)], changed=[{"fields": ["tick_size"], "market": later}])
    run = lay(tmp_path / "r", full(two, one), delta(1, added=[ten, three]), last)
    universe, origin = take_over(run, "r", 2)
    assert json.loads(universe.data) == {
        "universe_version": 0, "kind": "full", "created_mono_ns": 20, "created_wall_ns_utc": 40,
        "selection": {"sweep": "recent"}, "stats": {"markets_seen": 8},
        "markets": [later, three, ten],  # by event, then by id as a number
    }  # fmt: skip
    assert origin.universe_version == 2
    assert len(universe.data.splitlines()) == 5
    # The generation before it is another universe.
    before, _ = take_over(run, "r", 1)
    assert [m.market_id for m in before.document.markets] == ["2", "3", "10", "1"]


def test_generations_that_do_not_fit_are_refused(tmp_path: Path) -> None:
    run = lay(tmp_path / "r", full(row("1")), delta(1, removed=[gone(row("7"))]))
    with pytest.raises(UniverseError, match="generations that do not fit"):
        take_over(run, "r", 1)
    with pytest.raises(FileNotFoundError):
        take_over(run, "r", 2)


@given(
    st.lists(
        st.dictionaries(st.integers(1, 12), st.integers(0, 2), min_size=1), min_size=1, max_size=5
    )
)
def test_it_is_what_following_step_by_step_gives(
    tmp_path_factory: pytest.TempPathFactory, history: list[dict[int, int]]
) -> None:
    """`history` is market number → tick, generation by generation."""
    universes = [{n: row(str(n), tick=str(t)) for n, t in sorted(one.items())} for one in history]
    generations = [full(*universes[0].values())]
    for version, (before, now) in enumerate(itertools.pairwise(universes), start=1):
        changed = [now[n] for n in now if n in before and now[n] != before[n]]
        generations.append(
            delta(
                version,
                removed=[gone(before[n]) for n in before if n not in now],
                added=[now[n] for n in now if n not in before],
                changed=[{"fields": ["tick_size"], "market": market} for market in changed],
            )
        )
    run = lay(tmp_path_factory.mktemp("runs") / "r", *generations)
    universe, _ = take_over(run, "r", len(generations) - 1)
    assert json.loads(universe.data)["markets"] == list(universes[-1].values())
    head = head_of(parse_universe(generations[0], "u"))
    for data in generations[1:]:
        head = follow(head, data, "u").head
    assert head_of(universe).markets == head.markets
