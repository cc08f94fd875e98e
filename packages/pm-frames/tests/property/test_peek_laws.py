"""Peek against a real JSON decoder: equal on everything that is JSON, silent on everything else."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from pm_frames.peek import first_token, mentions_token, peek, token_ids_in

RECORDINGS = Path(__file__).parents[5] / "shared" / "data" / "frames"

NAMES = st.sampled_from(
    ["event_type", "asset_id", "assets_ids", "winning_asset_id", "q", 'x"asset_id', "asset_id\\"]
)
TEXTS = st.one_of(
    st.sampled_from(
        [
            '"asset_id":"1"',
            '"event_type": "book"',
            '"asset_id',
            "asset_id",
            "event_type",
            "\\",
            '\\"',
            "]",
            "}",
            "{",
            "PONG",
        ]
    ),
    st.text(max_size=8),
    st.text('"\\:{}[], asset_idevent_type', max_size=30),
)
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4), st.dictionaries(st.one_of(NAMES, TEXTS), inner, max_size=5)
    ),
    max_leaves=25,
)
SEPARATORS = st.sampled_from([(",", ":"), (", ", ":"), (", ", ": "), (" ,\n", "\t:\r\n ")])


def oracle(payload: str) -> tuple[list[str], list[str]]:
    """Return the event types and distinct token ids that a decoder finds, in the order of the text."""
    types: list[str] = []
    tokens: list[str] = []
    decoded = json.loads(payload, object_pairs_hook=lambda pairs: ("object", pairs))

    def walk(value: Any) -> None:
        if isinstance(value, list):
            for one in value:
                walk(one)
        elif isinstance(value, tuple):
            for key, one in value[1]:
                if key == "event_type" and isinstance(one, str):
                    types.append(one)
                if key == "asset_id" and isinstance(one, str):
                    tokens.append(one)
                walk(one)

    walk(decoded)
    return types, list(dict.fromkeys(tokens))


@given(VALUES, SEPARATORS, st.booleans())
@example({'x"asset_id': "1"}, (",", ":"), True)
@example({"asset_id": "\ud800"}, (",", ":"), True)
@example([{"asset_id": "1"}, {"asset_id": "1"}, {"asset_id": "2"}], (",", ": "), True)
def test_whatever_is_json_is_seen_as_a_decoder_sees_it(
    value: Any, separators: tuple[str, str], ascii_only: bool
) -> None:
    text = json.dumps(value, separators=separators, ensure_ascii=ascii_only)
    payload = text.encode("utf-8", "surrogatepass")
    types, tokens = oracle(text)
    found = peek(payload)
    assert list(found.event_types) == types
    assert list(found.token_ids) == tokens
    assert not found.keepalive
    assert first_token(payload) == (tokens[0] if tokens else None)
    assert mentions_token(payload) or not tokens
    assert [one.decode("utf-8", "surrogatepass") for one in token_ids_in(payload)] == tokens


@given(st.one_of(st.binary(max_size=200), st.text('"\\:{}[], asset_idevent_type', max_size=200)))
def test_nothing_is_ever_raised(data: bytes | str) -> None:
    payload = data if isinstance(data, bytes) else data.encode()
    assert first_token(payload) == next(iter(peek(payload).token_ids), None)
    token_ids_in(payload)


@pytest.mark.skipif(
    not RECORDINGS.is_dir(), reason="shared/data/frames is not beside the repository"
)
def test_recorded_frames_are_seen_as_a_decoder_sees_them() -> None:
    lines = [
        line
        for pattern in ("*.jsonl", "old_schema*.json")
        for path in sorted(RECORDINGS.glob(pattern))
        for line in (
            path.read_text("utf-8").splitlines()
            if path.suffix == ".jsonl"
            else [path.read_text("utf-8")]
        )
        if line.strip()
    ]
    assert lines
    for line in lines:
        types, tokens = oracle(line)
        found = peek(line.encode())
        assert list(found.event_types) == types
        assert list(found.token_ids) == tokens
