"""Going on after damage without an idx: what is proved, what is believed, what is given up."""

from __future__ import annotations

from pathlib import Path

import pytest

from pm_frames.damage import Damage
from pm_frames.frames import Frame, encode_frame
from pm_frames.layout import HEADER, MAGIC, Version
from pm_frames.resync import find_magic, last_nonzero
from pm_frames.scan import scan_shard
from pm_frames.window import SPAN, Window


def sample(payload: bytes, mono: int = 1) -> bytes:
    return encode_frame(payload, rx_mono_ns=mono, rx_wall_ns_utc=1, flags=1)


def scanned(path: Path, data: bytes) -> list[tuple[str, int, int] | int]:
    path.write_bytes(data)
    return [
        item.offset if isinstance(item, Frame) else (item.kind, item.offset, item.end)
        for item in scan_shard(path, None)
    ]


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "s.frames"


@pytest.mark.parametrize("at", [0, 1, SPAN - 8, SPAN - 7, SPAN - 1, SPAN, 2 * SPAN + 5])
def test_a_magic_on_the_border_of_two_reads_is_found_once(path: Path, at: int) -> None:
    magic = MAGIC[Version.V2]
    data = bytearray(2 * SPAN + 40)
    data[at : at + 8] = magic
    path.write_bytes(data)
    with Window(path, span=512) as window:
        assert list(find_magic(window, 0, window.size, magic)) == [at]
        assert list(find_magic(window, at, at + 1, magic)) == [at]
        assert list(find_magic(window, at + 1, window.size, magic)) == []
        assert list(find_magic(window, 0, at, magic)) == []


@pytest.mark.parametrize("zeros", [0, 1, 7, SPAN - 1, SPAN, SPAN + 1, 3 * SPAN])
def test_the_last_byte_that_is_not_zero(path: Path, zeros: int) -> None:
    path.write_bytes(b"ab\0c" + bytes(zeros))
    with Window(path) as window:
        assert last_nonzero(window) == 4
    path.write_bytes(bytes(zeros))
    with Window(path) as window:
        assert last_nonzero(window) == 0


def test_two_ruined_fields_are_searched_past(path: Path) -> None:
    first, second, third = sample(b"one"), bytearray(sample(b"two")), sample(b"three", 2)
    second[0] ^= 1
    second[28] ^= 1
    data = first + second + third
    assert scanned(path, data) == [
        0,
        ("bad_magic", len(first), len(first) + len(second)),
        len(first) + len(second),
    ]


def test_a_frame_within_the_ruins_is_not_believed_alone(path: Path) -> None:
    """Header and length are gone; the frame in the payload leads nowhere, the real ones lead on."""
    inner = sample(b"inner", 9)
    ruined = bytearray(sample(b"{" + inner + b"}", 5))
    ruined[3] ^= 1
    ruined[29] ^= 1
    data = sample(b"one") + ruined + sample(b"two", 6) + sample(b"three", 7)
    start, end = 39, 39 + len(ruined)
    assert scanned(path, data) == [0, ("bad_magic", start, end), end, end + 39]


def test_a_payload_that_ends_in_frames_can_deceive_only_the_search(path: Path) -> None:
    """The one limit that docs/spec/frames.md states: two ruined fields and no idx."""
    inner = sample(b"inner", 4)
    ruined = bytearray(sample(b"{" + inner, 5))
    ruined[3] ^= 1
    one_field = sample(b"one") + ruined + sample(b"two", 6)
    assert scanned(path, one_field) == [0, ("bad_magic", 39, 117), 117]
    ruined[29] ^= 1
    two_fields = sample(b"one") + ruined + sample(b"two", 6)
    assert scanned(path, two_fields) == [0, ("bad_magic", 39, 76), 76, 117]


def test_a_ruined_length_at_a_frame_in_its_own_payload(path: Path) -> None:
    """Proof goes before belief, also where the ruined length leads to a perfect frame."""
    inner = sample(b"inner", 4)
    outer = bytearray(sample(b"{" + inner + inner + b"}", 5))
    outer[28:32] = (1 + len(inner)).to_bytes(4, "little")
    data = sample(b"one") + outer + sample(b"two", 6)
    assert scanned(path, data) == [0, ("length_mismatch", 39, 39 + len(outer)), 39 + len(outer)]


def test_a_ruined_length_of_the_last_frame_is_proved_by_the_end(path: Path) -> None:
    for length in (2, 4, 5000, 2**31):
        last = bytearray(sample(b"two"))
        last[28:32] = length.to_bytes(4, "little")
        assert scanned(path, sample(b"one") + last) == [0, ("length_mismatch", 39, 78)]


def test_a_length_over_the_limit_that_cannot_be_proved(path: Path) -> None:
    ruined = bytearray(sample(b"two"))
    ruined[31] = 0xFF
    ruined[-1] ^= 1
    data = sample(b"one") + ruined + sample(b"three", 2)
    assert scanned(path, data) == [0, ("length_over_limit", 39, 78), 78]
    # Alone at the end it is a tail, but not a torn one.
    path.write_bytes(sample(b"one") + ruined)
    *_, tail = scan_shard(path, None)
    assert isinstance(tail, Damage)
    assert (tail.kind, tail.extent, tail.torn) == ("length_over_limit", "tail", False)


def test_damage_across_the_border_of_two_frames(path: Path) -> None:
    """The first header is right, so the search begins where it says that the frame ends."""
    inner = sample(b"inner", 4)
    frames = [sample(b"one"), sample(inner + b"tail", 2), sample(b"three", 3), sample(b"four", 4)]
    data = bytearray(b"".join(frames))
    border = len(frames[0]) + len(frames[1])
    data[border - 3 : border + 9] = b"\xee" * 12
    after = border + len(frames[2])
    assert scanned(path, bytes(data)) == [0, ("crc_mismatch", 39, after), after]


def test_zeros_in_the_middle_are_one_hole(path: Path) -> None:
    frames = [sample(b"payload %d" % k, k) for k in range(200)]
    data = bytearray(b"".join(frames))
    size = len(frames[0])
    start = size * 3
    data[start : start + 4096] = bytes(4096)
    end = sum(map(len, frames[:3])) + 4096
    places = [sum(map(len, frames[:k])) for k in range(201)]
    following = next(place for place in places if place >= end)
    items = scanned(path, bytes(data))
    assert items[3] == ("bad_magic", start, following)
    assert items[4:] == [place for place in places[:-1] if place >= following]


def test_an_empty_payload_needs_more_than_its_checksum(path: Path) -> None:
    """The checksum of nothing is 0: zeros over length and checksum would invent a frame."""
    first, second, third = sample(b"hello world 0"), sample(b"hello world 1"), sample(b"three", 2)
    ruined = second[:28] + bytes(len(second) - 28)
    assert scanned(path, first + ruined) == [0, ("crc_mismatch", 49, 98)]
    assert scanned(path, first + ruined + third + third) == [0, ("crc_mismatch", 49, 98), 98, 139]


@pytest.mark.parametrize("version", list(Version))
def test_genuine_empty_payloads_without_an_idx(path: Path, version: Version) -> None:
    size = HEADER[version].size
    empty = encode_frame(b"", rx_mono_ns=1, rx_wall_ns_utc=1, flags=1, version=version)
    full = encode_frame(b"x", rx_mono_ns=1, rx_wall_ns_utc=1, flags=1, version=version)
    assert scanned(path, empty) == [0]
    assert scanned(path, empty * 3 + full) == [0, size, 2 * size, 3 * size]
    assert scanned(path, empty + full[:3]) == [0, ("truncated_header", size, size + 3)]
    ruined = b"!" + full[1:]
    assert scanned(path, empty + ruined + full) == [
        0,
        ("bad_magic", size, 2 * size + 1),
        2 * size + 1,
    ]
    assert scanned(path, empty + ruined[:size]) == [("crc_mismatch", 0, 2 * size)]


def test_the_very_first_magic_without_an_idx(path: Path) -> None:
    """The version is taken from a later frame."""
    for version in Version:
        frame = encode_frame(b"x", rx_mono_ns=1, rx_wall_ns_utc=1, flags=1, version=version)
        ruined = b"XXXXXXXX" + frame[8:]
        size = HEADER[version].size + 1
        assert scanned(path, ruined + frame) == [("bad_magic", 0, size), size]


def test_nothing_but_garbage(path: Path) -> None:
    assert scanned(path, b"garbage, nothing else, and more than a header of it") == [
        ("trailing_garbage", 0, 51)
    ]
    assert scanned(path, bytes(100)) == [("zero_tail", 0, 100)]
