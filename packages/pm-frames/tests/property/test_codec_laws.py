"""Laws of the frame codec, for any frames and any damage."""

from __future__ import annotations

import hashlib
import tempfile
from itertools import pairwise
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from pm_frames.damage import KINDS, Damage
from pm_frames.errors import BundleError
from pm_frames.frames import Frame, FrameDecoder, encode_frame, read_frames
from pm_frames.index import rebuild_index
from pm_frames.layout import STAMP_MAX, Version
from pm_frames.scan import scan_shard
from pm_frames.shard import Shard
from pm_frames.writer import ShardWriter

INNER = encode_frame(b"inner", rx_mono_ns=5, rx_wall_ns_utc=6, flags=1)
INNER_V1 = encode_frame(b"inner", rx_mono_ns=5, rx_wall_ns_utc=None, flags=1, version=1)

payloads = st.one_of(
    st.binary(max_size=60),
    st.sampled_from([b"", b"PONG", b"PMCAPv02", b"PMCAPv01", bytes(40)]),
    st.builds(lambda a, b: a + INNER + b, st.binary(max_size=9), st.binary(max_size=9)),
    st.builds(lambda a, b: a + INNER_V1 + INNER_V1 + b, st.binary(max_size=9), st.just(b"")),
)
flags = st.builds(lambda low, high: low | high << 8, st.integers(0, 7), st.integers(0, 255))
reads = st.lists(
    st.tuples(st.integers(0, 50), st.lists(st.tuples(flags, payloads), max_size=4)), max_size=8
)
versions = st.sampled_from(list(Version))
PLACES = 10_000  # a place in a file, as a fraction of its size


def write(
    directory: Path, version: Version, session: list[tuple[int, list[tuple[int, bytes]]]]
) -> Shard:
    writer = ShardWriter(directory, 0, version=version)
    mono = 0
    for step, frames in session:
        mono += step
        writer.append(frames, rx_mono_ns=mono, rx_wall_ns_utc=10**18 - mono)
    writer.close()
    assert writer.digests() == tuple(
        hashlib.sha256(path.read_bytes()).hexdigest()
        for path in (writer.frames_path, writer.idx_path)
    )
    return Shard(0, writer.frames_path, writer.idx_path)


@given(version=versions, session=reads)
@settings(max_examples=150, deadline=None)
def test_every_reader_reads_what_was_written(
    version: Version, session: list[tuple[int, list[tuple[int, bytes]]]]
) -> None:
    """Payload bytes exact (R109); index entries align 1:1 (R102); the idx can be rebuilt (R119)."""
    with tempfile.TemporaryDirectory() as directory:
        shard = write(Path(directory), version, session)
        frames = list(shard.frames())
        assert [(f.flags, f.payload) for f in frames] == [f for _, read in session for f in read]
        assert frames == list(read_frames(shard.frames_path))
        assert frames == list(scan_shard(shard.frames_path, shard.idx_path))
        assert frames == list(scan_shard(shard.frames_path, None))
        again = Path(directory) / "again.idx"
        assert rebuild_index(shard.frames_path, again) == len(frames)
        assert again.read_bytes() == shard.idx_path.read_bytes()


@given(
    payload=payloads,
    mono=st.integers(0, STAMP_MAX),
    wall=st.integers(0, STAMP_MAX),
    flag=flags,
    version=versions,
    cuts=st.lists(st.integers(0, 200), max_size=8),
)
def test_a_frame_survives_any_cutting_of_the_stream(
    payload: bytes, mono: int, wall: int, flag: int, version: Version, cuts: list[int]
) -> None:
    """One record per received frame, whole, however the bytes arrive."""
    data = encode_frame(
        payload, rx_mono_ns=mono, rx_wall_ns_utc=wall, flags=flag, version=version
    ) * 2  # fmt: skip
    decoder = FrameDecoder()
    frames = []
    borders = sorted({0, len(data), *(cut for cut in cuts if cut < len(data))})
    for start, end in pairwise(borders):
        frames += decoder.feed(data[start:end])
    decoder.close()
    assert [frame.payload for frame in frames] == [payload, payload]
    assert {frame.rx_wall_ns_utc for frame in frames} == {None if version == 1 else wall}
    assert {(frame.rx_mono_ns, frame.flags) for frame in frames} == {(mono, flag)}


edits = st.tuples(
    st.sampled_from(["overwrite", "insert", "delete", "truncate"]),
    st.integers(0, PLACES),
    st.integers(1, 90),
    st.binary(min_size=1, max_size=90),
)


def edited(data: bytes, edit: tuple[str, int, int, bytes]) -> bytes:
    action, place, length, content = edit
    at = place * len(data) // PLACES
    if action == "overwrite":
        return (data[:at] + content + data[at + len(content) :])[: len(data)]
    if action == "insert":
        return data[:at] + content + data[at:]
    if action == "delete":
        return data[:at] + data[at + length :]
    return data[:at]


@given(
    version=versions,
    session=reads,
    frames_edits=st.lists(edits, max_size=3),
    idx_edits=st.lists(edits, max_size=2),
    with_idx=st.booleans(),
)
@settings(max_examples=600, deadline=None)
def test_any_damage_is_survived_and_every_byte_accounted_for(
    version: Version,
    session: list[tuple[int, list[tuple[int, bytes]]]],
    frames_edits: list[tuple[str, int, int, bytes]],
    idx_edits: list[tuple[str, int, int, bytes]],
    with_idx: bool,
) -> None:
    """The scan never raises, and frames and holes together are the file, in order, without overlap."""
    with tempfile.TemporaryDirectory() as directory:
        shard = write(Path(directory), version, session)
        before = list(shard.frames())
        originals = shard.frames_path.read_bytes(), shard.idx_path.read_bytes()
        data, index = originals
        for edit in frames_edits:
            data = edited(data, edit)
        for edit in idx_edits:
            index = edited(index, edit)
        shard.frames_path.write_bytes(data)
        shard.idx_path.write_bytes(index)
        items = list(scan_shard(shard.frames_path, shard.idx_path if with_idx else None))
        place = 0
        for item in items:
            if isinstance(item, Frame):
                assert item.offset == place
                place = item.end
                continue
            assert item.kind in KINDS
            if item.file == "frames":
                assert item.offset == place
                if item.extent != "entry" and item.kind != "idx_offset_mismatch":
                    place = item.end
        assert place == len(data)
        found = [item for item in items if isinstance(item, Frame)]
        damages = [item for item in items if isinstance(item, Damage)]
        if (data, index) == originals:
            assert (found, damages) == (before, [])
        elif not damages and with_idx:
            check_only_flags_or_ends_differ(before, found)
        in_place = all(action in ("overwrite", "truncate") for action, *_ in frames_edits)
        if with_idx and index == originals[1] and in_place:
            # With the idx as it was, nothing from inside a payload comes to light.
            known = {frame.payload for frame in before}
            assert {frame.payload for frame in found} <= known
        strict_agrees(shard, found, damaged=bool(damages) or not with_idx)


def check_only_flags_or_ends_differ(before: list[Frame], found: list[Frame]) -> None:
    """What an idx cannot notice: flags, and pairs that were lost together at the end."""
    assert [frame._replace(flags=0) for frame in found] == [
        frame._replace(flags=0) for frame in before[: len(found)]
    ]


def strict_agrees(shard: Shard, found: list[Frame], *, damaged: bool) -> None:
    """The strict reader reads what the scan found, or raises one of our errors."""
    try:
        strict = list(shard.frames())
    except BundleError:
        assert damaged
    else:
        assert strict == found
