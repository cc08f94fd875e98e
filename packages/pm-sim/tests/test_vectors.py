"""Committed results: a change of code that is not meant to change a byte must not change one."""

import hashlib
import json
from typing import Any

import pytest
from recorded import PATH, STREAMS, Case, cases, recorded

from pm_sim.orders import RejectReason

COMMITTED: dict[str, Any] = json.loads(PATH.read_text(encoding="utf-8"))
# Of the allocator's limit nothing is told to the venue.
NEVER_TOLD = {RejectReason.LIMIT.value, RejectReason.UNKNOWN_TOKEN.value}


def test_the_streams_are_those_of_the_vectors() -> None:
    assert {
        name: hashlib.sha256(make()).hexdigest() for name, make in STREAMS.items()
    } == COMMITTED["streams"]


@pytest.mark.parametrize("case", cases(), ids="/".join)
def test_a_simulation_gives_the_committed_bytes(case: Case) -> None:
    assert recorded(case) == COMMITTED["simulations"]["/".join(case)]


def test_the_vectors_see_every_reject_and_many_fills() -> None:
    simulations = COMMITTED["simulations"]
    assert len(simulations) == len(cases())
    seen = {reason for one in simulations.values() for reason in one["rejects"]}
    assert seen == {one.value for one in RejectReason} - NEVER_TOLD
    fills = [lens["fills"] for one in simulations.values() for lens in one["lenses"].values()]
    assert sum(fills) > 5_000
    assert sum(map(bool, fills)) > len(fills) * 3 // 4
