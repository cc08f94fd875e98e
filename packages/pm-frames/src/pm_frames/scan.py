"""The tolerant scan: every sound frame of a shard and every damage, in file order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from pm_frames.frames import Fault, Frame, frame_at
from pm_frames.layout import PAYLOAD_MAX, Version
from pm_frames.window import Window


@dataclass(frozen=True, slots=True)
class Damage:
    """Something in a shard that is not as it was written.

    `kind` is a stable word (docs/spec/frames.md). `offset` to before `end` are the bytes of `file`
    ("frames" or "idx") that are affected; `ordinal` is the idx position of the frame, None where there is
    none. `extent` is "tail" when nothing readable follows in the file, "hole" when something does, and
    "entry" when the frame itself is sound and only the idx, or its place in time, disagrees.
    """

    kind: str
    file: str
    offset: int
    end: int
    ordinal: int | None
    extent: str
    expected: object = None
    found: object = None
    detail: str = ""


def scan_shard(
    frames_path: Path,
    idx_path: Path | None,
    *,
    version: Version | None = None,
    payload_max: int = PAYLOAD_MAX,
) -> Iterator[Frame | Damage]:
    """Yield the sound frames and the damage of a shard."""
    with Window(frames_path) as window:
        offset = 0
        ordinal = 0
        while offset < window.size:
            frame = frame_at(window, offset, version, payload_max)
            if isinstance(frame, Fault):
                yield Damage(
                    frame.kind,
                    "frames",
                    offset,
                    window.size,
                    ordinal,
                    "tail",
                    frame.expected,
                    frame.found,
                )
                return
            yield frame
            offset = frame.end
            ordinal += 1
