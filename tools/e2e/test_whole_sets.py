"""A neg-risk set is one only if the capture has every market that the venue's event has (R409)."""

import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

# Says by its error how many tokens the largest set has that it ever saw.
STRATEGY = """\
from pm_sim import Context, Hook, MarketState, Portfolio, Strategy, TopOfBook


class Sets(Strategy):
    largest: int = 0

    def on_top_of_book(
        self, ctx: Context, event: TopOfBook, market_state: MarketState, portfolio: Portfolio
    ) -> Hook:
        found = max((len(one.tokens) for one in ctx.sets.of(event.token)), default=0)
        if found > self.largest:
            self.largest = found
            raise RuntimeError(f"a set of {found}")
        return None
"""


def discovered(program: Callable[[str], str], gamma: str, out: Path, *flags: str) -> dict[str, Any]:
    subprocess.run(
        [program("pm-universe"), "discover", "--gamma-base-url", gamma, "--out", str(out), *flags],
        check=True, capture_output=True, timeout=60,
    )  # fmt: skip
    document: dict[str, Any] = json.loads(out.read_bytes())
    return document


def simulated(program: Callable[[str], str], run: Path, *flags: str) -> str | None:
    """Return what the strategy told first."""
    (run.parent / "sets.py").write_text(STRATEGY, encoding="utf-8")
    done = subprocess.run(
        [program("pm-sim"), str(run), "--strategy", str(run.parent / "sets.py"),
         "--on-strategy-error", "count", "--stable-json", *flags],
        check=True, capture_output=True, timeout=120,
    )  # fmt: skip
    told: str | None = json.loads(done.stdout)["strategies"]["Sets"]["first_error"]
    return told


def events_of(document: dict[str, Any]) -> dict[str, list[dict[str, Any]]]:
    events: dict[str, list[dict[str, Any]]] = {}
    for row in document["markets"]:
        if row["neg_risk"] and not row["neg_risk_augmented"]:
            events.setdefault(row["event_slug"], []).append(row)
    return events


@pytest.mark.parametrize("left_out", ["nothing", "by name", "by the filter"])
def test_an_event_of_which_a_market_is_left_out_is_no_set(
    program: Callable[[str], str],
    venue: Callable[..., Any],
    capture: Callable[..., subprocess.Popen[str]],
    tmp_path: Path,
    left_out: str,
) -> None:
    served = venue("--seed", "7", "--markets", "40", "--rate", "400", "--lifecycle-seconds", "0")
    whole = discovered(program, served.gamma, tmp_path / "whole.json")
    slug, rows = next(iter(events_of(whole).items()))
    assert {row["event_markets"] for row in rows} == {len(rows)}
    flags = {
        "nothing": ["--event", slug],
        "by name": [flag for row in rows[1:] for flag in ("--market", row["slug"])],
        "by the filter": ["--capture-use-market-filters", "--market-regex",
                          "|".join(f"^{row['slug']}$" for row in rows[1:])],
    }[left_out]  # fmt: skip
    part = discovered(program, served.gamma, tmp_path / "part.json", *flags)
    told = rows if left_out == "nothing" else rows[1:]
    assert [row["slug"] for row in part["markets"]] == [row["slug"] for row in told]
    assert {row["event_markets"] for row in part["markets"]} == {len(rows)}
    process = capture(
        served, "part", "--universe", str(tmp_path / "part.json"), "--duration-seconds", "1"
    )
    out, _ = process.communicate(timeout=60)
    assert process.returncode == 0
    run = Path(out.strip())
    # The pairs of the markets are sets of two; what is left of an event of three is not.
    size = len(rows) if left_out == "nothing" else 2
    for accepts in ([], ["--uncounted-sets", "accept"]):
        found = simulated(program, run, *accepts)
        assert found is not None
        assert f"a set of {size}" in found
