"""The frame codec: one record per received WebSocket frame, payload bytes exact.

Strict: the first byte that is not as docs/spec/frames.md says stops the reading with `CorruptFrame`. The
tolerant scan, which goes on after damage, is `pm_frames.scan`; the idx-driven reader is `pm_frames.shard`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import repeat
from pathlib import Path
from typing import NamedTuple, NoReturn

from pm_frames.checksum import crc32
from pm_frames.errors import CorruptFrame, UnsupportedFormat
from pm_frames.layout import (
    CRITICAL_KNOWN,
    CRITICAL_UNKNOWN,
    HEADER,
    HEADER_MAX,
    MAGIC,
    MAGIC_SIZE,
    PAYLOAD_MAX,
    STAMP_MAX,
    VERSION_OF,
    Version,
)
from pm_frames.window import SPAN, Window


class Frame(NamedTuple):
    """One received frame: where it stands, when it arrived, and its exact payload.

    `offset` is that of the first magic byte. `rx_wall_ns_utc` is None in version 1, which has no wall
    clock.
    """

    offset: int
    version: int
    flags: int
    rx_mono_ns: int
    rx_wall_ns_utc: int | None
    crc32: int
    payload: bytes

    @property
    def end(self) -> int:
        """File offset of the first byte after this frame."""
        return self.offset + HEADER[Version(self.version)].size + len(self.payload)


class Header(NamedTuple):
    """The fields of a frame header, believed or not."""

    magic: bytes
    schema_version: int
    flags: int
    rx_mono_ns: int
    rx_wall_ns_utc: int | None
    payload_len: int
    payload_crc32: int


class Fault(NamedTuple):
    """Why bytes are not a sound frame: a stable word and both values."""

    kind: str
    expected: object
    found: object


MESSAGES = {
    "bad_magic": "no frame begins here",
    "bad_version": "the schema version is not the one that the magic states",
    "crc_mismatch": "the payload does not match its checksum",
    "length_over_limit": "the payload length is over the limit",
    "mixed_versions": "a frame of another version in one file",
    "truncated_header": "the file ends inside a frame header",
    "truncated_payload": "the file ends inside a payload",
    "unknown_flags": "a critical flag that this reader does not know; a newer one may",
}


def encode_frame(
    payload: bytes,
    *,
    rx_mono_ns: int,
    rx_wall_ns_utc: int | None,
    flags: int,
    version: int = Version.V2,
    crc: int | None = None,
) -> bytes:
    """Return one frame as bytes.

    `crc` is the checksum of the payload when the caller has it already. Version 2 needs a wall clock;
    version 1 has no room for one and drops it. Raises ValueError for a stamp outside u64, an undefined
    critical flag, or a payload over 64 MiB.
    """
    version = Version(version)
    check_flags(flags)
    stamps = check_stamps(version, rx_mono_ns, rx_wall_ns_utc)
    if len(payload) > PAYLOAD_MAX:
        raise ValueError(f"payload of {len(payload)} bytes, more than {PAYLOAD_MAX}")
    if crc is None:
        crc = crc32(payload)
    header = HEADER[version].pack(MAGIC[version], version, flags, *stamps, len(payload), crc)
    return header + payload


def check_flags(flags: int) -> None:
    """Raise ValueError for flags that a writer must not write."""
    if not 0 <= flags <= 0xFFFF or flags & CRITICAL_UNKNOWN:
        raise ValueError(f"flags {flags:#06x}: undefined critical bits, or more than 16")


def check_stamps(version: int, mono: int, wall: int | None) -> tuple[int, ...]:
    """Return the stamps that a record of this version has room for; ValueError if they do not fit."""
    if not 0 <= mono <= STAMP_MAX:
        raise ValueError(f"rx_mono_ns {mono} is not an unsigned 64-bit number")
    if version == Version.V1:
        return (mono,)
    if wall is None or not 0 <= wall <= STAMP_MAX:
        raise ValueError(f"rx_wall_ns_utc {wall} is not an unsigned 64-bit number")
    return (mono, wall)


def unpack_header(data: bytes | bytearray, start: int, version: Version) -> Header:
    """Return the header fields at `start`; the caller has made sure that the bytes are there."""
    fields = HEADER[version].unpack_from(data, start)
    if version == Version.V1:
        magic, schema, flags, mono, length, crc = fields
        return Header(magic, schema, flags, mono, None, length, crc)
    return Header(*fields)


def magic_fault(found: bytes, version: Version | None) -> Fault | None:
    """Judge the first eight bytes, or the fewer with which the input ends.

    `version` is that of the file, None while no frame has been seen.
    """
    expected = list(MAGIC.values()) if version is None else [MAGIC[version]]
    if found in expected:
        return None
    if found in VERSION_OF:
        return Fault("mixed_versions", expected[0], found)
    if any(magic.startswith(found) for magic in expected):
        return Fault("truncated_header", MAGIC_SIZE, len(found))
    return Fault("bad_magic", expected[-1], found)


def header_fault(header: Header, version: Version, payload_max: int) -> Fault | None:
    """Judge a header by itself, before a byte of its payload is asked for."""
    if header.schema_version != version:
        return Fault("bad_version", int(version), header.schema_version)
    if header.flags & CRITICAL_UNKNOWN:
        return Fault("unknown_flags", CRITICAL_KNOWN, header.flags)
    if header.payload_len > payload_max:
        return Fault("length_over_limit", payload_max, header.payload_len)
    return None


def raise_fault(fault: Fault, *, path: Path | None, offset: int) -> NoReturn:
    """Raise the error that belongs to a fault."""
    newer = fault.kind in ("bad_version", "unknown_flags")
    raise (UnsupportedFormat if newer else CorruptFrame)(
        MESSAGES[fault.kind],
        kind=fault.kind,
        path=path,
        offset=offset,
        expected=fault.expected,
        found=fault.found,
    )


class FrameDecoder:
    """Frames out of bytes that arrive in pieces of any size; no input or output of its own.

    How the input is cut never matters: all sound frames before the first damage are returned, then the
    error is raised, by that `feed` if it found nothing to return, else by the next call, and by every one
    after it. `close` says that the input has ended. Memory: one frame and one piece.
    """

    def __init__(
        self,
        *,
        version: Version | None = None,
        payload_max: int = PAYLOAD_MAX,
        path: Path | None = None,
    ) -> None:
        """`version` None takes that of the first frame; `path` is only named in errors."""
        self.version = version
        self.offset = 0  # of the first byte that is not yet part of a returned frame
        self._path = path
        self._payload_max = payload_max
        self._buffer = bytearray()
        self._need = MAGIC_SIZE  # bytes in the buffer below which nothing new can be known
        self._fault: Fault | None = None

    def feed(self, data: bytes) -> list[Frame]:
        """Return the frames that these bytes complete; raise `CorruptFrame` at damage."""
        frames: list[Frame] = []
        if self._fault is None:
            self._buffer += data
            if len(self._buffer) >= self._need:
                frames = self._decode()
        if self._fault is not None and not frames:
            raise_fault(self._fault, path=self._path, offset=self.offset)
        return frames

    def close(self) -> None:
        """Say that no more bytes come; raise `CorruptFrame` for damage, or if they stop inside a frame."""
        if self._fault is None and self._buffer:
            self._fault = ending_fault(
                bytes(self._buffer[:HEADER_MAX]), len(self._buffer), self.version
            )
        if self._fault is not None:
            raise_fault(self._fault, path=self._path, offset=self.offset)

    def _decode(self) -> list[Frame]:
        frames: list[Frame] = []
        data = bytes(self._buffer)
        first = self.offset
        while True:
            if self.version is not None:
                run = decode_run(
                    data, self.offset - first, self.offset, self.version, self._payload_max
                )
                if run:
                    frames += run
                    self.offset = run[-1].end
            frame, self._need = self._next(data, self.offset - first)
            if frame is None:
                break
            frames.append(frame)
            self.offset = frame.end
        del self._buffer[: self.offset - first]
        return frames

    def _next(self, data: bytes, start: int) -> tuple[Frame | None, int]:
        """Return the frame at `start`, or None and the bytes needed to know more."""
        have = len(data) - start
        if have < MAGIC_SIZE:
            return None, MAGIC_SIZE
        magic = data[start : start + MAGIC_SIZE]
        self._fault = magic_fault(magic, self.version)
        if self._fault is not None:
            return None, 0
        self.version = version = VERSION_OF[magic]
        size = HEADER[version].size
        if have < size:
            return None, size
        header = unpack_header(data, start, version)
        self._fault = header_fault(header, version, self._payload_max)
        if self._fault is not None:
            return None, 0
        end = size + header.payload_len
        if have < end:
            return None, end
        payload = data[start + size : start + end]
        found = crc32(payload)
        if found != header.payload_crc32:
            self._fault = Fault("crc_mismatch", header.payload_crc32, found)
            return None, 0
        return frame_of(self.offset, version, header, payload), 0


def decode_run(
    data: bytes,
    start: int,
    offset: int,
    version: Version,
    payload_max: int,
    *,
    last_mono: int = 0,
    entries: Iterable[tuple[int, ...]] | None = None,
    shift: int = 0,
) -> list[Frame]:
    """Return the frames in a row from `start` of `data`, as far as everything about them is right.

    `offset` is the file offset of `start`. With `entries`, unpacked idx entries, each frame must be as the
    next of them says, its place `shift` bytes further. This is the path that has to be fast: why a row
    ends is for the caller to find out, and a stamp that goes back ends one too.
    """
    unpack = HEADER[version].unpack_from
    make_frame = tuple.__new__  # half the time of Frame(...)
    magic = MAGIC[version]
    header_bytes = HEADER[version].size
    last_start = len(data) - header_bytes
    distance = offset - start
    frames: list[Frame] = []
    for entry in repeat(None) if entries is None else entries:
        if start > last_start:
            break
        fields = unpack(data, start)
        length = fields[-2]
        if (
            fields[0] != magic
            or fields[1] != version
            or fields[2] & CRITICAL_UNKNOWN
            or length > payload_max
            or fields[3] < last_mono
        ):
            break
        place = start + distance
        if entry is not None and entry != (place + shift, *fields[3:]):
            break
        end = start + header_bytes + length
        if not length and entry is None and not data.startswith(magic, end):
            break  # the checksum of nothing is 0, as in a header of which the end is zeroed
        payload = data[start + header_bytes : end]
        if end > len(data) or crc32(payload) != fields[-1]:
            break
        last_mono = fields[3]
        wall = fields[4] if version == Version.V2 else None
        frames.append(
            make_frame(Frame, (place, version, fields[2], last_mono, wall, fields[-1], payload))
        )
        start = end
    return frames


def frame_of(offset: int, version: Version, header: Header, payload: bytes) -> Frame:
    """Return the frame of a header that has been judged."""
    _, _, flags, mono, wall, _, crc = header
    return Frame(offset, version, flags, mono, wall, crc, payload)


def ending_fault(data: bytes, have: int, version: Version | None) -> Fault:
    """Judge an input that ends `have` bytes after the start of a frame that is not whole.

    `data` is at least a header of it, or all there is.
    """
    fault = magic_fault(data[:MAGIC_SIZE], version)
    if fault is not None and fault.kind != "truncated_header":
        return fault
    found = VERSION_OF.get(data[:MAGIC_SIZE], version or Version.V2)
    size = HEADER[found].size
    if have < size:
        return Fault("truncated_header", size, have)
    return Fault("truncated_payload", size + unpack_header(data, 0, found).payload_len, have)


def read_version(path: Path) -> Version | None:
    """Return the version that the first magic of a .frames file states; None for an empty file.

    Raises `CorruptFrame` if the file begins with anything else, `MissingFile` if it is not there.
    """
    with Window(path, span=MAGIC_SIZE) as window:
        magic = window.at(0, MAGIC_SIZE)
    if not magic:
        return None
    if magic not in VERSION_OF:
        fault = magic_fault(magic, None) or Fault("bad_magic", MAGIC[Version.V2], magic)
        raise_fault(fault, path=path, offset=0)
    return VERSION_OF[magic]


def read_frames(
    path: Path,
    *,
    start: int = 0,
    stop: int | None = None,
    payload_max: int = PAYLOAD_MAX,
) -> Iterator[Frame]:
    """Yield the frames that begin at file offsets from `start` (a frame's) to before `stop`.

    Strict and streaming: raises `CorruptFrame` at the first damage, `MissingFile` if there is no file;
    holds one window of 1 MiB or one frame. `pm_frames.shard` reads by ordinal and checks the idx too.
    """
    with Window(path, span=SPAN) as window:
        version = VERSION_OF.get(window.at(0, MAGIC_SIZE))
        end = window.size if stop is None else min(stop, window.size)
        while start < end:
            frames = []
            if version is not None:
                window.load(start, HEADER_MAX)
                frames = decode_run(window.data, 0, start, version, payload_max)
            if not frames:
                frame = frame_at(window, start, version, payload_max)
                if isinstance(frame, Fault):
                    raise_fault(frame, path=path, offset=start)
                frames = [frame]
            start = frames[-1].end
            if start > end:
                frames = [frame for frame in frames if frame.offset < end]
            yield from frames


def frame_at(
    window: Window, offset: int, version: Version | None, payload_max: int
) -> Frame | Fault:
    """Return the sound frame at `offset`, or why there is none.

    Nothing larger than `payload_max`, or than the file, is ever read for it.
    """
    data = window.at(offset, HEADER_MAX)
    if len(data) < MAGIC_SIZE:
        return ending_fault(data, len(data), version)
    fault = magic_fault(data[:MAGIC_SIZE], version)
    if fault is not None:
        return fault
    version = VERSION_OF[data[:MAGIC_SIZE]]
    size = HEADER[version].size
    if len(data) < size:
        return Fault("truncated_header", size, len(data))
    header = unpack_header(data, 0, version)
    fault = header_fault(header, version, payload_max)
    if fault is not None:
        return fault
    have = window.size - offset
    if have < size + header.payload_len:
        return Fault("truncated_payload", size + header.payload_len, have)
    payload = window.at(offset + size, header.payload_len)
    found = crc32(payload)
    if found != header.payload_crc32:
        return Fault("crc_mismatch", header.payload_crc32, found)
    return frame_of(offset, version, header, payload)
