"""The venue's hash, where what the venue says cannot be hashed."""

from __future__ import annotations

from typing import Any

import pytest
from bundles import T0, Maker, book, compact

from pm_replay.pipeline import Request


@pytest.mark.parametrize("key", ["market", "timestamp", "tick_size", "last_trade_price"])
def test_half_a_surrogate_pair_is_no_crash(make_bundle: Maker, key: str) -> None:
    odd: Any = {**book("1", {"0.4": "1"}, {"0.6": "1"}), key: "\ud800"}
    frames = [(0, T0 + n, compact(odd)) for n in (10, 20)]
    result, _ = make_bundle(frames).replay(Request(sample_every=1))
    assert result.error is None
    hashes = result.engine.oracles.counts["hash"]
    assert hashes["verified"] == 0
    assert hashes["mismatch"] + hashes["unverifiable"] == 2
