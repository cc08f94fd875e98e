"""The fast engines and the readable one are one function: equal bytes and equal summaries for every input."""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest
from bundles import T0, FrameSpec, Made, Maker, book, change, compact, price_change, subscribed

from pm_frames.events import Kind
from pm_frames.layout import Flag
from pm_replay.batch_engine import BatchEngine
from pm_replay.decoder import PRICE_CHANGE_ENDS, UNREADABLE, decode_one
from pm_replay.engine import Engine
from pm_replay.messages import Fast
from pm_replay.pipeline import Request, Result, replay
from pm_replay.report import summary
from pm_replay.telling import Options

Make = type[Engine]
# As the venue names them: what else is never lent to compiled code.
PAIRS = tuple((f"{n}1" * 38, f"{n}2" * 38) for n in (1, 2, 3))
MARKET_OF = {token: f"0x{pair[0][:64]}" for pair in PAIRS for token in pair}
HASHES = [letter * 40 for letter in "abc"]
PRICES = [f"0.{cents:02d}" for cents in range(1, 100)]


@pytest.fixture(params=["batch", "compiled"])
def fast(request: pytest.FixtureRequest) -> Make:
    """An engine that gives what the reference gives."""
    if request.param == "batch":
        return BatchEngine
    pytest.importorskip("numba", reason="without numba there is no compiled engine")
    from pm_replay.compiled_engine import CompiledEngine

    return CompiledEngine


def told_by(make_engine: Make, made: Made, request: Request) -> tuple[Result, bytes]:
    out: list[bytes] = []
    result = replay(made.bundle, request, out.append, make_engine=make_engine)
    return result, b"".join(out)


def lines(result: Result) -> str:
    line = summary(result, "run", elapsed_ms=0, profile="full", code=0)
    del line["quick_frames"]
    return json.dumps(line, sort_keys=True)


def assert_equal(fast: Make, made: Made, request: Request) -> int:
    """Return how many frames the hot path took."""
    quick, quick_bytes = told_by(fast, made, request)
    reference, reference_bytes = told_by(Engine, made, request)
    assert quick_bytes == reference_bytes
    assert lines(quick) == lines(reference)
    assert reference.engine.quick == 0
    assert type(quick.engine) is fast
    return quick.engine.quick


class Venue:
    """Frames of three markets: mostly usual changes, and everything that is not."""

    def __init__(self, seed: int) -> None:
        self.source = random.Random(seed)
        self.now = T0 + 100
        self.ts = 1_790_000_000_000
        self.books: dict[str, tuple[dict[int, str], dict[int, str]]] = {}  # bids, asks; by cents

    def payload(self) -> bytes:
        source = self.source
        self.ts += source.random() < 0.4
        if source.random() < 0.08:
            return compact(self.whole(source.choice(source.choice(PAIRS))))
        value = self.usual()
        if source.random() < 0.6:
            return compact(value)
        return self.damaged(value)

    def whole(self, token: str) -> dict[str, Any]:
        how = self.source.randrange(3)
        if how == 0 or token not in self.books:
            at = self.source.randrange(20, 80)
            bids = {at - i: str(i + 1) for i in range(self.source.randrange(4))}
            asks = {at + 1 + i: str(i + 2) for i in range(self.source.randrange(4))}
            self.books[token] = (bids, asks)
        bids, asks = self.books[token]
        if how == 1:  # the same sizes in other texts
            bids, asks = ({at: f"0{size}" for at, size in side.items()} for side in (bids, asks))
        if self.source.random() < 0.8:  # in the order of the venue
            bids, asks = dict(sorted(bids.items())), dict(sorted(asks.items(), reverse=True))
        texts = ({PRICES[cents - 1]: size for cents, size in side.items()} for side in (bids, asks))
        value = book(token, *texts, ts=str(self.ts), hash=self.hash())
        value["market"] = MARKET_OF[token]
        for key, said in (
            ("tick_size", "0.01"),
            ("last_trade_price", "0.500"),
            ("event_type", "book"),
        ):
            if self.source.random() < 0.5:
                value.pop(key, None)
                value[key] = said
        return value

    def top(self, token: str) -> tuple[str, str]:
        """Return the best prices as the venue states them; now and then it states something else."""
        if self.source.random() < 0.15:
            return self.source.choice(("", "0", "0.45")), self.source.choice(("", "1", "0.55"))
        bids, asks = self.books[token]
        bid = PRICES[max(bids) - 1] if bids else ""
        return bid, PRICES[min(asks) - 1] if asks else ""

    def hash(self) -> str:
        return self.source.choice(HASHES)

    def usual(self) -> dict[str, Any]:
        source = self.source
        pair = source.choice(PAIRS)
        cents = source.randrange(35, 66)
        size = source.choice(("0", "0", "5", "7.25", "1000000", "5.0", "05", "0.00", "8."))
        changes = []
        sides = source.choice((("BUY", "SELL"), ("SELL", "BUY")))
        for token, at, side in zip(pair, (cents, 100 - cents), sides, strict=True):
            levels = self.books[token][side == "SELL"]
            if size in ("0", "0.00"):
                levels.pop(at, None)
            else:
                levels[at] = size
            bid, ask = self.top(token)
            changes.append(
                change(token, PRICES[at - 1], size, side, hash=self.hash(), bid=bid, ask=ask)
            )
        back = 2 if source.random() < 0.05 else 0
        return price_change(*changes, ts=str(self.ts - back)) | {"market": MARKET_OF[pair[0]]}

    def damaged(self, value: dict[str, Any]) -> bytes:
        """Return the frame with one thing about it unusual, or wrong."""
        source = self.source
        one = source.choice(value["price_changes"])
        edits: list[Callable[[], Any]] = [
            lambda: one.update(price=source.choice(("2", "-1", "x", "", "0", ".5", "5e-1", "0.500"))),
            lambda: one.update(size=source.choice(("x", "-1", "", "1e3", "0.0000001", "9" * 30))),
            lambda: one.update(size=source.choice(("3", "4.5"))),
            lambda: one.update(asset_id=value["price_changes"][0]["asset_id"]),
            lambda: one.update(side=source.choice(("BUY", "SELL", "buy", ""))),
            lambda: one.update(asset_id=source.choice((PAIRS[0][0], "99", "", "a|b", PAIRS[2][0]))),
            lambda: one.update(hash=None),
            lambda: one.update(best_bid=None),
            lambda: one.update(best_bid=None, best_ask=None),
            lambda: one.update(best_ask=source.choice(("0.5e0", "abc", "1", "0"))),
            lambda: one.update(extra="new"),
            lambda: one.pop(source.choice(sorted(one))),
            lambda: one.update(price=0.5),
            lambda: value.update(timestamp=source.choice(("", "x", str(10**12), 5))),
            lambda: value.update(market=source.choice(("0xbb", ""))),
            lambda: value.update(novelty=1),
            lambda: value.pop(source.choice(sorted(value))),
            lambda: value["price_changes"].append(dict(one)),
            lambda: value["price_changes"].pop(),
            lambda: value["price_changes"].clear(),
            lambda: value.update(event_type=source.choice(("book", "novelty", "best_bid_ask"))),
            lambda: value.update(event_type=value.pop("event_type"), timestamp="price_change"),
            lambda: value.update(timestamp=value.pop("timestamp")),
            lambda: (value.pop("event_type"), value.update(market="price_change")),
        ]  # fmt: skip
        source.choice(edits)()
        if source.random() < 0.7:
            return compact(value)
        text = json.dumps(
            value, separators=source.choice(((",", ":"), (", ", ": "), (" ,", " : ")))
        )
        payload = bytearray(text.encode())
        how = source.randrange(6)
        if how == 0:
            payload[source.randrange(len(payload))] = source.randrange(256)
        elif how == 1:
            del payload[source.randrange(len(payload)) :]
        elif how == 2:
            payload = bytearray(b"[" + payload + b"," + payload + b"]")
        elif how == 3:
            payload = bytearray(payload.replace(b'"price"', b'"price":"0.3","price"'))
        elif how == 4:
            payload = bytearray(payload.replace(b'"price"', b'"\\u0070rice"'))
        return bytes(payload)

    def frames(self, count: int) -> list[FrameSpec]:
        told: list[FrameSpec] = []
        for pair in PAIRS[:2]:
            told += [(0, self.now, compact([self.whole(token)])) for token in pair]
        told += [(shard, self.now, compact(self.whole(PAIRS[2][shard]))) for shard in (0, 1)]
        for _ in range(count):
            self.now += self.source.choice((0, 0, 1, 50))
            shard = 1 if self.source.random() < 0.03 else 0
            told.append((shard, self.now, self.payload()))
        return told


def test_the_end_of_a_message_says_its_type() -> None:
    """What is decoded by its end is what a decoder that looks for the type makes of it."""
    by_type = msgspec.json.Decoder(Fast).decode
    venue = Venue(11)
    payloads = [frame[2] for frame in venue.frames(3000)]
    payloads += [
        b'{"market":"m","price_changes":[],"timestamp":"1"%s}' % rest
        for rest in (
            b',"event_type":"price_change"', b',"event_type": "price_change"', b',"event_type":"book"',
            b',"x\\"event_type":"price_change"', b',"event_type":"book","event_type":"price_change"',
            b',"event_type":5,"event_type":"price_change"', b',"market":"\\"event_type":"price_change"',
            b',"event_type":"price_change","event_type":"price_change"', b"",
        )
    ]  # fmt: skip
    payloads.append(b'{"market":"m","price_changes":[],"timestamp":"price_change"}')
    payloads += [
        b'{"market":"m","asset_id":"1","bids":[],"asks":[],"hash":%s}' % rest
        for rest in (
            b'null,"timestamp":"1","event_type":"book"', b'"","timestamp":"book"',
            b'"\\"event_type":"book","timestamp":"1"', b'"\\"event_type\\":\\"book\\"","timestamp":"1"',
            b'"","x\\"event_type":"book","timestamp":"1"', b'"","event_type":"book","event_type":"trade"',
            b'"","timestamp":"1","event_type":"trade","event_type":"book"', b'""',
        )
    ]  # fmt: skip
    payloads.append(
        b'{"market":"m","asset_id":"1","timestamp":"1","hash":null,"bids":[],'
        b'"asks":[{"price":"0.5","size":"1","event_type":"book"}]}'
    )
    assert sum(payload.endswith(PRICE_CHANGE_ENDS) for payload in payloads) > 1500
    for payload in payloads:
        made: list[object] = []
        for decode in (decode_one, by_type):
            try:
                made.append(decode(payload))
            except UNREADABLE:
                made.append(None)
        assert made[0] == made[1], payload


def made_of(make_bundle: Maker, seed: int, count: int = 250) -> Made:
    frames = Venue(seed).frames(count)
    end = frames[-1][1]
    tokens = [token for pair in PAIRS for token in pair if token != PAIRS[2][1]]
    again: list[Any] = [
        (T0 + 100 + (end - T0) // 2, "disconnect", {"shard_id": 0, "connection": 1, "planned": False}),
        *subscribed(*tokens, at=T0 + 101 + (end - T0) // 2, connection=2),
    ]  # fmt: skip
    return make_bundle(
        frames, [*subscribed(*tokens), *subscribed(PAIRS[2][1], at=T0 + 10, shard=1), *again]
    )


REQUESTS = [
    Request(),
    Request(sample_every=1),
    Request(sample_every=0),
    Request(sample_every=7),
    Request(options=Options(depth=True)),
    Request(options=Options(changes_only=True)),
    Request(options=Options(max_events=33)),
    Request(options=Options(full=False)),
    Request(chosen=(PAIRS[0][0], PAIRS[1][1])),
    Request(from_mono_ns=T0 + 900, before_mono_ns=T0 + 3000),
    Request(max_ns=2000),
]


@pytest.mark.parametrize("request_index", range(len(REQUESTS)))
def test_both_give_the_same_whatever_is_asked_for(
    make_bundle: Maker, fast: Make, request_index: int
) -> None:
    assert_equal(fast, made_of(make_bundle, seed=request_index), REQUESTS[request_index])


def test_both_give_the_same_for_everything_that_can_be_wrong(
    make_bundle: Maker, fast: Make
) -> None:
    taken = sum(
        assert_equal(fast, made_of(make_bundle, seed), Request()) for seed in range(100, 116)
    )
    assert taken > 250


@pytest.mark.parametrize("seed", range(4))
def test_both_give_the_same_without_a_runlog(make_bundle: Maker, fast: Make, seed: int) -> None:
    first = (0x101, *[1] * 290)
    made = make_bundle(Venue(seed).frames(700), flags=first)
    assert assert_equal(fast, made, Request()) > 10


def usual(pair: tuple[str, str], number: int) -> bytes:
    """A change of one level of both tokens."""
    one = change(pair[0], "0.45", str(number + 1), "BUY", hash=HASHES[0], bid="0.45", ask="0.6")
    two = change(pair[1], "0.55", str(number + 1), "SELL", hash=HASHES[1], bid="0.4", ask="0.55")
    value = price_change(one, two, ts=str(1790000000000 + number))
    return compact(value | {"market": MARKET_OF[pair[0]]})


def books_of(pair: tuple[str, str]) -> list[FrameSpec]:
    sides = ({"0.4": "1"}, {"0.6": "1"})
    more = {"market": MARKET_OF[pair[0]]}
    return [(0, T0 + 100, compact(book(token, *sides) | more)) for token in pair]


def test_usual_changes_are_taken_by_the_hot_path(make_bundle: Maker, fast: Make) -> None:
    pair = PAIRS[0]
    frames = books_of(pair)
    frames += [(0, T0 + 200 + number, usual(pair, number)) for number in range(50)]
    made = make_bundle(frames, subscribed(*pair))
    # Of the first, the one engine does not know the texts yet.
    assert assert_equal(fast, made, Request()) == (49 if fast is BatchEngine else 50)


def test_both_sides_of_one_token_in_one_message_are_one_top(make_bundle: Maker, fast: Make) -> None:
    frames = [(0, T0 + 100, compact(book("11", {"0.4": "1"}, {"0.6": "1"})))]
    for i in range(5):
        one = change("11", "0.45", str(i + 1), "BUY", bid="0.45", ask="0.55")
        two = change("11", "0.55", str(i + 1), "SELL", bid="0.45", ask="0.55")
        frames.append((0, T0 + 200 + i, compact(price_change(one, two, ts=str(1790000000000 + i)))))
    made = make_bundle(frames, subscribed("11"))
    assert assert_equal(fast, made, Request()) == 0
    assert [event.ask_px_e6 for event in made.events() if event.kind == Kind.TOB] == [
        600_000, *[550_000] * 5,
    ]  # fmt: skip


def test_a_hole_in_what_was_salvaged_is_not_passed_over(make_bundle: Maker, fast: Make) -> None:
    pair = PAIRS[0]
    frames = books_of(pair)
    for number in range(20):
        flags = int(Flag.SALVAGED) | 1 if number == 10 else 1
        frames.append((0, T0 + 200 + number, usual(pair, number), flags))
    made = make_bundle(frames, subscribed(*pair))
    # None after the hole.
    assert assert_equal(fast, made, Request()) == (9 if fast is BatchEngine else 10)
    result, _ = told_by(fast, made, Request())
    assert result.engine.counts["holes"] == 1


def test_a_bundle_that_is_damaged_ends_both_at_the_same_event(
    make_bundle: Maker, fast: Make
) -> None:
    made = made_of(make_bundle, 7)
    path: Path = made.path / "capture" / "shard_00.frames"
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    assert_equal(fast, made, Request())
