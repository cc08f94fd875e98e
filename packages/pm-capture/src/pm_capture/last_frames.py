"""The last frames of each shard, for whoever finds out what a fatal run died of.

They are read from the ends of the files when the run is over; while it lives nothing is kept in memory for
it. What is copied are whole records, as they stand in `.frames`, so every decoder of frames reads it.
"""

from dataclasses import dataclass
from pathlib import Path

from pm_frames import ShardWriter
from pm_frames.layout import IDX

FRAMES_MAX = 4096
BYTES_MAX = 1 << 20
HEADERS_MAX = 10


@dataclass(frozen=True, slots=True)
class Tail:
    """The end of a shard: its last records as bytes, and what the idx tells of the very last ones."""

    data: bytes
    headers: list[dict[str, int | None]]


def tail(shard: ShardWriter, *, frames_max: int = FRAMES_MAX, bytes_max: int = BYTES_MAX) -> Tail:
    """Read the last whole records: at most `frames_max` of them and `bytes_max` bytes in all.

    The shard need not be closed; bytes behind its last whole frame are left out. Raises OSError.
    """
    if not shard.frames:
        return Tail(b"", [])
    layout = IDX[shard.version]
    entries_total = shard.idx_bytes // layout.size
    # Frames whose entries could not be written are at the very end, and count too.
    wanted = max(0, min(entries_total, frames_max - (shard.frames - entries_total)))
    data = _read(shard.idx_path, shard.idx_bytes - wanted * layout.size, wanted * layout.size)
    entries = [layout.unpack_from(data, at) for at in range(0, len(data), layout.size)]
    offsets = [entry[0] for entry in entries]
    if not entries_total and shard.frames <= frames_max:
        offsets = [0]
    end = shard.frames_bytes
    start = next((offset for offset in offsets if end - offset <= bytes_max), end)
    return Tail(
        _read(shard.frames_path, start, end - start),
        [_header(entry) for entry in entries[-HEADERS_MAX:]],
    )


def _header(entry: tuple[int, ...]) -> dict[str, int | None]:
    # Version 1 has no wall clock.
    wall = entry[2] if len(entry) == 5 else None
    return {
        "offset_frames": entry[0],
        "rx_mono_ns": entry[1],
        "rx_wall_ns_utc": wall,
        "payload_len": entry[-2],
        "payload_crc32": entry[-1],
    }


def _read(path: Path, start: int, size: int) -> bytes:
    if not size:
        return b""
    with path.open("rb") as file:
        file.seek(start)
        return file.read(size)
