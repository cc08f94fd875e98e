from collections.abc import Iterator
from pathlib import Path

import pytest

from pm_frames.errors import BundleError, CorruptFrame
from pm_frames.frames import Frame
from pm_frames.layout import Version
from pm_frames.merge import merge, merge_with_records
from pm_frames.shard import Shard
from pm_frames.writer import ShardWriter


class Stamps:
    """A shard that is a list of stamps; counts what was taken from it."""

    def __init__(self, shard_id: int, stamps: list[int]) -> None:
        self.shard_id = shard_id
        self.frames_path = Path(f"shard_{shard_id:02d}.frames")
        self.stamps = stamps
        self.taken = 0

    def frames(self) -> Iterator[Frame]:
        for ordinal, stamp in enumerate(self.stamps):
            self.taken += 1
            yield Frame(ordinal * 40, 2, 1, stamp, 0, 0, b"")


def write_shard(capture: Path, shard_id: int, stamps: list[int], version: Version) -> Shard:
    writer = ShardWriter(capture, shard_id, version=version)
    for stamp in stamps:
        payload = f"{shard_id}@{stamp}".encode()
        writer.append([(1, payload)], rx_mono_ns=stamp, rx_wall_ns_utc=stamp + 10**18)
    writer.close()
    stem = capture / f"shard_{shard_id:02d}"
    return Shard(shard_id, stem.with_suffix(".frames"), stem.with_suffix(".idx"))


def test_the_order_is_stamp_then_shard_then_ordinal() -> None:
    shards = [Stamps(10, [5, 5, 7]), Stamps(2, [5, 6, 6, 9]), Stamps(0, []), Stamps(1, [6])]
    assert [(frame.rx_mono_ns, shard, ordinal) for shard, ordinal, frame in merge(shards)] == [
        (5, 2, 0),
        (5, 10, 0),
        (5, 10, 1),
        (6, 1, 0),
        (6, 2, 1),
        (6, 2, 2),
        (7, 10, 2),
        (9, 2, 3),
    ]


def test_versions_mix(tmp_path: Path) -> None:
    shards = [
        write_shard(tmp_path, 0, [1, 3], Version.V1),
        write_shard(tmp_path, 1, [1, 2], Version.V2),
    ]
    merged = [(frame.payload, frame.version, frame.rx_wall_ns_utc) for _, _, frame in merge(shards)]
    assert merged == [
        (b"0@1", 1, None),
        (b"1@1", 2, 10**18 + 1),
        (b"1@2", 2, 10**18 + 2),
        (b"0@3", 1, None),
    ]


def test_nothing_is_read_ahead() -> None:
    shards = [Stamps(0, list(range(0, 100, 2))), Stamps(1, list(range(1, 100, 2)))]
    merged = merge(shards)
    for count in range(1, 41):
        next(merged)
        assert sum(shard.taken for shard in shards) <= count + len(shards)


def test_a_shard_that_goes_back_is_named_with_ordinal_and_both_stamps() -> None:
    merged = merge([Stamps(0, [1, 9]), Stamps(7, [2, 8, 4])])
    assert [shard for shard, _, _ in (next(merged), next(merged))] == [0, 7]
    with pytest.raises(CorruptFrame, match="shard 7: frame 2 is stamped before") as caught:
        list(merged)
    assert caught.value.kind == "mono_backwards"
    assert caught.value.path == Path("shard_07.frames")
    assert caught.value.offset == 80
    assert caught.value.expected == "at least 8"
    assert caught.value.found == 4


def test_two_shards_of_one_number_are_a_mistake_of_the_caller() -> None:
    with pytest.raises(ValueError, match="same number"):
        merge([Stamps(1, []), Stamps(1, [])])


def test_no_shards_no_frames() -> None:
    assert list(merge([])) == []
    assert list(merge_with_records([], [])) == []


def test_records_come_before_frames_of_the_same_stamp_as_shard_minus_one() -> None:
    records = [
        {"record_type": "ws_connect", "ts_mono_ns": 1},
        {"record_type": "disconnect", "ts_mono_ns": 5},
        {"record_type": "capture_stop", "ts_mono_ns": 5},
    ]
    merged = merge_with_records([Stamps(0, [5, 6])], records)
    assert [(shard, ordinal) for shard, ordinal, _ in merged] == [
        (-1, 0),
        (-1, 1),
        (-1, 2),
        (0, 0),
        (0, 1),
    ]


def test_records_that_go_back_are_told() -> None:
    records = [
        {"record_type": "ws_connect", "ts_mono_ns": 4},
        {"record_type": "disconnect", "ts_mono_ns": 3},
    ]
    with pytest.raises(BundleError, match=r"continuity record 1 \(disconnect\)") as caught:
        list(merge_with_records([], records, runlog_path=Path("runlog.ndjson")))
    assert (caught.value.expected, caught.value.found) == ("at least 4", 3)
    assert caught.value.path == Path("runlog.ndjson")
