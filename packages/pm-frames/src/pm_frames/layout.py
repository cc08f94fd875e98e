"""The byte layouts of .frames and .idx files, versions 1 and 2 (docs/spec/frames.md).

All integers are little-endian. A frame is a header and its payload; an idx entry repeats the offset, the
stamps, the length and the checksum of one frame. The .idx file has no magic: its version is that of the
first frame of its .frames file.
"""

from __future__ import annotations

from enum import IntEnum, IntFlag
from struct import Struct
from typing import Final


class Version(IntEnum):
    """Schema version of a shard; one version per file pair."""

    V1 = 1
    V2 = 2


class Flag(IntFlag):
    """Frame flags: the low byte is critical (unknown bits are refused), the high byte ancillary."""

    TEXT = 0x0001
    BINARY = 0x0002
    REENCODED = 0x0004
    FIRST = 0x0100
    KEEPALIVE = 0x0200
    SALVAGED = 0x8000


CRITICAL_KNOWN: Final = 0x0007
CRITICAL_UNKNOWN: Final = 0x00FF & ~CRITICAL_KNOWN

MAGIC_SIZE: Final = 8
MAGIC: Final = {Version.V1: b"PMCAPv01", Version.V2: b"PMCAPv02"}
VERSION_OF: Final = {magic: version for version, magic in MAGIC.items()}

# magic, schema_version, flags, rx_mono_ns, [rx_wall_ns_utc,] payload_len, payload_crc32
HEADER: Final = {Version.V1: Struct("<8sHHQII"), Version.V2: Struct("<8sHHQQII")}
# offset_frames, rx_mono_ns, [rx_wall_ns_utc,] payload_len, payload_crc32
IDX: Final = {Version.V1: Struct("<QQII"), Version.V2: Struct("<QQQII")}

HEADER_MAX: Final = max(layout.size for layout in HEADER.values())
PAYLOAD_MAX: Final = 64 * 1024 * 1024  # bytes; writers refuse more, readers report more
STAMP_MAX: Final = 2**64 - 1


def header_size(version: int) -> int:
    """Return the bytes of a frame header: 28 for version 1, 36 for version 2."""
    return HEADER[Version(version)].size


def idx_size(version: int) -> int:
    """Return the bytes of an idx entry: 24 for version 1, 32 for version 2."""
    return IDX[Version(version)].size
