"""One wrong field in one header or one entry."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from frame_vectors.records import (
    LIMIT,
    MONO,
    Rec,
    Three,
    Vector,
    damage,
    idx_of,
    nest,
)


def headers(version: int) -> Iterator[Vector]:
    """One field of one header is wrong; the idx is as written."""
    t = Three(version)
    prefix = f"v{version}-"

    def at(ordinal: int, name: str, about: str, kind: str, strict: str, **bad: Any) -> Vector:
        others = [k for k in range(3) if k != ordinal]
        alone = kind
        if kind == "bad_magic" and ordinal == 2:
            alone = "trailing_garbage"  # nothing says that it was a frame
        return Vector(
            "invalid",
            prefix + name,
            about,
            t.with_frame(ordinal, **bad),
            t.idx,
            t.sound(*others),
            [t.ruin(kind, ordinal)],
            (t.sound(*others), [t.ruin(alone, ordinal)]),
            (strict, t.places[ordinal]),
        )

    other = b"PMCAPv09"
    yield at(
        0,
        "bad-magic-first",
        "The version comes from the idx.",
        "bad_magic",
        "bad_magic",
        magic=other,
    )
    yield at(
        1,
        "bad-magic",
        "The magic of the second frame.",
        "bad_magic",
        "bad_magic",
        magic=b"pMCAPv02",
    )
    yield at(
        2, "bad-magic-last", "The magic of the last frame.", "bad_magic", "bad_magic", magic=other
    )
    yield at(
        1,
        "bad-version",
        "schema_version 3 under this magic.",
        "bad_version",
        "bad_version",
        schema=3,
    )
    yield at(
        1,
        "unknown-critical-flag",
        "Bit 3 is not defined.",
        "unknown_flags",
        "unknown_flags",
        flags=0x09,
    )
    yield at(
        1, "length-over-limit", "64 MiB and one byte.", "length_mismatch", "length_over_limit", length=LIMIT + 1
    )  # fmt: skip
    yield at(1, "length-too-short", "One byte less.", "length_mismatch", "crc_mismatch", length=3)
    yield at(
        1, "length-too-long", "Into the next frame.", "length_mismatch", "crc_mismatch", length=20
    )
    yield at(
        1, "length-beyond-file", "Not a torn tail: frames follow.", "length_mismatch", "truncated_payload",
        length=4096,
    )  # fmt: skip
    yield at(
        2,
        "length-too-short-last",
        "Looks like garbage after it.",
        "length_mismatch",
        "crc_mismatch",
        length=9,
    )
    yield at(
        1,
        "crc-field",
        "The checksum, not the payload.",
        "crc_mismatch",
        "crc_mismatch",
        crc=0x0BADC0DE,
    )
    payload = b"P0NG"
    good = zlib.crc32(b"PONG")
    yield at(
        1,
        "crc-mismatch",
        "A byte of the payload.",
        "crc_mismatch",
        "crc_mismatch",
        payload=payload,
        crc=good,
    )
    last = t.records[2].payload.replace(b"6", b"7")
    yield at(
        2, "crc-mismatch-last", "A byte of the last payload.", "crc_mismatch", "crc_mismatch",
        payload=last, crc=t.records[2].crc_field,
    )  # fmt: skip


def nested() -> Iterator[Vector]:
    """Damage to a frame whose payload contains frames: they must not come to light."""
    for version in (1, 2):
        plain = Rec(b"{}", version=version)
        t = Three(version, [plain, nest(version), replace(plain, mono=MONO + 2)])
        size = len(t.records[1].payload)
        # A length with which the frame would end where the second inner frame begins.
        inner = size - len(b" after") - Rec(b"inner two", version=version).size
        for name, kind, strict, bad in (
            ("magic", "bad_magic", "bad_magic", {"magic": b"PMCAPv\x0002"[:8]}),
            ("version", "bad_version", "bad_version", {"schema": 0x0102}),
            ("length", "length_mismatch", "crc_mismatch", {"length": size ^ 16}),
            ("length-at-inner-frame", "length_mismatch", "crc_mismatch", {"length": inner}),
            ("crc", "crc_mismatch", "crc_mismatch", {"crc": 1}),
            ("flags", "unknown_flags", "unknown_flags", {"flags": 0x81}),
        ):
            yield Vector(
                "invalid",
                f"v{version}-nested-bad-{name}",
                f"The {name} of a frame whose payload contains frames; none of them is one.",
                t.with_frame(1, **bad),
                t.idx,
                t.sound(0, 2),
                [t.ruin(kind, 1)],
                (t.sound(0, 2), [t.ruin(kind, 1)]),
                (strict, t.places[1]),
            )
        cut = t.places[2] - 8
        yield Vector(
            "torn",
            f"v{version}-truncated-payload-containing-frames",
            "A torn frame whose payload contains whole frames; it is a torn tail, not a hole.",
            t.frames[:cut],
            idx_of(*t.records[:1]),
            t.sound(0),
            [damage("truncated_payload", t.places[1], cut, 1, "tail")],
            (t.sound(0), [damage("truncated_payload", t.places[1], cut, 1, "tail")]),
            ("truncated_payload", t.places[1]),
        )


def disagreements(version: int) -> Iterator[Vector]:
    """One field of one entry is wrong; the frames are as written."""
    t = Three(version)
    record = t.records[1]
    place = t.places[1]
    cases = {
        "offset": record.entry(place + 1),
        "mono": replace(record, mono=record.mono + 1).entry(place),
        "length": replace(record, length=5).entry(place),
        "crc": replace(record, crc=record.crc_field ^ 0x80).entry(place),
    }
    if version == 2:
        assert record.wall is not None
        cases["wall"] = replace(record, wall=record.wall ^ 1).entry(place)
    for name, entry in cases.items():
        yield Vector(
            "invalid",
            f"v{version}-idx-{name}-mismatch",
            f"Entry 1 has another {name} than its frame. The frame is sound and is read.",
            t.frames,
            t.with_entry(1, entry),
            t.sound(0, 1, 2),
            [t.ruin(f"idx_{name}_mismatch", 1, "entry")],
        )
