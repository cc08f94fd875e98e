"""Sealed-looking run bundles for measuring replay: the venue's texts, mirrored books, sizes that vary.

    python tools/bench/replay_bundle.py RUN [--frames N] [--books N] [--shards N] [--seed N]

The same arguments give the same bytes, on every machine: no float is in it. `--books` is how many frames of a thousand are whole books.
"""

import argparse
import json
import random
from collections.abc import Iterator, Sequence
from pathlib import Path

from pm_frames import ShardWriter
from pm_frames.runlog import RunlogWriter

T0_NS = 10**9
WALL_NS = 1_790_000_000 * 10**9
GAP_NS = 40_000  # between frames: a busy hour of the venue
MARKETS = 64
LEVELS = 100  # of each side of a book
AT_ONCE = 64  # frames a shard writes together


class Market:
    """One binary market: the book of YES; that of NO is its mirror."""

    def __init__(self, number: int, source: random.Random) -> None:
        self.condition = f"0x{source.getrandbits(256):064x}"
        self.yes, self.no = (str(source.randrange(10**76, 10**77)) for _ in range(2))
        self.shard = number
        self.middle = source.randrange(250, 750)  # thousandths
        self.bids = {price: size_of(source) for price in range(self.middle - LEVELS, self.middle)}
        self.asks = {
            price: size_of(source) for price in range(self.middle + 1, self.middle + 1 + LEVELS)
        }
        self.bid, self.ask = max(self.bids), min(self.asks)

    def change(self, source: random.Random) -> tuple[int, str, bool]:
        """Change one level near the touch; return its price, its size and whether it is a bid."""
        is_bid = source.randrange(2) == 0
        away = source.randrange(source.randrange(1, 24))
        price = self.middle - 1 - away if is_bid else self.middle + 1 + away
        levels = self.bids if is_bid else self.asks
        size = "0" if price in levels and source.randrange(10) < 3 else size_of(source)
        if size == "0" and len(levels) > 1:
            del levels[price]
        else:
            size = size if size != "0" else "1"
            levels[price] = size
        if is_bid:
            self.bid = max(levels) if price == self.bid else max(self.bid, price)
        else:
            self.ask = min(levels) if price == self.ask else min(self.ask, price)
        return price, size, is_bid


def size_of(source: random.Random) -> str:
    """Return a size as the venue writes it: most round, the rest with cents."""
    if source.randrange(10) < 6:
        return str(source.choice((5, 10, 15, 20, 25, 50, 100, 200, 250, 500, 1000, 2500)))
    dollars, cents = divmod(source.randrange(1, 10 ** source.randrange(3, 7)), 100)
    return f"{dollars}.{cents:02d}".rstrip("0").rstrip(".")


def text_of(price: int) -> str:
    """Return thousandths as the venue writes a price."""
    return f"0.{price:03d}".rstrip("0")


def price_change(market: Market, ts_ms: int, source: random.Random) -> bytes:
    price, size, is_bid = market.change(source)
    sides = ("BUY", "SELL") if is_bid else ("SELL", "BUY")
    return (
        f'{{"market":"{market.condition}","price_changes":['
        f'{{"asset_id":"{market.yes}","price":"{text_of(price)}","size":"{size}","side":"{sides[0]}",'
        f'"hash":"{source.getrandbits(160):040x}","best_bid":"{text_of(market.bid)}",'
        f'"best_ask":"{text_of(market.ask)}"}},'
        f'{{"asset_id":"{market.no}","price":"{text_of(1000 - price)}","size":"{size}",'
        f'"side":"{sides[1]}","hash":"{source.getrandbits(160):040x}",'
        f'"best_bid":"{text_of(1000 - market.ask)}","best_ask":"{text_of(1000 - market.bid)}"}}],'
        f'"timestamp":"{ts_ms}","event_type":"price_change"}}'
    ).encode()


def book(market: Market, ts_ms: int, source: random.Random, *, no: bool) -> bytes:
    bids, asks = market.bids, market.asks
    if no:
        bids, asks = ({1000 - price: size for price, size in each.items()} for each in (asks, bids))
    texts = [
        ",".join(f'{{"price":"{text_of(price)}","size":"{side[price]}"}}' for price in order)
        for side, order in ((bids, sorted(bids)), (asks, sorted(asks, reverse=True)))
    ]
    return (
        f'{{"market":"{market.condition}","asset_id":"{market.no if no else market.yes}",'
        f'"timestamp":"{ts_ms}","hash":"{source.getrandbits(160):040x}","bids":[{texts[0]}],'
        f'"asks":[{texts[1]}],"tick_size":"0.001","event_type":"book","last_trade_price":"0.500"}}'
    ).encode()


def payloads(
    markets: list[Market], frames: int, books: int, source: random.Random
) -> Iterator[tuple[Market, bytes]]:
    """Yield the whole book of every token, then changes, and books among them."""
    for market in markets:
        for no in (False, True):
            yield market, book(market, WALL_NS // 10**6, source, no=no)
    for ordinal in range(frames):
        market = source.choice(markets)
        ts_ms = (WALL_NS + ordinal * GAP_NS) // 10**6
        if source.randrange(1000) < books:
            yield market, book(market, ts_ms, source, no=source.randrange(2) == 0)
        else:
            yield market, price_change(market, ts_ms, source)


def write_bundle(
    path: Path,
    *,
    frames: int,
    books: int = 0,
    shards: int = 8,
    seed: int = 1,
    more: Sequence[str] = (),
) -> int:
    """Write a bundle and return the frames in it; the tokens `more` are subscribed on one more shard."""
    source = random.Random(seed)
    markets = [Market(number % shards, source) for number in range(MARKETS)]
    (path / "capture").mkdir(parents=True)
    manifest = {"manifest_version": 1, "run_id": path.name, "t0_mono_ns": T0_NS}
    (path / "manifest.json").write_text(json.dumps({**manifest, "t0_wall_ns_utc": WALL_NS}))
    with RunlogWriter(path / "runlog.ndjson", path.name) as runlog:
        for shard in range(shards + bool(more)):
            tokens = [name for m in markets if m.shard == shard for name in (m.yes, m.no)] or more
            about = {"shard_id": shard, "connection": 1}
            for kind, more in (
                ("ws_connect", {}),
                ("subscribe_attempt", {"token_ids": list(tokens)}),
            ):
                runlog.append(kind, {**about, **more}, ts_mono_ns=T0_NS, ts_wall_ns_utc=WALL_NS)
    writers = [ShardWriter(path / "capture", shard) for shard in range(shards)]
    waiting: list[list[tuple[int, bytes]]] = [[] for _ in writers]
    stamps = [T0_NS] * shards
    total = 0
    for total, (market, payload) in enumerate(payloads(markets, frames, books, source), 1):
        queue = waiting[market.shard]
        if len(queue) == AT_ONCE or (queue and source.randrange(10) < 7):
            writers[market.shard].append(
                queue, rx_mono_ns=stamps[market.shard], rx_wall_ns_utc=WALL_NS
            )
            queue.clear()
        stamps[market.shard] = T0_NS + 1 + total * GAP_NS
        queue.append((0, payload))
    for shard, writer in enumerate(writers):
        if waiting[shard]:
            writer.append(waiting[shard], rx_mono_ns=stamps[shard], rx_wall_ns_utc=WALL_NS)
        writer.close()
    (path / "seal.json").write_text("{}")
    return total


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path)
    for name, default in (("frames", 200_000), ("books", 0), ("shards", 8), ("seed", 1)):
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    given = {name: getattr(options, name) for name in ("frames", "books", "shards", "seed")}
    print(write_bundle(options.run, **given))


if __name__ == "__main__":
    main()
