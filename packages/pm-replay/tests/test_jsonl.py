"""Lines of a stream whose payloads take many slots."""

from __future__ import annotations

import json

from bundles import T0, Maker, compact

from pm_replay.jsonl import JsonLines
from pm_replay.pipeline import Request, replay


def test_a_payload_of_many_slots_is_one_line(make_bundle: Maker) -> None:
    messages = [
        {"event_type": "new_market", "market": "m", "timestamp": str(n), "question": "é" * n}
        for n in (1, 11, 62, 1000)
    ]
    made = make_bundle([(0, T0 + 10 + n, compact(each)) for n, each in enumerate(messages)])
    out: list[bytes] = []
    replay(made.bundle, Request(), JsonLines(out.append))
    lines = [json.loads(line) for line in b"".join(out).splitlines()]
    told = [line["facts"]["question"] for line in lines if line["kind"] == "market"]
    assert told == [each["question"] for each in messages]
