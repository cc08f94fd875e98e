"""The scan with an idx, where more than one record is concerned, and its bounds."""

from __future__ import annotations

import sys
import tracemalloc
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from pm_frames.damage import Damage
from pm_frames.errors import MissingFile
from pm_frames.frames import Frame, encode_frame, read_frames
from pm_frames.index import IdxEntry, encode_entry, entry_of
from pm_frames.layout import HEADER, PAYLOAD_MAX, Version
from pm_frames.scan import Start, scan_shard
from pm_frames.writer import ShardWriter


class Golden(Protocol):
    """What the fixture of conftest.py gives."""

    version: Version
    frames_path: Path
    idx_path: Path
    frames: list[Frame]
    frames_bytes: bytes
    idx_bytes: bytes


MakeShard = Callable[..., Golden]


def scanned(golden: Golden) -> tuple[list[Frame], list[Damage]]:
    items = list(scan_shard(golden.frames_path, golden.idx_path))
    return (
        [item for item in items if isinstance(item, Frame)],
        [item for item in items if isinstance(item, Damage)],
    )


@pytest.fixture
def many(make_shard: MakeShard) -> Golden:
    """A thousand frames that all differ, many windows of the idx lookahead long."""
    return make_shard(Version.V2, [b'{"ordinal":%d}' % k * (1 + k % 5) for k in range(1000)])


def test_a_block_of_zeros_over_many_frames_names_each(many: Golden) -> None:
    start, end = many.frames[100].offset + 5, many.frames[400].offset + 50
    data = bytearray(many.frames_bytes)
    data[start:end] = bytes(end - start)
    many.frames_path.write_bytes(data)
    frames, damages = scanned(many)
    assert frames == many.frames[:100] + many.frames[401:]
    assert {damage.ordinal for damage in damages} == set(range(100, 401))
    assert damages[0].offset == many.frames[100].offset
    assert damages[0].kind == "bad_magic"
    assert {damage.kind for damage in damages[1:]} <= {"bad_magic", "frame_missing", "crc_mismatch"}


@pytest.mark.parametrize("count", [1, 5, 300])
def test_frames_cut_out_of_the_middle(many: Golden, count: int) -> None:
    first, after = many.frames[200], many.frames[200 + count]
    many.frames_path.write_bytes(
        many.frames_bytes[: first.offset] + many.frames_bytes[after.offset :]
    )
    frames, damages = scanned(many)
    gone = after.offset - first.offset
    assert frames[:200] == many.frames[:200]
    shifted = [frame._replace(offset=frame.offset - gone) for frame in many.frames[200 + count :]]
    assert frames[200:] == shifted
    assert [damage.ordinal for damage in damages] == list(range(200, 200 + count))
    assert {damage.kind for damage in damages} == {"frame_missing"}


@pytest.mark.parametrize("count", [1, 5, 300])
def test_frames_repeated_in_the_middle(many: Golden, count: int) -> None:
    first, after = many.frames[200], many.frames[200 + count]
    again = many.frames_bytes[first.offset : after.offset]
    many.frames_path.write_bytes(
        many.frames_bytes[: after.offset] + again + many.frames_bytes[after.offset :]
    )
    frames, damages = scanned(many)
    assert len(frames) == 1000 + count
    assert [frame.payload for frame in frames[200 + count : 200 + 2 * count]] == [
        frame.payload for frame in many.frames[200 : 200 + count]
    ]
    assert {damage.kind for damage in damages} == {"frame_not_indexed"}
    assert [damage.offset for damage in damages] == [
        frame.offset + len(again) for frame in many.frames[200 : 200 + count]
    ]


@pytest.mark.parametrize("count", [1, 5, 300])
def test_entries_cut_out_and_repeated(many: Golden, count: int) -> None:
    start, end = 200 * 32, (200 + count) * 32
    for data, kind in (
        (many.idx_bytes[:start] + many.idx_bytes[end:], "frame_not_indexed"),
        (many.idx_bytes[:end] + many.idx_bytes[start:], "idx_extra_entry"),
    ):
        many.idx_path.write_bytes(data)
        frames, damages = scanned(many)
        assert frames == many.frames
        assert [damage.kind for damage in damages] == [kind] * count


def test_the_idx_of_another_shard(many: Golden, make_shard: MakeShard) -> None:
    """Nothing fits: every frame is read, every disagreement is reported, and it ends."""
    other = make_shard(Version.V2, [b"other %d" % k for k in range(1000)], "other")
    items = list(scan_shard(many.frames_path, other.idx_path))
    assert [item for item in items if isinstance(item, Frame)] == many.frames
    damages = [item for item in items if isinstance(item, Damage)]
    assert {damage.ordinal for damage in damages} == set(range(1000))
    assert {damage.kind for damage in damages} == {
        "idx_offset_mismatch",
        "idx_length_mismatch",
        "idx_crc_mismatch",
    }


@pytest.mark.parametrize("count", [1, 3, 37, 1000, 70_000])
def test_foreign_bytes_in_the_middle(many: Golden, count: int) -> None:
    place = many.frames[500].offset
    many.frames_path.write_bytes(
        many.frames_bytes[:place] + b"\xaa" * count + many.frames_bytes[place:]
    )
    frames, damages = scanned(many)
    moved = [frame._replace(offset=frame.offset + count) for frame in many.frames[500:]]
    assert frames == many.frames[:500] + moved
    (damage,) = damages
    assert (damage.kind, damage.offset, damage.end) == ("bad_magic", place, place + count)
    assert (damage.ordinal, damage.extent) == (None, "hole")


@pytest.mark.parametrize("count", [1, 3, 40, 1000])
def test_bytes_lost_in_the_middle(many: Golden, count: int) -> None:
    place = many.frames[500].offset + 20
    many.frames_path.write_bytes(many.frames_bytes[:place] + many.frames_bytes[place + count :])
    frames, damages = scanned(many)
    whole = [frame for frame in many.frames[500:] if frame.offset >= place + count]
    moved = [frame._replace(offset=frame.offset - count) for frame in whole]
    assert frames == many.frames[:500] + moved
    assert [damage.ordinal for damage in damages] == list(range(500, 1000 - len(whole)))
    assert damages[0].offset == many.frames[500].offset
    assert damages[0].end == moved[0].offset


def test_bytes_of_another_frame_inside_a_payload_never_match_an_entry(
    make_shard: MakeShard,
) -> None:
    """A copy of frame 0 inside a ruined frame 2 is not taken for frame 0, nor for any other."""
    copy = encode_frame(b"[]", rx_mono_ns=1000, rx_wall_ns_utc=10**18, flags=0x0101)
    golden = make_shard(Version.V2, [b"[]", b"plain", b"x" + copy * 3 + b"y", b"last"])
    assert golden.frames_bytes[:38] == copy
    frame = golden.frames[2]
    for ruin in (range(8), range(28, 36), range(36), range(0, 40)):
        data = bytearray(golden.frames_bytes)
        for at in ruin:
            data[frame.offset + at] ^= 0xFF
        golden.frames_path.write_bytes(data)
        frames, damages = scanned(golden)
        assert frames == [*golden.frames[:2], golden.frames[3]]
        (damage,) = damages
        assert (damage.ordinal, damage.offset, damage.end) == (2, frame.offset, frame.end)


@pytest.mark.parametrize("entries", [2, 3])
def test_zeros_over_length_and_checksum_are_no_empty_frame(
    make_shard: MakeShard, entries: int
) -> None:
    golden = make_shard(Version.V2, [b"hello world %d" % k for k in range(3)])
    cut = golden.frames[2].offset + 28
    golden.frames_path.write_bytes(golden.frames_bytes[:cut] + bytes(8 + 13))
    golden.idx_path.write_bytes(golden.idx_bytes[: entries * 32])
    frames, damages = scanned(golden)
    assert frames == golden.frames[:2]
    assert [(damage.kind, damage.offset, damage.end) for damage in damages] == [
        ("crc_mismatch", golden.frames[2].offset, len(golden.frames_bytes))
    ]


def test_bytes_inserted_into_the_last_frame_bring_no_frame_to_light(make_shard: MakeShard) -> None:
    inner = encode_frame(b"inner", rx_mono_ns=2_000, rx_wall_ns_utc=1, flags=1)
    golden = make_shard(Version.V2, [b"first", b"{" * 20 + inner])
    last = golden.frames[1].offset
    at = last + 40
    data = golden.frames_bytes[:at] + b"!" * 47 + golden.frames_bytes[at:]
    golden.frames_path.write_bytes(data)
    frames, damages = scanned(golden)
    assert frames == golden.frames[:1]
    assert [(damage.kind, damage.offset, damage.end) for damage in damages] == [
        ("crc_mismatch", last, golden.frames[1].end),
        ("trailing_garbage", golden.frames[1].end, len(data)),
    ]


def test_zeros_over_a_header_and_the_magic_in_its_payload(make_shard: MakeShard) -> None:
    inner = encode_frame(b"inner", rx_mono_ns=2_000, rx_wall_ns_utc=1, flags=1)
    golden = make_shard(Version.V2, [inner, b"last"])
    golden.frames_path.write_bytes(golden.frames_bytes[:16] + bytes(26) + golden.frames_bytes[42:])
    frames, _ = scanned(golden)
    assert frames == golden.frames[1:]


def test_a_payload_that_the_entry_proves_is_not_empty(make_shard: MakeShard) -> None:
    """Length and checksum are zeroed, and the payload begins like a frame."""
    inner = encode_frame(b"inner", rx_mono_ns=1, rx_wall_ns_utc=1, flags=1)
    golden = make_shard(Version.V2, [b"first", inner, b"last"])
    start = golden.frames[1].offset + 28
    data = golden.frames_bytes[:start] + bytes(8) + golden.frames_bytes[start + 8 :]
    golden.frames_path.write_bytes(data)
    frames, damages = scanned(golden)
    assert frames == [golden.frames[0], golden.frames[2]]
    assert [damage.kind for damage in damages] == ["length_mismatch"]


def test_an_empty_frame_with_a_damaged_entry(make_shard: MakeShard) -> None:
    golden = make_shard(Version.V2, [b"", b"x"])
    golden.idx_path.write_bytes(golden.idx_bytes[:24] + b"\1" + golden.idx_bytes[25:])
    frames, damages = scanned(golden)
    assert frames == golden.frames
    assert [damage.kind for damage in damages] == ["idx_length_mismatch"]


@pytest.mark.parametrize("version", list(Version))
def test_version_from_the_idx_where_the_first_magic_is_gone(
    make_shard: MakeShard, version: Version
) -> None:
    for payloads in ([b"only"], [b"one", b"two", b"three"]):
        golden = make_shard(version, payloads)
        golden.frames_path.write_bytes(b"\xff" * 8 + golden.frames_bytes[8:])
        frames, damages = scanned(golden)
        assert frames == golden.frames[1:]
        (damage,) = damages
        assert (damage.kind, damage.ordinal, damage.end) == ("bad_magic", 0, golden.frames[0].end)
        stated = list(scan_shard(golden.frames_path, golden.idx_path, version=version))
        assert [item for item in stated if isinstance(item, Frame)] == frames


def test_a_wrong_version_from_the_caller_is_reported(make_shard: MakeShard) -> None:
    golden = make_shard(Version.V2, [b"one"])
    items = list(scan_shard(golden.frames_path, None, version=Version.V1))
    assert [item.kind for item in items if isinstance(item, Damage)] == ["mixed_versions"]


def test_frames_larger_than_the_window(make_shard: MakeShard) -> None:
    golden = make_shard(Version.V2, [b"a", b"\x5a" * 1_500_000, b"b", b"\xa5" * 2_100_000, b""])
    assert scanned(golden) == (golden.frames, [])
    data = bytearray(golden.frames_bytes)
    data[golden.frames[1].offset + 900_000] ^= 1
    golden.frames_path.write_bytes(data)
    frames, damages = scanned(golden)
    assert frames == [golden.frames[0], *golden.frames[2:]]
    assert [(d.kind, d.ordinal) for d in damages] == [("crc_mismatch", 1)]


def test_a_lower_limit(make_shard: MakeShard) -> None:
    golden = make_shard(Version.V2, [b"a", b"b" * 100, b"c"])
    items = list(scan_shard(golden.frames_path, golden.idx_path, payload_max=50))
    (damage,) = (item for item in items if isinstance(item, Damage))
    assert (damage.kind, damage.ordinal, damage.found) == ("length_over_limit", 1, 100)
    assert [item for item in items if isinstance(item, Frame)] == [golden.frames[k] for k in (0, 2)]


def test_a_shard_that_grows_is_seen_as_it_was(make_shard: MakeShard) -> None:
    golden = make_shard(Version.V2, [b"one", b"two", b"three"])
    items = scan_shard(golden.frames_path, golden.idx_path)
    seen = [next(items)]
    with golden.frames_path.open("ab") as file:
        file.write(golden.frames_bytes)
    with golden.idx_path.open("ab") as file:
        file.write(golden.idx_bytes)
    assert [*seen, *items] == golden.frames


def test_missing_files(tmp_path: Path) -> None:
    with pytest.raises(MissingFile):
        list(scan_shard(tmp_path / "none.frames", None))


@pytest.mark.parametrize("idx", [True, False], ids=["idx", "alone"])
@pytest.mark.parametrize("length", [2**32 - 1, PAYLOAD_MAX + 1, PAYLOAD_MAX])
def test_memory_is_bounded_whatever_the_length_says(tmp_path: Path, length: int, idx: bool) -> None:
    """4 GiB, nearly all of it a hole that a hostile length promises to be one payload."""
    if sys.platform == "win32":
        pytest.skip("the file would not be sparse")
    # Without an idx the hole is searched byte by byte: a smaller one will do.
    last_at = 4 << 30 if idx else 80 << 20
    first = encode_frame(b"a", rx_mono_ns=1, rx_wall_ns_utc=1, flags=1)
    last = encode_frame(b"z", rx_mono_ns=3, rx_wall_ns_utc=3, flags=1)
    frames_path, idx_path = tmp_path / "s.frames", tmp_path / "s.idx"
    with frames_path.open("wb") as file:
        file.write(first)
        file.write(HEADER[Version.V2].pack(b"PMCAPv02", 2, 1, 2, 2, length, 7))
        file.seek(last_at)
        file.write(last)
    ends = (Frame(0, 2, 1, 1, 1, 0, b"a"), Frame(last_at, 2, 1, 3, 3, 0, b"z"))
    crcs = [int.from_bytes(data[32:36], "little") for data in (first, last)]
    entries = [
        entry_of(ends[0]._replace(crc32=crcs[0])),
        IdxEntry(len(first), 2, 2, length, 7),
        entry_of(ends[1]._replace(crc32=crcs[1])),
    ]
    idx_path.write_bytes(b"".join(encode_entry(entry) for entry in entries))
    tracemalloc.start()
    try:
        items = list(scan_shard(frames_path, idx_path if idx else None))
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    # At most the one payload that the limit allows is ever held, once or twice; else only windows.
    assert peak < (2 * PAYLOAD_MAX if length == PAYLOAD_MAX else 0) + (8 << 20)
    assert [item.payload for item in items if isinstance(item, Frame)] == [b"a", b"z"]
    (damage,) = (item for item in items if isinstance(item, Damage))
    assert (damage.offset, damage.end, damage.ordinal) == (len(first), last_at, 1)
    assert damage.kind == ("crc_mismatch" if length == PAYLOAD_MAX else "length_over_limit")


def test_zeros_that_a_power_cut_leaves_are_no_corruption(tmp_path: Path) -> None:
    """From any record, and from any entry but the first, on: what is before them is whole and sound."""
    writer = ShardWriter(tmp_path, 0)
    payloads = [b"one", b"[]", b"x" * 40, b"PONG", b"last"]
    for mono, payload in enumerate(payloads):
        writer.append([(1, payload)], rx_mono_ns=mono + 5, rx_wall_ns_utc=mono)
    writer.close()
    frames, index = writer.frames_path.read_bytes(), writer.idx_path.read_bytes()
    ends = [0, *(frame.end for frame in read_frames(writer.frames_path))]
    entry_bytes = len(index) // len(payloads)
    for whole, end in enumerate(ends):
        for entries in range(1, len(payloads) + 1):
            cut = entries * entry_bytes
            writer.frames_path.write_bytes(frames[:end] + bytes(len(frames) - end))
            writer.idx_path.write_bytes(index[:cut] + bytes(len(index) - cut))
            items = list(scan_shard(writer.frames_path, writer.idx_path))
            damages = [item for item in items if isinstance(item, Damage)]
            assert len(items) - len(damages) == whole
            assert {damage.extent for damage in damages} <= {"tail"}, (whole, entries)
            kinds = {damage.kind for damage in damages}
            assert kinds <= {"zero_tail", "idx_torn", "idx_long", "idx_short"}, (whole, entries)
            assert bool(kinds) is (whole < len(payloads) or entries < len(payloads))


def test_a_scan_that_begins_later_yields_the_rest_of_a_whole_one(many: Golden) -> None:
    """For damage of every kind, and from every place before it."""
    middle = many.frames[40]
    damaged = {
        "cut": many.frames_bytes[: many.frames[60].offset + 7],
        "hole": many.frames_bytes[: middle.offset + 3] + b"\xff" + many.frames_bytes[middle.offset + 4 :],
        "gone": many.frames_bytes[: middle.offset] + many.frames_bytes[many.frames[43].offset :],
        "again": many.frames_bytes[: middle.end] + many.frames_bytes[middle.offset :],
        "zeros": many.frames_bytes[: many.frames[60].offset] + bytes(100),
    }  # fmt: skip
    for name, data in damaged.items():
        many.frames_path.write_bytes(data)
        for idx_path in (many.idx_path, None):
            whole = list(scan_shard(many.frames_path, idx_path))
            for ordinal in range(41):
                before = many.frames[ordinal - 1] if ordinal else None
                start = Start(before.end, ordinal, before.rx_mono_ns) if before else Start()
                rest = list(scan_shard(many.frames_path, idx_path, start=start))
                assert rest == whole[ordinal:], (name, ordinal)
