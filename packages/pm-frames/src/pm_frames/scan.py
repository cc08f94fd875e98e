"""The tolerant scan: every sound frame of a shard, and everything that is not as it was written.

With an idx, its offsets say where frames begin, before any search, and every frame that is found after
damage must be the one that an entry describes (stamps, length and checksum): frames inside the payload of
another frame are never taken for frames of the shard. A sound frame that stands where the one before it
ends is read even if its entry disagrees, which is reported. Without an idx, and after the last entry of a
short one, `pm_frames.resync` says what is promised. Streaming: memory is two windows and one frame,
whatever the file says about its lengths.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Final, NamedTuple

from pm_frames.damage import Damage
from pm_frames.errors import MissingFile
from pm_frames.frames import Frame, decode_run, frame_at
from pm_frames.index import IndexCursor
from pm_frames.judge import Judge
from pm_frames.layout import (
    HEADER,
    MAGIC,
    MAGIC_SIZE,
    PAYLOAD_MAX,
    VERSION_OF,
    Version,
)
from pm_frames.resync import find_magic
from pm_frames.window import Window

PROBE_SPAN: Final = 1 << 16


class Start(NamedTuple):
    """Where a scan begins: behind `ordinal` frames that are known to be right, with their entries.

    `offset` is where the last of them ends, `last_mono` its `rx_mono_ns`.
    """

    offset: int = 0
    ordinal: int = 0
    last_mono: int = 0


def scan_shard(
    frames_path: Path,
    idx_path: Path | None,
    *,
    version: Version | None = None,
    payload_max: int = PAYLOAD_MAX,
    start: Start = Start(),  # noqa: B008 - a tuple
) -> Iterator[Frame | Damage]:
    """Yield the sound frames and the damage of a shard, in file order.

    A frame is yielded if it is sound by itself; if only its entry or its place in time disagrees, the
    `Damage` (extent `entry`) comes right before it. `idx_path` None scans without an idx; a path
    that is not there is reported as `idx_missing`. `version` None is the first frame's, or, if that is
    damaged, the one with which the idx makes sense. Sizes are taken once, the idx first, so that a
    shard that still grows is seen as it was at some moment. From a `start` on, exactly what a scan of the
    whole would yield there. Raises `MissingFile` if there is no .frames file; damage never raises.
    """
    with ExitStack() as stack:
        idx_window: Window | None = None
        if idx_path is not None:
            try:
                idx_window = stack.enter_context(Window(idx_path))
            except MissingFile:
                yield Damage("idx_missing", "idx", 0, 0, None, "tail")
        window = stack.enter_context(Window(frames_path))
        probe = stack.enter_context(Window(frames_path, span=PROBE_SPAN))
        probe.size = window.size
        if version is None:
            version = find_version(probe, idx_window, payload_max)
        cursor = None if idx_window is None else IndexCursor(idx_window, version)
        judge = Judge(probe, cursor, version, payload_max)
        judge.advance(start.ordinal, start.offset, start.last_mono)
        while judge.offset < window.size:
            yield from _sound_frames(window, judge)
            if judge.offset < window.size:
                yield from judge.judge()
        yield from judge.ending()


def find_version(frames: Window, idx: Window | None, payload_max: int) -> Version:
    """Return the version of a shard: its first magic, or else what the idx or a later frame says."""
    magic = frames.at(0, MAGIC_SIZE)
    if magic in VERSION_OF:
        return VERSION_OF[magic]
    if idx is not None:
        cursors = [IndexCursor(idx, version) for version in (Version.V2, Version.V1)]
        # Without torn bytes before with them; the sort is stable.
        for cursor in sorted(cursors, key=lambda cursor: cursor.torn_bytes > 0):
            if _makes_sense(cursor):
                return cursor.version
    common = MAGIC[Version.V2][:-1]
    for offset in find_magic(frames, 1, frames.size, common):
        if isinstance(frame := frame_at(frames, offset, None, payload_max), Frame):
            return Version(frame.version)
    return Version.V2


def _makes_sense(cursor: IndexCursor) -> bool:
    """Return whether the first entries, read in the cursor's version, follow from one another."""
    first, second = cursor.get(0), cursor.get(1)
    if first is None or first.offset_frames != 0:
        return False
    end = HEADER[cursor.version].size + first.payload_len
    return second is None or second.offset_frames == end


def _sound_frames(window: Window, judge: Judge) -> Iterator[Frame]:
    """Yield frames for as long as everything about them is right."""
    while judge.offset < window.size:
        # A frame larger than the window gives no run here; the judge reads those one by one.
        window.load(judge.offset, judge.header_bytes)
        entries = None
        if judge.cursor is not None and judge.ordinal < judge.cursor.count:
            entries = judge.cursor.block(judge.ordinal)
        frames = decode_run(
            window.data,
            0,
            judge.offset,
            judge.version,
            judge.payload_max,
            last_mono=judge.last_mono,
            entries=entries,
            shift=judge.shift,
        )
        if not frames:
            return
        yield from frames
        judge.advance(len(frames), frames[-1].end, frames[-1].rx_mono_ns)
