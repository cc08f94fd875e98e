"""Differential: an independent verifier of sixty lines against ours, and our engines against each other.

The reference reads both files whole and walks them record by record. It states the first record about
which anything is wrong, or that all is well.
"""

import struct
import tempfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pm_verify.findings import Finding
from pm_verify.sweep import Engine, plain
from pm_verify.verify import verify_files

Record = tuple[int, int, int, bytes]
BuildPair = Callable[[Sequence[Record], int], tuple[bytes, bytes]]
LIMIT = 64 << 20


def first_wrong(frames: bytes, idx: bytes) -> tuple[int, int] | None:
    """Return ordinal and offset of the first record about which anything is wrong, or None."""
    version = {b"PMCAPv01": 1, b"PMCAPv02": 2}.get(frames[:8])
    if version is None:
        return None if not frames and not idx else (0, 0)
    head, entry = {1: (28, 24), 2: (36, 32)}[version]
    at = ordinal = before = 0
    while at < len(frames) or ordinal * entry < len(idx):
        header = frames[at : at + head]
        stated = idx[ordinal * entry : (ordinal + 1) * entry]
        if len(header) < head or len(stated) < entry:
            return ordinal, at
        magic, schema, flags, mono = struct.unpack("<8sHHQ", header[:20])
        length, crc = struct.unpack("<II", header[-8:])
        payload = frames[at + head : at + head + length]
        right = (
            magic == (b"PMCAPv01", b"PMCAPv02")[version - 1]
            and schema == version
            and flags & 0xF8 == 0
            and mono >= before
            and length <= LIMIT
            and len(payload) == length
            and zlib.crc32(payload) == crc
            and stated == struct.pack("<Q", at) + header[12:]
        )
        if not right:
            return ordinal, at
        before, at, ordinal = mono, at + head + length, ordinal + 1
    return None


record = st.tuples(
    st.sampled_from([1, 2, 5, 0x101, 0x201, 0x8001]),
    st.integers(0, 40),
    st.integers(0, 2**64 - 1),
    st.one_of(st.binary(max_size=40), st.just(b"PMCAPv02"), st.just(b"PMCAPv02" + bytes(28))),
)
damage = st.tuples(
    st.sampled_from(["flip", "cut", "insert", "delete", "copy", "zero", "append"]),
    st.sampled_from(["frames", "idx"]),
    st.floats(0, 1, exclude_max=True),
    st.floats(0, 1, exclude_max=True),
    st.binary(min_size=1, max_size=40),
)


def damaged(data: bytes, kind: str, at: float, other: float, extra: bytes) -> bytes:
    start, size = int(at * len(data)), len(extra)
    match kind:
        case "flip" if data:
            changed = bytearray(data)
            changed[start] ^= 1 << int(other * 8)
            return bytes(changed)
        case "cut":
            return data[:start]
        case "insert":
            return data[:start] + extra + data[start:]
        case "delete":
            return data[:start] + data[start + size :]
        case "copy":
            source = int(other * len(data))
            return data[:start] + data[source : source + size] + data[start + size :]
        case "zero":
            return data[:start] + bytes(len(data[start : start + size])) + data[start + size :]
        case _:
            return data + extra


@pytest.fixture(scope="module")
def engines() -> dict[str, Engine]:
    """Every engine that this installation has."""
    found: dict[str, Engine] = {"plain": plain}
    numpy = pytest.importorskip("numpy", reason="the engine for batches needs numpy")
    assert numpy
    from pm_verify.vectorised import vectorised

    return {**found, "vectorised": vectorised}


@given(
    shard=st.lists(record, max_size=6),
    version=st.sampled_from([1, 2]),
    damages=st.lists(damage, max_size=3),
)
@settings(max_examples=400, deadline=None)
def test_same_verdict_as_the_reference(
    build_pair: BuildPair,
    engines: dict[str, Engine],
    shard: list[Record],
    version: int,
    damages: list[tuple[str, str, float, float, bytes]],
) -> None:
    """A shard is clean here and there, or its first wrong record is the same; engines agree in all."""
    ordered = sorted(shard, key=lambda item: item[1])
    files = dict(zip(("frames", "idx"), build_pair(ordered, version), strict=True))
    for kind, side, at, other, extra in damages:
        files[side] = damaged(files[side], kind, at, other, extra)
    expected = first_wrong(files["frames"], files["idx"])
    with tempfile.TemporaryDirectory() as directory:
        paths = {side: Path(directory) / f"a.{side}" for side in files}
        for side, path in paths.items():
            path.write_bytes(files[side])
        reports = [
            verify_files(paths["frames"], paths["idx"], engine=engine)
            for engine in engines.values()
        ]
    first = reports[0]
    assert all(report.as_json() == first.as_json() for report in reports)
    assert first.ok == (expected is None)
    assert first.exit_code in (0, 3, 4)
    if expected is not None:
        assert any(points_at(item, *expected) for item in first.findings), first.findings
        assert not any(is_before(item, *expected) for item in first.findings), first.findings


def points_at(finding: Finding, ordinal: int, offset: int) -> bool:
    """Return whether a finding is about the record with this ordinal, at this offset."""
    if finding.file.endswith(".frames"):
        return finding.offset == offset
    return finding.ordinal == ordinal


def is_before(finding: Finding, ordinal: int, offset: int) -> bool:
    """Return whether a finding blames a record about which nothing is wrong."""
    if finding.file.endswith(".frames"):
        return finding.offset is not None and finding.offset < offset
    return finding.ordinal is not None and finding.ordinal < ordinal
