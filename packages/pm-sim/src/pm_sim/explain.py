"""Why a fill is what it is: `--explain FILL_ID` runs the simulation again and looks at one fill in every lens.

A witness stands between the stream and the engine and notes which raw frame stated what; the venue of each
lens is replaced by one that does the same and tells of the fill. The bundle is opened for the frames alone.
"""

from array import array
from collections.abc import Iterable, Iterator, Mapping
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any, Final, NamedTuple

from pm_frames import Bundle, Frame, open_bundle
from pm_frames.command import UsageError
from pm_frames.errors import MissingFile
from pm_frames.events import RUNLOG_SHARD, Event, Kind, Settled
from pm_frames.events.slots import SEQUENCED, SLOT, SLOT_BYTES
from pm_sim.books import ASK, BID, Slot
from pm_sim.engine import Engine
from pm_sim.exchange import Exchange
from pm_sim.fees import QUANTUM_E6, Dearer, FeeModel, FlatBps, VenueSchedule
from pm_sim.fixed import BPS, E6, ONE, CashE6, PxE6, SzE6, cost_up, proceeds_down, usd_text
from pm_sim.lens import Lens
from pm_sim.orders import Fill, Order, Side
from pm_sim.report import order_name
from pm_sim.rules import SIZE_STEP_E6

_SEQUENCED: Final = frozenset(int(kind) for kind in SEQUENCED)
_BOOK, _LEVEL = int(Kind.BOOK), int(Kind.LEVEL)
TEXT_PAYLOAD_MAX: Final = 400  # characters of a payload on the page for people
BOOK_LINES_MAX: Final = 10  # levels on that page


class Place(NamedTuple):
    """Where the stream says that something comes from: a frame of a shard, or a record of the runlog."""

    shard: int
    frame: int


class Witness:
    """Notes where everything comes from, and what each lens does for the fill that is asked for."""

    def __init__(self, fill_id: int) -> None:
        self.fill_id = fill_id
        self.told: dict[str, dict[str, Any]] = {}
        self._lenses: list[str] = []
        self._frames, self._shards = array("Q"), array("H")  # of event n at n - 1
        self._books: dict[int, Place] = {}
        self._levels: dict[tuple[int, int, int], Place] = {}  # token, side, price

    def attach(self, engine: Engine) -> None:
        """Put a venue that tells in the place of each lens's own."""
        for lens in engine.lenses:
            self._lenses.append(lens.name)
            lens.exchange = _TellingExchange(lens, self)

    def blocks(self, blocks: Iterable[bytes | Event]) -> Iterator[bytes | Event]:
        """Hand the stream on slot by slot; what a slot says is known once the engine is done with it."""
        for block in blocks:
            if isinstance(block, Event):
                yield block
                self._note(block)
                continue
            for at in range(0, len(block), SLOT_BYTES):
                slot = block[at : at + SLOT_BYTES]
                yield slot
                self._note(SLOT.unpack(slot))

    def _note(self, slot: Slot | Event) -> None:
        place, kind = Place(slot[9], slot[5]), slot[10]
        if kind in _SEQUENCED and slot[0] == len(self._frames) + 1:
            self._frames.append(place.frame)
            self._shards.append(place.shard)
        elif kind == _BOOK:
            self._books[slot[6]] = place
        elif kind == _LEVEL:
            self._levels[slot[6], slot[8], slot[7]] = place

    def of_event(self, seq: int) -> Place | None:
        """Return where an event comes from; None if the stream has not told it."""
        if not 0 < seq <= len(self._frames):
            return None
        return Place(self._shards[seq - 1], self._frames[seq - 1])

    def of_level(self, token: int, side: Side, px_e6: int) -> tuple[Place | None, Place | None]:
        """Return what last replaced the book, and what last stated the level that an order meets."""
        level = self._levels.get((token, ASK if side is Side.BUY else BID, px_e6))
        return self._books.get(token), level

    def explanation(self, run_dir: Path) -> dict[str, Any]:
        """Return all that is known of the fill, with the raw frames behind it, by lens.

        A lens without such a fill has null. Raises `UsageError` if none has it, and what reading a
        damaged bundle raises.
        """
        if not self.told:
            raise UsageError(
                f"no lens has a fill {self.fill_id}",
                expected="the fill_id of a line of --fills-out with the same flags",
            )
        bundle = open_bundle(run_dir)
        lenses: dict[str, Any] = dict.fromkeys(self._lenses)
        for name, told in self.told.items():
            places = told.pop("places")
            places["decision"] = self.of_event(told["order"]["seq"])
            places["last_event"] = self.of_event(told["fill"]["seq"])
            frames = {role: raw(bundle, places[role]) for role in ROLES if places.get(role)}
            lenses[name] = {**told, "frames": frames}
        return {"fill_id": self.fill_id, "run_id": bundle.run_id, "lenses": lenses}


ROLES: Final = {
    "decision": "the event at which the strategy decided",
    "last_event": "the last event that the venue had seen",
    "book": "the last whole book of the token",
    "level": "the last statement of the level",
    "top": "the last top of the token",
}


class _TellingExchange(Exchange):
    """A venue that does what any does, and tells of one fill."""

    def __init__(self, lens: Lens, witness: Witness) -> None:
        super().__init__(lens.facts.markets, lens.depth, lens.ledger, lens.terms)
        self._lens = lens
        self._witness = witness
        self._walked: list[tuple[PxE6, SzE6]] = []
        self._levels: list[dict[str, int]] = []

    def _steps(self, order: Order) -> Any:
        steps = super()._steps(order)
        if self._fills < self._witness.fill_id <= self._fills + len(steps):
            self._levels = _levels(self._lens, order)
        self._walked = [(step.level_px_e6, step.size_e6) for step in steps]
        return steps

    def _filled(self, order: Order, *values: Any, **named: Any) -> Fill:
        fill = super()._filled(order, *values, **named)
        level = PxE6(fill.px_e6)
        if not fill.is_maker:
            level, size = self._walked.pop(0)
        if fill.fill_id == self._witness.fill_id:
            if fill.is_maker:
                self._levels = _levels(self._lens, order)
            told = _told(self._lens, order, fill, level)
            told["book"] = {
                "side": "asks" if order.side is Side.BUY else "bids",
                "level_px_e6": level,
                "before": [dict(one) for one in self._levels],
                "after": _less(self._levels, level, 0 if fill.is_maker else fill.size_e6),
            }
            book, stated = self._witness.of_level(order.token, order.side, level)
            top = Place(fill.shard, fill.frame)
            told["places"] = {"book": book, "level": stated, "top": top}
            self._witness.told[self._lens.name] = told
        elif not fill.is_maker and self._levels:
            self._levels = _less(self._levels, level, size)
        return fill


def _levels(lens: Lens, order: Order) -> list[dict[str, int]]:
    """Return the levels that an order of this side meets, best first, as the lens sees them now."""
    bids, asks = lens.books.sides(order.token)
    side, sizes = (ASK, asks) if order.side is Side.BUY else (BID, bids)
    taken = lens.depth.taken.get(order.token, {})
    free = {
        level.px_e6: level.size_e6
        for level in lens.depth.reachable(
            order.token, order.side, ONE if order.side is Side.BUY else PxE6(0)
        )
    }
    return [
        {
            "px_e6": px,
            "displayed_e6": sizes[px],
            "taken_e6": taken[side, px].size_e6 if (side, px) in taken else 0,
            "can_be_had_e6": free.get(PxE6(px), 0),
        }
        for px in sorted(sizes, reverse=order.side is Side.SELL)
    ]


def _less(levels: list[dict[str, int]], px_e6: int, size_e6: int) -> list[dict[str, int]]:
    """Return the levels after so much was taken of one."""
    return [
        one
        if one["px_e6"] != px_e6
        else {
            **one,
            "taken_e6": one["taken_e6"] + size_e6,
            "can_be_had_e6": max(0, one["can_be_had_e6"] - size_e6),
        }
        for one in levels
    ]


def _told(lens: Lens, order: Order, fill: Fill, level: PxE6) -> dict[str, Any]:
    market = lens.facts.markets.by_token[order.token]
    facts = lens.facts.tokens[order.token]
    depth, terms = lens.depth, lens.terms
    buys = fill.side is Side.BUY
    notional = (cost_up if buys else proceeds_down)(fill.px_e6, fill.size_e6)
    delay = 0 if fill.is_maker else market.taker_delay_ns
    return {
        "fill": {
            **fill._asdict(),
            "state": fill.state.name.lower(),
            "order_id": order_name(fill.order_id),
            "token_id": facts.token_id,
            "slug": market.slug,
            "outcome": facts.outcome,
        },
        "order": {**order._asdict(), "order_id": order_name(order.order_id)},
        "latency": {
            "decided_ns": order.submitted_ns,
            "order_latency_ns": order.arrives_ns - order.submitted_ns,
            "arrived_ns": order.arrives_ns,
            "venue_delay_ns": delay,
            "waited_ns": fill.at_ns - order.arrives_ns - delay,
            "filled_ns": fill.at_ns,
        },
        "rule": {
            "lens": lens.name,
            "share_bps": depth.share_bps,
            "slippage_bps": terms.slippage_bps,
            "taint": terms.taint.value,
            "queue": terms.queue.value,
            "state": fill.state.name.lower(),
            "masked": terms.masked(order.token, fill.at_ns),
            "settled": Settled(lens.books.tops[order.token][11] >> 3 & 3).name.lower(),
            "tick_e6": market.rules.tick_e6,
            "min_size_e6": market.rules.min_size_e6,
            "size_step_e6": SIZE_STEP_E6,
        },
        "price": {
            "limit_px_e6": order.limit_px_e6,
            "level_px_e6": level,
            "slippage_e6": abs(fill.px_e6 - level),
            "px_e6": fill.px_e6,
        },
        "fee": _fee(terms.fees(market), fill),
        "money": {
            "notional_e6": notional,
            "fee_e6": fill.fee_e6,
            "cash_e6": -notional - fill.fee_e6 if buys else notional - fill.fee_e6,
        },
    }


def _fee(model: FeeModel, fill: Fill) -> dict[str, Any]:
    if fill.is_maker:
        return {"model": "maker", "fee_e6": 0, "arithmetic": "makers pay nothing"}
    return fee_arithmetic(model, fill.side, fill.px_e6, fill.size_e6)


def fee_arithmetic(model: FeeModel, side: Side, px_e6: PxE6, size_e6: SzE6) -> dict[str, Any]:
    """Return what a model charges for a fill, and how that is reckoned, in dollars."""
    told: dict[str, Any] = {"model": model.name, "fee_e6": int(model.fee(side, px_e6, size_e6))}
    fee = usd_text(told["fee_e6"])
    if isinstance(model, FlatBps):
        buys = side is Side.BUY
        notional = (cost_up if buys else proceeds_down)(px_e6, size_e6)
        return {
            **told, "bps": model.bps, "notional_e6": int(notional),
            "arithmetic": f"{usd_text(notional)} x {model.bps} / {BPS}, up to 0.000001: {fee}",
        }  # fmt: skip
    if isinstance(model, VenueSchedule):
        price, shares = Fraction(px_e6, E6), Fraction(size_e6, E6)
        exact = shares * model.rate * (price * (1 - price)) ** model.exponent
        return {
            **told, "rate": str(model.rate), "exponent": model.exponent, "exact": str(exact),
            "arithmetic": f"{usd_text(size_e6)} x {model.rate} x ({usd_text(px_e6)} x {usd_text(ONE - px_e6)})"
            f"^{model.exponent} = {exact}, up to {usd_text(CashE6(QUANTUM_E6))}: {fee}",
        }  # fmt: skip
    if isinstance(model, Dearer):
        both = [fee_arithmetic(one, side, px_e6, size_e6) for one in (model.first, model.second)]
        dearer = max(both, key=lambda one: int(one["fee_e6"]))
        return {
            **told, "charged": dearer["model"], "of": both,
            "arithmetic": f"the dearer of {both[0]['model']} and {both[1]['model']}: {fee}",
        }  # fmt: skip
    return told


def raw(bundle: Bundle, place: Place) -> dict[str, Any]:
    """Return a raw frame with its offset; of the runlog only which record it is.

    Raises `MissingFile` if the bundle has no such frame, and what reading a damaged shard raises.
    """
    if place.shard == RUNLOG_SHARD:
        return {"shard": None, "runlog_record": place.frame}
    frame: Frame | None = None
    for shard in bundle.shards():
        if shard.shard_id == place.shard:
            frame = next(shard.frames(place.frame, place.frame + 1), None)
            path = shard.frames_path
    if frame is None:
        raise MissingFile(f"shard {place.shard} has no frame {place.frame}", path=bundle.path)
    return {
        "shard": place.shard,
        "frame": place.frame,
        "file": path.relative_to(bundle.path).as_posix(),
        "offset": frame.offset,
        "end": frame.end,
        "rx_mono_ns": frame.rx_mono_ns,
        "rx_wall_ns_utc": frame.rx_wall_ns_utc,
        "crc32": frame.crc32,
        "payload": frame.payload.decode("utf-8", errors="backslashreplace"),
    }


def page(explanation: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the page for people."""
    yield f"fill {explanation['fill_id']} of run {explanation['run_id']}"
    for name, one in explanation["lenses"].items():
        yield ""
        if one is None:
            yield f"{name}: has no such fill"
        else:
            yield from _lens_page(name, one)


def _lens_page(name: str, one: Mapping[str, Any]) -> Iterator[str]:
    fill, order, wait, rule = one["fill"], one["order"], one["latency"], one["rule"]
    yield (
        f"{name}: {order['strategy_id']} {fill['side']} {usd_text(fill['size_e6'])} of "
        f"{fill['slug'] or fill['token_id']} {fill['outcome']} at {usd_text(fill['px_e6'])}, "
        f"{'maker' if fill['is_maker'] else 'taker'}, "
        f"{'TAINTED' if fill['is_tainted'] else 'clean'}; order {order['order_id']} "
        f"{order['tif']} {usd_text(order['size_e6'])} to {usd_text(order['limit_px_e6'])}"
    )
    yield (
        f"  time: decided at {wait['decided_ns']} (event {order['seq']}), under way "
        f"{wait['order_latency_ns']} ns, venue's delay {wait['venue_delay_ns']} ns, waited "
        f"{wait['waited_ns']} ns, filled at {wait['filled_ns']} after event {fill['seq']}"
    )
    yield (
        f"  rule: book {rule['state']} and {rule['settled']}, masked {rule['masked']}, "
        f"{Decimal(rule['share_bps']) / 100:f}% of what is displayed, slippage "
        f"{rule['slippage_bps']} bps ({usd_text(one['price']['slippage_e6'])}), "
        f"tick {usd_text(rule['tick_e6'])}, least size {usd_text(rule['min_size_e6'])}, "
        f"taint {rule['taint']}, queue {rule['queue']}"
    )
    yield f"  fee: {one['fee'].get('arithmetic', one['fee']['model'])}"
    for model in one["fee"].get("of", ()):
        yield f"    {model['model']}: {model['arithmetic']}"
    money = one["money"]
    yield f"  cash: {usd_text(money['cash_e6'])} (notional {usd_text(money['notional_e6'])})"
    book = one["book"]
    yield f"  {book['side']}: price, displayed, taken before, could be had; taken after, is left"
    pairs = list(zip(book["before"], book["after"], strict=True))
    for before, after in pairs[:BOOK_LINES_MAX]:
        mark = ">" if before["px_e6"] == book["level_px_e6"] else " "
        yield (
            f"  {mark} {usd_text(before['px_e6'])}  {usd_text(before['displayed_e6'])}  "
            f"{usd_text(before['taken_e6'])}  {usd_text(before['can_be_had_e6'])};  "
            f"{usd_text(after['taken_e6'])}  {usd_text(after['can_be_had_e6'])}"
        )
    if len(pairs) > BOOK_LINES_MAX:
        yield f"    and {len(pairs) - BOOK_LINES_MAX} levels more"
    frames = list(one["frames"].items())
    for at, (_, frame) in enumerate(frames):
        if any(frame == other for _, other in frames[:at]):
            continue
        for same, other in frames[at:]:
            if other == frame:
                yield f"  {ROLES[same]}:"
        if frame["shard"] is None:
            yield f"    runlog record {frame['runlog_record']}"
            continue
        yield (
            f"    {frame['file']} frame {frame['frame']}, "
            f"bytes {frame['offset']} to {frame['end']}, received {frame['rx_mono_ns']}"
        )
        payload = "".join(one if one.isprintable() else "\ufffd" for one in frame["payload"])
        cut = "…" if len(payload) > TEXT_PAYLOAD_MAX else ""
        yield f"    {payload[:TEXT_PAYLOAD_MAX]}{cut}"
