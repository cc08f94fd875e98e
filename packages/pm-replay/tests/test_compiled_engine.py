"""What compiled code reads, and what it is lent: nothing but what it may, and all of it comes back."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from bundles import (
    T0,
    FrameSpec,
    Made,
    Maker,
    RecordSpec,
    book,
    change,
    compact,
    price_change,
    subscribed,
)
from hypothesis import given
from hypothesis import strategies as st
from walk import STAMP, Walk

from pm_replay.engine import Engine
from pm_replay.pipeline import COMPILED_FROM_BYTES, Replay, Request, fastest_engine, replay
from pm_replay.report import summary
from pm_replay.telling import Options
from pm_replay.token import Market, Token

pytest.importorskip("numba", reason="without numba there is no compiled engine")

import numpy as np

from pm_replay import compiled_books, compiled_engine
from pm_replay.compiled_books import place_of
from pm_replay.compiled_engine import CompiledEngine
from pm_replay.lent_books import LentBooks

FULL = os.environ.get("PM_TEST_CAMPAIGN") == "full"
HASHES = ("0123456789" * 4, "abcdef0123" * 4)
SHALLOW, DEEP = Request(), Request(options=Options(depth=True))


def told(make_engine: type[Engine], made: Made, request: Request) -> tuple[bytes, str, int]:
    out: list[bytes] = []
    result = replay(made.bundle, request, out.append, make_engine=make_engine)
    line = summary(result, "run", elapsed_ms=0, profile="full", code=0)
    return b"".join(out), repr({**line, "quick_frames": 0}), line["quick_frames"]


class Tireless(CompiledEngine):
    """One that lends whether it pays or not, so that every frame is tried."""

    look_frames = 1 << 62


def assert_equal(made: Made, request: Request) -> int:
    """Return how many frames compiled code took."""
    *compiled, taken = told(Tireless, made, request)
    *reference, _ = told(Engine, made, request)
    assert compiled[0] == reference[0]
    assert compiled[1] == reference[1]
    return taken


def pair_of(market: int) -> tuple[str, str]:
    return f"7{market:076d}", f"8{market:077d}"


def market_of(market: int) -> str:
    return f"0x{market:064x}"


def usual(market: int, *, swapped: bool = False) -> bytes:
    """A change that the venue could send."""
    changes = [
        change(token, price, "12.5", side, hash=hash_, bid=bid, ask=ask)
        for token, price, side, hash_, bid, ask in zip(
            pair_of(market), ("0.45", "0.55"), ("BUY", "SELL"), HASHES, ("0.45", "0.4"), ("0.6", "0.55"),
            strict=True,
        )
    ]  # fmt: skip
    value = price_change(*changes[:: -1 if swapped else 1], ts=str(STAMP))
    return compact({**value, "market": market_of(market)})


def whole(market: int, which: int) -> bytes:
    """A whole book as the venue writes it now."""
    sides = ({"0.39": "7", "0.4": "1"}, {"0.61": "2.25", "0.6": "1"})
    value = book(pair_of(market)[which], *sides, ts=str(STAMP), hash=HASHES[which])
    del value["event_type"]
    rest = {"tick_size": "0.01", "event_type": "book", "last_trade_price": "0.500"}
    return compact({**value, "market": market_of(market), **rest})


def mutants(make: Callable[[int], bytes]) -> list[bytes]:
    """Return payloads with one thing wrong each, for each byte; each is of a market of its own."""
    wrong: list[bytes] = []

    def replaced(begin: int, end: int, by: bytes) -> None:
        payload = make(len(wrong))
        wrong.append(payload[:begin] + by + payload[end:])

    length = len(make(0))
    for more in (b" ", b"}", b"]", make(0)):
        replaced(length, length, more)
    for at in range(length):
        replaced(at, length, b"")
        replaced(at, at + 1, b"")
        others = b'0951a"\\ .,{[\x00\xff' if FULL else b'0"'[at % 2 : at % 2 + 1]
        for byte in others:
            replaced(at, at + 1, bytes((byte,)))
        if FULL:
            replaced(at, at, make(len(wrong))[at : at + 1])
    return wrong


def with_mutants(make_bundle: Maker, wrong: list[bytes]) -> Made:
    """A bundle in which each stands between sound changes and books of its market."""
    frames: list[FrameSpec] = []
    for market, mutant in enumerate(wrong):
        sound = [whole(market, 0), whole(market, 1), usual(market)]
        for payload in (*sound, mutant, usual(market, swapped=True), *sound[1:]):
            frames.append((0, T0 + 100 + len(frames), payload))
    tokens = [token for market in range(len(wrong)) for token in pair_of(market)]
    first, *rest = [tokens[at : at + 1000] for at in range(0, len(tokens), 1000)]
    about = {"shard_id": 0, "connection": 1}
    records: list[RecordSpec] = [
        *subscribed(*first),
        *((T0 + 3, "subscribe_attempt", {**about, "token_ids": some}) for some in rest),
    ]
    return make_bundle(frames, records)


@pytest.mark.parametrize("request_", [SHALLOW, DEEP], ids=["shallow", "deep"])
def test_a_change_with_any_byte_wrong_is_not_read_as_if_it_were_right(
    make_bundle: Maker, request_: Request
) -> None:
    wrong = mutants(usual)
    assert len(wrong) > (8_000 if FULL else 1_400)
    taken = assert_equal(with_mutants(make_bundle, wrong), request_)
    # What comes before is taken but for its books, and mostly what comes after.
    assert len(wrong) < taken < 6 * len(wrong)


@pytest.mark.parametrize("request_", [SHALLOW, DEEP], ids=["shallow", "deep"])
def test_a_book_with_any_byte_wrong_is_not_read_as_if_it_were_right(
    make_bundle: Maker, request_: Request
) -> None:
    wrong = mutants(lambda market: whole(market, 0))
    assert len(wrong) > (5_000 if FULL else 800)
    taken = assert_equal(with_mutants(make_bundle, wrong), request_)
    assert len(wrong) < taken < 6 * len(wrong)


@pytest.mark.parametrize("sample_every", [0, 1, 50, 4093])
@pytest.mark.parametrize("deep", [False, True], ids=["shallow", "deep"])
def test_books_that_grow_and_shrink_are_those_of_the_reference(
    make_bundle: Maker, deep: bool, sample_every: int
) -> None:
    walk = Walk(sample_every)
    frames: list[FrameSpec] = [
        (0, T0 + 100 + at, payload) for at, payload in enumerate(walk.frames(4_000))
    ]
    tokens = [token for pair in walk.pairs for token in pair]
    middle = frames[len(frames) // 2][1]
    again = [
        (middle, "disconnect", {"shard_id": 0, "connection": 1, "planned": False}),
        *subscribed(*tokens, at=middle + 1, connection=2),
    ]
    made = make_bundle(frames, [*subscribed(*tokens), *again])
    request = Request(options=Options(depth=deep), sample_every=sample_every)
    taken = assert_equal(made, request)
    assert taken == 0 if sample_every == 1 else taken > len(frames) // 4


class Restless(CompiledEngine):
    """One that looks, rests and lends again all the time."""

    look_frames, taken_per_return_min, rest_frames = 40, 20, 60


@pytest.mark.parametrize("deep", [False, True], ids=["shallow", "deep"])
def test_where_lending_does_not_pay_it_rests(make_bundle: Maker, deep: bool) -> None:
    walk = Walk(3)
    frames: list[FrameSpec] = [
        (at // 900 % 2, T0 + 100 + at, payload) for at, payload in enumerate(walk.frames(3_000))
    ]
    made = make_bundle(frames, subscribed(*(token for pair in walk.pairs for token in pair)))
    request = Request(options=Options(depth=deep))
    out: list[bytes] = []
    # In blocks of a few rows, as from many shards.
    result = replay(made.bundle, request, out.append, make_engine=Restless)
    *reference, _ = told(Engine, made, request)
    line = summary(result, "run", elapsed_ms=0, profile="full", code=0)
    assert b"".join(out) == reference[0]
    assert repr({**line, "quick_frames": 0}) == reference[1]
    engine = result.engine
    assert isinstance(engine, Restless)
    assert engine.rests > 1
    assert engine.quick > 0


def test_a_day_of_usual_frames_brings_no_rest(make_bundle: Maker) -> None:
    payloads = [whole(0, which) for which in range(2)] + [usual(0)] * 500
    frames: list[FrameSpec] = [(0, T0 + 100 + at, payload) for at, payload in enumerate(payloads)]
    made = make_bundle(frames, subscribed(*pair_of(0)))
    result = replay(made.bundle, SHALLOW, None, make_engine=Restless)
    engine = result.engine
    assert isinstance(engine, Restless)
    assert (engine.rests, engine.quick) == (0, 500)


def test_markets_that_begin_alike_are_told_apart_at_once() -> None:
    places = {
        int(place_of(np.frombuffer(market_of(number).encode(), np.uint8), 0, 1 << 16))
        for number in range(20_000)
    }
    assert len(places) > 15_000  # 17,200 of numbers by chance


LEVELS = st.dictionaries(st.integers(1, 10**6), st.integers(1, 2**62), max_size=40)


@given(st.lists(st.tuples(LEVELS, LEVELS, LEVELS, LEVELS), max_size=6))
def test_what_is_lent_comes_back(books: list[tuple[dict[int, int], ...]]) -> None:
    lent = LentBooks()
    pairs = []
    for number, sides in enumerate(books):
        market = Market(f"0x{number:064x}")
        first, second = (
            Token(2 * number + each, f"{number}{each}", market, chosen=True) for each in range(2)
        )
        market.tokens = [first, second]
        first.shard = second.shard = 3
        first.replace(dict(sides[0]), dict(sides[1]))
        second.replace(dict(sides[2]), dict(sides[3]))
        first.group_text, second.group_text = "not a stamp", "0123"
        assert lent.lend(first, second)
        assert (first.bids, first.asks, second.bids, second.asks) == ({}, {}, {}, {})
        assert not lent.lend(first, second)
        assert not lent.lend(second, first)
        pairs.append((first, second))
    lent.recall_all()
    for (first, second), sides in zip(pairs, books, strict=True):
        assert (first.bids, first.asks, second.bids, second.asks) == sides
        assert (first.group_text, second.group_text) == ("not a stamp", "0123")
        best = (first.bid, first.ask)
        assert best == (max(sides[0], default=-1), min(sides[1], default=-1))


def lendable(number: int, levels: int) -> tuple[Token, Token]:
    market = Market(market_of(number))
    first, second = (
        Token(2 * number + each, token_id, market, chosen=True)
        for each, token_id in enumerate(pair_of(number))
    )
    market.tokens = [first, second]
    for token in market.tokens:
        token.shard = 0
        token.replace(dict.fromkeys(range(1, levels), 1), {})
    return first, second


def test_books_lent_again_and_again_in_any_order_take_no_more_room() -> None:
    source = random.Random(5)
    pairs = [lendable(number, 1000 if number % 20 == 0 else 10) for number in range(100)]
    rooms = []
    lent = LentBooks()
    for _ in range(40):
        source.shuffle(pairs)
        for first, second in pairs:
            assert lent.lend(first, second)
        rooms.append(len(lent._books.prices))
        lent.recall_all()
    assert max(rooms[1:]) <= 2 * rooms[0]
    assert all(len(first.bids) in (9, 999) for first, _ in pairs)


def universe_of(version: int, *pairs: tuple[str, str]) -> dict[str, Any]:
    return {
        "universe_version": version,
        "markets": [
            {
                "condition_id": market_of(number),
                "tokens": [{"token_id": each, "outcome": "x"} for each in pair],
            }
            for number, pair in enumerate(pairs)
        ],
    }


def with_universes(make_bundle: Maker, payloads: list[bytes], *later: dict[str, Any]) -> Made:
    """A bundle of books of two markets and then payloads; one more universe after so many of those each."""
    span = len(payloads) // (len(later) + 1)
    begin = [whole(market, which) for market in range(2) for which in range(2)]
    frames: list[FrameSpec] = [
        (0, T0 + 100 + at, payload) for at, payload in enumerate([*begin, *payloads])
    ]
    files = [f"universe/{number:06d}.json" for number in range(1, len(later) + 1)]
    records: list[RecordSpec] = [
        *subscribed(*pair_of(0), *pair_of(1)),
        *(
            (T0 + 104 + number * span, "universe_refresh", {"reason": "APPLIED", "universe_file": name})
            for number, name in enumerate(files, 1)
        ),
    ]  # fmt: skip
    made = make_bundle(frames, records, universe=universe_of(0, pair_of(0), pair_of(1)))
    for name, document in zip(files, later, strict=True):
        (made.path / name).write_bytes(compact(document))
    return made


def test_a_universe_that_moves_no_token_takes_nothing_back(
    make_bundle: Maker, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = [universe_of(number, pair_of(0), pair_of(1)) for number in range(1, 6)]
    made = with_universes(make_bundle, [usual(at % 2) for at in range(60)], *later)
    lends = 0
    lend = LentBooks.lend

    def counted(self: LentBooks, first: Token, second: Token) -> bool:
        nonlocal lends
        lends += 1
        return lend(self, first, second)

    monkeypatch.setattr(LentBooks, "lend", counted)
    assert assert_equal(made, SHALLOW) == 60
    assert lends == 2


def test_a_market_that_gets_another_token_is_lent_with_that(make_bundle: Maker) -> None:
    (one, two), (other, another) = pair_of(0), pair_of(1)
    swapped = [
        usual(0).replace(two.encode(), another.encode()),
        usual(1).replace(another.encode(), two.encode()),
    ]
    made = with_universes(
        make_bundle,
        [usual(at % 2) for at in range(20)] + [swapped[at % 2] for at in range(20)],
        universe_of(1, (one, another), (other, two)),
    )
    assert assert_equal(made, SHALLOW) == 40
    assert assert_equal(made, DEEP) == 40


def test_nothing_is_fed_in_a_block_of_nothing(make_bundle: Maker) -> None:
    made = make_bundle([(0, T0 + 100, b"PONG")])
    engine = Replay(made.bundle, SHALLOW, None, None, None, CompiledEngine).engine
    engine.feed([])
    assert (engine.frames, engine.seq) == (0, 0)


@pytest.mark.parametrize("what", ["take", "read_book", "place_of"])
def test_what_cannot_be_compiled_or_fetched_is_done_without(
    make_bundle: Maker, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    def broken(*_: object) -> None:
        raise EOFError("ran out of input")  # as numba does for an index that was cut

    frames: list[FrameSpec] = [
        (0, T0 + 100 + at, payload)
        for at, payload in enumerate([whole(0, 0), whole(0, 1), usual(0), whole(0, 0), usual(0)])
    ]
    made = make_bundle(frames, subscribed(*pair_of(0)))
    monkeypatch.setattr(compiled_books, what, broken)
    compiled_engine._is_compiled.cache_clear()
    try:
        assert_equal(made, SHALLOW)
        assert_equal(made, DEEP)
    finally:
        compiled_engine._is_compiled.cache_clear()


@pytest.mark.parametrize("error", ["ImportError", "OSError", "SystemError", "AttributeError"])
def test_a_compiler_that_is_broken_is_done_without(tmp_path: Path, error: str) -> None:
    (tmp_path / "numba.py").write_text(f"raise {error}('libllvmlite.so: not to be loaded')")
    program = (
        "from pm_replay.pipeline import fastest_engine; print(fastest_engine(1 << 40).__name__)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.stdout.strip(), done.stderr) == ("BatchEngine", "")


def test_small_runs_are_not_worth_a_compiler() -> None:
    assert fastest_engine(COMPILED_FROM_BYTES) is CompiledEngine
    assert fastest_engine(COMPILED_FROM_BYTES - 1) is not CompiledEngine
