from __future__ import annotations

from itertools import product
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_frames.continuity import State
from pm_frames.events import End, EndReason, Flags, Kind, RunState, Settled
from pm_frames.events.slots import (
    DEPTH,
    END_SLOT,
    FLAGS_AT,
    KIND_AT,
    SEQUENCED,
    SLOT,
    SLOT_BYTES,
    canonical_json,
    continuation,
    continuation_slots,
)

PAGE = Path(__file__).resolve().parents[3] / "docs" / "spec" / "events.md"


def test_layout() -> None:
    assert SLOT.size == END_SLOT.size == SLOT_BYTES
    packed = SLOT.pack(1, 2, 3, 4, 5, 6, 7, 8, 9, 10, Kind.TOB, 12)
    assert (packed[KIND_AT], packed[FLAGS_AT]) == (Kind.TOB, 12)
    end = End(1, 2, bytes(32), RunState.ENDED, 3, EndReason.WHOLE)
    assert end.packed()[KIND_AT] == Kind.END
    assert End.unpack(end.packed()) == end


def test_flags_come_back() -> None:
    for state, settled, batch_end in product(State, Settled, (False, True)):
        flags = Flags(state, settled, batch_end)
        assert Flags.of(flags.byte()) == flags
    with pytest.raises(ValueError, match="6"):
        Flags.of(6)


def test_kinds_are_those_of_the_page() -> None:
    page = PAGE.read_text(encoding="utf-8")
    for kind in Kind:
        assert f"| {int(kind)} | {kind.name} |" in page
    assert {kind.name for kind in SEQUENCED} == {
        line.split("|")[2].strip() for line in page.splitlines() if "| yes |" in line
    }
    assert not SEQUENCED & DEPTH


@given(st.binary(max_size=400))
def test_a_payload_fills_whole_slots(payload: bytes) -> None:
    slots = continuation(payload)
    assert len(slots) == 64 * continuation_slots(len(payload))
    used = [slots[at + 63] for at in range(0, len(slots), 64)]
    assert sum(used) == len(payload)
    assert b"".join(slots[64 * i : 64 * i + n] for i, n in enumerate(used)) == payload


def test_canonical_json_depends_on_the_value_alone() -> None:
    assert canonical_json({"b": "é", "a": [1, None]}) == b'{"a":[1,null],"b":"\\u00e9"}'
    with pytest.raises(ValueError, match="JSON"):
        canonical_json({"a": float("nan")})
