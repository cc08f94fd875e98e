"""Frames that the venue really sent: they decode without a surprise, and their hashes are reproduced."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from bundles import T0, Made, make_at

from pm_frames.events import Kind, Settled
from pm_replay.pipeline import Request
from pm_replay.telling import Options

DATA = Path(__file__).resolve().parents[3] / "../shared/data/frames"
pytestmark = pytest.mark.skipif(
    not DATA.is_dir(), reason="no ../shared/data: real frames are not here"
)
EVERYTHING = Request(sample_every=1)


def lines(name: str) -> list[bytes]:
    return [line for line in (DATA / name).read_bytes().splitlines() if line.strip()]


def bundle_of(tmp_path: Path, payloads: list[bytes]) -> Made:
    frames = [(0, T0 + 10 * i, payload) for i, payload in enumerate(payloads)]
    return make_at(tmp_path / "real", frames)


def test_every_hash_of_december_2025_is_reproduced(tmp_path: Path) -> None:
    result, _ = bundle_of(tmp_path, lines("frames_2025-12-23.jsonl")).replay(EVERYTHING)
    found = result.engine.oracles.summary()
    assert found["hash"]["verified"] == 5
    assert found["hash"]["mismatch"] == found["hash"]["unverifiable"] == 0
    assert found["bbo"]["disagree"] == 0
    # The frames are not the whole stream: a second lies between the change and the last book.
    assert found["snapshot"]["different"] == 1
    assert found["mirror"]["different"] == 0
    decoded = result.engine.decoder.summary()
    assert decoded["frames"]["fast"] == 3
    assert not decoded["schema_errors"]
    assert not decoded["decode_errors"]


def test_the_nine_field_hash_of_october_2025_is_reproduced(tmp_path: Path) -> None:
    text = (DATA / "hash_proof_2025-10.txt").read_text()
    found = [json.loads(one) for one in re.findall(r"^(?:\{.*\}|\[.*\])$", text, re.MULTILINE)]
    wanted = [each for each in found if "event_type" in each]
    assert len(wanted) >= 2
    payloads = [json.dumps(each, separators=(",", ":")).encode() for each in wanted]
    result, _ = bundle_of(tmp_path, payloads).replay(EVERYTHING)
    outcome = result.engine.oracles.summary()["hash"]
    assert outcome["verified"] >= 2
    assert outcome["mismatch"] == 0


@pytest.mark.parametrize("name", sorted(path.name for path in DATA.glob("*.json*")))
def test_every_frame_decodes(tmp_path: Path, name: str) -> None:
    path = DATA / name
    payloads = lines(name) if path.suffix == ".jsonl" else [path.read_bytes()]
    result, _ = bundle_of(tmp_path, payloads).replay(EVERYTHING)
    decoded = result.engine.decoder.summary()
    assert result.error is None
    assert decoded["decode_errors"] == {}
    assert decoded["schema_errors"] == {}
    # Two messages of another channel are among the vendor's; they are kept as what they are.
    assert result.engine.counts["unknown"] == (2 if "vendor" in name else 0)
    assert [one for one in decoded["surprises"] if "field" in one["what"]] == []


def test_a_trade_is_told_with_the_side_of_the_taker(tmp_path: Path) -> None:
    made = bundle_of(tmp_path, [(DATA / "old_schema_2024_last_trade_price.json").read_bytes()])
    [trade] = [event for event in made.events() if event.kind == Kind.TRADE]
    assert (trade.px_e6, trade.sz_e6, trade.side.name) == (491_000, 85_360_000, "SELL")
    assert trade.ts_event_ns == 1_724_564_136_087_000_000


def test_tops_of_december_2025_are_settled(tmp_path: Path) -> None:
    made = bundle_of(tmp_path, lines("frames_2025-12-23.jsonl"))
    tops = [event for event in made.events(Request(options=Options())) if event.kind == Kind.TOB]
    assert len(tops) == 5
    assert all(top.settled is Settled.SETTLED for top in tops)
