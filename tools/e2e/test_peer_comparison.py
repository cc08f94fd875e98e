"""Real books of 18 settled markets: pm-sim's fills are what its rules come to, its payouts what is known.

Those fills are reckoned by a program of its own (tools/peers/rule_ladder.py); where resolvedkit is
installed, its fills are explained by the same reckoning.
"""

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("peer")


@pytest.fixture(scope="module")
def recorded(work: Path):  # type: ignore[no-untyped-def]  # its module needs pyarrow
    data = ROOT.parent / "shared" / "data" / "books"
    if not data.is_dir():
        pytest.skip("no real data beside the checkout (data/books)")
    if importlib.util.find_spec("pyarrow") is None:
        pytest.skip("pyarrow is not installed")
    import compare_resolvedkit as comparison
    from peers import recorded_markets
    from peers.rule_ladder import Venue

    return recorded_markets.record(data, work, Venue(250, comparison.FEE_RATE))


def test_every_position_is_filled_as_reckoned_and_paid_as_known(recorded, work: Path) -> None:
    import compare_resolvedkit as comparison

    report = comparison.compare(recorded, comparison.CASES["all_markets"], work, None)
    assert report["unexplained"] == []
    assert report["markets_bought"] == {"resolvedkit": 18, "central": 18, "worst": 18}
    bought = [
        (recorded.payouts(market)[market_report["worst"]["side"]])
        for market, facts in recorded.facts.items()
        for market_report in [report["markets"][facts["slug"]]]
    ]
    assert sorted(set(bought)) == [0, 1]  # there are losers and winners to be paid


def test_another_latency_and_another_payout_are_found_out(recorded, work: Path) -> None:
    import compare_resolvedkit as comparison
    from peers import recorded_markets

    spec = comparison.CASES["late_favorite"]
    late = comparison.compare(recorded, spec, work, None, sim_latency_ms=1500)
    assert any("pm-sim filled" in one for one in late["unexplained"])
    simulated = recorded_markets.simulate(recorded, spec, work)
    assert recorded_markets.settlement_problems(recorded, simulated) == []
    market = next(iter(simulated.fills["worst"]))
    facts = recorded.facts[market]
    swapped = facts | {"payout_up": facts["payout_down"], "payout_down": facts["payout_up"]}
    other = recorded._replace(facts=recorded.facts | {market: swapped})
    assert recorded_markets.settlement_problems(other, simulated)


def test_the_strategy_keeps_the_contract(program) -> None:
    strategy = ROOT / "tools" / "peers" / "late_favourite.py"
    done = subprocess.run(
        [program("pm-sim"), "lint", str(strategy)], capture_output=True, check=False
    )
    assert done.returncode == 0, done.stdout.decode()


def test_every_difference_from_resolvedkit_is_explained(recorded) -> None:
    if importlib.util.find_spec("resolvedkit") is None:
        pytest.skip("resolvedkit is not installed (nox -s peers compares with it)")
    done = subprocess.run(
        [sys.executable, str(ROOT / "tools" / "compare_resolvedkit.py"),
         str(ROOT.parent / "shared" / "data" / "books"), "--json"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    assert json.loads(done.stdout)["unexplained"] == []
