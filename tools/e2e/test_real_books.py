"""Real books, recorded as snapshots by others, sent as frames: replay has their tops at every moment."""

import importlib.util
import json
import os
import subprocess
import sys
from collections.abc import Callable
from fractions import Fraction
from itertools import groupby
from pathlib import Path

import pytest

from pm_frames.events import Kind, Settled, open_events

ROOT = Path(__file__).resolve().parents[2]
EVERYDAY_ROWS = 6_000
FULL = os.environ.get("PM_TEST_CAMPAIGN") == "full"


def e6(value: float) -> int:
    """Half up, from the exact value of the nearest decimal."""
    return int(Fraction(repr(value)) * 10**6 + Fraction(1, 2))


def top(row: dict) -> tuple[int, int, int, int]:
    """The best levels by comparison, whatever the order of the row."""
    bid = max(zip(row["bid_px"], row["bid_sz"], strict=True), default=None)
    ask = min(zip(row["ask_px"], row["ask_sz"], strict=True), default=None)
    bid_px, bid_sz = (-1, 0) if bid is None else map(e6, bid)
    ask_px, ask_sz = (-1, 0) if ask is None else map(e6, ask)
    return bid_px, bid_sz, ask_px, ask_sz


def test_the_tops_of_every_moment_are_those_of_the_recording(
    real_data: Path, program: Callable[[str], str], tmp_path: Path
) -> None:
    if importlib.util.find_spec("pyarrow") is None:
        pytest.skip("pyarrow is not installed")
    import make_frames_from_books as maker

    books = real_data / "books" / "books.parquet"
    limit = None if FULL else EVERYDAY_ROWS
    bundle = tmp_path / "books"
    frames = maker.make(
        books, books.with_name("markets.parquet"), bundle, limit=limit, book_every=50
    )
    events = tmp_path / "books.pmev"
    done = subprocess.run(
        [program("pm-replay"), str(bundle), "--events-out", str(events), "--oracles", "all"],
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    summary = json.loads(done.stdout)
    assert summary["frames"] == frames
    # Every book that was sent again was ours already, level by level; no top was ever in doubt.
    assert summary["oracles"]["snapshot"]["different"] == 0
    assert summary["oracles"]["snapshot"]["equal"] > 36
    assert summary["oracles"]["bbo"]["disagree"] == 0
    assert not summary["decode"]["schema_errors"]

    told: dict[tuple[int, str], tuple[int, int, int, int]] = {}  # by moment in ms, token
    with open_events(events) as reader:
        names: dict[int, str] = {}
        for event in reader:
            if event.kind == Kind.TOKEN:
                names[event.token] = event.text()
            elif event.kind == Kind.TOB:
                assert event.settled is Settled.SETTLED
                moment = event.ts_event_ns // maker.NS_PER_MS
                told[moment, names[event.token]] = (
                    event.bid_px_e6, event.bid_sz_e6, event.ask_px_e6, event.ask_sz_e6,
                )  # fmt: skip
    rows = maker.rows_of(books, limit)
    assert len({row["market_id"] for row in rows}) == 18
    now: dict[str, tuple[int, int, int, int]] = {}
    compared = 0
    for (ts, market), moment in groupby(rows, key=lambda row: (row["ts"], row["market_id"])):
        for row in moment:
            token = maker.token_id(market, row["side"])
            # What did not change since the row before was not sent and is told no second time.
            now[token] = told.pop((ts, token), now.get(token, (0, 0, 0, 0)))
            assert now[token] == top(row), (ts, market, row["side"])
            compared += 1
    assert compared == len(rows)
    assert not told  # and nothing was told at any other moment
    print(
        f"{compared} rows, {frames} frames, {summary['canonical_events']} events", file=sys.stderr
    )
