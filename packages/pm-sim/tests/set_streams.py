"""Streams of neg-risk events for tests: YES and NO of a market are told by one message, as at the venue."""

from random import Random
from typing import Any

from streams import CENT, T0, Stream

from pm_frames.continuity import State
from pm_frames.events import NONE, Flags, Kind, Settled, Side

Levels = dict[int, int]  # shares by cents


class SetStream(Stream):
    """Adds messages that tell both tokens of a market, with a stamp of the venue."""

    def event_of(self, count: int, **facts: Any) -> "SetStream":
        """State the markets of one neg-risk event; YES of market n is token 2n, NO is 2n + 1."""
        for number in range(count):
            self.market(
                number,
                **{
                    "neg_risk": True,
                    "neg_risk_market_id": "0xset",
                    "neg_risk_augmented": False,
                    "event_markets": count,
                }
                | facts,
            )
        return self

    def both(
        self,
        number: int,
        bids: Levels,
        asks: Levels,
        *,
        no: tuple[Levels, Levels] | None = None,
        settled: Settled = Settled.SETTLED,
        state: State = State.LIVE,
        is_split: bool = False,
    ) -> "SetStream":
        """Tell YES, and of NO what follows from it or what `no` says; `is_split`: in two messages."""
        turned = (
            {100 - px: size for px, size in asks.items()},
            {100 - px: size for px, size in bids.items()},
        )
        self.now += self.step_ns
        frame = self.seq + 1
        for at, (ours, theirs) in enumerate(((bids, asks), turned if no is None else no)):
            if at and is_split:
                self.now += self.step_ns
                frame = self.seq + 1
            self._token(
                2 * number + at, ours, theirs, frame,
                Flags(state, settled, batch_end=bool(at) or is_split).byte(),
            )  # fmt: skip
        return self

    def one(self, token: int, bids: Levels, asks: Levels) -> "SetStream":
        """Tell one token alone, in a message of its own."""
        self.now += self.step_ns
        flags = Flags(State.LIVE, Settled.SETTLED, batch_end=True).byte()
        self._token(token, bids, asks, self.seq + 1, flags)
        return self

    def _token(self, token: int, bids: Levels, asks: Levels, frame: int, flags: int) -> None:
        stamp = self.now - T0 + 1
        if self.depth:
            self.event(Kind.BOOK, token, bid_sz_e6=len(bids), ask_sz_e6=len(asks), frame=frame)
            for side, levels in ((Side.BUY, bids), (Side.SELL, asks)):
                for px, size in levels.items():
                    self.event(
                        Kind.LEVEL, token, bid_px_e6=px * CENT, bid_sz_e6=size * self.unit_e6,
                        ask_px_e6=side, frame=frame,
                    )  # fmt: skip
        bid, ask = max(bids, default=None), min(asks, default=None)
        self.event(
            Kind.TOB, token, frame=frame, ts_event_ns=stamp, flags=flags,
            bid_px_e6=NONE if bid is None else bid * CENT,
            bid_sz_e6=0 if bid is None else bids[bid] * self.unit_e6,
            ask_px_e6=NONE if ask is None else ask * CENT,
            ask_sz_e6=0 if ask is None else asks[ask] * self.unit_e6,
        )  # fmt: skip


def fair(random: Random, count: int) -> list[tuple[Levels, Levels]]:
    """Return mirrored books of an event whose asks sum to more than one, and whose bids to less."""
    books = []
    for _ in range(count):
        mid = 100 // count
        bids = {mid - 1 - step: random.randrange(20, 90) for step in range(2)}
        asks = {mid + 2 + step: random.randrange(20, 90) for step in range(2)}
        books.append((bids, asks))
    return books
