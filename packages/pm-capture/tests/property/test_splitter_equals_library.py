"""Whatever a server sends, and however it arrives in reads, splitter and library together make of it
exactly what the library alone makes of it (module text of wire.py)."""

from itertools import pairwise

from hypothesis import example, given
from hypothesis import strategies as st
from websockets.client import ClientProtocol
from websockets.frames import Frame, Opcode
from websockets.protocol import State
from websockets.uri import parse_uri

from pm_capture.wire import RAW, FrameSplitter

PAYLOAD_MAX = 1 << 17
FLAG_OF = {Opcode.TEXT: 1, Opcode.BINARY: 2}

Message = tuple[int, bytes]


class Library:
    """The data messages that the library makes of a stream."""

    def __init__(self) -> None:
        self.protocol = ClientProtocol(
            parse_uri("ws://venue/"), state=State.OPEN, max_size=PAYLOAD_MAX
        )
        self.found: list[Message] = []
        self._parts: list[bytes] = []
        self._flag = 0

    def feed(self, data: bytes) -> None:
        self.protocol.receive_data(data)
        for event in self.protocol.events_received():
            assert isinstance(event, Frame)
            if event.opcode not in (Opcode.TEXT, Opcode.BINARY, Opcode.CONT):
                continue
            if event.opcode is not Opcode.CONT:
                self._flag = FLAG_OF[event.opcode]
            self._parts.append(bytes(event.data))
            if event.fin:
                self.found.append((self._flag, b"".join(self._parts)))
                self._parts.clear()

    @property
    def verdict(self) -> tuple[object, ...]:
        """Everything the library says to the peer, and how it sees the connection."""
        protocol = self.protocol
        said = b"".join(protocol.data_to_send())
        # What is sent is masked with random bytes; its shape is what can be compared.
        return protocol.state, len(said), repr(protocol.close_rcvd), repr(protocol.parser_exc)


def alone(data: bytes) -> tuple[list[Message], tuple[object, ...]]:
    library = Library()
    library.feed(data)
    return library.found, library.verdict


def together(reads: list[bytes]) -> tuple[list[Message], tuple[object, ...]]:
    library = Library()
    splitter = FrameSplitter(PAYLOAD_MAX)
    for data in reads:
        for flag, payload in splitter.feed(data):
            if flag == RAW:
                library.feed(payload)
            else:
                library.found.append((flag, payload))
    return library.found, library.verdict


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = sorted({0, len(data), *(place % (len(data) + 1) for place in places)})
    return [data[a:b] for a, b in pairwise(edges)]


def wire(first: int, payload: bytes) -> bytes:
    length = len(payload)
    if length < 126:
        return bytes([first, length]) + payload
    if length < 0x10000:
        return bytes([first, 126]) + length.to_bytes(2, "big") + payload
    return bytes([first, 127]) + length.to_bytes(8, "big") + payload


payloads = st.one_of(
    st.binary(max_size=200),
    st.sampled_from([125, 126, 127, 128, 0xFFFF, 0x10000, PAYLOAD_MAX, PAYLOAD_MAX + 1]).map(bytes),
)
first_bytes = st.one_of(
    st.sampled_from([0x81, 0x81, 0x81, 0x82, 0x01, 0x00, 0x80, 0x89, 0x8A, 0x88]),
    st.integers(0, 255),
)
frames = st.builds(wire, first_bytes, payloads)
streams = st.lists(st.one_of(frames, frames, frames, st.binary(max_size=12)), max_size=12).map(
    b"".join
)


@given(streams, st.lists(st.integers(0, 1 << 20), max_size=20))
@example(wire(0x81, b"a") + wire(0x01, b"b") + wire(0x81, b"c"), [])
@example(wire(0x01, b"b") + wire(0x89, b"") + wire(0x80, b"c") + wire(0x81, b"d"), [3])
@example(wire(0x81, b"a") + wire(0x88, b"\x03\xe8") + wire(0x81, b"late"), [])
@example(b"\x81\xfe\x00\x01" + b"masked", [])
@example(b"\x81\x7f" + (1 << 40).to_bytes(8, "big"), [4])
@example(b"\x83\x7f", [])
@example(b"\x83\x7e\x01", [])
@example(b"\x77\x7f\x94\xc9", [])
@example(b"\x89\x7e", [1])
@example(wire(0x01, b"a" * PAYLOAD_MAX) + b"\x80\x7e", [])
def test_splitter_and_library_equal_the_library(stream: bytes, places: list[int]) -> None:
    assert together(cut(stream, places)) == alone(stream)


@given(st.lists(st.binary(max_size=300), max_size=6))
def test_every_chunk_size_gives_the_same_messages(messages: list[bytes]) -> None:
    stream = b"".join(wire(0x81, message) for message in messages)
    for size in (1, 7, 4096):
        reads = [stream[at : at + size] for at in range(0, len(stream), size)]
        found, _ = together(reads)
        assert found == [(1, message) for message in messages]
