"""Whole records, or bytes at no border, that are lost, doubled, exchanged or foreign."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from frame_vectors.records import (
    MONO,
    Vector,
    damage,
    five,
    frames_of,
    idx_of,
    offsets,
)


def whole_records() -> Iterator[Vector]:
    """Whole frames or entries are missing, doubled or exchanged."""
    t = five()
    r, o = t.records, t.places

    def moved(ordinal: int, by: int) -> dict[str, Any]:
        return r[ordinal].described(o[ordinal] + by)

    gone = r[1].size
    yield Vector(
        "invalid",
        "frame-deleted",
        "Frame 1 was cut out of .frames; the idx still lists it.",
        frames_of(r[0], r[2], r[3], r[4]),
        t.idx,
        [*t.sound(0), moved(2, -gone), moved(3, -gone), moved(4, -gone)],
        [damage("frame_missing", o[1], o[1], 1, "hole")],
    )
    yield Vector(
        "invalid",
        "frame-duplicated",
        "Frame 1 stands twice in .frames.",
        frames_of(r[0], r[1], r[1], r[2], r[3], r[4]),
        t.idx,
        [*t.sound(0, 1), moved(1, gone), moved(2, gone), moved(3, gone), moved(4, gone)],
        [damage("frame_not_indexed", o[2], o[2] + gone, 2, "entry")],
    )
    swapped = [r[0], r[2], r[1], r[3], r[4]]
    places = offsets(swapped)
    sound = [record.described(place) for record, place in zip(swapped, places, strict=False)]
    yield Vector(
        "invalid",
        "frames-swapped",
        "Frames 1 and 2 have changed places.",
        frames_of(*swapped),
        t.idx,
        sound,
        [
            damage("frame_missing", places[1], places[1], 1, "hole"),
            damage("frame_not_indexed", places[2], places[3], 3, "entry"),
        ],
        (sound, [damage("mono_backwards", places[2], places[3], 2, "entry")]),
    )
    yield Vector(
        "invalid",
        "idx-entry-deleted",
        "Entry 1 was cut out of the idx.",
        t.frames,
        t.idx[:32] + t.idx[64:],
        t.sound(0, 1, 2, 3, 4),
        [damage("frame_not_indexed", o[1], o[2], 1, "entry")],
    )
    yield Vector(
        "invalid",
        "idx-entry-duplicated",
        "Entry 1 stands twice in the idx.",
        t.frames,
        t.idx[:64] + t.idx[32:],
        t.sound(0, 1, 2, 3, 4),
        [damage("idx_extra_entry", o[2], o[2], 2, "hole")],
    )
    yield Vector(
        "invalid",
        "idx-entries-swapped",
        "Entries 1 and 2 have changed places.",
        t.frames,
        t.idx[:32] + t.idx[64:96] + t.idx[32:64] + t.idx[96:],
        t.sound(0, 1, 2, 3, 4),
        [
            damage("idx_extra_entry", o[1], o[1], 1, "hole"),
            damage("frame_not_indexed", o[2], o[3], 3, "entry"),
        ],
    )
    yield Vector(
        "invalid",
        "frame-and-entry-deleted",
        "Frame 1 and its entry were cut out: the offsets no longer follow from one another.",
        frames_of(r[0], r[2], r[3], r[4]),
        t.idx[:32] + t.idx[64:],
        [*t.sound(0), moved(2, -gone), moved(3, -gone), moved(4, -gone)],
        [damage("idx_offset_mismatch", o[1], o[1] + r[2].size, 1, "entry")],
    )


def damaged_files() -> Iterator[Vector]:
    """Bytes are lost or inserted, versions mixed, or one file is not there."""
    t = five()
    r, o = t.records, t.places
    junk = b"\xff" * 11
    after = [r[k].described(o[k] + 11) for k in (2, 3, 4)]
    inserted = [damage("bad_magic", o[2], o[2] + 11, None, "hole")]
    alone = [damage("bad_magic", o[2], o[2] + 11, 2, "hole")]
    yield Vector(
        "invalid",
        "bytes-inserted",
        "Eleven foreign bytes between frames 1 and 2.",
        t.frames[: o[2]] + junk + t.frames[o[2] :],
        t.idx,
        [*t.sound(0, 1), *after],
        inserted,
        ([*t.sound(0, 1), *after], alone),
        ("bad_magic", o[2]),
    )
    cut = t.frames[: o[1] + 40] + t.frames[o[1] + 43 :]
    lost = [damage("crc_mismatch", o[1], o[2] - 3, 1, "hole")]
    # Alone, the header says that frame 2 begins inside this one: it is given up rather than invented.
    alone = [damage("crc_mismatch", o[1], o[3] - 3, 1, "hole")]
    after = [r[k].described(o[k] - 3) for k in (2, 3, 4)]
    yield Vector(
        "invalid",
        "bytes-deleted",
        "Three bytes of the payload of frame 1 are lost.",
        cut,
        t.idx,
        [*t.sound(0), *after],
        lost,
        ([*t.sound(0), *after[1:]], alone),
        ("crc_mismatch", o[1]),
    )
    backwards = [r[0], r[1], replace(r[2], mono=MONO), r[3]]
    places = offsets(backwards)
    sound = [record.described(place) for record, place in zip(backwards, places, strict=False)]
    back = [damage("mono_backwards", places[2], places[3], 2, "entry")]
    yield Vector(
        "invalid",
        "mono-backwards",
        "The receive stamp of frame 2 is before that of frame 1, in both files.",
        frames_of(*backwards),
        idx_of(*backwards),
        sound,
        back,
        (sound, back),
    )
    old = replace(r[1], version=1)
    mixed = [r[0], old, r[2]]
    places = offsets(mixed)
    entries = [replace(record, version=2) for record in mixed]
    idx = b"".join(record.entry(place) for record, place in zip(entries, places, strict=False))
    sound = [r[0].described(0), r[2].described(places[2])]
    mixture = [damage("mixed_versions", places[1], places[2], 1, "hole")]
    yield Vector(
        "invalid",
        "mixed-versions",
        "A frame of version 1 in a shard of version 2.",
        frames_of(*mixed),
        idx,
        sound,
        mixture,
        (sound, mixture),
        ("mixed_versions", places[1]),
    )
    garbage = [damage("trailing_garbage", t.end, t.end + 11, 5, "tail")]
    yield Vector(
        "invalid",
        "trailing-garbage",
        "Bytes after the last frame that are no frame.",
        t.frames + junk,
        t.idx,
        t.sound(0, 1, 2, 3, 4),
        garbage,
        (t.sound(0, 1, 2, 3, 4), garbage),
        ("bad_magic", t.end),
    )
    yield Vector(
        "invalid",
        "idx-missing",
        "There is no .idx file.",
        t.frames,
        None,
        t.sound(0, 1, 2, 3, 4),
        [damage("idx_missing", 0, 0, None, "tail", "idx")],
    )
    start, stop = o[1] + 38, o[3] + 10
    yield Vector(
        "invalid",
        "hole-of-zeros",
        "A block of zero bytes from the payload of frame 1 into the header of frame 3.",
        t.frames[:start] + bytes(stop - start) + t.frames[stop:],
        t.idx,
        t.sound(0, 4),
        [
            damage("crc_mismatch", o[1], o[2], 1, "hole"),
            damage("bad_magic", o[2], o[3], 2, "hole"),
            damage("bad_magic", o[3], o[4], 3, "hole"),
        ],
        (t.sound(0, 4), [damage("crc_mismatch", o[1], o[4], 1, "hole")]),
        ("crc_mismatch", o[1]),
    )
