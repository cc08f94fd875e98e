"""Frames without a file: bytes that arrive on a pipe, judged as they come.

A clean stream is never stored. From the first damage on, what is left goes to a temporary file, where
the tolerant scan can look around in it.
"""

import tempfile
from collections import deque
from pathlib import Path
from typing import Final

from pm_frames.damage import Damage
from pm_frames.errors import CorruptFrame
from pm_frames.frames import Frame, FrameDecoder
from pm_frames.scan import scan_shard
from pm_verify.diagnosis import note_damage, note_frame
from pm_verify.findings import Scene
from pm_verify.shard_result import ShardResult
from pm_verify.sweep import Readable

READ_BYTES: Final = 1 << 20
NAME: Final = "-"


class StreamJudge:
    """Fills `result` with the frames and the damage of a stream, in their order."""

    def __init__(self) -> None:
        self.result = ShardResult(None, frames_path=NAME, idx_expected=False)
        self._scene = Scene(None)

    def take(self, item: Frame | Damage) -> None:
        """Take the next sound frame or the next damage."""
        if isinstance(item, Damage):
            note_damage(self.result, self._scene, item)
        else:
            note_frame(self.result, item)

    def take_in_order(self, frame: Frame) -> None:
        """Take the next sound frame, of which nobody has yet seen whether it goes back in time."""
        before = self.result.rx_mono_ns_last
        if before is not None and frame.rx_mono_ns < before:
            backwards = Damage(
                "mono_backwards",
                "frames",
                frame.offset,
                frame.end,
                self.result.records,
                "entry",
                expected=before,
                found=frame.rx_mono_ns,
            )
            self.take(backwards)
        self.take(frame)


def examine_stream(stream: Readable) -> ShardResult:
    """Read a stream of frames to its end. Raises OSError of the stream."""
    judge, decoder = StreamJudge(), FrameDecoder()
    pending: deque[bytes] = deque()
    start = total = 0
    try:
        while data := stream.read(READ_BYTES):
            pending.append(data)
            total += len(data)
            for frame in decoder.feed(data):
                judge.take_in_order(frame)
            while pending and start + len(pending[0]) <= decoder.offset:
                start += len(pending.popleft())
        decoder.close()
    except CorruptFrame:
        total = _examine_rest(judge, decoder, pending, start, stream)
    judge.result.frames_bytes = total
    return judge.result


def _examine_rest(
    judge: StreamJudge,
    decoder: FrameDecoder,
    pending: deque[bytes],
    start: int,
    stream: Readable,
) -> int:
    """Judge everything from the first damage on; return how long the stream was."""
    base, ordinal = decoder.offset, judge.result.records
    with tempfile.TemporaryDirectory(prefix="pm-verify-") as directory:
        path = Path(directory) / "rest.frames"
        with path.open("wb") as file:
            file.write(b"".join(pending)[base - start :])
            pending.clear()
            while data := stream.read(READ_BYTES):
                file.write(data)
            total = base + file.tell()
        first = True  # the scan cannot know what came before its first frame
        for item in scan_shard(path, None, version=decoder.version):
            moved = _moved(item, base, ordinal)
            if first and isinstance(moved, Frame):
                judge.take_in_order(moved)
                first = False
            else:
                judge.take(moved)
    return total


def _moved(item: Frame | Damage, base: int, ordinal: int) -> Frame | Damage:
    if isinstance(item, Frame):
        return item._replace(offset=item.offset + base)
    return Damage(
        item.kind,
        item.file,
        item.offset + base,
        item.end + base,
        None if item.ordinal is None else item.ordinal + ordinal,
        item.extent,
        item.expected,
        item.found,
        item.detail,
    )
