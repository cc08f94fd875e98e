"""Frames as bytes, one by one and in a stream (R098 to R101, R107 to R117)."""

from __future__ import annotations

import random
import tracemalloc
import zlib
from pathlib import Path

import pytest

from pm_frames.errors import CorruptFrame, MissingFile, UnsupportedFormat
from pm_frames.frames import Frame, FrameDecoder, encode_frame, read_frames, read_version
from pm_frames.layout import HEADER, PAYLOAD_MAX, Version

V2_LITERAL = bytes.fromhex(
    "504d434150763032"  # PMCAPv02
    "0200"  # schema_version
    "0101"  # flags: text, first of a connection
    "0100000000000000"  # rx_mono_ns
    "15cd5b0753e18318"  # rx_wall_ns_utc
    "02000000"  # payload_len
    "e3c7eb2d"  # payload_crc32, replaced below
    "5b5d"
)


def sample(payload: bytes = b"[]", *, version: int = 2, mono: int = 1, flags: int = 1) -> bytes:
    return encode_frame(payload, rx_mono_ns=mono, rx_wall_ns_utc=9, flags=flags, version=version)


def test_version_2_byte_for_byte() -> None:
    wall = int.from_bytes(V2_LITERAL[20:28], "little")
    encoded = encode_frame(b"[]", rx_mono_ns=1, rx_wall_ns_utc=wall, flags=0x0101)
    crc = zlib.crc32(b"[]").to_bytes(4, "little")
    assert encoded == V2_LITERAL[:32] + crc + b"[]"
    assert len(encoded) == 36 + 2


def test_version_1_has_no_room_for_a_wall_clock() -> None:
    encoded = sample(version=1)
    assert encoded[:10] == b"PMCAPv01\x01\x00"
    assert len(encoded) == 28 + 2
    assert encoded == encode_frame(b"[]", rx_mono_ns=1, rx_wall_ns_utc=None, flags=1, version=1)
    assert FrameDecoder().feed(encoded)[0].rx_wall_ns_utc is None


def test_a_checksum_that_is_given_is_taken() -> None:
    encoded = encode_frame(b"[]", rx_mono_ns=1, rx_wall_ns_utc=1, flags=1, crc=7)
    with pytest.raises(CorruptFrame, match="0x00000007"):
        FrameDecoder().feed(encoded)


@pytest.mark.parametrize(
    "misuse",
    [
        {"rx_mono_ns": -1},
        {"rx_mono_ns": 2**64},
        {"rx_wall_ns_utc": -1},
        {"rx_wall_ns_utc": 2**64},
        {"rx_wall_ns_utc": None},
        {"flags": 0x08},
        {"flags": 0x80},
        {"flags": 0x10000},
        {"flags": -1},
        {"version": 3},
    ],
    ids=str,
)
def test_misuse_is_a_value_error(misuse: dict[str, int]) -> None:
    arguments = {"rx_mono_ns": 1, "rx_wall_ns_utc": 1, "flags": 1, **misuse}
    with pytest.raises(ValueError, match=r"\d"):
        encode_frame(b"", **arguments)


def test_a_payload_over_the_limit_is_not_encoded() -> None:
    with pytest.raises(ValueError, match=str(PAYLOAD_MAX)):
        sample(bytes(PAYLOAD_MAX + 1))


@pytest.mark.parametrize("flags", [0, 1, 2, 3, 4, 5, 6, 7])
@pytest.mark.parametrize("ancillary", [0, 0x0100, 0x4200, 0xFF00])
def test_known_and_ancillary_flags_pass_through(flags: int, ancillary: int) -> None:
    (frame,) = FrameDecoder().feed(sample(flags=flags | ancillary))
    assert frame.flags == flags | ancillary


def test_every_one_of_the_65536_flag_values() -> None:
    data = bytearray(sample())
    passed = set()
    for flags in range(1 << 16):
        data[10:12] = flags.to_bytes(2, "little")
        frames, error = decoded(bytes(data), [len(data)])
        if frames:
            assert frames[0].flags == flags
            passed.add(flags)
        else:
            assert error == ("unknown_flags", 0, 7, flags)
    assert passed == {flags for flags in range(1 << 16) if not flags & 0xF8}


def test_an_unknown_critical_flag_says_that_a_newer_reader_may_know() -> None:
    data = bytearray(sample())
    data[10] |= 0x40
    with pytest.raises(UnsupportedFormat, match=r"offset 0: .*newer"):
        FrameDecoder().feed(bytes(data))


def test_offsets_and_ends() -> None:
    frames = FrameDecoder().feed(sample(b"abc") + sample(b""))
    assert [(frame.offset, frame.end) for frame in frames] == [(0, 39), (39, 75)]


@pytest.mark.parametrize("seed", range(20))
def test_pieces_of_any_size_make_no_difference(seed: int) -> None:
    rng = random.Random(seed)
    version = rng.choice([1, 2])
    data = b"".join(
        sample(rng.randbytes(rng.choice([0, 1, 5, 300, 5000])), version=version, mono=mono)
        for mono in range(30)
    )
    damaged = bytearray(data)
    damaged[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    for stream in (data, bytes(damaged), data[: rng.randrange(len(data))]):
        assert decoded(stream, [len(stream)]) == decoded(
            stream, [rng.choice([1, 7, 36, 37, 4096, rng.randrange(1, 999)]) for _ in stream]
        )


def decoded(stream: bytes, sizes: list[int]) -> tuple[list[Frame], object]:
    decoder = FrameDecoder()
    frames: list[Frame] = []
    start = 0
    try:
        for size in sizes:
            frames += decoder.feed(stream[start : start + size])
            start += size
        decoder.close()
    except CorruptFrame as error:
        return frames, (error.kind, error.offset, error.expected, error.found)
    return frames, None


def test_frames_before_damage_are_returned_before_it_is_raised() -> None:
    decoder = FrameDecoder()
    assert len(decoder.feed(sample() + sample() + b"garbage!")) == 2
    for _ in range(2):
        with pytest.raises(CorruptFrame) as caught:
            decoder.feed(sample())
        assert (caught.value.kind, caught.value.offset) == ("bad_magic", 76)
    with pytest.raises(CorruptFrame):
        decoder.close()


def test_decoder_refuses_a_second_version() -> None:
    decoder = FrameDecoder(path=Path("x.frames"))
    assert len(decoder.feed(sample(version=2) + sample(version=1))) == 1
    with pytest.raises(CorruptFrame, match=r"x\.frames: offset 38: .*PMCAPv02.*PMCAPv01"):
        decoder.close()


def test_decoder_with_a_stated_version() -> None:
    with pytest.raises(CorruptFrame) as caught:
        FrameDecoder(version=Version.V1).feed(sample(version=2))
    assert caught.value.kind == "mixed_versions"


@pytest.fixture
def stream(tmp_path: Path) -> Path:
    path = tmp_path / "shard_00.frames"
    path.write_bytes(b"".join(sample(b"x" * mono, mono=mono) for mono in range(100)))
    return path


def test_read_frames_from_and_to_offsets(stream: Path) -> None:
    frames = list(read_frames(stream))
    assert [len(frame.payload) for frame in frames] == list(range(100))
    first, last = frames[10].offset, frames[20].offset
    assert list(read_frames(stream, start=first, stop=last)) == frames[10:20]
    # A frame belongs to the range in which it begins.
    assert list(read_frames(stream, start=first, stop=last + 1)) == frames[10:21]
    assert list(read_frames(stream, start=frames[-1].end)) == []


def test_read_frames_names_file_offset_expected_and_found(stream: Path) -> None:
    data = bytearray(stream.read_bytes())
    data[36 + 36] ^= 0xFF  # the payload of frame 1
    stream.write_bytes(data)
    frames = read_frames(stream)
    next(frames)
    with pytest.raises(CorruptFrame) as caught:
        next(frames)
    crc = zlib.crc32(b"x")
    assert caught.value.expected == crc
    message = str(caught.value)
    assert message.startswith(f"{stream}: offset 36: ")
    assert f"expected {crc:#010x}" in message


def test_read_frames_does_not_mind_stamps_that_go_back(tmp_path: Path) -> None:
    path = tmp_path / "s.frames"
    path.write_bytes(sample(mono=5) + sample(mono=4) + sample(mono=6))
    assert [frame.rx_mono_ns for frame in read_frames(path)] == [5, 4, 6]


def test_a_frame_larger_than_the_window(tmp_path: Path) -> None:
    path = tmp_path / "s.frames"
    large = random.Random(1).randbytes(3_000_000)
    path.write_bytes(sample(b"a") + sample(large) + sample(b"b"))
    assert [frame.payload for frame in read_frames(path)] == [b"a", large, b"b"]


def test_missing_file_and_directory(tmp_path: Path) -> None:
    for path in (tmp_path / "none.frames", tmp_path):
        with pytest.raises(MissingFile) as caught:
            list(read_frames(path))
        assert caught.value.path == path


def test_read_version(tmp_path: Path) -> None:
    path = tmp_path / "s.frames"
    for data, version in ((b"", None), (sample(version=1), 1), (sample(), 2)):
        path.write_bytes(data)
        assert read_version(path) == version
    for data, kind in ((b"PMC", "truncated_header"), (b"nonsense", "bad_magic")):
        path.write_bytes(data)
        with pytest.raises(CorruptFrame) as caught:
            read_version(path)
        assert caught.value.kind == kind


@pytest.mark.parametrize("length", [64 << 20, (64 << 20) + 1, 2**32 - 1])
def test_a_hostile_length_allocates_nothing(tmp_path: Path, length: int) -> None:
    header = HEADER[Version.V2].pack(b"PMCAPv02", 2, 1, 1, 1, length, 0)
    path = tmp_path / "s.frames"
    path.write_bytes(header + b"tiny")
    kind = "truncated_payload" if length <= PAYLOAD_MAX else "length_over_limit"
    tracemalloc.start()
    try:
        with pytest.raises(CorruptFrame) as caught:
            list(read_frames(path))
        assert decoded(header + b"tiny", [40])[1] is not None
        assert tracemalloc.get_traced_memory()[1] < 4 << 20
    finally:
        tracemalloc.stop()
    assert caught.value.kind == kind


def test_a_lower_limit(stream: Path) -> None:
    with pytest.raises(CorruptFrame) as caught:
        list(read_frames(stream, payload_max=50))
    assert (caught.value.kind, caught.value.expected, caught.value.found) == (
        "length_over_limit",
        50,
        51,
    )
