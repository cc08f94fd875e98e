"""Shards that tests write, read and damage."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import pytest

from pm_frames.frames import Frame, encode_frame, read_frames
from pm_frames.index import encode_entry, entry_of
from pm_frames.layout import Version


class Golden(NamedTuple):
    """A small shard in memory and on disk, with one of everything that is hard to tell apart."""

    version: Version
    frames_path: Path
    idx_path: Path
    frames: list[Frame]
    frames_bytes: bytes
    idx_bytes: bytes


MakeShard = Callable[..., Golden]


def small_payloads(version: Version) -> list[bytes]:
    """Empty, equal, nested and magic-bearing payloads."""
    inner = encode_frame(b"in", rx_mono_ns=5, rx_wall_ns_utc=6, flags=1, version=version)
    return [b"[]", b"", b"PONG", b"PONG", b"a" + inner + b"z", inner, b"\0" * 5, b"", b'{"n":9}']


@pytest.fixture
def make_shard(tmp_path: Path) -> MakeShard:
    """Write a shard without the writer that is under test elsewhere."""

    def make(
        version: Version = Version.V2,
        payloads: Sequence[bytes] | None = None,
        name: str = "shard_00",
    ) -> Golden:
        frames_path = tmp_path / f"{name}.frames"
        idx_path = tmp_path / f"{name}.idx"
        frames_bytes = b"".join(
            encode_frame(
                payload,
                rx_mono_ns=1_000 + ordinal // 2,
                rx_wall_ns_utc=10**18 + ordinal // 2,
                flags=0x0101 if ordinal == 0 else 0x0001,
                version=version,
            )
            for ordinal, payload in enumerate(
                small_payloads(version) if payloads is None else payloads
            )
        )
        frames_path.write_bytes(frames_bytes)
        frames = list(read_frames(frames_path))
        idx_bytes = b"".join(encode_entry(entry_of(frame), version) for frame in frames)
        idx_path.write_bytes(idx_bytes)
        return Golden(version, frames_path, idx_path, frames, frames_bytes, idx_bytes)

    return make


@pytest.fixture(params=[Version.V1, Version.V2], ids=["v1", "v2"])
def golden(request: pytest.FixtureRequest, make_shard: MakeShard) -> Golden:
    """The small shard, once in each version."""
    return make_shard(request.param)
