"""Cutting frames: the literal cases; equality with the library is a law in property/."""

import pytest

from pm_capture.wire import RAW, FrameSplitter, HeadSplitter

TEXT, BINARY = 1, 2


def splitter() -> FrameSplitter:
    return FrameSplitter(1 << 20)


def test_whole_frames_come_out_at_once() -> None:
    assert splitter().feed(b"\x81\x02hi\x82\x01\x00\x81\x00") == [
        (TEXT, b"hi"),
        (BINARY, b"\x00"),
        (TEXT, b""),
    ]


@pytest.mark.parametrize("length", [125, 126, 127, 0xFFFF, 0x10000])
def test_all_three_lengths(length: int) -> None:
    payload = bytes(length)
    if length < 126:
        head = bytes([0x81, length])
    elif length < 0x10000:
        head = b"\x81\x7e" + length.to_bytes(2, "big")
    else:
        head = b"\x81\x7f" + length.to_bytes(8, "big")
    assert splitter().feed(head + payload) == [(TEXT, payload)]


def test_a_frame_that_comes_byte_by_byte() -> None:
    cutter = splitter()
    stream = b"\x81\x7e\x00\x80" + bytes(128) + b"\x81\x01x"
    found = [one for at in range(len(stream)) for one in cutter.feed(stream[at : at + 1])]
    assert found == [(TEXT, bytes(128)), (TEXT, b"x")]


def test_control_frames_and_fragments_go_to_the_library_whole() -> None:
    cutter = splitter()
    assert cutter.feed(b"\x89\x01p\x01\x01a\x80\x01b\x81\x01c") == [
        (RAW, b"\x89\x01p"),
        (RAW, b"\x01\x01a"),
        (RAW, b"\x80\x01b"),
        (TEXT, b"c"),
    ]


def test_after_a_close_everything_goes_to_the_library() -> None:
    cutter = splitter()
    assert cutter.feed(b"\x81\x01a\x88\x00\x81\x01b") == [
        (TEXT, b"a"),
        (RAW, b"\x88\x00"),
        (RAW, b"\x81\x01b"),
    ]
    assert cutter.feed(b"\x81\x01c") == [(RAW, b"\x81\x01c")]


@pytest.mark.parametrize(
    "bad",
    [
        b"\x81\x81\x00\x00\x00\x00x",  # masked by a server
        b"\xc1\x01x",  # a reserved bit
        b"\x83\x01x",  # an unknown opcode
        b"\x81\x7f\x00\x00\x00\x00\x00\x10\x00\x01",  # above the limit
    ],
)
def test_an_irregular_frame_is_left_to_the_library_for_good(bad: bytes) -> None:
    cutter = splitter()
    assert cutter.feed(b"\x81\x01a" + bad) == [(TEXT, b"a"), (RAW, bad)]
    assert cutter.feed(b"\x81\x01b") == [(RAW, b"\x81\x01b")]


@pytest.mark.parametrize(
    "bad",
    [
        b"\x81\x01b",  # a whole message between fragments
        b"\x01\x01b",  # a second beginning
        b"\x80\x7f\x00\x00\x00\x00\x00\x10\x00\x00",  # with what came before, above the limit
    ],
)
def test_what_may_not_stand_between_fragments_is_irregular(bad: bytes) -> None:
    assert splitter().feed(b"\x01\x01a" + bad) == [(RAW, b"\x01\x01a"), (RAW, bad)]


@pytest.mark.parametrize("bad", [b"\x80\x01b", b"\x00\x01b", b"\x89\x7e\x00\x80"])
def test_what_may_not_stand_alone_is_irregular(bad: bytes) -> None:
    cutter = splitter()
    assert cutter.feed(bad) == [(RAW, bad)]
    assert cutter.feed(b"\x81\x01b") == [(RAW, b"\x81\x01b")]


def test_a_limit_below_the_short_lengths_is_refused() -> None:
    with pytest.raises(ValueError, match="at least 65535"):
        FrameSplitter(100)


def test_the_end_of_the_response_is_found_wherever_reads_end() -> None:
    response = b"HTTP/1.1 101 OK\r\nA: b\r\n\r\n\x81\x01x"
    for cut in range(1, len(response)):
        head = HeadSplitter()
        first, rest = head.feed(response[:cut])
        if rest is None:
            more, rest = head.feed(response[cut:])
            first += more
        else:
            rest += response[cut:]
        assert (first, rest) == (response[:-3], b"\x81\x01x")
