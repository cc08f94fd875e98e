"""A text message as the bytes of one unmasked, unfragmented WebSocket frame (RFC 6455, 5.2).

Built once and written to every subscriber, which a library's send method cannot do.
"""

import struct
from typing import NamedTuple

TEXT_FIN = 0x81
_SHORT = struct.Struct("!BB")
_MEDIUM = struct.Struct("!BBH")
_LONG = struct.Struct("!BBQ")


class Outgoing(NamedTuple):
    """Messages that leave together: their payloads, and their frames as one run of bytes."""

    payloads: tuple[bytes, ...]
    wire: bytes


def text_frame(payload: bytes) -> bytes:
    """Frame one text message."""
    size = len(payload)
    if size < 126:
        return _SHORT.pack(TEXT_FIN, size) + payload
    if size < 65_536:
        return _MEDIUM.pack(TEXT_FIN, 126, size) + payload
    return _LONG.pack(TEXT_FIN, 127, size) + payload


def outgoing(*payloads: bytes) -> Outgoing:
    """Frame messages that leave together."""
    return Outgoing(payloads, b"".join(map(text_frame, payloads)))
