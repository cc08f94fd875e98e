"""The ends of shards are whole records."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from pm_capture.last_frames import Tail, tail
from pm_frames import FrameDecoder, ShardWriter
from pm_frames.errors import WriteFailed
from pm_frames.frames import Frame


def decoded(data: bytes) -> list[Frame]:
    decoder = FrameDecoder()
    frames = decoder.feed(data)
    decoder.close()
    return frames


def written(folder: Path, sizes: list[int], version: int = 2) -> ShardWriter:
    folder.mkdir()
    shard = ShardWriter(folder, 0, version=version)
    for number, size in enumerate(sizes):
        shard.append([(1, bytes([number % 256]) * size)], rx_mono_ns=number, rx_wall_ns_utc=number)
    return shard


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(
    st.lists(st.integers(0, 200), max_size=20),
    st.integers(1, 25),
    st.integers(0, 2000),
    st.sampled_from([1, 2]),
)
def test_a_tail_is_the_longest_end_of_whole_records_within_the_bounds(
    tmp_path_factory: pytest.TempPathFactory,
    sizes: list[int],
    frames_max: int,
    bytes_max: int,
    version: int,
) -> None:
    shard = written(tmp_path_factory.mktemp("t") / "c", sizes, version)
    found = tail(shard, frames_max=frames_max, bytes_max=bytes_max)
    frames = decoded(found.data)
    whole = shard.frames_path.read_bytes()
    assert whole.endswith(found.data)
    assert len(found.data) <= bytes_max
    assert len(frames) <= frames_max
    if len(frames) < min(len(sizes), frames_max):
        header = 36 if version == 2 else 28
        assert len(found.data) + header + sizes[-len(frames) - 1] > bytes_max
    assert [one["rx_mono_ns"] for one in found.headers] == [
        *range(max(0, len(sizes) - min(10, frames_max)), len(sizes))
    ]
    shard.close()


def test_torn_bytes_and_missing_entries_do_not_matter(
    tmp_path: Path, full_disk: Callable[..., Any]
) -> None:
    # No entry fits, every frame does.
    shard = ShardWriter(tmp_path, 0, files=full_disk(10, ".idx"))
    with pytest.raises(WriteFailed):
        shard.append([(1, b"one"), (1, b"two")], rx_mono_ns=1, rx_wall_ns_utc=1)
    with shard.frames_path.open("ab") as file:
        file.write(b"torn")
    found = tail(shard)
    assert [frame.payload for frame in decoded(found.data)] == [b"one", b"two"]
    assert found.headers == []
    shard.close()


def test_a_shard_without_frames_has_no_end(tmp_path: Path) -> None:
    shard = ShardWriter(tmp_path, 0)
    assert tail(shard) == Tail(b"", [])
    shard.close()
