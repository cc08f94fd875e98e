"""The recorded markets of resolvedkit as a run, simulated by pm-sim through its commands."""

import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final, NamedTuple

import make_frames_from_books as maker
from peers.rule_ladder import Spec, Told, Venue, exact

STRATEGY: Final = Path(__file__).with_name("late_favourite.py")
CASH_USD: Final = 1_000_000


class Recorded(NamedTuple):
    """Rows and facts of the recording by market, and the events made of it."""

    rows: dict[str, list[Told]]
    facts: dict[str, dict[str, Any]]
    first_ms: int
    events: Path
    venue: Venue

    def payouts(self, market: str) -> dict[str, int]:
        """Return what a share of each side pays (0 or 1)."""
        facts = self.facts[market]
        return {side: int(facts[f"payout_{side.lower()}"]) for side in maker.SIDES}

    def at_ns(self, at_ms: int) -> int:
        """Return when what the venue stamped so was received."""
        return maker.T0_MONO_NS + (at_ms - self.first_ms) * maker.NS_PER_MS + 1


class Simulated(NamedTuple):
    """The line of pm-sim, and its fills by lens and market."""

    line: dict[str, Any]
    fills: dict[str, dict[str, list[dict[str, Any]]]]


def record(data: Path, work: Path, venue: Venue) -> Recorded:
    """Make a run of books.parquet and markets.parquet, and replay it."""
    from pyarrow import parquet

    books, markets = data / "books.parquet", data / "markets.parquet"
    run, events = work / "books", work / "books.pmev"
    # What is sent is what changed, and nothing twice: then it is known what a strategy is called for.
    rate = f"{float(venue.fee_rate):g}"
    maker.make(books, markets, run, limit=None, book_every=0, fee_rate=rate)
    _run("pm-replay", str(run), "--depth", "--events-out", str(events))
    rows = maker.rows_of(books)
    by_market: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        by_market.setdefault(row["market_id"], []).append(row)
    facts = {row["market_id"]: row for row in parquet.read_table(markets).to_pylist()}
    told = {market: exact(of_it) for market, of_it in by_market.items()}
    return Recorded(told, facts, rows[0]["ts"], events, venue)


def simulate(
    recorded: Recorded,
    spec: Spec,
    work: Path,
    *,
    resolved: Iterable[str] | None = None,
    latency_ms: int | None = None,
) -> Simulated:
    """Run the strategy in both lenses; markets that are `resolved` (default all) pay at their end."""
    chosen = recorded.facts if resolved is None else list(resolved)
    ends, fills = work / "resolutions.json", work / "fills.jsonl"
    ends.write_text(json.dumps(resolutions([recorded.facts[one] for one in chosen])))
    latency = recorded.venue.latency_ms if latency_ms is None else latency_ms
    params = {
        "seconds": spec.seconds,
        "min_price": _usd(spec.min_px_e6),
        "max_price": _usd(spec.max_px_e6),
        "slippage": _usd(spec.slippage_e6),
        "dollars": _usd(spec.dollars_e6),
    }
    out = _run(
        "pm-sim", str(recorded.events), "--strategy", str(STRATEGY),
        *(word for name, value in params.items() for word in ("--param", f"{name}={value}")),
        "--order-latency-ms", str(latency), "--fee-bps", "0", "--cash", str(CASH_USD),
        "--resolutions", str(ends), "--fills-out", str(fills), "--force", "--print-pnl",
    )  # fmt: skip
    tokens = {
        maker.token_id(market, side): market for market in recorded.rows for side in maker.SIDES
    }
    by_lens: dict[str, dict[str, list[dict[str, Any]]]] = {"worst": {}, "central": {}}
    for text in fills.read_text().splitlines():
        fill = json.loads(text)
        by_lens[fill["lens"]].setdefault(tokens[fill["token_id"]], []).append(fill)
    return Simulated(json.loads(out), by_lens)


def resolutions(facts: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """Return a file of resolutions (docs/spec/resolutions.md) with the payouts that are known."""
    markets = [
        {
            "condition_id": one["market_id"],
            "status": "resolved",
            "basis": "prices",
            "tokens": [
                {
                    "token_id": maker.token_id(one["market_id"], side),
                    "payout": f"{one[f'payout_{side.lower()}']:g}",
                }
                for side in maker.SIDES
            ],
            "closed_time": datetime.fromtimestamp(one["end_ts"] / 1000, UTC).isoformat(),
        }
        for one in facts
    ]
    return {"resolutions_version": 1, "markets": markets}


def settlement_problems(
    recorded: Recorded, simulated: Simulated, resolved: Iterable[str] | None = None
) -> list[str]:
    """Return what of the accounts is not, to the millionth, what the fills and the payouts come to."""
    paid_out = set(recorded.facts if resolved is None else resolved)
    problems = []
    for lens, by_market in simulated.fills.items():
        pnl = simulated.line["lenses"][lens]["pnl"]
        cash, left = CASH_USD * 10**6, {}
        for market, fills in by_market.items():
            for fill in fills:
                cost = -(-fill["px_e6"] * fill["size_e6"] // 10**6)
                cash -= cost + fill["fee_e6"]
                if market in paid_out:
                    side = _side(recorded, market, fill)
                    cash += recorded.payouts(market)[side] * fill["size_e6"]
                else:
                    left[fill["token_id"]] = left.get(fill["token_id"], 0) + fill["size_e6"]
        found = (pnl["cash_e6"], pnl["positions_e6"], pnl["reserved_e6"])
        if found != (cash, left, 0):
            problems.append(f"{lens}: cash, positions, reserved {found}, not {(cash, left, 0)}")
        if not left and pnl["total_pnl_e6"] != cash - CASH_USD * 10**6:
            problems.append(f"{lens}: PnL {pnl['total_pnl_e6']}")
    return problems


def _side(recorded: Recorded, market: str, fill: Mapping[str, Any]) -> str:
    facts = recorded.facts[market]
    return {facts["outcome_up"]: "UP", facts["outcome_down"]: "DOWN"}[fill["outcome"]]


def as_takes(
    recorded: Recorded, market: str, fills: Iterable[Mapping[str, Any]]
) -> list[tuple[str, int, int, int, int]]:
    """Return side, time (receive clock, ns), price, size, fee of each fill."""
    return [
        (_side(recorded, market, one), one["at_ns"], one["px_e6"], one["size_e6"], one["fee_e6"])
        for one in fills
    ]


def _usd(amount_e6: int) -> str:
    return f"{amount_e6 // 10**6}.{amount_e6 % 10**6:06d}"


def _run(name: str, *words: str) -> str:
    program = Path(sys.executable).with_name(f"{name}.exe" if os.name == "nt" else name)
    done = subprocess.run([program, *words], capture_output=True, text=True, check=False)
    if done.returncode:
        raise RuntimeError(f"{name} ended with {done.returncode}: {done.stderr}")
    return done.stdout
