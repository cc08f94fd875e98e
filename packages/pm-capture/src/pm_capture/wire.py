"""Cut a server's byte stream into WebSocket frames, so that whole data messages need no library.

    HEAD ──end of the HTTP response──► FRAMES ──anything irregular──► RAW (for good)

Nearly everything that the venue sends is an unfragmented text frame, and a general parser spends most of
a capture's time on it. Here such frames are cut out directly; everything else (control frames, fragments,
and all that follows an irregularity) is passed on as raw bytes, frame by whole frame, to the library,
which alone judges, answers and closes. What the two make of any stream together is what the library
alone would make of it; a property test holds them to that.

RFC 6455 section 5.2: byte 0 is FIN, three reserved bits and the opcode; byte 1 is MASK, which no server may
set, and the length, where 126 and 127 announce 16 and 64 more bits.
"""

from pm_frames import Flag

RAW = 0
FIN_TEXT = 0x81
FIN_BINARY = 0x82
FIN_CONT = 0x80
CONT = 0x00
CLOSE = 0x88
CONTROL = frozenset({CLOSE, 0x89, 0x8A})
CONTROL_BYTES_MAX = 125
CONTINUES = frozenset({CONT, FIN_CONT})
BEGINS = frozenset({0x01, 0x02, FIN_TEXT, FIN_BINARY})
FRAGMENTS = frozenset({0x01, 0x02, CONT, FIN_CONT})
TEXT = int(Flag.TEXT)
PLAIN = {FIN_TEXT: TEXT, FIN_BINARY: int(Flag.BINARY)}


class HeadSplitter:
    """Find the end of the HTTP response, behind which the first frame begins."""

    def __init__(self) -> None:
        self._tail = b""

    def feed(self, data: bytes) -> tuple[bytes, bytes | None]:
        """Return what belongs to the response, and what follows it, or None while it goes on."""
        searched = self._tail + data
        at = searched.find(b"\r\n\r\n")
        if at < 0:
            self._tail = searched[-3:]
            return data, None
        end = at + 4 - len(self._tail)
        return data[:end], data[end:]


class FrameSplitter:
    """Turn reads into (flag, payload) of whole data messages and (`RAW`, bytes) of everything else."""

    def __init__(self, payload_max: int) -> None:
        """Take payloads up to `payload_max` bytes, which is at least what 16 bits of length can say."""
        if payload_max < 0xFFFF:
            raise ValueError(f"payload_max must be at least {0xFFFF}, found {payload_max}")
        self._payload_max = payload_max
        self._raw = False
        self._fragmented = False
        self._fragment_bytes = 0
        # The beginning of a frame whose end has not come, and how long it has to be to go on.
        self._rest = bytearray()
        self._needed = 0

    def feed(self, data: bytes) -> list[tuple[int, bytes]]:
        """Cut what one read brought, together with what was left of the last one."""
        if self._raw:
            return [(RAW, data)]
        if self._rest:
            self._rest += data
            if len(self._rest) < self._needed:
                return []
            data = bytes(self._rest)
            self._rest.clear()
        found: list[tuple[int, bytes]] = []
        keep = found.append
        plain = not self._fragmented
        size = len(data)
        at = 0
        while 0 <= at < size:
            # The shortest way for what nearly every frame is: whole, text, of 126 bytes to 64 KiB.
            if size - at > 3 and data[at] == FIN_TEXT and data[at + 1] == 126 and plain:
                start = at + 4
                end = start + (data[at + 2] << 8 | data[at + 3])
                if end <= size:
                    keep((TEXT, data[start:end]))
                    at = end
                    continue
            at = self._cut_one(data, at, found)
            plain = not self._fragmented
        return found

    def _cut_one(self, data: bytes, at: int, found: list[tuple[int, bytes]]) -> int:
        """Cut the frame at `at`, whatever it is; return where the next begins, -1 if `data` is used up."""
        if at + 2 > len(data):
            return self._wait(data[at:], 2)
        short = data[at + 1]
        # A length byte above 127 is the mask bit, which no server may set. Two bytes are enough to
        # refuse that or an opcode, and the library, which does not wait for more, has to see them.
        if short > 127 or not self._regular(data[at], short if short < 126 else 0):
            return self._give_up(data[at:], found)
        extension = {126: 2, 127: 8}.get(short, 0)
        start = at + 2 + extension
        if start > len(data):
            return self._wait(data[at:], 2 + extension)
        length = int.from_bytes(data[start - extension : start], "big") if extension else short
        end = start + length
        if extension and not self._regular(data[at], length):
            return self._give_up(data[at:], found)
        if end > len(data):
            return self._wait(data[at:], end - at)
        first = data[at]
        if first in PLAIN:
            found.append((PLAIN[first], data[start:end]))
            return end
        found.append((RAW, data[at:end]))
        if first == CLOSE:
            return self._give_up(data[end:], found)
        if first in FRAGMENTS:
            self._fragmented = first != FIN_CONT
            self._fragment_bytes = self._fragment_bytes + length if self._fragmented else 0
        return end

    def _regular(self, first: int, length: int) -> bool:
        """Return whether a frame may stand here; what it may not, the library refuses for good."""
        if first in CONTROL:
            return length <= CONTROL_BYTES_MAX
        continues = first in CONTINUES
        if continues != self._fragmented or not (continues or first in BEGINS):
            return False
        return length <= self._payload_max - self._fragment_bytes

    def _wait(self, rest: bytes, needed: int) -> int:
        self._rest += rest
        self._needed = needed
        return -1

    def _give_up(self, rest: bytes, found: list[tuple[int, bytes]]) -> int:
        """Leave all that follows to the library: it will refuse it, or discard it after a close."""
        self._raw = True
        if rest:
            found.append((RAW, rest))
        return -1
