"""The 64-byte slots of the event stream: layout, kinds, flags, and how a slot becomes an `Event`.

All integers are little-endian. Prices and sizes are millionths (`_e6`); -1 in a price means that there is
none. `ts_recv_ns` is the receive clock (monotonic), `ts_event_ns` the venue's own stamp in UTC.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import IntEnum
from struct import Struct
from typing import Any, Final, NamedTuple

from pm_frames.continuity import State

SLOT_BYTES: Final = 64
# seq, ts_recv_ns, ts_event_ns, bid_sz_e6, ask_sz_e6, frame, token, bid_px_e6, ask_px_e6, shard, kind, flags
SLOT: Final = Struct("<QQqqqQIiiHBB")
# seq, ts_recv_ns, sha256, run state, slots before this one, reason, kind, flags
END_SLOT: Final = Struct("<QQ32sIQHBB")

MAGIC: Final = b"PMEVv001"
MAGIC_NUMBER: Final = int.from_bytes(MAGIC, "little")  # the header has it where others have seq
KIND_AT: Final = 62
FLAGS_AT: Final = 63
CONTINUATION_BYTES: Final = 62  # of payload in each continuation slot
PAYLOAD_MAX: Final = 16 << 20

NONE: Final = -1  # no price, no venue stamp, not stated
NO_TOKEN: Final = 0xFFFF_FFFF
RUNLOG_SHARD: Final = 0xFFFF  # caused by the runlog (or a universe file), not by a frame
PX_MAX: Final = 2**31 - 1
SZ_MAX: Final = 2**63 - 1


class Kind(IntEnum):
    """What a slot is. From 16 to 31: events, with a `seq` of their own. From 128: may be passed over."""

    HEADER = 1
    END = 2
    CONTINUATION = 3
    TOKEN = 4
    META = 5
    CLOCK = 6
    TOB = 16
    TRADE = 17
    TICK_SIZE = 18
    STATUS = 19
    MARKET = 20
    UNKNOWN = 21
    BOOK = 32
    LEVEL = 33


SEQUENCED: Final = frozenset(kind for kind in Kind if 16 <= kind < 32)
DEPTH: Final = frozenset((Kind.BOOK, Kind.LEVEL))
# A slot of these kinds says in bid_sz_e6 how many bytes of payload follow in continuation slots.
WITH_PAYLOAD: Final = frozenset((Kind.HEADER, Kind.TOKEN, Kind.META, Kind.MARKET, Kind.UNKNOWN))
ANCILLARY: Final = 128
KNOWN: Final = frozenset(int(kind) for kind in Kind)


class Settled(IntEnum):
    """Whether the message that caused a top confirms it."""

    UNSTATED = 0  # the message states no best prices
    SETTLED = 1  # our top is what the message states, or the message is a whole book
    UNSETTLED = 2  # it is not: in the middle of an engine batch, or something is wrong


class Side(IntEnum):
    """Of a level: which side of the book. Of a trade: what the taker did."""

    NONE = -1
    BUY = 0  # a bid; the taker bought
    SELL = 1  # an ask; the taker sold


class MarketChange(IntEnum):
    """What happened to a market; in `bid_px_e6` of a MARKET slot."""

    NEW = 0
    RESOLVED = 1


class RunState(IntEnum):
    """State of the run when its stream ended."""

    RUNNING = 0
    ENDED = 1
    FATAL = 2
    CRASHED = 3
    UNKNOWN = 255


class EndReason(IntEnum):
    """Why a stream ends where it does. Anything but WHOLE and LIMIT is not the result that was asked for."""

    WHOLE = 0  # everything that was asked for
    LIMIT = 1  # --max-seconds or --max-events
    STOPPED = 2  # interrupted
    ERROR = 3  # the bundle cannot be read further


class Flags(NamedTuple):
    """Byte 63 of a slot, but of continuation slots."""

    state: State
    settled: Settled
    batch_end: bool

    @classmethod
    def of(cls, byte: int) -> Flags:
        """Take a flags byte apart; ValueError for a state or settled that is not defined."""
        return cls(State(byte & 7), Settled(byte >> 3 & 3), bool(byte & BATCH_END))

    def byte(self) -> int:
        """Return the flags as they stand in the slot."""
        return self.state | self.settled << SETTLED_SHIFT | (BATCH_END if self.batch_end else 0)


SETTLED_SHIFT: Final = 3
BATCH_END: Final = 0x80  # last event that its frame or runlog record gave


class Event(NamedTuple):
    """One slot, and the payload of its continuation slots. Field names are those of a TOB.

    Kinds that use fields otherwise have properties for it: `px_e6`, `sz_e6`, `side` (TRADE, LEVEL).
    """

    seq: int
    ts_recv_ns: int
    ts_event_ns: int
    bid_sz_e6: int
    ask_sz_e6: int
    frame: int
    token: int
    bid_px_e6: int
    ask_px_e6: int
    shard: int
    kind: int
    flags: int
    payload: bytes = b""

    def packed(self) -> bytes:
        """Return the slot and its continuation slots."""
        return SLOT.pack(*self[:12]) + continuation(self.payload)

    def json(self) -> dict[str, Any]:
        """Return the payload of a HEADER, META, MARKET or UNKNOWN slot."""
        value = json.loads(self.payload)
        if not isinstance(value, dict):
            raise ValueError("the payload is not a JSON object")
        return value

    def text(self) -> str:
        """Return the payload of a TOKEN slot: the token id."""
        return self.payload.decode()

    @property
    def state(self) -> State:
        """Continuity of the token's book at this event."""
        return State(self.flags & 7)

    @property
    def settled(self) -> Settled:
        """Whether the message confirms this top."""
        return Settled(self.flags >> SETTLED_SHIFT & 3)

    @property
    def batch_end(self) -> bool:
        """Whether this is the last event of its frame or record."""
        return bool(self.flags & BATCH_END)

    @property
    def px_e6(self) -> int:
        """Price of a TRADE or LEVEL."""
        return self.bid_px_e6

    @property
    def sz_e6(self) -> int:
        """Size of a TRADE; of a LEVEL the total that now rests there, 0 for none."""
        return self.bid_sz_e6

    @property
    def side(self) -> Side:
        """Side of a TRADE (of the taker) or LEVEL."""
        return Side(self.ask_px_e6)


class Header(NamedTuple):
    """Slot 0: who speaks. `facts` has at least `run_id`."""

    t0_mono_ns: int
    t0_wall_ns: int  # -1 where the bundle tells none
    facts: Mapping[str, Any]

    def event(self) -> Event:
        """Return the header as a slot."""
        payload = canonical_json(self.facts)
        return Event(
            MAGIC_NUMBER, self.t0_mono_ns, self.t0_wall_ns, len(payload), 0, 0, NO_TOKEN, NONE, NONE,
            RUNLOG_SHARD, Kind.HEADER, 0, payload,
        )  # fmt: skip


class End(NamedTuple):
    """The last slot. `sha256` is of every byte before it."""

    seq: int  # the last that was given, 0 for none
    ts_recv_ns: int  # of the last frame or record that was read
    sha256: bytes
    run_state: RunState
    slots: int  # before this one, header and continuation slots included
    reason: EndReason

    def packed(self) -> bytes:
        """Return the slot."""
        return END_SLOT.pack(*self, Kind.END, 0)

    @classmethod
    def unpack(cls, slot: bytes) -> End:
        """Read an END slot; ValueError for a run state or reason that is not defined."""
        seq, stamp, digest, state, slots, reason, _, _ = END_SLOT.unpack(slot)
        return cls(seq, stamp, digest, RunState(state), slots, EndReason(reason))


def canonical_json(value: Mapping[str, Any]) -> bytes:
    """Return JSON whose bytes depend on the value alone: keys sorted, ASCII, no white space, no NaN."""
    return json.dumps(
        value, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False
    ).encode()


def continuation_slots(payload_bytes: int) -> int:
    """Return how many continuation slots a payload takes."""
    return -(-payload_bytes // CONTINUATION_BYTES)


def continuation(payload: bytes) -> bytes:
    """Return the continuation slots of a payload: 62 bytes each, then kind, then how many are used."""
    parts = []
    for start in range(0, len(payload), CONTINUATION_BYTES):
        piece = payload[start : start + CONTINUATION_BYTES]
        parts.append(piece.ljust(CONTINUATION_BYTES, b"\0"))
        parts.append(bytes((Kind.CONTINUATION, len(piece))))
    return b"".join(parts)
