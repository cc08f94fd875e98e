"""Simulations whose every byte is committed in recorded.json: streams and settings are made from seeds.

python packages/pm-sim/tests/recorded.py    write recorded.json anew, when a change of results is meant
"""

import hashlib
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

from set_streams import SetStream, fair
from simulated import simulate
from streams import CENT, MS, SHARE, WALL, Stream, walk

from pm_frames.command import ExitCode
from pm_frames.continuity import State
from pm_frames.events import Kind, Settled, Side
from pm_sim import Buy, Intent, PxE6, Sell, Strategy, SzE6, Tif, Urgency
from pm_sim import Side as OrderSide
from pm_sim.allocator import Limits
from pm_sim.engine import Engine
from pm_sim.exchange import QueueModel, Taint
from pm_sim.fixed import CashE6
from pm_sim.intents import Cancel, Convert, Merge, Timer
from pm_sim.latency import Drawn
from pm_sim.loading import load
from pm_sim.mask import Mask
from pm_sim.orders import Fill
from pm_sim.report import Asked, Verdict, fill_json, stable, summary
from pm_sim.resolutions import Resolution
from pm_sim.settings import CENTRAL, WORST, OnError, Unheld

PATH = Path(__file__).with_suffix(".json")
HOOKS = tuple(name for name in dir(Strategy) if name.startswith("on_"))


class Witness(Strategy):
    """Yields nothing, and digests all that strategies are told and can ask."""

    sees_unsettled = True

    def __init__(self) -> None:
        super().__init__()
        self.sha256 = hashlib.sha256()
        self.calls = 0

    def note(self, hook: str, ctx: Any, *told: Any) -> None:
        self.calls += 1
        *seen, portfolio = told or (None,)
        held = None if portfolio is None else (*portfolio[:3], sorted(portfolio.held_e6.items()))
        asked: list[Any] = [ctx.now_ns, ctx.seq]
        if not self.calls % 32:
            for token in ctx.tokens():
                sets = [(one, ctx.sets.plan(one, SzE6(5 * SHARE))) for one in ctx.sets.of(token)]
                asked += [ctx.facts(token), ctx.market_state(token), ctx.book(token), sets]
            asked.append(ctx.open_orders())
        self.sha256.update(repr((hook, seen, held, asked)).encode())


def _noting(hook: str) -> Callable[..., None]:
    return lambda self, ctx, *told: self.note(hook, ctx, *told)


for _hook in HOOKS:
    setattr(Witness, _hook, _noting(_hook))


class Small(Strategy):
    """The strategy of tools/bench/bench_sim.py, more often."""

    def __init__(self) -> None:
        super().__init__()
        self.seen = 0

    def on_top_of_book(self, ctx: Any, event: Any, *told: Any) -> Iterator[Intent] | None:
        """Buy now and then, and sell a little later."""
        if event.token or not event.has_both:
            return None
        self.seen += 1
        if self.seen % 20 == 0:
            return iter((Buy(0, event.ask_px_e6, SzE6(10 * SHARE)),))
        if self.seen % 20 == 10 and told[-1].held(0) >= 10 * SHARE:
            return iter((Sell(0, event.bid_px_e6, SzE6(10 * SHARE)),))
        return None


class Restless(Strategy):
    """Draws intents of every kind, also such as are refused, and answers what becomes of them."""

    def __init__(self) -> None:
        super().__init__()
        self.orders: list[int] = []

    def _draw(self, ctx: Any, top: Any, held: int) -> Iterator[Any]:
        random = ctx.random
        kind = random.randrange(24)
        if kind < 4 and self.orders:
            yield Cancel(random.choice(self.orders[-6:]), random.choice((None, "", "gone")))
        elif kind == 4:
            yield Merge(top.token, SzE6(random.choice((0, 5, 10)) * SHARE), "pair")
        elif kind == 5:
            yield Convert((random.choice((1, 3, 5)), 3)[: random.randrange(1, 3)], SzE6(5 * SHARE))
        elif kind == 6:
            yield Timer(ctx.now_ns + random.randrange(-2, 20) * MS, str(random.randrange(9)))
        elif kind < 20:
            yield from self._order(random, ctx.now_ns, top, held)

    def _order(self, random: Random, now: int, top: Any, held: int) -> Iterator[Any]:
        tif = random.choice(tuple(Tif))
        expires = now + random.randrange(30) * MS if tif is Tif.GTD else None
        at = random.choice((top.bid_px_e6, top.ask_px_e6)) + random.choice((-1, 0, 0, 0, 1)) * CENT
        at = random.choice((at,) * 19 + (at + 1, SHARE))
        size = random.choice((0, 1, 5, 5, 10, 10, 30, 200)) * SHARE + random.choice((0, 0, 0, 1234))
        make: Any = Buy
        if held and random.randrange(2):
            make, size = Sell, random.choice((held, 5 * SHARE, size))
        urgency = random.choice(tuple(Urgency))
        tag = random.choice((None, "", "ü", "x"))
        answer = yield make(top.token, PxE6(at), SzE6(size), tif, urgency, tag, expires)
        if answer is not None:
            self.orders.append(answer)

    def on_top_of_book(self, ctx: Any, event: Any, state: Any, portfolio: Any) -> Any:
        """Act on every other top."""
        if ctx.random.randrange(2) or not event.has_both:
            return
        yield from self._draw(ctx, event, portfolio.held(event.token))

    def on_depth(self, ctx: Any, event: Any, book: Any, portfolio: Any) -> Any:
        """Take two levels now and then."""
        if not ctx.random.randrange(12) and len(book.asks) > 1:
            yield Buy(event.token, book.asks[1].px_e6, SzE6(20 * SHARE), tag="depth")

    def on_market(self, ctx: Any, change: Any, portfolio: Any) -> Any:
        """Be early, or late."""
        yield Buy(change.facts.tokens[-1], PxE6(50 * CENT), SzE6(5 * SHARE))

    def on_trade(self, ctx: Any, trade: Any, state: Any, portfolio: Any) -> Any:
        """Lean against it."""
        if state is not None:
            yield Buy(trade.token, trade.px_e6, SzE6(5 * SHARE), Tif.GTC, Urgency.MAKER, "trade")

    def on_fill(self, ctx: Any, fill: Any, portfolio: Any) -> Any:
        """Sell some of it back."""
        if fill.side is OrderSide.BUY and not ctx.random.randrange(3):
            yield Sell(fill.token, fill.px_e6, fill.size_e6, Tif.GTC)

    def on_reject(self, ctx: Any, reject: Any, portfolio: Any) -> Any:
        """Be called again."""
        if not ctx.random.randrange(3):
            yield Timer(ctx.now_ns + 3 * MS, "again")

    def on_timer(self, ctx: Any, timer: Any, portfolio: Any) -> Any:
        """Cancel the last."""
        if self.orders:
            yield Cancel(self.orders[-1])


def troubled(seed: int, *, depth: bool, messages: int = 260) -> bytes:
    """Three markets of a neg-risk event and one of a hidden fee: trades, breaks, ticks, doubts, ends."""
    random = Random(f"troubled|{seed}")
    stream = SetStream(depth=depth)
    stream.unit_e6 = 997_531
    stream.event_of(3)
    stream.market(3, fees_enabled=None, fee_schedule=None, seconds_delay="0.003", min_size_e6=0)
    books = [*fair(random, 3), ({40: 50}, {42: 30, 43: 80})]
    resolved = False
    for at in range(messages):
        number = random.randrange(4)
        what = random.randrange(40)
        if what < 6:
            side = random.choice((Side.BUY, Side.SELL))
            px = random.choice((*books[number][0], *books[number][1]))
            stream.trade(2 * number + random.randrange(2), px, random.randrange(1, 120), side)
        elif what == 6:
            token = 2 * number + random.randrange(2)
            stream.status(token, random.choice((State.RECONNECTING, State.LIVE)))
        elif what == 7:
            stream.now += MS
            stream.event(Kind.TICK_SIZE, 2 * number, bid_px_e6=random.choice((CENT, CENT // 10)))
        elif what == 8 and at > messages * 3 // 4 and not resolved:
            resolved = True
            stream.resolved(7, 3)
        else:
            bids, asks = books[number]
            step = random.choice((-1, 0, 0, 0, 1))
            if 5 < min(bids) + step and max(asks) + step < 95:
                bids = {px + step: size for px, size in bids.items()}
                asks = {px + step: size for px, size in asks.items()}
            books[number] = bids, asks
            fresh = {px: random.randrange(1, 200) for px in asks}
            if what == 9 and not at % 2:  # an arbitrage of all YES, and then of all NO
                for market in range(3):
                    stream.both(market, {26: 90}, {28: 90, 30: 50})
                for market in range(3):
                    stream.both(market, {36: 90, 35: 70}, {38: 80})
            crossed = ({95: 50}, {97: 50}) if what == 10 else None
            settled = random.choice((Settled.SETTLED,) * 6 + (Settled.UNSETTLED, Settled.UNSTATED))
            stream.both(
                number, bids if what != 11 else {}, fresh, no=crossed, settled=settled,
                is_split=what == 12,
            )  # fmt: skip
    return stream.end(later=40 * MS)


def quiet(seed: int, *, depth: bool) -> bytes:
    """Wide books of one market that hardly move, so that makers are reached by trades."""
    random = Random(f"quiet|{seed}")
    stream = Stream(depth=depth).market()
    for _ in range(160):
        mid = random.choice((50, 50, 51))
        bids, asks = {mid - 3: random.randrange(5, 60)}, {mid + 3: random.randrange(5, 60)}
        stream.mirrored(bids, asks)
        for _ in range(random.randrange(3)):
            px, side = random.choice(((mid - 3, Side.SELL), (mid + 3, Side.BUY), (mid, Side.BUY)))
            stream.trade(random.randrange(2), px, random.randrange(1, 90), side)
    return stream.end(later=5 * MS)


STREAMS: dict[str, Callable[[], bytes]] = {
    "walk-tops": lambda: walk(1, 220, depth=False, markets=2),
    "walk-depth": lambda: walk(2, 160, markets=2),
    "troubled-tops": lambda: troubled(3, depth=False),
    "troubled-depth": lambda: troubled(4, depth=True),
    "troubled-depth-2": lambda: troubled(5, depth=True),
    "quiet-tops": lambda: quiet(6, depth=False),
    "quiet-depth": lambda: quiet(7, depth=True),
}


def _drawn(what: str) -> Drawn:
    return Drawn({3: 5, 900: 3, 1200: 2, 1400: 1}, seed=9, what=what, name="given")


def _settings() -> dict[str, dict[str, Any]]:
    day = 86_400 * 1_000 * MS
    ends = [
        Resolution({"t0": PxE6(SHARE), "t1": PxE6(0)}, WALL + 150 * MS + 1),
        Resolution({"t2": PxE6(SHARE // 2), "t3": PxE6(SHARE // 2)}, WALL + day),
        Resolution({"t98": PxE6(SHARE), "t99": PxE6(0)}, WALL + day),
    ]
    mask = Mask("00", {"t0": [(1_030 * MS, 1_090 * MS)], "t5": [(1_000 * MS, 1_200 * MS)]})
    money = Limits(3, 2, CashE6(20 * SHARE), CashE6(60 * SHARE), CashE6(150 * SHARE))
    return {
        "plain": {"latency_ns": 7 * MS},
        "at-once": {"fee_bps": 0},
        "label": {"latency_ns": 2 * MS, "taint": Taint.LABEL, "slippage_bps": 150},
        "queue": {"latency_ns": MS, "queue": QueueModel.CONSERVATIVE},
        "queue-label": {"queue": QueueModel.CONSERVATIVE, "taint": Taint.LABEL},
        "drawn": {"order_latency": _drawn("order"), "cancel_latency": _drawn("cancel"), "seed": 4},
        "limits": {"limits": money, "merge_delay_ns": 5 * MS, "on_error": OnError.COUNT},
        "poor": {"cash_e6": CashE6(9 * SHARE), "unheld": Unheld.COMPLEMENT, "merge_delay_ns": 0},
        "ends": {"latency_ns": 3 * MS, "engine": {"resolutions": ends, "mask": mask}},
    }


SETTINGS = _settings()
MADE: dict[str, Callable[[], Strategy]] = {"small": Small, "restless": Restless}
LOADED: dict[str, tuple[str, ...]] = {
    "toy_spread": ("toy_spread.min_spread_e6=0.02", "toy_spread.size_e6=5"),
    "toy_taker=toy_spread": (
        "toy_taker.min_spread_e6=0.03",
        "toy_taker.urgency=taker",
        "toy_taker.size_e6=5",
    ),
    "dutch_book": ("dutch_book.min_profit=0", "dutch_book.least_bids=0.5"),
    "spread_capture": ("spread_capture.edge=0.01", "spread_capture.min_requote_interval_ms=5"),
    "round_trip": (),
    "random_taker": (),
}
PLAN: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "toy_spread": (("walk-tops", "walk-depth", "quiet-tops"), ("plain", "queue", "drawn")),
    "toy_taker=toy_spread": (("troubled-depth", "quiet-tops"), ("plain", "label", "poor")),
    "dutch_book": (("troubled-tops", "troubled-depth-2"), ("plain", "at-once", "limits", "ends")),
    "spread_capture": (("quiet-depth", "quiet-tops"), ("at-once", "queue", "queue-label")),
    "round_trip": (("walk-tops", "troubled-depth"), ("at-once", "drawn")),
    "random_taker": (("walk-depth", "troubled-tops"), ("plain", "ends")),
    "small": (("walk-tops", "troubled-depth"), ("plain", "drawn")),
    "restless": (("troubled-tops", "troubled-depth"), tuple(SETTINGS)),
}


class Case(NamedTuple):
    """One simulation: names of a stream, a strategy and settings."""

    stream: str
    strategy: str
    settings: str


def cases() -> list[Case]:
    """Return all of them, with one in which every strategy takes part."""
    chosen = [
        Case(stream, strategy, settings)
        for strategy, (streams, all_settings) in PLAN.items()
        for stream in streams
        for settings in all_settings
    ]
    queued = [Case(name, "restless", "queue") for name in STREAMS if "troubled" not in name]
    every = [Case("troubled-depth", "all", "queue"), Case("walk-tops", "all", "limits")]
    return [*chosen, *queued, *every]


def recorded(case: Case) -> dict[str, Any]:
    """Simulate, and return what must stay as it is."""
    names = list(PLAN) if case.strategy == "all" else [case.strategy]
    specs = [name for name in names if name in LOADED]
    strategies = load(specs, [one for name in specs for one in LOADED[name]])
    made = [(one.strategy_id, one.make) for one in strategies]
    made += [(name, MADE[name]) for name in names if name in MADE]
    settings = dict(SETTINGS[case.settings])
    with_engine = dict(settings.pop("engine", {}))
    told = hashlib.sha256()

    def tell(lens: Any, fill: Fill) -> None:
        told.update(fill_json(lens, fill).encode())

    engine = simulate(
        STREAMS[case.stream](), *made, ("zz", Witness), lenses=(WORST, CENTRAL),
        engine={**with_engine, "tell_fill": tell}, **settings,
    )  # fmt: skip
    asked = Asked(strategies, "replay", "recorded", print_pnl=True)
    line = stable(summary(engine, asked, Verdict(ExitCode.OK, None), elapsed_ms=0))
    return {
        "lenses": {
            name: {key: one[key] for key in ("final_hash", "fill_hash", "ledger_hash", "fills")}
            for name, one in line["lenses"].items()
        },
        "rejects": sorted({*line["rejects"], *line["lenses"][CENTRAL]["rejects"]}),
        "fills_out": told.hexdigest(),
        "told": [_witness(engine, at) for at in range(2)],
        "line": hashlib.sha256(json.dumps(line).encode()).hexdigest(),
    }


def _witness(engine: Engine, lens: int) -> str:
    strategy = engine.lenses[lens].runs[-1].strategy
    assert isinstance(strategy, Witness)
    return strategy.sha256.hexdigest()


def main() -> None:
    """Write recorded.json."""
    facts = {
        "streams": {name: hashlib.sha256(make()).hexdigest() for name, make in STREAMS.items()},
        "simulations": {"/".join(case): recorded(case) for case in cases()},
    }
    PATH.write_text(json.dumps(facts, indent=1, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
