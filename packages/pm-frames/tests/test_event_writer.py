from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_frames.events import EndReason, EventWriter, Header, Kind, RunState
from pm_frames.events.event_writer import CHECKPOINTS_MAX, EventHash
from pm_frames.events.slots import SLOT

HEADER = Header(5, -1, {"run_id": "x"})


def slot(number: int, kind: Kind = Kind.TOB) -> bytes:
    return SLOT.pack(number, number, -1, 0, 0, 0, 0, -1, -1, 0, kind, 2)


@given(st.lists(st.tuples(st.integers(0, 9), st.booleans()), max_size=40), st.integers(1, 9))
def test_the_sink_gets_everything_in_order_and_depth_is_in_no_hash(
    pieces: list[tuple[int, bool]], flush_pieces: int
) -> None:
    out: list[bytes] = []
    writer = EventWriter(out.append, HEADER, flush_pieces=flush_pieces)
    header = b"".join(out)
    written = [slot(number, Kind.LEVEL if depth else Kind.TOB) for number, depth in pieces]
    for packed, (_, depth) in zip(written, pieces, strict=True):
        writer.write(packed, hashed=not depth)
    end = writer.end(seq=0, ts_recv_ns=0, run_state=RunState.ENDED, reason=EndReason.WHOLE)
    data = b"".join(out)
    assert data == header + b"".join(written) + end.packed()
    assert end.sha256 == hashlib.sha256(data[:-64]).digest()
    hashed = b"".join(p for p, (_, depth) in zip(written, pieces, strict=True) if not depth)
    assert writer.event_hash == hashlib.sha256(hashed).hexdigest()


def test_nothing_is_written_after_the_end() -> None:
    writer = EventWriter(None, HEADER)
    writer.end(seq=0, ts_recv_ns=0, run_state=RunState.ENDED, reason=EndReason.WHOLE)
    with pytest.raises(ValueError, match="ended"):
        writer.write(slot(1))


def test_what_is_not_whole_slots_is_refused() -> None:
    writer = EventWriter(None, HEADER)
    writer.write(b"x" * 63)
    with pytest.raises(ValueError, match="whole slots"):
        writer.flush()


@given(st.lists(st.integers(1, 3000), max_size=60))
def test_checkpoints_do_not_depend_on_how_the_stream_was_cut(lengths: list[int]) -> None:
    slots = [slot(number) for number in range(sum(lengths))]
    cut, at_once = EventHash(), EventHash()
    start = 0
    for length in lengths:
        cut.update(b"".join(slots[start : start + length]))
        start += length
    at_once.update(b"".join(slots))
    assert cut.checkpoints() == at_once.checkpoints()
    assert cut.hexdigest() == at_once.hexdigest()


def test_a_checkpoint_is_the_hash_up_to_there() -> None:
    data = b"".join(slot(number) for number in range(150_000))
    found = EventHash()
    found.update(data)
    interval, hashes = found.checkpoints()
    assert interval > 1024
    assert len(hashes) == 150_000 // interval <= CHECKPOINTS_MAX
    for number, digest in enumerate(hashes, 1):
        assert digest == hashlib.sha256(data[: number * interval * 64]).hexdigest()
