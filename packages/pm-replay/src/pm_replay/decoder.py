"""Payload bytes to typed messages: a fast path for today's schema, the lenient one for all else.

The fast path takes a payload only if msgspec reads it strictly, every field a known one of the right type.
Everything else is read again by `pm_replay.lenient` and shown to the sentinel, so that both paths together
lose nothing and invent nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import Any, Final, NamedTuple

import msgspec

from pm_replay import lenient
from pm_replay.messages import Book, Fast, Message, PriceChange, QuickChange
from pm_replay.sentinel import SAMPLE_BYTES, Sentinel

_KEEPALIVES: Final = frozenset({b"PONG", b"PING"})
_ARRAY: Final = ord("[")
_EXAMPLES_MAX: Final = 64

# How the venue ends a change of levels. In what is read strictly these bytes can be nothing but the event type
# of the message, which then need not be looked for first: a quarter of the time.
PRICE_CHANGE_ENDS: Final = (
    b'"event_type":"price_change"}',
    b'"event_type": "price_change"}',
)
_BOOK_TYPE: Final = b'"event_type":"book"'
_BOOK_TYPE_FROM: Final = -96  # a book has two short fields after its levels
decode_price_change = msgspec.json.Decoder(PriceChange).decode
decode_quick_change = msgspec.json.Decoder(QuickChange).decode
_decode_book = msgspec.json.Decoder(Book).decode
_decode_any = msgspec.json.Decoder(Fast).decode
_decode_list = msgspec.json.Decoder(list[Fast]).decode


# What the decoders raise for what they do not take: by type, by encoding, empty, too deep.
UNREADABLE: Final = (msgspec.DecodeError, UnicodeDecodeError, IndexError, RecursionError)


def decode_one(payload: bytes) -> Message:
    """Return the message of a payload that is one of today's schema; raise one of `UNREADABLE` if it is not."""
    if payload.endswith(PRICE_CHANGE_ENDS):
        return decode_price_change(payload)
    if payload.find(_BOOK_TYPE, _BOOK_TYPE_FROM) >= 0:
        return _decode_book(payload)
    message: Message = _decode_any(payload)
    return message


class Example(NamedTuple):
    """The first frame that was counted under a word."""

    shard: int
    frame: int
    sample: str


class Decoder:
    """Decodes payloads and counts what it meets; never raises for a payload."""

    def __init__(self) -> None:
        self.frames: Counter[str] = Counter()  # fast, lenient, keepalive, empty
        self.decode_errors: Counter[str] = Counter()
        self.schema_errors: Counter[str] = Counter()
        self.items_total = 0
        self.items_max = 0
        self.frames_multi_item = 0
        self.fast = 0
        self.examples: dict[str, Example] = {}
        self.sentinel = Sentinel()
        self._at = (0, 0, b"")

    def decode(self, payload: bytes, shard: int, frame: int) -> Sequence[Message]:
        """Return the messages of a payload."""
        try:
            if payload[0] != _ARRAY:
                message = decode_one(payload)
                self.fast += 1
                return (message,)
            found = _decode_list(payload)
        except UNREADABLE:
            return self._lenient(payload, shard, frame)
        if not found:
            return self._lenient(payload, shard, frame)
        self.fast += 1
        self._items(len(found))
        return found

    def schema_error(self, kind: str) -> None:
        """Count a schema error of the frame that was decoded last."""
        self.schema_errors[kind] += 1
        self._example(kind)

    def summary(self) -> dict[str, Any]:
        """Return the counts with stable keys."""
        frames = dict(sorted(self.frames.items()))
        single = self.fast - self.frames["fast_arrays"]
        return {
            "frames": {"fast": self.fast, **frames},
            "decode_errors": dict(sorted(self.decode_errors.items())),
            "schema_errors": dict(sorted(self.schema_errors.items())),
            "payload_items_total": self.items_total + single,
            "payload_items_max": max(self.items_max, int(bool(single))),
            "payload_frames_multi_item": self.frames_multi_item,
            "examples": {
                kind: {"shard": one.shard, "frame": one.frame, "sample": one.sample}
                for kind, one in sorted(self.examples.items())
            },
            "shapes": dict(sorted(self.sentinel.shapes.items())),
            "surprises": [one._asdict() for _, one in sorted(self.sentinel.surprises.items())],
        }

    def _lenient(self, payload: bytes, shard: int, frame: int) -> list[Message]:
        self._at = (shard, frame, payload)
        if payload.strip() in _KEEPALIVES:
            self.frames["keepalive"] += 1
            return []
        try:
            value = lenient.load(payload)
        except lenient.NotReadable as error:
            self.decode_errors[error.kind] += 1
            self._example(error.kind)
            return []
        if value == []:
            self.frames["empty_array"] += 1
            return []
        self.frames["lenient"] += 1
        self.sentinel.look(value, payload, shard, frame)
        found = list(lenient.messages(value, self.schema_error))
        self._items(len(found), fast=False)
        return found

    def _items(self, count: int, *, fast: bool = True) -> None:
        if fast:
            self.frames["fast_arrays"] += 1
        self.items_total += count
        self.items_max = max(self.items_max, count)
        self.frames_multi_item += count > 1

    def _example(self, kind: str) -> None:
        if kind not in self.examples and len(self.examples) < _EXAMPLES_MAX:
            shard, frame, payload = self._at
            sample = payload[:SAMPLE_BYTES].decode("utf-8", "replace")
            self.examples[kind] = Example(shard, frame, sample)
