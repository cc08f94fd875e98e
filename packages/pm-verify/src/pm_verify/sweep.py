"""The fast path: how far do frames and index agree in every field, with every payload intact?

A sweep reads both files once, in step, in bounded memory, and stops before the first record about
which anything is not as it must be. It never says what is wrong there: that is the work of
`diagnosis`, which every engine leaves it to, so that their verdicts cannot differ.

An index entry without its offset is, byte for byte, the end of the header that it describes:

    v2 header  magic 8 | version 2 | flags 2 | rx_mono_ns 8 | rx_wall_ns_utc 8 | len 4 | crc 4
    v2 entry                      offset 8   | rx_mono_ns 8 | rx_wall_ns_utc 8 | len 4 | crc 4

(v1 the same without the wall clock), so one comparison of bytes covers all those fields.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, Protocol

from pm_frames.layout import (
    CRITICAL_UNKNOWN,
    IDX,
    MAGIC,
    PAYLOAD_MAX,
    Version,
    header_size,
    idx_size,
)

MIRRORED_START = 12
PREFIX_SIZE = 11
ENTRIES_PER_READ = 8192
ENTRIES_PER_BATCH = 1024
BATCH_BYTES_MAX = 4 << 20

Checksum = Callable[[Any], int]


def unread(payload: object) -> int:
    """Stand for a checksum where payloads are not to be judged; never called."""
    raise AssertionError(payload)


@dataclass(frozen=True, slots=True)
class Batch:
    """Some index entries, the bytes that they should describe, and what went before.

    `base` is the offset of `data` in the file, `mono_before` the stamp of the record before.
    """

    version: Version
    entries: bytes
    data: bytes
    base: int
    mono_before: int
    checksum: Checksum


class Engine(Protocol):
    """Judges a batch: how many of its records, from the first, are as they must be?"""

    def __call__(self, batch: Batch, /) -> int: ...


@dataclass(frozen=True, slots=True)
class Agreement:
    """The longest prefix of a shard about which nothing is wrong.

    `first` and `last` are its outer index entries as they stand in the file, empty without records.
    """

    records: int = 0
    frames_end: int = 0
    idx_end: int = 0
    first: bytes = b""
    last: bytes = b""


NOTHING = Agreement()


@cache
def prefixes(version: Version) -> frozenset[bytes]:
    """Return the openings that a record may have: magic, version, and known critical flags."""
    opening = MAGIC[version] + int(version).to_bytes(2, "little")
    known = (flags for flags in range(256) if not flags & CRITICAL_UNKNOWN)
    return frozenset(opening + bytes([flags]) for flags in known)


def plain(batch: Batch, /) -> int:
    """Judge a batch with the standard library alone. This engine is the reference."""
    data, entries, checksum, base = batch.data, batch.entries, batch.checksum, batch.base
    head, step = header_size(batch.version), idx_size(batch.version)
    openings = prefixes(batch.version)
    view = memoryview(data)
    at, before, size = 0, batch.mono_before, len(data)
    for ordinal, entry in enumerate(IDX[batch.version].iter_unpack(entries)):
        body = at + head
        length = entry[-2]
        end = body + length
        if (
            entry[0] != base + at
            or end > size
            or length > PAYLOAD_MAX
            or entry[1] < before
            or data[at + MIRRORED_START : body]
            != entries[ordinal * step + 8 : ordinal * step + step]
            or data[at : at + PREFIX_SIZE] not in openings
            or (checksum is not unread and checksum(view[body:end]) != entry[-1])
        ):
            return ordinal
        at, before = end, entry[1]
    return len(entries) // step


class Readable(Protocol):
    """The part of a binary file that a sweep uses."""

    def read(self, size: int, /) -> bytes: ...


def sweep(
    frames: Readable,
    idx: Readable,
    version: Version,
    *,
    engine: Engine,
    checksum: Checksum,
    agreement: Agreement = NOTHING,
) -> Agreement:
    """Read frames and index in step, as far as they agree, and return the whole agreement.

    Both begin where `agreement` ends, and are left wherever reading stopped, which may be behind the new
    one. With the checksum `unread` payloads are passed over.
    """
    step = idx_size(version)
    unpack = IDX[version].unpack_from
    mono_before = unpack(agreement.last)[1] if agreement.records else 0
    while block := idx.read(step * ENTRIES_PER_READ):
        whole = len(block) - len(block) % step
        at = 0
        while at < whole:
            entries, size = _next_batch(block, at, whole, agreement.frames_end, version)
            if not entries:
                return agreement
            data = frames.read(size)
            batch = Batch(version, entries, data, agreement.frames_end, mono_before, checksum)
            good = engine(batch)
            if good:
                agreement = _extended(agreement, entries[: good * step], version)
                mono_before = unpack(agreement.last)[1]
            if good * step < len(entries):
                return agreement
            at += len(entries)
    return agreement


def _next_batch(
    block: bytes, at: int, whole: int, frames_end: int, version: Version
) -> tuple[bytes, int]:
    """Return the next entries and how many bytes of frames they claim, within the limits."""
    step, unpack = idx_size(version), IDX[version].unpack_from
    count = min(ENTRIES_PER_BATCH, (whole - at) // step)
    while count > 1:
        last = unpack(block, at + (count - 1) * step)
        size = last[0] + header_size(version) + last[-2] - frames_end
        if 0 < size <= BATCH_BYTES_MAX:
            return block[at : at + count * step], size
        count //= 2
    length = unpack(block, at)[-2]
    if length > PAYLOAD_MAX:
        return b"", 0
    return block[at : at + step], header_size(version) + length


def _extended(agreement: Agreement, entries: bytes, version: Version) -> Agreement:
    step = idx_size(version)
    last = entries[-step:]
    fields = IDX[version].unpack(last)
    return Agreement(
        records=agreement.records + len(entries) // step,
        frames_end=fields[0] + header_size(version) + fields[-2],
        idx_end=agreement.idx_end + len(entries),
        first=agreement.first or entries[:step],
        last=last,
    )
