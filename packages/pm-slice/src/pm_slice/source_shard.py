"""A shard that is cut: its frames by position and by time, and what is not sound in it told, not raised."""

from bisect import bisect_left
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from types import TracebackType
from typing import Final, NamedTuple, Self

from pm_frames.damage import FIELD_KINDS
from pm_frames.errors import CorruptFrame, CorruptIndex, MissingFile
from pm_frames.frames import Fault, Frame, frame_at
from pm_frames.index import IdxEntry, IndexCursor, entry_of
from pm_frames.layout import HEADER, Version
from pm_frames.scan import find_version
from pm_frames.shard import Shard
from pm_frames.window import Window

SPAN_SMALL: Final = 1 << 16


class Unsound(NamedTuple):
    """A frame that is not what its entry says, and so is not copied. `kind` is one of `KINDS`."""

    shard_id: int
    kind: str
    ordinal: int
    offset: int


class SourceShard:
    """The pairs of a shard at the moment when it was opened: whole frames with their whole entries."""

    def __init__(self, shard: Shard) -> None:
        """Open it; nothing that is wrong with it is raised, it has fewer pairs then.

        `problem` is the kind of what keeps frames from being read at all.
        """
        self.shard = shard
        self.shard_id = shard.shard_id
        self.problem: str | None = None
        self.count = 0
        self.version = Version.V2
        self._stack = ExitStack()
        try:
            idx_window = self._stack.enter_context(Window(shard.idx_path))
            self._window = self._stack.enter_context(Window(shard.frames_path, span=SPAN_SMALL))
        except MissingFile:
            self.problem = "idx_missing"
        else:
            # Of the idx or of a later frame where the first magic is damaged.
            shard.version = find_version(self._window, idx_window, shard.payload_max)
            self.version = shard.version
            self.cursor = IndexCursor(idx_window, self.version)
            self.count = shard.pairs()
        if self.problem is None:
            if self.count < self.cursor.count:
                self.problem = "idx_long"
            elif self.cursor.torn_bytes:
                self.problem = "idx_torn"
            elif self.end_offset() < self._window.size:
                self.problem = "idx_short"

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stack.close()

    def entry(self, ordinal: int) -> IdxEntry:
        """Return the entry of a pair."""
        entry = self.cursor.get(ordinal)
        assert entry is not None
        return entry

    def size_of(self, ordinal: int) -> int:
        """Return the bytes of a frame, by its entry."""
        return HEADER[self.version].size + self.entry(ordinal).payload_len

    def end_offset(self) -> int:
        """Return the offset after the last pair."""
        if not self.count:
            return 0
        return self.entry(self.count - 1).offset_frames + self.size_of(self.count - 1)

    def first_at(self, mono_ns: int, *, end: bool = False) -> int:
        """Return the first ordinal whose stamp is at or after `mono_ns`.

        An unsound frame has no stamp: one that stands between is behind this place, or, at the `end` of a
        window, before it, so that whoever reads the window meets it.
        """
        return self._first(lambda entry: entry.rx_mono_ns, mono_ns, end=end)

    def first_from(self, offset: int, *, end: bool = False) -> int:
        """Return the first ordinal whose frame begins at or after `offset`; `end` as in `first_at`."""
        return self._first(lambda entry: entry.offset_frames, offset, end=end)

    def _first(self, key: Callable[[IdxEntry], int], value: int, *, end: bool) -> int:
        """Bisect, and do not believe it: an entry that lies ends up beside the place that it moved."""
        ordinals = range(self.count)
        found = bisect_left(ordinals, value, key=lambda ordinal: key(self.entry(ordinal)))
        beside = [ordinal for ordinal in (found - 1, found) if 0 <= ordinal < self.count]
        if all(isinstance(self.frame(ordinal), Frame) for ordinal in beside):
            return found
        after_sound = 0
        for ordinal in ordinals:
            if isinstance(self.frame(ordinal), Frame):
                if key(self.entry(ordinal)) >= value:
                    return ordinal if end else after_sound
                after_sound = ordinal + 1
        return self.count if end else after_sound

    def frame(self, ordinal: int) -> Frame | Unsound:
        """Return the frame of one entry, believed only if both agree in everything."""
        entry = self.entry(ordinal)
        frame = frame_at(self._window, entry.offset_frames, self.version, self.shard.payload_max)
        if isinstance(frame, Fault):
            return Unsound(self.shard_id, frame.kind, ordinal, entry.offset_frames)
        for kind, there, said in zip(FIELD_KINDS, entry_of(frame), entry, strict=True):
            if there != said:
                return Unsound(self.shard_id, kind, ordinal, entry.offset_frames)
        return frame

    def frames(self, start: int, stop: int) -> Iterator[tuple[int, Frame | Unsound]]:
        """Yield (ordinal, frame) from `start` to before `stop`, and what is not sound in its place."""
        last_mono = 0
        ordinal = start
        while ordinal < stop:
            try:
                for frame in self.shard.frames(ordinal, stop):
                    if frame.rx_mono_ns < last_mono:
                        yield (
                            ordinal,
                            Unsound(self.shard_id, "mono_backwards", ordinal, frame.offset),
                        )
                    else:
                        yield ordinal, frame
                        last_mono = frame.rx_mono_ns
                    ordinal += 1
            except (CorruptFrame, CorruptIndex):
                item = self.frame(ordinal)
                if isinstance(item, Frame) and item.rx_mono_ns < last_mono:
                    item = Unsound(self.shard_id, "mono_backwards", ordinal, item.offset)
                yield ordinal, item
                if isinstance(item, Frame):
                    last_mono = item.rx_mono_ns
                ordinal += 1
