"""pm-sim against nautilus' quote backtest and hftbacktest driven from Python, in the same run.

    python tools/bench/bench_sim.py [--events N] [--peer-events N] [--rounds N]

One market of two mirrored tokens that walks at random, tops alone. The strategy is the same everywhere: on
every 500th top of the first token it buys ten shares at the ask, and sells them at the bid 250 tops later,
50 ms away. Each is driven from Python through its public API; the best of the rounds counts, which take turns.
Time is that of the processor, so that what else the machine does counts less.

It is not the same work. pm-sim checks the digest of its stream, keeps a double-entry ledger and hashes of intents
and fills, and by default does all of it twice (two lenses). It is shown every top of both tokens unless its
strategy names one (`of one token`), while the peers are fed the tops of the first token alone, so that of
pm-sim's events half are the mirrors. Nautilus keeps an order book, a cache and a
portfolio, and sends every quote over a message bus. hftbacktest keeps a whole book in compiled code and
estimates queues; a loop that is not compiled is what it is driven by here, which is not how it is fastest.
What may be quoted is the ratio. A peer that is not installed is reported as not measured.
"""

import argparse
import contextlib
import importlib.util
import io
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random

from pm_frames.continuity import State
from pm_frames.events import (
    EndReason,
    EventWriter,
    Flags,
    Header,
    Kind,
    RunState,
    Settled,
    open_events,
)
from pm_frames.events.slots import SLOT, canonical_json
from pm_sim import (
    Buy,
    Context,
    Intent,
    MarketState,
    Portfolio,
    Sell,
    Strategy,
    SzE6,
    TokenFacts,
    TopOfBook,
)
from pm_sim.engine import Engine
from pm_sim.latency import Fixed
from pm_sim.settings import CENTRAL, WORST, Settings
from pm_sim.strategies.toy_spread import ToySpread

CENT, SHARE, MS = 10_000, 1_000_000, 1_000_000
EVERY, HOLD, LATENCY_MS = 500, 250, 50
SIZE = SzE6(10 * SHARE)
T0, WALL = 10**12, 1_790_000_000 * 10**9
CELLS = 16
Top = tuple[int, int, int, int, int]  # time ns, bid px, ask px, bid size, ask size


class Small(Strategy):
    """Buy now and then, and sell a little later."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def on_top_of_book(
        self, ctx: Context, event: TopOfBook, market_state: MarketState, portfolio: Portfolio
    ) -> Iterator[Intent] | None:
        """Count; act at two of every 500."""
        if event.token:
            return None
        self.seen += 1
        turn = self.seen % EVERY
        if turn == 0:
            return iter((Buy(0, event.ask_px_e6, SIZE),))
        if turn == HOLD and portfolio.held(0) >= SIZE:
            return iter((Sell(0, event.bid_px_e6, SIZE),))
        return None


class OfOneToken(Small):
    """The same, but it is shown nothing of the other token."""

    def sees_token(self, facts: TokenFacts) -> bool:
        """Name the first."""
        return facts.token == 0


def walk(events: int) -> Iterator[Top]:
    """Yield tops of the first token, a millisecond apart, a cent wide or two."""
    random, mid = Random(1), 50
    for number in range(events // 2):
        mid = min(90, max(10, mid + random.choice((-1, 0, 0, 0, 1))))
        sizes = random.randrange(50, 5_000) * SHARE, random.randrange(50, 5_000) * SHARE
        yield T0 + number * MS, (mid - 1) * CENT, (mid + number % 2) * CENT, *sizes


def write_events(path: Path, events: int) -> None:
    """Write the walk, and for every top its mirror."""
    flags = Flags(State.LIVE, Settled.SETTLED, batch_end=True).byte()
    payload = {
        "market_id": "m", "slug": "m", "tick_size_e6": CENT, "min_size_e6": 5 * SHARE,
        "tokens": [{"token": one, "token_id": f"t{one}", "outcome": f"o{one}"} for one in (0, 1)],
        "fees_enabled": True, "fee_schedule": {"rate": "0.04", "exponent": "1"}, "listed": True,
    }  # fmt: skip
    with path.open("wb") as file:
        writer = EventWriter(file.write, Header(T0, WALL, {"run_id": "bench", "depth": False}))
        for token in (0, 1):
            writer.define_token(token, f"t{token}", ts_recv_ns=T0)
        writer.write_meta(0, canonical_json(payload), ts_recv_ns=T0)
        seq = 0
        for now, bid, ask, bids, asks in walk(events):
            mirror = SHARE - ask, SHARE - bid
            writer.write(
                SLOT.pack(seq + 1, now, -1, bids, asks, seq, 0, bid, ask, 0, Kind.TOB, flags)
                + SLOT.pack(seq + 2, now, -1, asks, bids, seq, 1, *mirror, 0, Kind.TOB, flags)
            )
            seq += 2
        writer.end(seq=seq, ts_recv_ns=now, run_state=RunState.ENDED, reason=EndReason.WHOLE)


def simulated(path: Path, make: Callable[[], Strategy], lenses: tuple[str, ...]) -> float:
    """Return events a second, reading the file included."""
    latency = Fixed(LATENCY_MS * MS)
    began = time.process_time()
    with open_events(path) as reader:
        engine = Engine(
            reader.header,
            Settings(order_latency=latency, cancel_latency=latency, lenses=lenses),
            [("bench", make)],
            runs_from_event=0,  # as the program has it for a file twice as long
        )
        engine.run(reader.blocks())
        assert reader.end is not None
        engine.finish(reader.end)
    seconds = time.process_time() - began
    if make is not _toy:
        assert engine.lenses[0].fills.count >= engine.books.seq // 2 // EVERY - 1
    return engine.books.seq / seconds


def nautilus(events: int) -> float:
    """Return quotes a second."""
    from decimal import Decimal

    from nautilus_trader.backtest.engine import BacktestEngine, BacktestEngineConfig
    from nautilus_trader.backtest.models import LatencyModel
    from nautilus_trader.config import LoggingConfig
    from nautilus_trader.model.currencies import USD
    from nautilus_trader.model.data import QuoteTick
    from nautilus_trader.model.enums import AccountType, OmsType, OrderSide, TimeInForce
    from nautilus_trader.model.identifiers import Venue
    from nautilus_trader.model.objects import Money
    from nautilus_trader.test_kit.providers import TestInstrumentProvider
    from nautilus_trader.trading.strategy import Strategy as PeerStrategy

    instrument = TestInstrumentProvider.default_fx_ccy("AUD/USD")

    class Peer(PeerStrategy):
        def on_start(self) -> None:
            self.seen = self.fills = 0
            self.subscribe_quote_ticks(instrument.id)

        def on_quote_tick(self, tick: QuoteTick) -> None:
            self.seen += 1
            turn = self.seen % EVERY
            if turn == 0:
                self.take(OrderSide.BUY, tick.ask_price)
            elif turn == HOLD and self.fills % 2:
                self.take(OrderSide.SELL, tick.bid_price)

        def take(self, side: OrderSide, price: object) -> None:
            size = instrument.make_qty(Decimal(10_000))
            order = self.order_factory.limit(
                instrument.id, side, size, price, time_in_force=TimeInForce.IOC
            )
            self.submit_order(order)

        def on_order_filled(self, event: object) -> None:
            self.fills += 1

    engine = BacktestEngine(BacktestEngineConfig(logging=LoggingConfig(bypass_logging=True)))
    engine.add_venue(
        Venue("SIM"), OmsType.NETTING, AccountType.MARGIN, [Money(1_000_000, USD)], USD,
        latency_model=LatencyModel(base_latency_nanos=LATENCY_MS * MS),
    )  # fmt: skip
    engine.add_instrument(instrument)
    engine.add_data([
        QuoteTick(
            instrument.id,
            instrument.make_price(bid / SHARE), instrument.make_price(ask / SHARE),
            instrument.make_qty(bids // 100), instrument.make_qty(asks // 100), now, now,
        )
        for now, bid, ask, bids, asks in walk(2 * events)
    ])  # fmt: skip
    strategy = Peer()
    engine.add_strategy(strategy)
    began = time.process_time()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what the peer itself uses
        engine.run()
    seconds = time.process_time() - began
    assert strategy.seen == events, strategy.seen
    assert strategy.fills > 0
    engine.dispose()
    return events / seconds


def hftbacktest(events: int) -> float:
    """Return tops a second; each is two levels that go and two that come."""
    import numpy
    from hftbacktest import (
        BUY_EVENT,
        DEPTH_EVENT,
        EXCH_EVENT,
        LIMIT,
        LOCAL_EVENT,
        SELL_EVENT,
        BacktestAsset,
        HashMapMarketDepthBacktest,
    )
    from hftbacktest.order import IOC
    from hftbacktest.types import event_dtype

    here = DEPTH_EVENT | EXCH_EVENT | LOCAL_EVENT
    rows: list[tuple[int, int, int, float, float]] = []
    last = (0, 0)
    for now, bid, ask, bids, asks in walk(2 * events):
        for side, old, px, size in (
            (BUY_EVENT, last[0], bid, bids),
            (SELL_EVENT, last[1], ask, asks),
        ):
            if old and old != px:
                rows.append((here | side, now, now, old / SHARE, 0.0))
            rows.append((here | side, now, now, px / SHARE, size / SHARE))
        last = bid, ask
    data = numpy.zeros(len(rows), dtype=event_dtype)
    for at, name in enumerate(("ev", "exch_ts", "local_ts", "px", "qty")):
        data[name] = [row[at] for row in rows]
    asset = (
        BacktestAsset()
        .data(data)
        .linear_asset(1.0)
        .constant_order_latency(LATENCY_MS * MS, LATENCY_MS * MS)
        .risk_adverse_queue_model()
        .no_partial_fill_exchange()
        .trading_value_fee_model(0.0, 0.01)
        .tick_size(0.01)
        .lot_size(0.01)
    )
    hbt = HashMapMarketDepthBacktest([asset])
    began = time.process_time()
    seen, orders, before = 0, 0, -1
    while hbt.wait_next_feed(False, 10 * 10**9) == 2:  # a feed event
        now = hbt.current_timestamp
        if now == before:
            continue
        before = now
        seen += 1
        depth, turn = hbt.depth(0), seen % EVERY
        bid, ask = depth.best_bid, depth.best_ask
        if turn == 0:
            orders += 1
            hbt.submit_buy_order(0, orders, ask, 10.0, IOC, LIMIT, False)
        elif turn == HOLD and hbt.position(0) >= 10:
            orders += 1
            hbt.submit_sell_order(0, orders, bid, 10.0, IOC, LIMIT, False)
            hbt.clear_inactive_orders(0)
    seconds = time.process_time() - began
    assert seen >= events * 9 // 10, (seen, events)
    # Some were sales of what was bought; the first few may all have come too late.
    assert events < 10_000 or orders > events // EVERY, (orders, events)
    hbt.close()
    return seen / seconds


def peers() -> dict[str, Callable[[int], float] | None]:
    """Return the peers that are installed; None for the others."""
    known = {"nautilus_trader": nautilus, "hftbacktest": hftbacktest}
    return {
        name: run if importlib.util.find_spec(name) is not None else None
        for name, run in known.items()
    }


def started(folder: Path) -> float:
    """Return the seconds of a simulation of next to nothing, the best of five."""
    path = folder / "tiny.pmev"
    write_events(path, 10)
    command = [sys.executable, "-m", "pm_sim", str(path), "--strategy", "toy_spread"]
    best = 60.0
    for _ in range(5):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        best = min(best, time.perf_counter() - began)
    return best


def swept(folder: Path, events: Path, workers: int, round_: int) -> float:
    grid = folder / "grid.toml"
    seeds = ", ".join(map(str, range(CELLS)))
    grid.write_text(f'[always]\nstrategy = "random_taker"\n[grid]\nseed = [{seeds}]\n')
    command = [
        sys.executable, "-m", "pm_sim", "sweep", str(events), "--grid", str(grid),
        "--out", str(folder / f"out-{workers}-{round_}"), "--workers", str(workers),
    ]  # fmt: skip
    began = time.perf_counter()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    return time.perf_counter() - began


def measured(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Return events a second by name."""
    rates: dict[str, float] = {}

    def note(name: str, rate: float) -> None:
        rates[name] = max(rate, rates.get(name, 0.0))

    path, short = folder / "walk.pmev", folder / "short.pmev"
    write_events(path, options.events)
    write_events(short, options.sweep_events)
    for _ in range(options.rounds):
        note("small, worst lens", simulated(path, Small, (WORST,)))
        note("small, both lenses", simulated(path, Small, (WORST, CENTRAL)))
        note("of one token, both lenses", simulated(path, OfOneToken, (WORST, CENTRAL)))
        note("toy_spread, worst lens", simulated(short, _toy, (WORST,)))
        note("toy_spread, both lenses", simulated(short, _toy, (WORST, CENTRAL)))
        for name, run in peers().items():
            if run is not None:
                with contextlib.redirect_stdout(io.StringIO()):
                    run(4 * EVERY)  # what is compiled at first use is compiled here
                    note(name, run(options.peer_events))
    return rates


def compared(rates: dict[str, float]) -> Iterator[str]:
    """Print the rates; yield what has missed its goal."""
    for name, rate in rates.items():
        print(f"{name:<26} {rate:>12,.0f} events/s")
    small = rates["small, worst lens"]
    for name in ("small, worst lens", "of one token, both lenses"):
        if rates[name] < 1_000_000:
            yield f"{name}: {rates[name]:,.0f} events/s of 1,000,000"
    for name, goal in (("nautilus_trader", 8.0), ("hftbacktest", 3.0)):
        if name not in rates:
            print(f"against {name}: not measured (not installed)")
            continue
        ratio = small / rates[name]
        print(f"against {name}: {ratio:.1f} times (goal {goal:g})")
        if ratio < goal:
            yield f"{ratio:.1f} times {name}"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=1_000_000)
    parser.add_argument("--peer-events", type=int, default=100_000)
    parser.add_argument("--sweep-events", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    cores = os.cpu_count() or 1
    with tempfile.TemporaryDirectory(prefix="bench-sim-") as directory:
        folder = Path(directory)
        rates = measured(folder, options)
        start = started(folder)
        serial = min(swept(folder, folder / "short.pmev", 1, one) for one in range(2))
        parallel = min(swept(folder, folder / "short.pmev", cores, one + 2) for one in range(2))
    missed = list(compared(rates))
    print(f"start to end of a tiny simulation: {start:.2f} s (goal 0.30)")
    if start >= 0.3:
        missed.append(f"start {start:.2f} s")
    gain = serial / parallel
    print(
        f"sweep of {CELLS}: {serial:.1f} s alone, {parallel:.1f} s on {cores} cores: "
        f"{gain:.2f} times (goal 1.6)"
    )
    if cores > 1 and gain < 1.6:
        missed.append(f"sweep {gain:.2f} times")
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else 0.0
    print(f"load of the machine at the end: {load:.1f} on {cores} cores")
    if missed:
        print(f"missed: {'; '.join(missed)}")
    return bool(missed)


def _toy() -> Strategy:
    return ToySpread(min_spread_e6=CENT, size_e6=5 * SHARE)


if __name__ == "__main__":
    sys.exit(main())
