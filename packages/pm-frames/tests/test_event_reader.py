"""The vectors of docs/spec/events.md, made by another program, and every way in which a stream can stop."""

from __future__ import annotations

import hashlib
import io
import json
import os
import threading
from pathlib import Path
from typing import Any

import pytest

from pm_frames.errors import MissingFile
from pm_frames.events import (
    CorruptEvents,
    EndReason,
    Event,
    EventReader,
    EventWriter,
    Header,
    Kind,
    RunState,
    follow_file,
    open_events,
    view,
)
from pm_frames.events.slots import DEPTH, KIND_AT, SLOT, continuation

VECTORS = Path(__file__).resolve().parents[3] / "testdata" / "events"
VALID = sorted(VECTORS.glob("valid/*.pmev"))
INVALID = sorted(VECTORS.glob("invalid/*.pmev"))
LARGEST = VECTORS / "valid" / "every_kind.pmev"


def told(path: Path) -> dict[str, Any]:
    facts = json.loads(path.with_suffix(".json").read_text())
    assert isinstance(facts, dict)
    return facts


def as_json(event: Event) -> dict[str, Any]:
    return {**event._asdict(), "payload": event.payload.decode()}


class Trickle:
    """A pipe that gives a few bytes at a time."""

    def __init__(self, data: bytes, size: int) -> None:
        self._data = io.BytesIO(data)
        self._size = size

    def read(self, size: int, /) -> bytes:
        return self._data.read(min(size, self._size))


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_valid(path: Path) -> None:
    facts = told(path)
    for size in (1, 63, 64, 65, 1 << 20):
        reader = EventReader(Trickle(path.read_bytes(), size))
        assert [as_json(event) for event in reader] == facts["events"]
        assert reader.end is not None
        found = reader.end
        assert {
            "run_state": found.run_state,
            "reason": found.reason,
            "slots": found.slots,
        } == facts["end"]


@pytest.mark.parametrize("path", VALID, ids=lambda path: path.stem)
def test_the_event_hash(path: Path) -> None:
    facts = told(path)
    if path.stem == "ancillary":
        pytest.skip("a reader passes over what this version does not write")
    writer = EventWriter(None, Header(0, -1, {}))
    for event in EventReader(io.BytesIO(path.read_bytes())):
        writer.write(event.packed(), hashed=event.kind not in DEPTH)
    writer.flush()
    assert writer.event_hash == facts["event_hash"]


@pytest.mark.parametrize("path", INVALID, ids=lambda path: path.stem)
def test_invalid(path: Path) -> None:
    wanted = told(path)["error"]
    for size in (1, 64, 1 << 20):
        with pytest.raises(CorruptEvents) as caught:
            list(EventReader(Trickle(path.read_bytes(), size)))
        assert (caught.value.kind, caught.value.offset) == (wanted["kind"], wanted["offset"])


def test_a_stream_cut_anywhere_is_never_whole() -> None:
    data = LARGEST.read_bytes()
    for length in range(len(data)):
        with pytest.raises(CorruptEvents) as caught:
            list(EventReader(io.BytesIO(data[:length])))
        assert caught.value.kind in ("no_header", "no_end", "torn_slot")


def test_a_bit_flipped_anywhere_is_found() -> None:
    data = LARGEST.read_bytes()
    # In END itself seq and the stamp are said by nobody else.
    places = [*range(len(data) - 64), *range(len(data) - 48, len(data))]
    for place in places:
        damaged = bytearray(data)
        damaged[place] ^= 1 << place % 8
        try:
            reader = EventReader(io.BytesIO(bytes(damaged)))
            events = list(reader)
        except CorruptEvents:
            continue
        # Run state and reason have several right values, and flags of END none: they are read as they are.
        assert place >= len(data) - 16, (place, len(events))


def test_without_the_digest_the_frame_of_the_stream_is_still_checked() -> None:
    data = bytearray(LARGEST.read_bytes())
    data[-65 - 60] ^= 1  # in the stamp of the last event
    assert list(EventReader(io.BytesIO(bytes(data)), verify=False))


def test_a_file(tmp_path: Path) -> None:
    with open_events(LARGEST) as reader:
        assert reader.header.facts == {"run_id": "vector"}
        assert reader.header.t0_wall_ns == 1_766_448_000_000_000_000
        assert len(list(reader)) == len(told(LARGEST)["events"])
    with pytest.raises(MissingFile):
        open_events(tmp_path / "none.pmev")


def test_a_real_pipe() -> None:
    data = LARGEST.read_bytes() * 1
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb", buffering=0) as out:
            for start in range(0, len(data), 37):
                out.write(data[start : start + 37])

    thread = threading.Thread(target=feed)
    thread.start()
    with os.fdopen(reading, "rb", buffering=0) as source:
        assert [as_json(event) for event in EventReader(source)] == told(LARGEST)["events"]
    thread.join()


def test_a_file_that_grows_gives_the_same_events(tmp_path: Path) -> None:
    data = LARGEST.read_bytes()
    path = tmp_path / "growing.pmev"
    path.write_bytes(data[:100])
    given = 100

    def wait() -> bool:
        nonlocal given
        with path.open("ab") as out:
            out.write(data[given : given + 50])
        given += 50
        return True

    with follow_file(path, wait) as reader:
        assert [as_json(event) for event in reader] == told(LARGEST)["events"]
        assert reader.end is not None


def test_giving_up_on_a_file_that_grows(tmp_path: Path) -> None:
    data = LARGEST.read_bytes()
    path = tmp_path / "growing.pmev"
    for length, kind in ((len(data) - 64, "no_end"), (len(data) - 30, "torn_slot")):
        path.write_bytes(data[:length])
        with follow_file(path, lambda: False) as reader, pytest.raises(CorruptEvents) as caught:
            list(reader)
        assert caught.value.kind == kind


def test_view_shows_a_file_to_numpy() -> None:
    table = view(LARGEST)
    assert table.shape == (len(LARGEST.read_bytes()) // 64,)
    tops = table[table["kind"] == Kind.TOB]
    wanted = [event for event in told(LARGEST)["events"] if event["kind"] == Kind.TOB]
    for name in (
        "seq",
        "bid_px_e6",
        "ask_px_e6",
        "bid_sz_e6",
        "flags",
        "shard",
        "frame",
        "ts_recv_ns",
    ):
        assert tops[name].tolist() == [event[name] for event in wanted]
    assert not table.flags.writeable
    assert table.base is not None


@pytest.mark.parametrize("stem", ["no_end", "torn_end", "magic"])
def test_view_refuses_what_is_not_whole(stem: str) -> None:
    with pytest.raises(CorruptEvents):
        view(VECTORS / "invalid" / f"{stem}.pmev")


def test_large_payloads_and_many_slots(tmp_path: Path) -> None:
    path = tmp_path / "large.pmev"
    payload = json.dumps({"x": "y" * 300_000}).encode()
    with path.open("wb") as out:
        writer = EventWriter(out.write, Header(1, 2, {"run_id": "r"}))
        writer.write_meta(0, payload, ts_recv_ns=1)
        slot = SLOT.pack(1, 1, -1, 0, 0, 0, 0, -1, -1, 0, Kind.TOB, 2)
        for _ in range(20_000):
            writer.write(slot)
        end = writer.end(seq=1, ts_recv_ns=1, run_state=RunState.ENDED, reason=EndReason.WHOLE)
    with open_events(path) as reader:
        events = list(reader)
    assert events[0].payload == payload
    assert len(events) == 20_001
    assert reader.end == end
    assert end.sha256 == hashlib.sha256(path.read_bytes()[:-64]).digest()
    assert continuation(payload)[KIND_AT] == Kind.CONTINUATION
