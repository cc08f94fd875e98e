"""Frames as plain tuples, for those who read very many: what a merge orders and a replay decodes.

A row is (rx_mono_ns, shard, ordinal, flags, payload), and rows compare in merge order. A runlog record is a row
too, of shard -1, with flags 0 and the record in the place of the payload.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from struct import Struct
from typing import Any, Final, TypeAlias

from pm_frames.checksum import crc32
from pm_frames.frames import Frame
from pm_frames.layout import CRITICAL_UNKNOWN, HEADER, MAGIC, Version

FrameRow: TypeAlias = tuple[int, int, int, int, bytes]
RecordRow: TypeAlias = tuple[int, int, int, int, Mapping[str, Any]]
Row: TypeAlias = FrameRow | RecordRow

_HEADER: Final = Struct("<10sHQQII")  # of version 2, magic and version in one field
_KIND: Final = MAGIC[Version.V2] + Version.V2.to_bytes(2, "little")
assert HEADER[Version.V2].size == _HEADER.size


def rows_of(shard_id: int, ordinal: int, frames: Iterable[Frame]) -> list[FrameRow]:
    """Return frames as rows, the first of which is number `ordinal` of its shard."""
    return [
        (frame.rx_mono_ns, shard_id, number, frame.flags, frame.payload)
        for number, frame in enumerate(frames, ordinal)
    ]


def sound_rows(
    data: bytes,
    offset: int,
    entries: Sequence[tuple[int, ...]],
    *,
    shard_id: int,
    ordinal: int,
    last_mono: int,
    payload_max: int,
) -> list[FrameRow]:
    """Return the frames of version 2 in a row from the start of `data`, as far as all about them is right.

    What `decode_run` does with idx entries, in two thirds of its time. `offset` is the file offset of `data`,
    `entries` are unpacked idx entries of frame `ordinal` and those after it.
    """
    unpack = _HEADER.unpack_from
    header_bytes = _HEADER.size
    have = len(data)
    last_start = have - header_bytes
    start = 0
    rows: list[FrameRow] = []
    add = rows.append
    for entry in entries:
        if start > last_start:
            break
        kind, flags, mono, wall, length, crc = unpack(data, start)
        begin = start + header_bytes
        end = begin + length
        payload = data[begin:end]
        if (
            entry != (offset + start, mono, wall, length, crc)
            or crc32(payload) != crc
            or end > have
            or mono < last_mono
            or kind != _KIND
            or flags & CRITICAL_UNKNOWN
            or length > payload_max
        ):
            break
        add((mono, shard_id, ordinal, flags, payload))
        ordinal += 1
        last_mono = mono
        start = end
    return rows
