"""Sound shards with one feature each."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from frame_vectors.records import (
    MONO,
    U64,
    WALL,
    Rec,
    Vector,
    frames_of,
    idx_of,
    nest,
    offsets,
    three,
)


def valid(folder: str = "valid") -> Iterator[Vector]:
    def whole(name: str, about: str, *records: Rec) -> Vector:
        places = offsets(list(records))
        sound = [record.described(place) for record, place in zip(records, places, strict=False)]
        return Vector(folder, name, about, frames_of(*records), idx_of(*records), sound)

    yield whole("empty-shard", "No frame was received: both files are empty.")
    for version in (1, 2):
        plain = Rec(b"{}", version=version)

        def v(name: str, version: int = version) -> str:
            return f"v{version}-{name}"

        yield whole(v("three-frames"), "Ordinary frames; two share their stamps.", *three(version))
        yield whole(
            v("empty-payload"),
            "A payload of no bytes, between others and alone at the end.",
            plain, replace(plain, payload=b""), plain, replace(plain, payload=b""),
        )  # fmt: skip
        yield whole(
            v("max-stamps"),
            "Stamps of zero and of 2**64 - 1.",
            replace(plain, mono=0, wall=0), replace(plain, mono=U64, wall=U64),
        )  # fmt: skip
        yield whole(
            v("every-flag"),
            "Each defined flag: text, binary, re-encoded text, first of a connection, keepalive, salvaged.",
            *(replace(plain, flags=flags) for flags in (1, 2, 5, 0x0101, 0x0201, 0x8001)),
        )
        yield whole(
            v("unknown-ancillary-flags"),
            "Undefined bits of the high byte are passed through.",
            replace(plain, flags=0x0401), replace(plain, flags=0xFF07), replace(plain, flags=0),
        )  # fmt: skip
        yield whole(
            v("payload-containing-frames"),
            "Frames inside a payload are payload.",
            plain, nest(version), replace(plain, mono=MONO + 2),
        )  # fmt: skip
        yield whole(
            v("payload-is-a-frame"),
            "A payload that is one whole frame, and one that is a magic.",
            replace(plain, payload=frames_of(plain)),
            replace(plain, payload=b"PMCAPv02" if version == 2 else b"PMCAPv01"),
        )
        yield whole(
            v("any-bytes"),
            "All byte values, not UTF-8, in a binary frame.",
            replace(plain, payload=bytes(range(256)), flags=2),
        )
    wall_back = [Rec(b"a"), Rec(b"b", mono=MONO + 1, wall=WALL - 10**9)]
    yield whole("v2-wall-clock-stepped-back", "Only rx_mono_ns has to be ordered.", *wall_back)
