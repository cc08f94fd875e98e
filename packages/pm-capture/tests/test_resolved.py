"""Whose market is over."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pm_capture.resolved import resolved_tokens

OVER = {"event_type": "market_resolved", "assets_ids": ["7", "3"], "winning_asset_id": "7"}


@pytest.mark.parametrize("separators", [(",", ":"), (", ", ":"), (" , ", " : ")])
def test_both_tokens_are_named_by_an_object_and_by_an_array(separators: tuple[str, str]) -> None:
    other = {"event_type": "new_market", "assets_ids": ["9"]}
    third = {**OVER, "assets_ids": ["5"]}
    cases = [(OVER, {"7", "3"}), ([other, OVER, third], {"7", "3", "5"}), (other, set())]
    for event, tokens in cases:
        assert resolved_tokens(json.dumps(event, separators=separators).encode()) == tokens


@pytest.mark.parametrize(
    "payload",
    [
        b"", b"PONG", b"[]", b"{}", b"7", b"[7]", b"\xff", b'"market_resolved"', b"[" * 100_000,
        b'{"event_type":"market_resolved"}', b'{"event_type":"market_resolved","assets_ids":null}',
        b'{"event_type":"market_resolved","assets_ids":[7]}', b'{"event_type":"market_resolved"',
        b'{"event_type":"market_resolved","assets_ids":["\xff"]}',
    ],
)  # fmt: skip
def test_what_cannot_be_read_names_nobody(payload: bytes) -> None:
    assert resolved_tokens(payload) == set()


@given(st.binary(max_size=60), st.integers(0, 200))
def test_no_bytes_raise(noise: bytes, at: int) -> None:
    whole = json.dumps([OVER]).encode()
    resolved_tokens(whole[:at] + noise + whole[at:])
