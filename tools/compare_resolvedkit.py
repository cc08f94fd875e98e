"""Buy the favourite late in resolvedkit and in pm-sim, on the same recorded books, and explain every difference.

python tools/compare_resolvedkit.py [DATA] [--latency-ms 250] [--json]

DATA has books.parquet and markets.parquet in the layout of resolvedkit (default: those it ships). Both programs get the same latency and
the same fee curve. A market is explained if `rule_ladder` comes to the peer's outcome under the peer's rules
and to pm-sim's under pm-sim's, fill by fill: then what differs is what its rungs changed. Needs
resolvedkit (tools/requirements/bench.in). Exit code 1: something is unexplained, or a position was not
paid what is known to be right.
"""

import argparse
import json
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Mapping
from fractions import Fraction
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from peers import recorded_markets
from peers.recorded_markets import Recorded, Simulated
from peers.rule_ladder import E6, RUNGS, Bought, Outcome, Spec, Venue, climb

FEE_RATE: Final = Fraction(7, 100)  # crypto, as the venue states it for these markets' category
CASES: Final = {
    # What resolvedkit ships as `late_favorite`.
    "late_favorite": Spec(120, 600_000, 900_000, 20_000, 250_000_000),
    # More dollars than the first levels have.
    "large": Spec(300, 500_000, 950_000, 30_000, 2_500_000_000),
    # Nothing above the ask that it saw: what has become dearer by then is refused, and tried again.
    "tight": Spec(300, 500_000, 950_000, 0, 250_000_000),
    # Every one of the markets is bought.
    "all_markets": Spec(800, 500_000, 990_000, 20_000, 100_000_000),
}
PEER_REASONS: Final = {"price_limit": "no_match", "no_liquidity": "no_match"}
# The peer reckons in floating point.
SLACK_E6: Final = Fraction(1, 1000)


def peer_results(data: Path, spec: Spec, venue: Venue) -> dict[str, Any]:
    """Return what resolvedkit makes of each market."""
    from resolvedkit import Backtester
    from resolvedkit.data import ParquetSource
    from resolvedkit.rules import RuleStrategy

    strategy = RuleStrategy({"name": "late favourite", "entry": peer_entry(spec)})
    tester = Backtester(
        ParquetSource(data), strategy, latency_ms=venue.latency_ms, fee_rate=float(venue.fee_rate)
    )
    return {one.market.market_id: one for one in tester.run().markets}


def peer_entry(spec: Spec) -> dict[str, Any]:
    """Return the specification in the peer's words."""
    return {
        "side": "favorite",
        "seconds_before_end": spec.seconds,
        "min_price": spec.min_px_e6 / E6,
        "max_price": spec.max_px_e6 / E6,
        "usd": spec.dollars_e6 / E6,
        "max_slippage": spec.slippage_e6 / E6,
    }


def peer_problems(
    result: Any, reckoned: Outcome, payouts: Mapping[str, int], latency_ms: int
) -> Iterator[str]:
    """Yield where the peer is not what its rules come to, or pays a position something else than is known."""
    ends = [
        (one.order.submit_ts + latency_ms, PEER_REASONS.get(one.reason, one.reason))
        for one in result.rejections
    ]
    if ends != list(reckoned.refused):
        yield f"peer refused {ends}, reckoned {reckoned.refused}"
    fills, bought = result.fills, reckoned.bought
    if bought is None or not fills:
        if fills or bought:
            yield f"peer filled {fills}, reckoned {bought}"
        return
    if len(fills) != 1:
        yield f"peer filled {len(fills)} times"
    fill = fills[0]
    if (fill.side, fill.action, fill.ts) != (bought.side, "BUY", bought.at_ms):
        yield f"peer bought {fill}, reckoned {bought}"
    for name, found, wanted in (
        ("size", fill.shares, bought.size_e6),
        ("cost", fill.notional, bought.paid_e6),
        ("fee", fill.fee, bought.fee_e6),
    ):
        if abs(Fraction(found) * E6 - wanted) > SLACK_E6:
            yield f"peer's {name} is {found}, reckoned {float(wanted) / E6}"
    if not result.resolved or result.settlement != fill.shares * payouts[fill.side]:
        yield f"peer was paid {result.settlement} for {fill.shares} {fill.side}"


def sim_problems(
    recorded: Recorded, simulated: Simulated, reckoned: Mapping[str, Outcome], lens: str
) -> Iterator[str]:
    """Yield where pm-sim is not, to the millionth, what its rules come to."""
    reasons = Counter[str]()
    for market, outcome in reckoned.items():
        fills = simulated.fills[lens].get(market, [])
        found = recorded_markets.as_takes(recorded, market, fills)
        wanted: list[tuple[Any, ...]] = []
        reasons.update(reason for _, reason in outcome.refused)
        if (bought := outcome.bought) is not None:
            at = recorded.at_ns(bought.at_ms)
            wanted = [(bought.side, at, *take) for take in bought.takes]
        if found != wanted:
            yield f"{lens} {recorded.facts[market]['slug']}: pm-sim filled {found}, reckoned {wanted}"
    rejects = dict(simulated.line["lenses"][lens]["rejects"])
    # What is left of an order that was filled in part ends without a match as well.
    parts = sum(
        1
        for outcome in reckoned.values()
        if outcome.bought is not None and outcome.bought.size_e6 < outcome.bought.asked_e6
    )
    reasons["no_match"] += parts
    if rejects != {reason: count for reason, count in reasons.items() if count}:
        yield f"{lens}: pm-sim rejected {rejects}, reckoned {dict(reasons)}"


def changes(before: Outcome, after: Outcome) -> dict[str, Any]:
    """Return which facts of a market's fill a rung has changed, from what to what."""
    old, new = facts_of(before), facts_of(after)
    return {key: [old[key], new[key]] for key in old if old[key] != new[key]}


def facts_of(outcome: Outcome) -> dict[str, Any]:
    """Return the facts of a fill that are compared; dollars and shares as numbers for people."""
    bought = outcome.bought or Bought("", 0, (), 0, 0, 0, 0)
    average = bought.paid_e6 / Fraction(bought.size_e6) if bought.size_e6 else 0
    return {
        "side": bought.side,
        "at_ms": bought.at_ms,
        "average_price": round(float(average), 6),
        "shares": round(float(bought.size_e6) / E6, 6),
        "cost": round(float(bought.paid_e6) / E6, 6),
        "fee": round(float(bought.fee_e6) / E6, 6),
        "refused": len(outcome.refused),
    }


def compare(
    recorded: Recorded,
    spec: Spec,
    work: Path,
    peers: Mapping[str, Any] | None,
    *,
    sim_latency_ms: int | None = None,
) -> dict[str, Any]:
    """Return the report on one specification; without `peers` pm-sim alone is held against the reckoning."""
    simulated = recorded_markets.simulate(recorded, spec, work, latency_ms=sim_latency_ms)
    problems = recorded_markets.settlement_problems(recorded, simulated)
    causes: dict[str, Counter[str]] = {lens: Counter() for lens in RUNGS}
    markets: dict[str, Any] = {}
    for lens in RUNGS:
        last: dict[str, Outcome] = {}
        for market, rows in recorded.rows.items():
            facts = recorded.facts[market]
            steps = list(climb(rows, facts["end_ts"], spec, recorded.venue, lens))
            first, last[market] = steps[0][1], steps[-1][1]
            if peers is not None and lens == "worst":
                found = peer_problems(
                    peers[market], first, recorded.payouts(market), recorded.venue.latency_ms
                )
                problems += [f"{facts['slug']}: {one}" for one in found]
            differences = []
            for (_, before), (cause, after) in pairwise(steps):
                if changed := changes(before, after):
                    causes[lens][cause] += 1
                    differences.append({"cause": cause, "changed": changed})
            if first.bought is not None or last[market].bought is not None:
                told = markets.setdefault(facts["slug"], {"resolvedkit": facts_of(first)})
                told[lens] = facts_of(last[market])
                told[f"{lens}_differences"] = differences
        problems += sim_problems(recorded, simulated, last, lens)
    return {
        "spec": spec._asdict(),
        "markets_bought": {
            "resolvedkit": sum(one["resolvedkit"]["shares"] > 0 for one in markets.values()),
            **{lens: len(simulated.fills[lens]) for lens in RUNGS},
        },
        "fills": {lens: simulated.line["lenses"][lens]["fills"] for lens in RUNGS},
        "pnl_usd": {
            "resolvedkit": None
            if peers is None
            else round(sum(one.pnl for one in peers.values()), 6),
            **{lens: simulated.line["lenses"][lens]["pnl"]["total_pnl_e6"] / E6 for lens in RUNGS},
        },
        "markets_changed_by": {lens: dict(causes[lens]) for lens in RUNGS},
        "markets": markets,
        "unexplained": problems,
    }


def settled_one_by_one(recorded: Recorded, spec: Spec, work: Path) -> list[str]:
    """Settle the markets one at a time: each position is paid by its own payout, and no other moves."""
    problems = []
    for market, facts in recorded.facts.items():
        simulated = recorded_markets.simulate(recorded, spec, work, resolved=[market])
        if not all(market in by_market for by_market in simulated.fills.values()):
            problems.append(f"{facts['slug']}: nothing was bought")
        found = recorded_markets.settlement_problems(recorded, simulated, [market])
        problems += [f"{facts['slug']}: {one}" for one in found]
    return problems


def page(report: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines for people."""
    for name, case in report["cases"].items():
        yield f"{name}: bought {case['markets_bought']}, fills {case['fills']}, PnL {case['pnl_usd']}"
        for lens, causes in case["markets_changed_by"].items():
            for cause, count in causes.items():
                yield f"  {lens}: {count} markets: {cause}"
    yield f"settled one by one: {report['settled_one_by_one']} markets"
    yield f"unexplained: {len(report['unexplained'])}"
    yield from (f"  {one}" for one in report["unexplained"])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("data", type=Path, nargs="?", help="folder (default: what it ships)")
    parser.add_argument("--latency-ms", type=int, default=250, help="of both (default 250)")
    parser.add_argument("--json", action="store_true", help="print the whole report")
    options = parser.parse_args()
    data = options.data or Path(str(files("resolvedkit"))) / "sample_data"
    venue = Venue(options.latency_ms, FEE_RATE)
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        recorded = recorded_markets.record(data, work, venue)
        cases = {
            name: compare(recorded, spec, work, peer_results(data, spec, venue))
            for name, spec in CASES.items()
        }
        alone = settled_one_by_one(recorded, CASES["all_markets"], work)
    unexplained = [
        f"{name}: {one}" for name, case in cases.items() for one in case.pop("unexplained")
    ]
    report = {
        "cases": cases,
        "settled_one_by_one": len(recorded.facts),
        "unexplained": unexplained + alone,
    }
    print(json.dumps(report) if options.json else "\n".join(page(report)))
    return 1 if report["unexplained"] else 0


if __name__ == "__main__":
    sys.exit(main())
