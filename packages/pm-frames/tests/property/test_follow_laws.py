"""Whenever and however often a growing bundle is looked at: the rounds together are its merge."""

import itertools
import json
import tempfile
from collections import deque
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from pm_frames.bundle import open_bundle
from pm_frames.follow import Follower
from pm_frames.frames import Frame, FrameDecoder, encode_frame
from pm_frames.index import encode_entry, entry_of
from pm_frames.merge import Item
from pm_frames.merged_records import MergedRecords
from pm_frames.paths import RUNLOG, WATERMARK, shard_paths
from pm_frames.runlog import read_runlog
from pm_frames.watermark import WatermarkWriter

FRAME = st.tuples(st.just("frame"), st.integers(0, 3), st.binary(max_size=12), st.integers(0, 2))
RECORD = st.tuples(
    st.just("record"), st.sampled_from(("ws_connect", "disconnect", "heartbeat")), st.integers(0, 2)
)
STEPS = st.lists(
    st.one_of(
        FRAME,
        FRAME,
        RECORD,
        st.tuples(st.just("write"), st.integers(1, 90)),
        st.tuples(st.just("flush")),
        st.tuples(st.just("publish")),
        st.tuples(st.just("publish")),
        st.tuples(st.just("read")),
        st.tuples(st.just("read some"), st.integers(0, 3)),
    ),
    max_size=40,
)


class Capture:
    """Writes as a capture does, a piece of bytes after the other, and can be stopped between any two bytes."""

    def __init__(self, run_dir: Path) -> None:
        self.run_dir = run_dir
        (run_dir / "capture").mkdir()
        self.alive = True
        self.clock = 1
        self.published = 0
        self.watermark = WatermarkWriter(run_dir / WATERMARK)
        self.sizes: dict[int, int] = {}
        self.unwritten: deque[tuple[Path, bytes]] = deque()

    def stamp(self, later: int) -> int:
        # What was published is past: nothing is stamped at it any more.
        self.clock = max(self.clock + later, self.published + 1)
        return self.clock

    def frame(self, shard: int, payload: bytes, later: int) -> None:
        frames, idx = shard_paths(self.run_dir, shard)
        data = encode_frame(payload, rx_mono_ns=self.stamp(later), rx_wall_ns_utc=1, flags=1)
        [frame] = FrameDecoder().feed(data)
        entry = entry_of(frame)._replace(offset_frames=self.sizes.get(shard, 0))
        self.sizes[shard] = self.sizes.get(shard, 0) + len(data)
        self.unwritten += [(frames, data), (idx, encode_entry(entry))]

    def record(self, kind: str, later: int) -> None:
        record = {"record_type": kind, "ts_mono_ns": self.stamp(later)}
        self.unwritten.append((self.run_dir / RUNLOG, json.dumps(record).encode() + b"\n"))

    def write(self, count: int) -> None:
        while self.unwritten and count > 0:
            path, data = self.unwritten.popleft()
            if len(data) > count:
                self.unwritten.appendleft((path, data[count:]))
            with path.open("ab") as file:
                file.write(data[:count])
            count -= len(data)

    def publish(self) -> None:
        if not self.unwritten:
            self.published = self.clock
            self.watermark.publish(self.clock)


def merged(run_dir: Path) -> list[tuple[int, int, Item]]:
    return list(open_bundle(run_dir, empty_ok=True).timeline(torn_ok=True))


@settings(deadline=None, max_examples=200)
@given(steps=STEPS, crash_bytes=st.one_of(st.none(), st.integers(0, 200)))
def test_following_is_merging(steps: list[tuple[Any, ...]], crash_bytes: int | None) -> None:
    with tempfile.TemporaryDirectory() as folder:
        run_dir = Path(folder)
        capture = Capture(run_dir)
        asked: list[object] = []
        chooses = MergedRecords()

        def wants(record: Any) -> bool:
            asked.append(record["ts_mono_ns"])
            return chooses(record)

        follower = Follower(run_dir, wants=wants, alive=lambda: capture.alive)
        got: list[tuple[int, int, Item]] = []
        for step in steps:
            match step:
                case ("frame", shard, payload, later):
                    capture.frame(shard, payload, later)
                case ("record", kind, later):
                    capture.record(kind, later)
                case ("write", count):
                    capture.write(count)
                case ("flush",):
                    capture.write(1 << 20)
                case ("publish",):
                    capture.publish()
                case ("read",):
                    got += follower.round()
                    # All that was published, and nothing else.
                    assert got == [
                        one for one in merged(run_dir) if stamp(one[2]) <= capture.published
                    ]
                case (_, count):
                    got += itertools.islice(follower.round(), count)
            assert not follower.ended
        capture.write(1 << 20 if crash_bytes is None else crash_bytes)
        capture.alive = False
        capture.watermark.close()
        got += follower.round()
        assert follower.ended
        assert got == merged(run_dir)
        assert follower.taken == len(got)
        path = run_dir / RUNLOG
        lines = [record["ts_mono_ns"] for record in read_runlog(path)] if path.is_file() else []
        assert asked == lines, "each record is judged once"


def stamp(item: Item) -> int:
    return item.rx_mono_ns if isinstance(item, Frame) else int(item["ts_mono_ns"])
