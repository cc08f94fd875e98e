"""Laws of the merge order."""

from collections.abc import Generator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from pm_frames.errors import BundleError
from pm_frames.frames import Frame
from pm_frames.merge import merge, merge_blocks, merge_with_records
from pm_frames.rows import FrameRow, rows_of

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


class Blocks(Stamps):
    """A shard that is read in blocks of a few frames, and that may be damaged behind its last one."""

    def __init__(self, shard_id: int, stamps: list[int], size: int, *, damaged: bool) -> None:
        super().__init__(shard_id, stamps)
        self.size = size
        self.damaged = damaged

    def frames(self) -> Iterator[Frame]:
        yield from super().frames()
        if self.damaged:
            raise BundleError(f"shard {self.shard_id} is damaged")

    def blocks(self) -> Generator[list[FrameRow], None, None]:
        frames = list(super().frames())
        for start in range(0, len(frames), self.size):
            yield rows_of(self.shard_id, start, frames[start : start + self.size])
        if self.damaged:
            raise BundleError(f"shard {self.shard_id} is damaged")


def taken(rows: Iterable[Any]) -> list[Any]:
    """Return what an iterator gives, and the error that ends it."""
    found: list[Any] = []
    try:
        for row in rows:
            found.append(row)  # noqa: PERF402  (what came before an error is kept)
    except BundleError as error:
        found.append(str(error))
    return found


@given(
    st.dictionaries(
        st.integers(0, 9), st.tuples(STAMPS, st.integers(1, 4), st.booleans()), max_size=5
    ),
    st.lists(st.integers(0, 12), max_size=6),
)
def test_blocks_merge_to_the_same_rows_and_the_same_error(
    shards: dict[int, tuple[list[int], int, bool]], records: list[int]
) -> None:
    sources = [
        Blocks(number, stamps, size, damaged=damaged)
        for number, (stamps, size, damaged) in shards.items()
    ]
    notes: list[Mapping[str, Any]]
    notes = [{"record_type": "ws_connect", "ts_mono_ns": stamp} for stamp in records]
    one_by_one = taken(
        (number, ordinal) for number, ordinal, _ in merge_with_records(sources, notes)
    )
    blocks = taken(merge_blocks(sources, notes))
    errors = [block for block in blocks if isinstance(block, str)]
    told = [block for block in blocks if not isinstance(block, str)]
    assert [(row[1], row[2]) for rows in told for row in rows] + errors == one_by_one
    assert all(len(rows) == 1 for rows in told if any(row[1] < 0 for row in rows))
