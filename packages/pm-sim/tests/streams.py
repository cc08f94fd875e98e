"""Event streams for tests, written by pm_frames: a market of two mirrored tokens that walks at random."""

from random import Random
from typing import Any

from pm_frames.continuity import State
from pm_frames.events import (
    NO_TOKEN,
    NONE,
    RUNLOG_SHARD,
    EndReason,
    Event,
    EventWriter,
    Flags,
    Header,
    Kind,
    RunState,
    Settled,
    Side,
)
from pm_frames.events.slots import canonical_json

YES, NO = 0, 1
CENT, SHARE = 10_000, 1_000_000
T0, WALL = 1_000_000_000, 1_790_000_000_000_000_000
MS = 1_000_000


class Stream:
    """Writes a stream; prices in cents, sizes in shares. Every call takes a moment of its own."""

    def __init__(self, *, depth: bool = True, step_ns: int = MS, **facts: Any) -> None:
        self.data = bytearray()
        self.depth = depth
        self.step_ns = step_ns
        self.unit_e6 = SHARE  # of sizes in books
        self.now, self.seq = T0, 0
        facts = {"run_id": "r", "depth": depth, "profile": "full", **facts}
        self.writer = EventWriter(self.data.extend, Header(T0, WALL, facts))

    def market(self, number: int = 0, **facts: Any) -> "Stream":
        """State a market; its tokens are 2n and 2n + 1, called `t0`, `t1`, …"""
        tokens = (2 * number, 2 * number + 1)
        for token in tokens:
            self.writer.define_token(token, f"t{token}", ts_recv_ns=self.now)
        payload = {
            "market_id": f"m{number}",
            "condition_id": f"0x{number}",
            "slug": f"market-{number}",
            "tokens": [
                {"token": token, "token_id": f"t{token}", "outcome": outcome}
                for token, outcome in zip(tokens, ("Yes", "No"), strict=True)
            ],
            "tick_size_e6": CENT,
            "min_size_e6": 5 * SHARE,
            "fees_enabled": True,
            "fee_schedule": {"rate": "0.04", "exponent": "1"},
            "listed": True,
            **facts,
        }
        self.writer.write_meta(tokens[0], canonical_json(payload), ts_recv_ns=self.now)
        return self

    def event(self, kind: Kind, token: int, **fields: Any) -> Event:
        flags = fields.pop("flags", Flags(State.LIVE, Settled.UNSTATED, batch_end=True).byte())
        if 16 <= kind < 32:
            self.seq += 1
        event = Event(
            self.seq if 16 <= kind < 32 else 0, self.now, NONE, 0, 0, self.seq, token, NONE, NONE,
            0, kind, flags,
        )._replace(**fields)  # fmt: skip
        self.writer.write(event.packed(), hashed=kind < 32)
        return event

    def book(
        self,
        token: int,
        bids: dict[int, int],
        asks: dict[int, int],
        *,
        settled: Settled = Settled.SETTLED,
        later: bool = True,
    ) -> "Stream":
        """Tell a whole book."""
        self.now += self.step_ns * later
        if self.depth:
            self.event(Kind.BOOK, token, bid_sz_e6=len(bids), ask_sz_e6=len(asks))
            for side, levels in ((Side.BUY, bids), (Side.SELL, asks)):
                for px, size in levels.items():
                    self.event(
                        Kind.LEVEL, token,
                        bid_px_e6=px * CENT, bid_sz_e6=size * self.unit_e6, ask_px_e6=side,
                    )  # fmt: skip
        bid, ask = max(bids, default=None), min(asks, default=None)
        self.event(
            Kind.TOB,
            token,
            bid_px_e6=NONE if bid is None else bid * CENT,
            bid_sz_e6=0 if bid is None else bids[bid] * self.unit_e6,
            ask_px_e6=NONE if ask is None else ask * CENT,
            ask_sz_e6=0 if ask is None else asks[ask] * self.unit_e6,
            flags=Flags(State.LIVE, settled, batch_end=True).byte(),
        )
        return self

    def mirrored(self, bids: dict[int, int], asks: dict[int, int], number: int = 0) -> "Stream":
        """Tell the book of YES, and of NO what follows from it."""
        self.book(2 * number, bids, asks)
        turned = {100 - px: size for px, size in asks.items()}
        return self.book(
            2 * number + 1, turned, {100 - px: size for px, size in bids.items()}, later=False
        )

    def trade(self, token: int, px: int, size: int, side: Side, **fields: int) -> "Stream":
        self.now += self.step_ns
        self.event(
            Kind.TRADE, token,
            bid_px_e6=px * CENT, bid_sz_e6=size * SHARE, ask_px_e6=side, ask_sz_e6=-1, **fields,
        )  # fmt: skip
        return self

    def status(self, token: int, state: State, before: State = State.LIVE) -> "Stream":
        self.now += self.step_ns
        flags = Flags(state, Settled.UNSTATED, batch_end=True).byte()
        self.event(Kind.STATUS, token, bid_sz_e6=self.now, ask_sz_e6=int(before), flags=flags)
        return self

    def resolved(self, winner: int, number: int = 0) -> "Stream":
        self.now += self.step_ns
        self.seq += 1
        payload = canonical_json({
            "change": "resolved", "market": f"0x{number}", "winning_token_id": f"t{winner}",
            "token_ids": [f"t{2 * number}", f"t{2 * number + 1}"],
        })  # fmt: skip
        flags = Flags(State.UNSUBSCRIBED, Settled.UNSTATED, batch_end=True).byte()
        slot = Event(
            self.seq, self.now, NONE, len(payload), 0, 0, NO_TOKEN, 1, NONE, RUNLOG_SHARD,
            Kind.MARKET, flags, payload,
        )  # fmt: skip
        self.writer.write(slot.packed())
        return self

    def end(
        self, state: RunState = RunState.ENDED, reason: EndReason = EndReason.WHOLE, later: int = 0
    ) -> bytes:
        """End the stream and return all of it."""
        self.writer.end(seq=self.seq, ts_recv_ns=self.now + later, run_state=state, reason=reason)
        return bytes(self.data)


def walk(seed: int, messages: int, *, depth: bool = True, markets: int = 1) -> bytes:
    """A random walk of mirrored books of three levels a side, two cents wide or more."""
    random = Random(seed)
    stream = Stream(depth=depth)
    for number in range(markets):
        stream.market(number)
    mids = [50] * markets
    for _ in range(messages):
        number = random.randrange(markets)
        mids[number] = min(90, max(10, mids[number] + random.choice((-1, 0, 1))))
        half = random.choice((1, 1, 2))
        bids = {mids[number] - half - step: random.randrange(5, 200) for step in range(3)}
        asks = {mids[number] + half + step: random.randrange(5, 200) for step in range(3)}
        stream.mirrored(bids, asks, number)
    return stream.end()
