"""What the tolerant scan reports, and the registry of its kind words (docs/spec/frames.md, section 7)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final, Literal

KINDS: Final = {
    # At the place of a frame.
    "bad_magic": "the bytes are not the magic of any version",
    "mixed_versions": "a frame of another version than the first",
    "bad_version": "`schema_version` is not the version that the magic states",
    "unknown_flags": "a critical flag bit that is not defined; the frame is refused",
    "length_over_limit": "`payload_len` is over the limit",
    "length_mismatch": "`payload_len` is wrong: checksum or idx prove another length",
    "crc_mismatch": "the payload does not match `payload_crc32`",
    "mono_backwards": "`rx_mono_ns` is before that of the frame before it",
    "truncated_header": "the file ends inside a header",
    "truncated_payload": "the file ends inside a payload",
    "zero_tail": "nothing but zero bytes up to the end of the file",
    "trailing_garbage": "bytes after the last frame in which no frame can be found",
    # Where a frame and its entry do not agree.
    "idx_offset_mismatch": "`offset_frames` is not where the frame begins",
    "idx_mono_mismatch": "`rx_mono_ns` differs; which side is right cannot be told",
    "idx_wall_mismatch": "`rx_wall_ns_utc` differs; which side is right cannot be told",
    "idx_length_mismatch": "the entry's `payload_len` differs; the frame's is proved by its checksum",
    "idx_crc_mismatch": "the entry's `payload_crc32` differs; the frame's is proved by its payload",
    "frame_missing": "the idx lists a frame that is not in the .frames file",
    "frame_not_indexed": "a sound frame that the idx does not list, between two that it does",
    "idx_extra_entry": "an entry that has no frame and no room for one",
    # The idx as a file.
    "idx_missing": "there is no .idx file",
    "idx_torn": "the .idx file ends inside an entry, or in zero bytes",
    "idx_short": "whole frames follow after the last entry",
    "idx_long": "entries follow after the last frame",
}

# One word for each field of an idx entry, in the order of the entry.
FIELD_KINDS: Final = (
    "idx_offset_mismatch",
    "idx_mono_mismatch",
    "idx_wall_mismatch",
    "idx_length_mismatch",
    "idx_crc_mismatch",
)

# What a killed process or a power cut can leave at the end of an unsealed shard.
TORN: Final = frozenset(
    {"truncated_header", "truncated_payload", "zero_tail", "idx_torn", "idx_short", "idx_long"}
)


@dataclass(frozen=True, slots=True)
class Damage:
    """Something in a shard that is not as it was written.

    `kind` is a key of `KINDS`. The bytes from `offset` to before `end` of `file` are affected (the same
    number twice where something is absent). `ordinal` is the position in the idx, counted from 0; None
    where it belongs to no entry. `extent` says what follows in that file:

    - `tail`: nothing readable; with a kind of `TORN` this is a torn tail
    - `hole`: readable frames; bytes in the middle are damaged
    - `entry`: the frame is sound and is yielded too, right after this; only the idx or time disagrees
    """

    kind: str
    file: Literal["frames", "idx"]
    offset: int
    end: int
    ordinal: int | None
    extent: Literal["tail", "hole", "entry"]
    expected: object = None
    found: object = None
    detail: str = ""

    @property
    def torn(self) -> bool:
        """True for what a crash can leave at the end: nothing before it is in doubt."""
        return self.kind in TORN and self.extent == "tail"
