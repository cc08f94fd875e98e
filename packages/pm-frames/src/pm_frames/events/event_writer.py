"""Writing an event stream: packed slots go in, the sink gets them in order, two digests run along.

The digest of the stream (in END) covers every byte. The event hash leaves out the header, END and depth,
so that it is that of the events whatever depth was asked for and whoever wrote the header.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple

from pm_frames.events.slots import (
    KIND_AT,
    PAYLOAD_MAX,
    SLOT_BYTES,
    End,
    EndReason,
    Event,
    Header,
    Kind,
    RunState,
)

FLUSH_PIECES: Final = 1 << 10  # writes that are handed to the sink together
CHECKPOINTS_MAX: Final = 64
_FIRST_INTERVAL: Final = 1 << 10  # hashed slots

Sink = Callable[[bytes], object]


class Checkpoints(NamedTuple):
    """The event hash after each `interval` hashed slots: two streams differ between two of these."""

    interval: int
    hashes: tuple[str, ...]


class EventHash:
    """SHA-256 of the hashed slots, with at most 64 checkpoints however long the stream is."""

    def __init__(self) -> None:
        self.slots = 0
        self._interval = _FIRST_INTERVAL
        self._hashes: list[str] = []
        self._sha256 = hashlib.sha256()

    def update(self, data: bytes) -> None:
        """Add whole slots."""
        start = 0
        left = self._interval * SLOT_BYTES - self.slots * SLOT_BYTES % (self._interval * SLOT_BYTES)
        while len(data) - start >= left:
            self._sha256.update(data[start : start + left])
            self.slots += left // SLOT_BYTES
            start += left
            self._hashes.append(self._sha256.hexdigest())
            if len(self._hashes) > CHECKPOINTS_MAX:
                self._interval *= 2
                self._hashes = self._hashes[1::2]
            span = self._interval * SLOT_BYTES
            left = span - self.slots * SLOT_BYTES % span
        rest = data[start:] if start else data
        self._sha256.update(rest)
        self.slots += len(rest) // SLOT_BYTES

    def hexdigest(self) -> str:
        """Return the event hash up to here."""
        return self._sha256.hexdigest()

    def checkpoints(self) -> Checkpoints:
        """Return the checkpoints so far; the same stream gives the same ones."""
        return Checkpoints(self._interval, tuple(self._hashes))


class EventWriter:
    """Writes one stream into a sink that takes bytes (None: only the digests are wanted)."""

    def __init__(
        self, sink: Sink | None, header: Header, *, flush_pieces: int = FLUSH_PIECES
    ) -> None:
        """Write the header. What the sink raises comes through, here and later.

        `flush_pieces` 1 hands everything on at once, as a follower needs it.
        """
        self._sink = sink
        self._flush_pieces = flush_pieces
        self._stream = hashlib.sha256()
        self._hash = EventHash()
        self._pending: list[bytes] = []
        self._unhashed = False  # among what is pending; then the hashed part is kept apart
        self._pending_hashed: list[bytes] = []
        self._bytes = 0
        self._end: End | None = None
        self.write(header.event().packed(), hashed=False)
        self.flush()

    def write(self, slots: bytes, *, hashed: bool = True) -> None:
        """Append packed slots; `hashed` is False for the header and for depth alone.

        Raises ValueError for what is not whole slots, and after the end.
        """
        self.extend([slots], hashed=hashed)

    def extend(self, slots: Sequence[bytes], *, hashed: bool = True) -> None:
        """Append several pieces of packed slots, as `write` does."""
        self._append(slots, slots if hashed else ())

    def extend_deep(self, slots: bytes, hashed: bytes) -> None:
        """Append packed slots with depth among them; `hashed` are those that are none. Raises as `write` does."""
        self._append([slots], [hashed])

    def _append(self, slots: Sequence[bytes], hashed: Sequence[bytes]) -> None:
        if self._end is not None:
            raise ValueError("the stream has ended")
        pending = self._pending
        if hashed is not slots and not self._unhashed:
            self._unhashed = True
            self._pending_hashed = pending.copy()
        pending += slots
        if self._unhashed:
            self._pending_hashed += hashed
        if len(pending) >= self._flush_pieces:
            self.flush()

    def define_token(self, token: int, token_id: str, *, ts_recv_ns: int) -> None:
        """Say what a token number means."""
        self._with_payload(Kind.TOKEN, token, ts_recv_ns, token_id.encode())

    def write_meta(self, token: int, payload: bytes, *, ts_recv_ns: int) -> None:
        """State the facts of a market (canonical JSON) that apply from here; `token` is its first."""
        self._with_payload(Kind.META, token, ts_recv_ns, payload)

    def _with_payload(self, kind: Kind, token: int, ts_recv_ns: int, payload: bytes) -> None:
        if len(payload) > PAYLOAD_MAX:
            raise ValueError(f"payload of {len(payload)} bytes, more than {PAYLOAD_MAX}")
        slot = Event(0, ts_recv_ns, -1, len(payload), 0, 0, token, -1, -1, 0xFFFF, kind, 0, payload)
        self.write(slot.packed())

    def flush(self) -> None:
        """Hand everything that was written to the sink."""
        if not self._pending:
            return
        data = b"".join(self._pending)
        if len(data) % SLOT_BYTES:
            raise ValueError("not whole slots")
        self._stream.update(data)
        self._hash.update(b"".join(self._pending_hashed) if self._unhashed else data)
        self._pending.clear()
        self._pending_hashed = []
        self._unhashed = False
        self._bytes += len(data)
        if self._sink is not None:
            self._sink(data)

    def end(self, *, seq: int, ts_recv_ns: int, run_state: RunState, reason: EndReason) -> End:
        """Write END and return it; the sink stays open."""
        self.flush()
        end = End(
            seq, ts_recv_ns, self._stream.digest(), run_state, self._bytes // SLOT_BYTES, reason
        )
        packed = end.packed()
        assert packed[KIND_AT] == Kind.END
        if self._sink is not None:
            self._sink(packed)
        self._end = end
        return end

    @property
    def event_hash(self) -> str:
        """The event hash of everything that was flushed."""
        return self._hash.hexdigest()

    @property
    def checkpoints(self) -> Checkpoints:
        """Checkpoints of the event hash of everything that was flushed."""
        return self._hash.checkpoints()
