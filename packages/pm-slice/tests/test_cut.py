"""What the laws do not see: that a slice holds no more than it needs, and what it must not believe."""

import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pm_frames import open_bundle
from pm_frames.lock import RunLock
from pm_frames.watermark import WatermarkWriter
from pm_slice.asked import Asked
from pm_slice.cut import Outcome, Slicer, Wish
from pm_slice.lead_in import books_in

MIDDLE = 1_040_000


@pytest.fixture
def cut(unsynced: Any) -> Callable[..., Outcome]:
    def make(run: Path, target: Path, first: int, last: int) -> Outcome:
        slicer = Slicer(run, Wish(Asked("mono", first, last)))
        try:
            return slicer.cut(target, target.name, clocks=lambda: (1, 2), files=unsynced)
        finally:
            slicer.close()

    return make


def records(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (path / "runlog.ndjson").read_bytes().splitlines()]


def test_the_lead_in_begins_at_last_books(
    build: Callable[..., Path], cut: Callable[..., Outcome], tmp_path: Path
) -> None:
    run = build(tmp_path / "run", seed=3, shards=1, steps=200)
    cut(run, tmp_path / "s", MIDDLE + 100_000, MIDDLE + 101_000)
    (shard,) = open_bundle(tmp_path / "s").shards()
    early = [frame.payload for frame in shard.frames() if frame.rx_mono_ns < MIDDLE + 100_000]
    books = [token for payload in early for token in books_in(payload)]
    whole = [
        token
        for _, _, frame in open_bundle(run).frames()
        if frame.rx_mono_ns < MIDDLE + 100_000
        for token in books_in(frame.payload)
    ]
    # A book of one token may stand among what came since the last one of another, but not all of them.
    assert set(books) == set(whole)
    assert len(books) < len(whole) / 2


def test_of_the_heartbeats_before_only_the_last_is_there(
    build: Callable[..., Path], cut: Callable[..., Outcome], tmp_path: Path
) -> None:
    run = build(tmp_path / "run", seed=3, steps=200)
    cut(run, tmp_path / "s", 1_100_000, 1_150_000)
    kept = [r["ts_mono_ns"] for r in records(tmp_path / "s") if r["record_type"] == "heartbeat"]
    all_ = [r["ts_mono_ns"] for r in records(run) if r["record_type"] == "heartbeat"]
    before = [at for at in all_ if at < 1_100_000]
    assert len(before) > 1
    assert kept == [before[-1], *(at for at in all_ if 1_100_000 <= at <= 1_150_000)]


def test_a_loss_that_was_noticed_later_is_there(
    build: Callable[..., Path], cut: Callable[..., Outcome], tmp_path: Path
) -> None:
    run = build(tmp_path / "run", seed=3, steps=200)
    lost = [
        r for r in records(run)
        if r["record_type"] == "disconnect" and r["ts_mono_ns"] > r["since_mono_ns"] + 1
    ]  # fmt: skip
    end = lost[0]["since_mono_ns"]
    cut(run, tmp_path / "s", 1_000_000, end)
    late = [r for r in records(tmp_path / "s") if r["ts_mono_ns"] > end]
    assert lost[0] in late
    assert {r["record_type"] for r in late} == {"disconnect"}
    assert all(r["since_mono_ns"] <= end for r in late)


@pytest.mark.parametrize("bit", [0, 13, 40, 63])
def test_no_stamp_of_an_entry_that_lies_moves_the_window(
    build: Callable[..., Path], cut: Callable[..., Outcome], tmp_path: Path, bit: int
) -> None:
    run = build(tmp_path / "run", seed=3, shards=1)
    frames = [frame for _, _, frame in open_bundle(run).frames()]
    first, last = frames[20].rx_mono_ns, frames[30].rx_mono_ns
    whole = [frame.payload for frame in frames if first <= frame.rx_mono_ns <= last]
    idx = run / "capture/shard_00.idx"
    plain = idx.read_bytes()
    for ordinal in range(0, len(frames), 3):
        hurt = bytearray(plain)
        hurt[ordinal * 32 + 8 + bit // 8] ^= 1 << bit % 8
        idx.write_bytes(hurt)
        outcome = cut(run, tmp_path / f"s{ordinal}", first, last)
        (shard,) = open_bundle(tmp_path / f"s{ordinal}").shards()
        there = [f.payload for f in shard.frames() if first <= f.rx_mono_ns <= last]
        inside = first <= frames[ordinal].rx_mono_ns <= last
        assert len(there) == len(whole) - inside
        assert not inside or any(one["ordinal"] == ordinal for one in outcome.unsound)


def test_what_follows_one_another_is_one_entry_of_a_map(
    build: Callable[..., Path], cut: Callable[..., Outcome], tmp_path: Path
) -> None:
    run = build(tmp_path / "run", seed=3, shards=1)
    outcome = cut(run, tmp_path / "s", 0, 2_000_000)
    for name, count in (
        ("shard_00.map", outcome.frames),
        ("runlog.map", len(records(run))),
    ):
        data = (tmp_path / "s/source" / name).read_bytes()
        assert struct.unpack("<4Q", data) == (0, 0, 0, count)


def test_a_slice_of_a_slice_never_reaches_beyond_it(
    build: Callable[..., Path], cut: Callable[..., Outcome], tmp_path: Path
) -> None:
    run = build(tmp_path / "run", seed=3, steps=200)
    first = cut(run, tmp_path / "part", 1_050_000, 1_100_000)
    wider = cut(tmp_path / "part", tmp_path / "wider", 0, 9_000_000)
    assert wider.window == first.window == (1_050_000, 1_100_001)
    assert wider.lead_in_frames == first.lead_in_frames > 0


def test_of_a_run_that_lives_nothing_after_the_watermark_is_cut(
    build: Callable[..., Path], cut: Callable[..., Outcome], tmp_path: Path
) -> None:
    run = build(tmp_path / "run", seed=3, steps=200, sealed=False)
    stamps = [frame.rx_mono_ns for _, _, frame in open_bundle(run).frames()]
    writer = WatermarkWriter(run / "capture" / "watermark")
    writer.publish(stamps[100])
    with RunLock(run):
        outcome = cut(run, tmp_path / "part", 0, 9_000_000)
    writer.close()
    assert outcome.window.before_mono_ns == stamps[100] + 1
    assert outcome.frames == sum(at <= stamps[100] for at in stamps)


def test_generations_that_came_later_are_not_there(
    build: Callable[..., Path], cut: Callable[..., Outcome], tmp_path: Path
) -> None:
    run = build(tmp_path / "run", seed=3, steps=200)
    (run / "universe" / "000001.json").write_text('{"universe_version": 1, "kind": "delta"}')
    with open(run / "runlog.ndjson", "a") as file:
        applied = {"record_type": "universe_refresh", "reason": "APPLIED", "universe_version": 1}
        file.write(json.dumps({**applied, "ts_mono_ns": 1_100_000}) + "\n")
    cut(run, tmp_path / "early", 1_000_000, 1_099_999)
    cut(run, tmp_path / "late", 1_000_000, 1_100_000)
    generations = [
        sorted(p.name for p in (tmp_path / name / "universe").iterdir())
        for name in ("early", "late")
    ]
    assert generations == [["000000.json"], ["000000.json", "000001.json"]]
