"""What a killed process or a power cut leaves."""

from __future__ import annotations

from collections.abc import Iterator

from frame_vectors.records import (
    Three,
    Vector,
    damage,
    idx_of,
)


def torn_frames(version: int) -> Iterator[Vector]:
    """What a kill or a power cut leaves at the end of .frames."""
    t = Three(version)
    header = 36 if version == 2 else 28
    last = t.places[2]
    before = idx_of(*t.records[:2])
    for name, kept, kind in (
        ("truncated-magic", 3, "truncated_header"),
        ("truncated-header", header - 1, "truncated_header"),
        ("truncated-payload", header, "truncated_payload"),
        ("truncated-payload-one-byte-short", t.records[2].size - 1, "truncated_payload"),
    ):
        cut = last + kept
        torn = damage(kind, last, cut, 2, "tail")
        for suffix, idx, text in (
            ("", before, "the idx was not yet written"),
            ("-idx-ahead", t.idx, "the idx has its entry already"),
        ):
            yield Vector(
                "torn",
                f"v{version}-{name}{suffix}",
                f"The last frame is cut after {kept} bytes; {text}.",
                t.frames[:cut],
                idx,
                t.sound(0, 1),
                [torn],
                (t.sound(0, 1), [torn]),
                (kind, last),
            )


def torn_ends(version: int) -> Iterator[Vector]:
    """Zero bytes at the end, and an idx that is shorter or longer than its frames."""
    t = Three(version)
    entry = 32 if version == 2 else 24
    prefix = f"v{version}-"
    last = t.places[2]
    sound = t.sound(0, 1, 2)
    zeros = damage("zero_tail", t.end, t.end + 100, 3, "tail")
    yield Vector(
        "torn", prefix + "zero-tail", "The file was extended and its bytes never arrived.",
        t.frames + bytes(100), t.idx, sound, [zeros], (sound, [zeros]), ("bad_magic", t.end),
    )  # fmt: skip
    few = damage("zero_tail", t.end, t.end + 3, 3, "tail")
    yield Vector(
        "torn", prefix + "zero-tail-shorter-than-a-magic", "Three zero bytes.",
        t.frames + bytes(3), t.idx, sound, [few], (sound, [few]), ("bad_magic", t.end),
    )  # fmt: skip
    lost = damage("zero_tail", last, t.end, 2, "tail")
    yield Vector(
        "torn", prefix + "zero-tail-idx-ahead", "The idx was durable, the last frame was not.",
        t.frames[:last] + bytes(t.end - last), t.idx, t.sound(0, 1), [lost],
        (t.sound(0, 1), [lost]), ("bad_magic", last),
    )  # fmt: skip
    yield Vector(
        "torn", prefix + "idx-short", "The last two frames have no entries.",
        t.frames, t.idx[:entry], sound, [damage("idx_short", entry, entry, 1, "tail", "idx")],
    )  # fmt: skip
    yield Vector(
        "torn", prefix + "idx-empty", "No frame has an entry.",
        t.frames, b"", sound, [damage("idx_short", 0, 0, 0, "tail", "idx")],
    )  # fmt: skip
    yield Vector(
        "torn", prefix + "idx-torn", "The last entry is cut after ten bytes.",
        t.frames, t.idx[: 2 * entry + 10], sound,
        [
            damage("idx_short", 2 * entry, 2 * entry, 2, "tail", "idx"),
            damage("idx_torn", 2 * entry, 2 * entry + 10, 2, "tail", "idx"),
        ],
    )  # fmt: skip
    yield Vector(
        "torn", prefix + "idx-torn-extra", "Every frame has its entry; ten bytes of one more follow.",
        t.frames, t.idx + t.idx[:10], sound,
        [damage("idx_torn", 3 * entry, 3 * entry + 10, 3, "tail", "idx")],
    )  # fmt: skip
    yield Vector(
        "torn", prefix + "idx-long", "The last two frames were cut off exactly at their border.",
        t.frames[: t.places[1]], t.idx, t.sound(0),
        [damage("idx_long", entry, 3 * entry, 1, "tail", "idx")],
    )  # fmt: skip
    cut = t.places[1] + 20
    torn = damage("truncated_header", t.places[1], cut, 1, "tail")
    yield Vector(
        "torn", prefix + "truncated-header-idx-long", "Torn, and the idx is further ahead.",
        t.frames[:cut], t.idx, t.sound(0),
        [torn, damage("idx_long", 2 * entry, 3 * entry, 2, "tail", "idx")],
        (t.sound(0), [torn]), ("truncated_header", t.places[1]),
    )  # fmt: skip
    if version == 2:
        yield Vector(
            "torn", "frames-empty-idx-long", "The frames are gone.",
            b"", t.idx, [], [damage("idx_long", 0, 3 * entry, 0, "tail", "idx")],
        )  # fmt: skip
        yield Vector(
            "torn", "only-a-torn-magic", "Five bytes were written before the power went.",
            b"PMCAP", b"", [], [damage("truncated_header", 0, 5, 0, "tail")],
            ([], [damage("truncated_header", 0, 5, 0, "tail")]), ("truncated_header", 0),
        )  # fmt: skip
