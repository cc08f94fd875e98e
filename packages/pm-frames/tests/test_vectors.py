"""The committed vectors, in both directions: bytes to what a reader reports, and back for sound shards."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from pm_frames.damage import KINDS, Damage
from pm_frames.errors import BundleError, CorruptFrame
from pm_frames.frames import Frame, FrameDecoder, encode_frame, read_frames
from pm_frames.index import encode_entry, entry_of, read_index, rebuild_index
from pm_frames.scan import scan_shard
from pm_frames.shard import Shard

VECTORS = Path(__file__).resolve().parents[3] / "testdata" / "frames"
ALL = sorted(path.with_suffix("") for path in VECTORS.glob("*/*.json"))
VALID = [path for path in ALL if path.parent.name == "valid"]
DAMAGED = [path for path in ALL if path.parent.name != "valid"]


def name_of(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def described(path: Path) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(path.with_suffix(".json").read_text(encoding="utf-8"))
    return document


def frame_as_json(frame: Frame) -> dict[str, Any]:
    return {**frame._asdict(), "payload": frame.payload.hex()}


def damage_as_json(damage: Damage) -> dict[str, Any]:
    names = ("kind", "file", "offset", "end", "ordinal", "extent")
    return {name: getattr(damage, name) for name in names}


def test_there_are_vectors_of_every_folder_and_nearly_every_kind() -> None:
    assert {path.parent.name for path in ALL} == {"valid", "invalid", "torn"}
    reported = {
        damage["kind"]
        for path in ALL
        for listed in (described(path)["damage"], described(path)["without_idx"]["damage"])
        for damage in listed
    }
    # With one ruined length and everything else whole, the length is always proved, or the tail torn.
    assert set(KINDS) - reported == {"length_over_limit"}


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_scan_with_idx(path: Path) -> None:
    document = described(path)
    items = list(scan_shard(path.with_suffix(".frames"), path.with_suffix(".idx")))
    assert [damage_as_json(i) for i in items if isinstance(i, Damage)] == document["damage"]
    assert [frame_as_json(i) for i in items if isinstance(i, Frame)] == document["frames"]


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_scan_without_idx(path: Path) -> None:
    document = described(path)["without_idx"]
    items = list(scan_shard(path.with_suffix(".frames"), None))
    assert [damage_as_json(i) for i in items if isinstance(i, Damage)] == document["damage"]
    assert [i.offset for i in items if isinstance(i, Frame)] == document["frame_offsets"]


@pytest.mark.parametrize("path", ALL, ids=name_of)
def test_strict_reader(path: Path) -> None:
    document = described(path)["strict"]
    frames_path = path.with_suffix(".frames")
    if document is None:
        list(read_frames(frames_path))
        return
    with pytest.raises(CorruptFrame) as caught:
        list(read_frames(frames_path))
    assert (caught.value.kind, caught.value.offset) == (document["kind"], document["offset"])
    assert caught.value.path == frames_path


@pytest.mark.parametrize("path", ALL, ids=name_of)
@pytest.mark.parametrize("piece", [1, 7, 36, 37, 4096])
def test_decoder_in_pieces(path: Path, piece: int) -> None:
    document = described(path)["strict"]
    data = path.with_suffix(".frames").read_bytes()
    sound = [
        item
        for item in scan_shard(path.with_suffix(".frames"), None)
        if isinstance(item, Frame) and (document is None or item.end <= document["offset"])
    ]
    decoder = FrameDecoder()
    frames: list[Frame] = []

    def feed_all() -> None:
        for start in range(0, len(data), piece):
            frames.extend(decoder.feed(data[start : start + piece]))
        decoder.close()

    if document is None:
        feed_all()
    else:
        with pytest.raises(CorruptFrame) as caught:
            feed_all()
        assert caught.value.kind == document["kind"]
        assert caught.value.offset == decoder.offset == document["offset"]
    assert frames == sound


@pytest.mark.parametrize("path", VALID, ids=name_of)
def test_valid_vectors_from_json_to_bytes(path: Path, tmp_path: Path) -> None:
    document = described(path)
    frames = b""
    idx = b""
    for fields in document["frames"]:
        frame = Frame(**{**fields, "payload": bytes.fromhex(fields["payload"])})
        assert frame.offset == len(frames)
        idx += encode_entry(entry_of(frame), frame.version)
        frames += encode_frame(
            frame.payload,
            rx_mono_ns=frame.rx_mono_ns,
            rx_wall_ns_utc=frame.rx_wall_ns_utc,
            flags=frame.flags,
            version=frame.version,
        )
    assert frames == path.with_suffix(".frames").read_bytes()
    assert idx == path.with_suffix(".idx").read_bytes()
    assert rebuild_index(path.with_suffix(".frames"), tmp_path / "again.idx") == len(
        document["frames"]
    )
    assert (tmp_path / "again.idx").read_bytes() == idx


@pytest.mark.parametrize("path", VALID, ids=name_of)
def test_valid_vectors_by_ordinal(path: Path) -> None:
    document = described(path)
    shard = Shard(0, path.with_suffix(".frames"), path.with_suffix(".idx"))
    assert [frame_as_json(frame) for frame in shard.frames()] == document["frames"]
    entries = list(read_index(path.with_suffix(".idx"), shard.version))
    assert [entry.offset_frames for entry in entries] == [f["offset"] for f in document["frames"]]


@pytest.mark.parametrize("path", DAMAGED, ids=name_of)
def test_strict_shard_refuses_every_damaged_vector(path: Path) -> None:
    shard = Shard(0, path.with_suffix(".frames"), path.with_suffix(".idx"))
    with pytest.raises(BundleError):
        list(shard.frames())
