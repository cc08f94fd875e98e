"""Every single-bit flip, every truncation, every deleted, doubled and exchanged record of a small shard.

Run with `-s` to see the counts.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Protocol

import pytest

from pm_frames.damage import Damage
from pm_frames.frames import Frame, encode_frame
from pm_frames.index import encode_entry, entry_of
from pm_frames.layout import CRITICAL_UNKNOWN, HEADER, IDX, Version
from pm_frames.scan import scan_shard


class Golden(Protocol):
    """What the fixture of conftest.py gives."""

    version: Version
    frames_path: Path
    idx_path: Path
    frames: list[Frame]
    frames_bytes: bytes
    idx_bytes: bytes


FLAGS_AT = range(10, 12)  # the bytes of `flags` in a header, both versions


def scanned(shard: Golden, *, idx: bool = True) -> tuple[list[Frame], list[Damage]]:
    frames: list[Frame] = []
    damages: list[Damage] = []
    for item in scan_shard(shard.frames_path, shard.idx_path if idx else None):
        if isinstance(item, Frame):
            frames.append(item)
        else:
            damages.append(item)
    return frames, damages


def put_byte(path: Path, offset: int, value: int) -> None:
    with path.open("r+b", buffering=0) as file:
        file.seek(offset)
        file.write(bytes([value]))


def cut(path: Path, size: int) -> None:
    with path.open("r+b", buffering=0) as file:
        file.truncate(size)


def ends(shard: Golden) -> list[int]:
    return [frame.end for frame in shard.frames]


def test_every_bit_of_frames_is_noticed_and_the_right_frame_blamed(golden: Golden) -> None:
    counts: Counter[str] = Counter()
    for ordinal, frame in enumerate(golden.frames):
        for offset in range(frame.offset, frame.end):
            original = golden.frames_bytes[offset]
            for bit in range(8):
                put_byte(golden.frames_path, offset, original ^ 1 << bit)
                frames, damages = scanned(golden)
                where = f"bit {bit} of byte {offset}, frame {ordinal}"
                counts["flips"] += 1
                if offset - frame.offset in FLAGS_AT and not damages:
                    flags = frame.flags ^ 1 << (8 * (offset - frame.offset - 10) + bit)
                    assert not flags & CRITICAL_UNKNOWN, where
                    assert frames[ordinal].flags == flags, where
                    counts["unnoticed, in flags"] += 1
                    continue
                assert len(damages) == 1, where
                (damage,) = damages
                assert (damage.file, damage.ordinal) == ("frames", ordinal), where
                assert (damage.offset, damage.end) == (frame.offset, frame.end), where
                counts[damage.kind] += 1
                others = [kept for kept in golden.frames if kept.offset != frame.offset]
                assert [kept for kept in frames if kept.offset != frame.offset] == others, where
                if damage.extent == "entry":
                    assert damage.kind in ("idx_mono_mismatch", "idx_wall_mismatch"), where
                else:
                    assert len(frames) == len(others), where
            put_byte(golden.frames_path, offset, original)
    assert scanned(golden) == (golden.frames, [])
    print(f"\n{golden.version.name} .frames: {dict(counts)}")


def test_every_bit_of_the_idx_is_noticed_and_the_right_entry_blamed(golden: Golden) -> None:
    counts: Counter[str] = Counter()
    size = IDX[golden.version].size
    for offset, original in enumerate(golden.idx_bytes):
        ordinal = offset // size
        for bit in range(8):
            put_byte(golden.idx_path, offset, original ^ 1 << bit)
            frames, damages = scanned(golden)
            where = f"bit {bit} of byte {offset}, entry {ordinal}"
            assert frames == golden.frames, where
            assert len(damages) == 1, where
            (damage,) = damages
            assert damage.kind.startswith("idx_"), where
            assert damage.kind.endswith("_mismatch"), where
            assert (damage.ordinal, damage.extent) == (ordinal, "entry"), where
            assert damage.offset == golden.frames[ordinal].offset, where
            counts["flips"] += 1
            counts[damage.kind] += 1
        put_byte(golden.idx_path, offset, original)
    print(f"\n{golden.version.name} .idx: {dict(counts)}")


def test_every_bit_without_an_idx_loses_at_most_its_frame(golden: Golden) -> None:
    counts: Counter[str] = Counter()
    for ordinal, frame in enumerate(golden.frames):
        for offset in range(frame.offset, frame.end):
            original = golden.frames_bytes[offset]
            for bit in range(8):
                put_byte(golden.frames_path, offset, original ^ 1 << bit)
                frames, damages = scanned(golden, idx=False)
                where = f"bit {bit} of byte {offset}, frame {ordinal}"
                counts["flips"] += 1
                counts["unnoticed" if not damages else damages[0].kind] += 1
                others = [kept for kept in golden.frames if kept.offset != frame.offset]
                assert [kept for kept in frames if kept.offset != frame.offset] == others, where
            put_byte(golden.frames_path, offset, original)
    print(f"\n{golden.version.name} .frames alone: {dict(counts)}")


@pytest.mark.parametrize("idx", [True, False], ids=["idx", "alone"])
def test_frames_cut_at_every_byte(golden: Golden, idx: bool) -> None:
    counts: Counter[str] = Counter()
    size = HEADER[golden.version].size
    for length in range(len(golden.frames_bytes) - 1, -1, -1):
        cut(golden.frames_path, length)
        frames, damages = scanned(golden, idx=idx)
        whole = sum(end <= length for end in ends(golden))
        assert frames == golden.frames[:whole], length
        start = golden.frames[whole - 1].end if whole else 0
        expected = []
        listed = whole
        if start < length:
            kind = "truncated_header" if length - start < size else "truncated_payload"
            expected.append((kind, "frames", start, length, whole))
            listed += 1
        if idx and listed < len(golden.frames):
            first = listed * IDX[golden.version].size
            expected.append(("idx_long", "idx", first, len(golden.idx_bytes), listed))
        found = [(d.kind, d.file, d.offset, d.end, d.ordinal) for d in damages]
        assert found == expected, length
        assert all(damage.torn for damage in damages), length
        for damage in damages:
            counts[damage.kind] += 1
        counts["cuts"] += 1
        counts["at a border"] += start == length
    print(f"\n{golden.version.name} .frames cut, idx {idx}: {dict(counts)}")


def test_idx_cut_at_every_byte(golden: Golden) -> None:
    counts: Counter[str] = Counter()
    size = IDX[golden.version].size
    for length in range(len(golden.idx_bytes) - 1, -1, -1):
        cut(golden.idx_path, length)
        frames, damages = scanned(golden)
        assert frames == golden.frames, length
        whole, torn = divmod(length, size)
        expected = [("idx_short", whole * size, whole * size, whole)]
        if torn:
            expected.append(("idx_torn", whole * size, length, whole))
        assert [(d.kind, d.offset, d.end, d.ordinal) for d in damages] == expected, length
        assert all(damage.torn for damage in damages), length
        counts["cuts"] += 1
    print(f"\n{golden.version.name} .idx cut: {dict(counts)}")


def distinct_shard(version: Version, count: int = 7) -> tuple[list[bytes], list[bytes]]:
    """Frames and entries that all differ, so that there is one right answer."""
    frames: list[bytes] = []
    entries: list[bytes] = []
    offset = 0
    for ordinal in range(count):
        payload = f'{{"ordinal":{ordinal}}}'.encode() + b" " * (ordinal % 3)
        data = encode_frame(
            payload, rx_mono_ns=50 + ordinal, rx_wall_ns_utc=90 + ordinal, flags=1, version=version
        )
        fields = HEADER[version].unpack_from(data)
        wall = 90 + ordinal if version == Version.V2 else None
        frame = Frame(offset, version, 1, 50 + ordinal, wall, fields[-1], payload)
        entries.append(encode_entry(entry_of(frame), version))
        frames.append(data)
        offset += len(data)
    return frames, entries


def offsets_of(parts: list[bytes]) -> list[int]:
    return [sum(map(len, parts[:count])) for count in range(len(parts) + 1)]


@pytest.mark.parametrize("version", [Version.V1, Version.V2], ids=["v1", "v2"])
@pytest.mark.parametrize("side", ["frames", "idx", "both"])
@pytest.mark.parametrize("action", ["delete", "duplicate", "swap"])
def test_whole_records_that_are_moved_are_blamed(
    tmp_path: Path, version: Version, side: str, action: str
) -> None:
    frames, entries = distinct_shard(version)
    frames_path, idx_path = tmp_path / "s.frames", tmp_path / "s.idx"
    last = len(frames) - 1
    tried = 0
    for ordinal in range(last if action == "swap" else last + 1):

        def changed(parts: list[bytes], ordinal: int = ordinal) -> list[bytes]:
            before, after = parts[:ordinal], parts[ordinal:]
            if action == "delete":
                return before + after[1:]
            if action == "duplicate":
                return before + after[:1] + after
            return [*before, after[1], after[0], *after[2:]]

        new_frames = frames if side == "idx" else changed(frames)
        frames_path.write_bytes(b"".join(new_frames))
        idx_path.write_bytes(b"".join(entries if side == "frames" else changed(entries)))
        items = list(scan_shard(frames_path, idx_path))
        damages = [item for item in items if isinstance(item, Damage)]
        payloads = [item.payload for item in items if isinstance(item, Frame)]
        sizes = HEADER[version].size
        assert payloads == [part[sizes:] for part in new_frames], ordinal
        if side == "both" and action == "delete" and ordinal == last:
            assert damages == []  # nothing that is left knows of it: only a seal does
            continue
        assert damages, ordinal
        # The blame lies on the record itself or on its neighbour in the exchange.
        blamed = {damage.ordinal for damage in damages}
        assert blamed <= {ordinal, ordinal + 1, ordinal + 2}, (ordinal, damages)
        starts = offsets_of(new_frames)
        for damage in damages:
            if damage.file == "frames":
                assert damage.offset in starts[ordinal : ordinal + 3], (ordinal, damages)
        assert len(damages) <= 3, (ordinal, damages)
        tried += 1
    assert tried
