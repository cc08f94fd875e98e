"""Turn recorded book snapshots (Parquet, both tokens of binary markets) into a bundle of market-channel frames.

python tools/make_frames_from_books.py books.parquet markets.parquet OUT [--rows N] [--book-every N] [--fee-rate R]

Reads the layout of resolvedkit: one row a token and moment, levels best first. A token's first row becomes a
`book`, each later one the fewest changes that lead to it from the row before, with the best prices that
it shows; rows of one market and moment share a frame. With `--book-every N` each Nth row of a token is sent whole
once more after its changes, as the venue does after a trade. The universe has the end of each market, as
its tick the finest that its prices show, and a taker fee only if `--fee-rate` states one: the recording has
none of the two. Needs pyarrow.
"""

import argparse
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from datetime import UTC, datetime
from decimal import Decimal
from itertools import groupby
from pathlib import Path
from typing import Any

from bundle_builder import BundleBuilder

T0_MONO_NS = 1_000_000_000
NS_PER_MS = 1_000_000
SHARDS = 2
SIDES = ("UP", "DOWN")

Levels = dict[str, str]  # size by price, best first


def rows_of(path: Path, limit: int | None = None) -> list[dict[str, Any]]:
    """Return rows in order of time, market, token; with a limit whole moments evenly from all markets."""
    from pyarrow import parquet

    rows: list[dict[str, Any]] = parquet.read_table(path).to_pylist()
    rows.sort(key=lambda row: (row["ts"], row["market_id"], SIDES.index(row["side"])))
    if limit is None or limit >= len(rows):
        return rows
    counts = Counter(row["market_id"] for row in rows)
    share, taken, kept = -(-limit // len(counts)), Counter[str](), []
    for _, group in groupby(rows, key=lambda row: (row["ts"], row["market_id"])):
        moment = list(group)
        market = moment[0]["market_id"]
        if taken[market] < share:
            kept += moment
            taken[market] += len(moment)
    return kept


def token_id(market_id: str, side: str) -> str:
    """Return 77 digits that stand for a token whose id was not recorded."""
    digest = hashlib.sha256(f"{market_id} {side}".encode()).hexdigest()
    return str(10**76 + int(digest, 16) % (9 * 10**76))


def text(value: float) -> str:
    """Return a number as the venue writes it: the shortest decimal that is it, without trailing zeros."""
    whole = format(Decimal(repr(value)), "f")
    return whole.rstrip("0").rstrip(".") if "." in whole else whole


def levels(row: Mapping[str, Any], side: str) -> Levels:
    return {text(px): text(sz) for px, sz in zip(row[f"{side}_px"], row[f"{side}_sz"], strict=True)}


def payloads_of(
    moment: list[dict[str, Any]], last: dict[str, tuple[Levels, Levels]], whole: set[str]
) -> Iterator[bytes]:
    """Yield the frames for the rows of one market and moment; `last` is what was sent of each token."""
    market, at = moment[0]["market_id"], str(moment[0]["ts"])
    books, changes = [], []
    for row in moment:
        token = token_id(market, row["side"])
        bids, asks = levels(row, "bid"), levels(row, "ask")
        before = last.get(token)
        stated = {"best_bid": next(iter(bids), ""), "best_ask": next(iter(asks), "")}
        if before is not None:
            for side, old, new in (("BUY", before[0], bids), ("SELL", before[1], asks)):
                for price, size in _differences(old, new):
                    change = {"asset_id": token, "price": price, "size": size, "side": side}
                    changes.append(change | {"hash": ""} | stated)
        if before is None or token in whole:
            books.append(_book(market, token, at, bids, asks))
        last[token] = (bids, asks)
    if changes:
        yield _compact(
            {
                "market": market,
                "price_changes": changes,
                "timestamp": at,
                "event_type": "price_change",
            }
        )
    if books:
        yield _compact(books)


def _differences(old: Levels, new: Levels) -> Iterator[tuple[str, str]]:
    yield from ((price, "0") for price in old if price not in new)
    yield from ((price, size) for price, size in new.items() if old.get(price) != size)


def _book(market: str, token: str, at: str, bids: Levels, asks: Levels) -> dict[str, Any]:
    sides = (
        [{"price": price, "size": size} for price, size in reversed(side.items())]
        for side in (bids, asks)
    )
    named = {"market": market, "asset_id": token, "timestamp": at, "hash": ""}
    return named | dict(zip(("bids", "asks"), sides, strict=True)) | {"event_type": "book"}


def _compact(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def make(
    books: Path,
    markets: Path,
    out: Path,
    *,
    limit: int | None,
    book_every: int,
    fee_rate: str | None = None,
) -> int:
    """Write the bundle; return the number of frames."""
    from pyarrow import parquet

    rows = rows_of(books, limit)
    facts = parquet.read_table(markets).to_pylist()
    ids = {row["market_id"]: [token_id(row["market_id"], side) for side in SIDES] for row in facts}
    ticks = ticks_of(rows)
    first_ms = rows[0]["ts"]
    builder = BundleBuilder(
        out,
        t0_mono_ns=T0_MONO_NS,
        t0_wall_ns_utc=first_ms * NS_PER_MS,
        markets=[
            _universe_row(row, ids[row["market_id"]], ticks[row["market_id"]], fee_rate)
            for row in facts
        ],
        origin=f"{books.name}: Polymarket order-book data from Resolved Markets (https://resolvedmarkets.com)",
    )
    shards = {market: number % SHARDS for number, market in enumerate(ids)}
    for shard in range(SHARDS):
        tokens = [token for market in ids if shards[market] == shard for token in ids[market]]
        builder.connect(shard, tokens, T0_MONO_NS)
    last: dict[str, tuple[Levels, Levels]] = {}
    seen, frames, mono = Counter[str](), 0, T0_MONO_NS
    for (ts, market), group in groupby(rows, key=lambda row: (row["ts"], row["market_id"])):
        moment = list(group)
        mono = T0_MONO_NS + (ts - first_ms) * NS_PER_MS + 1
        whole = set()
        for row in moment:
            token = token_id(market, row["side"])
            seen[token] += 1
            if book_every and seen[token] % book_every == 0:
                whole.add(token)
        payloads = list(payloads_of(moment, last, whole))
        if payloads:
            builder.frames(shards[market], mono, payloads)
        frames += len(payloads)
    builder.seal(mono + 1)
    return frames


def ticks_of(rows: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Return the coarsest tick, 0.01 or finer, that all prices of a market lie on."""
    places: dict[str, int] = {}
    for row in rows:
        prices = (px for side in ("bid_px", "ask_px") for px in row[side])
        found = max((len(text(px)) - 2 for px in prices), default=0)
        places[row["market_id"]] = max(found, places.get(row["market_id"], 2))
    return {market: f"0.{'0' * (count - 1)}1" for market, count in places.items()}


def _universe_row(
    row: Mapping[str, Any], tokens: list[str], tick: str, fee_rate: str | None
) -> dict[str, Any]:
    outcomes = (row["outcome_up"], row["outcome_down"])
    pairs = zip(tokens, outcomes, strict=True)
    fees = {"rate": fee_rate, "exponent": "1", "taker_only": True, "rebate_rate": None}
    stated = {} if fee_rate is None else {"fees_enabled": True, "fee_schedule": fees}
    return stated | {
        "condition_id": row["market_id"],
        "slug": row["slug"],
        "question": row["question"],
        "category": row["category"],
        "tick_size": tick,
        "end_date": datetime.fromtimestamp(row["end_ts"] / 1000, UTC).isoformat(),
        "tokens": [{"token_id": token, "outcome": outcome} for token, outcome in pairs],
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("books", type=Path)
    parser.add_argument("markets", type=Path)
    parser.add_argument("out", type=Path, help="run directory to be made")
    parser.add_argument(
        "--rows", type=int, help="about so many rows, of every market (default all)"
    )
    parser.add_argument("--book-every", type=int, default=50, help="0: never (default 50)")
    parser.add_argument("--fee-rate", metavar="R", help="taker fee rate to state, such as 0.07")
    options = parser.parse_args()
    if options.out.exists():
        print(f"make_frames_from_books: {options.out}: exists", file=sys.stderr)
        return 2
    frames = make(
        options.books,
        options.markets,
        options.out,
        limit=options.rows,
        book_every=options.book_every,
        fee_rate=options.fee_rate,
    )
    print(f"{options.out}: {frames} frames")
    return 0


if __name__ == "__main__":
    sys.exit(main())
