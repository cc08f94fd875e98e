"""Frames, entries and vectors as bytes, from struct literals and zlib alone."""

from __future__ import annotations

import json
import struct
import zlib
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

LIMIT = 64 * 1024 * 1024
MONO = 7_000_000_000_001
WALL = 1_766_448_000_123_456_789  # more than 2**53: JSON integers, never floats
U64 = 2**64 - 1


@dataclass(frozen=True)
class Rec:
    """One frame as it was received, and the overrides that damage its header or its entry."""

    payload: bytes
    mono: int = MONO
    wall: int | None = WALL
    flags: int = 1
    version: int = 2
    magic: bytes | None = None
    schema: int | None = None
    length: int | None = None
    crc: int | None = None

    @property
    def size(self) -> int:
        return (36 if self.version == 2 else 28) + len(self.payload)

    @property
    def crc_field(self) -> int:
        return zlib.crc32(self.payload) if self.crc is None else self.crc

    def encoded(self) -> bytes:
        magic = self.magic or (b"PMCAPv02" if self.version == 2 else b"PMCAPv01")
        schema = self.version if self.schema is None else self.schema
        length = len(self.payload) if self.length is None else self.length
        if self.version == 2:
            head = struct.pack(
                "<8sHHQQII",
                magic, schema, self.flags, self.mono, self.wall, length, self.crc_field,
            )  # fmt: skip
        else:
            head = struct.pack(
                "<8sHHQII", magic, schema, self.flags, self.mono, length, self.crc_field
            )
        return head + self.payload

    def entry(self, offset: int) -> bytes:
        length = len(self.payload) if self.length is None else self.length
        if self.version == 2:
            return struct.pack("<QQQII", offset, self.mono, self.wall, length, self.crc_field)
        return struct.pack("<QQII", offset, self.mono, length, self.crc_field)

    def described(self, offset: int) -> dict[str, Any]:
        return {
            "offset": offset,
            "version": self.version,
            "flags": self.flags,
            "rx_mono_ns": self.mono,
            "rx_wall_ns_utc": self.wall if self.version == 2 else None,
            "crc32": self.crc_field,
            "payload": self.payload.hex(),
        }


def offsets(records: list[Rec]) -> list[int]:
    """Return where each record begins, and the end of the last."""
    places = [0]
    for record in records:
        places.append(places[-1] + record.size)
    return places


def frames_of(*records: Rec) -> bytes:
    return b"".join(record.encoded() for record in records)


def idx_of(*records: Rec) -> bytes:
    places = offsets(list(records))
    return b"".join(record.entry(place) for record, place in zip(records, places[:-1], strict=True))


def damage(
    kind: str, offset: int, end: int, ordinal: int | None, extent: str, file: str = "frames"
) -> dict[str, Any]:
    return {
        "kind": kind,
        "file": file,
        "offset": offset,
        "end": end,
        "ordinal": ordinal,
        "extent": extent,
    }


@dataclass(frozen=True)
class Vector:
    """Two files and what reading them must give, with the idx and without it."""

    folder: str
    name: str
    about: str
    frames: bytes
    idx: bytes | None
    sound: list[dict[str, Any]]
    damage: list[dict[str, Any]] = field(default_factory=list)
    # None: the same frames, and no damage.
    without: tuple[list[dict[str, Any]], list[dict[str, Any]]] | None = None
    # What the strict reader of .frames alone raises: kind and offset.
    strict: tuple[str, int] | None = None

    def described(self) -> dict[str, Any]:
        sound, damages = self.without or (self.sound, [])
        return {
            "about": self.about,
            "frames": self.sound,
            "damage": self.damage,
            "without_idx": {
                "frame_offsets": [frame["offset"] for frame in sound],
                "damage": damages,
            },
            "strict": None
            if self.strict is None
            else {"kind": self.strict[0], "offset": self.strict[1]},
        }

    def files(self) -> Iterator[tuple[Path, bytes]]:
        stem = Path(self.folder) / self.name
        yield stem.with_suffix(".frames"), self.frames
        if self.idx is not None:
            yield stem.with_suffix(".idx"), self.idx
        text = json.dumps(self.described(), indent=1, ensure_ascii=True)
        yield stem.with_suffix(".json"), text.encode() + b"\n"


def three(version: int = 2) -> list[Rec]:
    """Three ordinary frames; the first two came with one socket read."""
    payloads = [b"[]", b"PONG", b'{"event_type":"last_trade_price","price":"0.456"}']
    return [
        Rec(payloads[0], version=version, flags=0x0101),
        Rec(payloads[1], version=version, flags=0x0201),
        Rec(payloads[2], mono=MONO + 250_009, wall=WALL + 250_011, version=version),
    ]


def nest(version: int = 2) -> Rec:
    """A frame whose payload is the bytes of two frames, with text around them."""
    inner = frames_of(
        Rec(b"inner one", mono=MONO - 9, version=version),
        Rec(b"inner two", mono=MONO - 8, version=version),
    )
    return Rec(b"before " + inner + b" after", mono=MONO + 1, version=version)


class Three:
    """Three frames, their places, and short ways to say what is left of them."""

    def __init__(self, version: int = 2, records: list[Rec] | None = None) -> None:
        self.version = version
        self.records = three(version) if records is None else records
        self.places = offsets(self.records)
        self.end = self.places[-1]
        self.frames = frames_of(*self.records)
        self.idx = idx_of(*self.records)

    def sound(self, *ordinals: int) -> list[dict[str, Any]]:
        return [self.records[k].described(self.places[k]) for k in ordinals]

    def with_frame(self, ordinal: int, **overrides: Any) -> bytes:
        changed = list(self.records)
        changed[ordinal] = replace(changed[ordinal], **overrides)
        return frames_of(*changed)

    def with_entry(self, ordinal: int, entry: bytes) -> bytes:
        size = 32 if self.version == 2 else 24
        return self.idx[: ordinal * size] + entry + self.idx[(ordinal + 1) * size :]

    def ruin(
        self, kind: str, ordinal: int, extent: str | None = None, as_ordinal: int | None = -1
    ) -> dict[str, Any]:
        """Damage that covers exactly one frame."""
        last = ordinal == len(self.records) - 1
        return damage(
            kind,
            self.places[ordinal],
            self.places[ordinal + 1],
            ordinal if as_ordinal == -1 else as_ordinal,
            extent or ("tail" if last else "hole"),
        )


def five() -> Three:
    records = [
        Rec(f'{{"n":{k},"pad":"{"x" * (7 * k)}"}}'.encode(), mono=MONO + k, wall=WALL + k)
        for k in range(5)
    ]
    return Three(2, records)
