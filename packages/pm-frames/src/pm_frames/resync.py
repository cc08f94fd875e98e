"""Where frames go on after damage when no idx says so.

What is promised, for a file with one damaged place and no idx:

1. If the header is whole but for one field, the frame's end is *proved*, not searched: its length field with
   its checksum, or its checksum alone with each following magic (or the end of the file) taken as the
   end. Frames inside its payload are never taken for frames, and the next frame is the true next one.
2. If the payload is damaged, and a magic (or the end of the file) stands where the header says that the
   frame ends, that is believed.
3. A header that promises more bytes than the file has, and for which 1 finds nothing, is a torn tail:
   nothing after it is searched.
4. Only otherwise, when two or more header fields, or a header field and the payload, are ruined: the next
   magic that begins a frame sound in every respect *and* is followed by the end of the file, a second
   sound frame not earlier than itself, or a torn one. A payload that ends in embedded frames can
   deceive this rule, and no other. Behind the last entry of an idx it is used unless the frame of that
   entry is itself in ruins: bytes inserted there would bring its payload to light.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final, NamedTuple

from pm_frames.checksum import crc32
from pm_frames.frames import Fault, Frame, Header, frame_at, unpack_header
from pm_frames.layout import HEADER, MAGIC, MAGIC_SIZE, VERSION_OF, Version
from pm_frames.window import SPAN, Window

HEADER_WHOLE: Final = frozenset({"crc_mismatch", "length_over_limit", "truncated_payload"})


class Resumption(NamedTuple):
    """Where to go on; `length` is the payload length that was proved against the header's own."""

    offset: int
    length: int | None = None


def find_magic(window: Window, start: int, stop: int, magic: bytes) -> Iterator[int]:
    """Yield the offsets from `start` to before `stop` at which `magic` stands, in order."""
    overlap = len(magic) - 1
    stop = min(stop, window.size)
    while start < stop:
        data = window.at(start, min(SPAN, stop + overlap - start))
        found = data.find(magic)
        while 0 <= found and start + found < stop:
            yield start + found
            found = data.find(magic, found + 1)
        if len(data) <= overlap:
            return
        start += len(data) - overlap


def last_nonzero(window: Window) -> int:
    """Return the offset after the last byte that is not zero; 0 if there is none."""
    end = window.size
    while end > 0:
        start = max(0, end - SPAN)
        data = window.at(start, end - start)
        if data != bytes(len(data)):
            return start + len(data.rstrip(b"\0"))
        end = start
    return 0


def resume(
    window: Window, offset: int, fault: Fault, version: Version, payload_max: int
) -> Resumption:
    """Return where reading goes on after the `fault` at `offset`; the end of the file if nowhere."""
    data = window.at(offset, HEADER[version].size)
    if len(data) < HEADER[version].size:
        return Resumption(window.size)
    header = unpack_header(data, 0, version)
    if fault.kind in HEADER_WHOLE:
        proved = _ruined_length(window, offset, header, version, payload_max)
        if proved is not None:
            return proved
        if fault.kind == "truncated_payload":
            return Resumption(window.size)
    elif fault.kind == "mixed_versions":
        other = frame_at(window, offset, VERSION_OF[data[:MAGIC_SIZE]], payload_max)
        if isinstance(other, Frame):
            return Resumption(other.end)
    elif _payload_sound(window, offset, header, version, payload_max):
        return Resumption(offset + len(data) + header.payload_len)
    start = offset + 1
    if fault.kind == "crc_mismatch":
        # Damage that covers the end of one frame and the header of the next leaves this header right.
        start = offset + len(data) + header.payload_len
    return Resumption(_search(window, start, version, payload_max))


def _search(window: Window, start: int, version: Version, payload_max: int) -> int:
    """Return the first plausible frame from `start` on; the end of the file if there is none."""
    for candidate in find_magic(window, start, window.size, MAGIC[version]):
        if plausible(window, candidate, version, payload_max):
            return candidate
    return window.size


def plausible(window: Window, offset: int, version: Version, payload_max: int) -> bool:
    """Return whether a sound frame stands here and what follows it looks like a frame, or is the end."""
    size = HEADER[version].size
    data = window.at(offset, size)
    if len(data) < size:
        return False
    end = offset + size + unpack_header(data, 0, version).payload_len
    # The cheap look at what follows comes first: most candidates end here, unread.
    following = window.at(end, MAGIC_SIZE)
    if end > window.size or not MAGIC[version].startswith(following):
        return False
    frame = frame_at(window, offset, version, payload_max)
    if isinstance(frame, Fault):
        return False
    if end == window.size:
        return True
    second = frame_at(window, end, version, payload_max)
    if isinstance(second, Fault):
        return second.kind in ("truncated_header", "truncated_payload")
    return second.rx_mono_ns >= frame.rx_mono_ns


def follows(
    window: Window, offset: int, version: Version, payload_max: int, *, strict: bool
) -> bool:
    """Return whether the file ends or a magic stands here; if not `strict`, one but for one byte.

    More must not be forgiven: the frame may be one inside a payload, whose magic is ruined as well.
    """
    data = window.at(offset, HEADER[version].size)
    if MAGIC[version].startswith(data[:MAGIC_SIZE]):
        return True
    if strict or len(data) < HEADER[version].size:
        return False
    wrong = sum(a != b for a, b in zip(data, MAGIC[version], strict=False))
    header = unpack_header(data, 0, version)
    return wrong == 1 and _payload_sound(window, offset, header, version, payload_max)


def _starts(window: Window, offset: int, version: Version) -> bool:
    """Return whether the file ends here or a magic stands here."""
    return offset == window.size or window.at(offset, MAGIC_SIZE) == MAGIC[version]


def _payload_sound(
    window: Window, offset: int, header: Header, version: Version, payload_max: int
) -> bool:
    """Return whether length and checksum of a header with a ruined magic, version or flags hold."""
    start = offset + HEADER[version].size
    end = start + header.payload_len
    if header.payload_len > payload_max or end > window.size:
        return False
    if header.payload_len == 0:
        # Zero bytes have this checksum as well.
        return header.payload_crc32 == 0 and _starts(window, end, version)
    return crc32(window.at(start, header.payload_len)) == header.payload_crc32


def _ruined_length(
    window: Window, offset: int, header: Header, version: Version, payload_max: int
) -> Resumption | None:
    """Find the end of a frame whose length or payload is wrong and whose other fields are right."""
    start = offset + HEADER[version].size
    stated = start + header.payload_len
    limit = min(window.size, start + payload_max)
    believed = stated <= limit and _starts(window, stated, version)
    running = 0
    done = start
    for end in _ends(window, start, limit, MAGIC[version]):
        # Proof goes before belief: a ruined length may point at a frame inside this very payload.
        if believed and end > max(stated, start + SPAN):
            break
        while done < end:
            piece = window.at(done, min(SPAN, end - done))
            running = crc32(piece, running)
            done += len(piece)
        if running == header.payload_crc32 and end != stated:
            return Resumption(end, end - start)
    return Resumption(stated) if believed else None


def _ends(window: Window, start: int, limit: int, magic: bytes) -> Iterator[int]:
    """Yield every place at which a payload that begins at `start` could end."""
    yield from find_magic(window, start, limit + 1, magic)
    if limit == window.size:
        yield limit
