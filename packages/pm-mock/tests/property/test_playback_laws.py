"""Whoever subscribes, and whenever: what it is sent leads to the books that were recorded.

The judge is an independent model: books as dictionaries, replaced and changed by the recorded frames of the
shard that follows their token, forgotten when the recording lost them.
"""

import hashlib
import json
import tempfile
from decimal import Decimal
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pm_frames import Flag, ShardWriter
from pm_frames.bundle import open_bundle
from pm_mock.channel import Channel, Subscribe
from pm_mock.hub import Hub
from pm_mock.sources.bundle import BundleSource

MS = 1_000_000
TOKENS = {0: ("10", "11"), 1: ("20", "21")}
PRICES = ("0.1", "0.25", "0.3", "0.5", "0.75", "0.99")
SIZE = st.sampled_from(("0", "0", "4", "5.25"))
SIDES = st.dictionaries(st.sampled_from(PRICES), st.sampled_from(("1", "2.5")), max_size=4)
STEP = st.one_of(
    st.tuples(st.just("book"), st.integers(0, 1), SIDES, SIDES),
    st.tuples(
        st.just("change"),
        st.integers(0, 1),
        st.sampled_from(PRICES),
        SIZE,
        st.sampled_from(("BUY", "SELL")),
    ),
    st.tuples(st.just("change"), st.integers(0, 1), st.sampled_from(PRICES), SIZE, st.just("BUY")),
    st.tuples(st.just("trade"), st.integers(0, 1), st.sampled_from(PRICES)),
    st.tuples(st.just("lost")),
)
Levels = dict[str, dict[str, str]]


def levels(side: dict[str, str], *, bids: bool) -> list[dict[str, str]]:
    ordered = sorted(side.items(), key=lambda one: Decimal(one[0]), reverse=not bids)
    return [{"price": price, "size": size} for price, size in ordered]


def apply(books: dict[str, Levels], payload: bytes, *, only: set[str]) -> None:
    """The naive reader: an element after the other."""
    value = json.loads(payload)
    for event in value if isinstance(value, list) else [value]:
        if event["event_type"] == "book" and event["asset_id"] in only:
            books[event["asset_id"]] = {
                side: {each["price"]: each["size"] for each in event[side]}
                for side in ("bids", "asks")
            }
        for change in event.get("price_changes", ()):
            book = books.get(change["asset_id"]) if change["asset_id"] in only else None
            if book is not None:
                side = book["bids" if change["side"] == "BUY" else "asks"]
                side.pop(change["price"], None)
                if change["size"] != "0":
                    side[change["price"]] = change["size"]


class Recording:
    """A run of two shards; `steps` are (shard, step), one a millisecond."""

    def __init__(self, run_dir: Path, steps: list[tuple[int, tuple[Any, ...]]]) -> None:
        (run_dir / "capture").mkdir()
        (run_dir / "universe").mkdir()
        self.run_dir = run_dir
        self.truth: list[dict[str, Levels]] = []  # after each step
        markets = [
            {
                "market_id": str(shard + 1), "condition_id": f"0x{shard}", "min_size": "15",
                "neg_risk_market_id": "0xff" if shard else None, "tick_size": "0.01",
                "tokens": [{"token_id": token, "outcome": token} for token in tokens],
            }
            for shard, tokens in TOKENS.items()
        ]  # fmt: skip
        (run_dir / "universe" / "000000.json").write_text(json.dumps({"markets": markets}))
        self.records: list[dict[str, Any]] = []
        self.connection = {0: 0, 1: 0}
        writers = {shard: ShardWriter(run_dir / "capture", shard) for shard in TOKENS}
        books: dict[str, Levels] = {}
        for shard in TOKENS:
            self.connect(shard, 1)
        for number, (shard, step) in enumerate(steps, 10):
            self.step(books, writers[shard], shard, step, number)
            self.truth.append(json.loads(json.dumps(books)))
        for writer in writers.values():
            writer.close()
        lines = "".join(json.dumps(record) + "\n" for record in self.records)
        (run_dir / "runlog.ndjson").write_text(lines)

    def connect(self, shard: int, at: int) -> None:
        self.connection[shard] += 1
        self.record(at, "ws_connect", shard)
        self.record(at, "subscribe_attempt", shard, token_ids=list(TOKENS[shard]))

    def record(self, at: int, kind: str, shard: int, **fields: Any) -> None:
        envelope = {"record_type": kind, "run_id": "r", "ts_mono_ns": at * MS, "ts_wall_ns_utc": 1}
        number = {"shard_id": shard, "connection": self.connection[shard]}
        self.records.append({**envelope, **number, **fields})

    def step(
        self,
        books: dict[str, Levels],
        writer: ShardWriter,
        shard: int,
        step: tuple[Any, ...],
        at: int,
    ) -> None:
        market, stamp = f"0x{shard}", str(1000 + at)
        match step:
            case ("lost",):
                self.record(at, "disconnect", shard, since_mono_ns=at * MS, planned=False)
                self.connect(shard, at)
                for token in TOKENS[shard]:
                    books.pop(token, None)
                return
            case ("book", outcome, bids, asks):
                event: dict[str, Any] = {
                    "market": market, "asset_id": TOKENS[shard][outcome], "timestamp": stamp,
                    "hash": "?", "bids": levels(bids, bids=True), "asks": levels(asks, bids=False),
                    "event_type": "book",
                }  # fmt: skip
            case ("change", outcome, price, size, side):
                change = {"asset_id": TOKENS[shard][outcome], "price": price, "size": size}
                event = {
                    "market": market, "price_changes": [change | {"side": side, "hash": "?"}],
                    "timestamp": stamp, "event_type": "price_change",
                }  # fmt: skip
            case (_, outcome, price):
                event = {
                    "market": market, "asset_id": TOKENS[shard][outcome], "price": price,
                    "timestamp": stamp, "event_type": "last_trade_price",
                }  # fmt: skip
        payload = json.dumps(event).encode()
        writer.append([(int(Flag.TEXT), payload)], rx_mono_ns=at * MS, rx_wall_ns_utc=1)
        apply(books, payload, only=set(TOKENS[shard]))


@settings(deadline=None, max_examples=150)
@given(
    steps=st.lists(st.tuples(st.integers(0, 1), STEP), min_size=1, max_size=25),
    late=st.sets(st.sampled_from(("10", "11", "20", "21")), min_size=1),
    when=st.integers(0, 25),
    speed=st.sampled_from((1.0, 3.0, None)),
)
def test_every_subscriber_arrives_at_the_recorded_books(
    steps: list[tuple[int, tuple[Any, ...]]], late: set[str], when: int, speed: float | None
) -> None:
    with tempfile.TemporaryDirectory() as folder:
        recording = Recording(Path(folder), steps)
        hub = Hub()
        source = BundleSource(hub, open_bundle(folder), speed=speed, hold_ns=0)
        everything = ("10", "11", "20", "21")
        clients: list[tuple[Channel, set[str]]] = []

        def join(tokens: tuple[str, ...], now_ns: int) -> None:
            channel = Channel(len(clients))
            channel.tokens.update(dict.fromkeys(tokens))
            hub.subscribe(channel, tokens)
            clients.append((channel, set(tokens)))
            source.subscribed(channel, Subscribe(tokens, initial=True, dump=True), now_ns)

        join(everything, 0)
        while (due := source.deadline()) is not None:
            if len(clients) == 1 and due >= when * MS:
                join(tuple(sorted(late)), due)
            source.deadline_reached(due)
        if len(clients) == 1:
            join(tuple(sorted(late)), 99 * MS)
        truth = recording.truth[-1]
        for channel, tokens in clients:
            books: dict[str, Levels] = {}
            for item in channel.outbox:
                for payload in item.payloads:
                    apply(books, payload, only=tokens)
            for token in tokens & truth.keys():
                assert books[token] == truth[token]
        for token in everything:
            check_summary(source.summary_of(token), truth.get(token))


def check_summary(text: bytes | None, book: Levels | None) -> None:
    if book is None:
        assert text is None
        return
    assert text is not None
    summary = json.loads(text)
    assert summary["bids"] == levels(book["bids"], bids=True)
    assert summary["asks"] == levels(book["asks"], bids=False)
    assert (summary["min_order_size"], summary["tick_size"]) == ("15", "0.01")
    assert summary["neg_risk"] == (summary["market"] == "0x1")
    hashed = json.dumps(summary | {"hash": ""}, separators=(",", ":")).encode()
    assert hashlib.sha1(hashed).hexdigest() == summary["hash"]
