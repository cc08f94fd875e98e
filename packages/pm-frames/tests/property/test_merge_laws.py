"""Laws of the merge order."""

from collections.abc import Iterator
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from pm_frames.frames import Frame
from pm_frames.merge import merge, merge_with_records

STAMPS = st.lists(st.integers(0, 12), max_size=8).map(sorted)


class Stamps:
    def __init__(self, shard_id: int, stamps: list[int]) -> None:
        self.shard_id = shard_id
        self.frames_path = Path("x")
        self.stamps = stamps

    def frames(self) -> Iterator[Frame]:
        return iter([Frame(i, 2, 1, stamp, 0, 0, b"") for i, stamp in enumerate(self.stamps)])


@given(st.dictionaries(st.integers(0, 200), STAMPS, max_size=6), STAMPS)
def test_merging_is_sorting(shards: dict[int, list[int]], records: list[int]) -> None:
    """Order: (rx_mono_ns, shard_id, idx_i); continuity records merge as shard -1."""
    sources = [Stamps(number, stamps) for number, stamps in shards.items()]
    expected = sorted(
        (stamp, number, ordinal)
        for number, stamps in shards.items()
        for ordinal, stamp in enumerate(stamps)
    )
    merged = [(frame.rx_mono_ns, number, ordinal) for number, ordinal, frame in merge(sources)]
    assert merged == expected

    notes = [{"record_type": "ws_connect", "ts_mono_ns": stamp} for stamp in records]
    both = merge_with_records(sources, notes)
    assert [(number, ordinal) for number, ordinal, _ in both] == [
        (number, ordinal)
        for _, number, ordinal in sorted(
            expected + [(stamp, -1, ordinal) for ordinal, stamp in enumerate(records)]
        )
    ]
