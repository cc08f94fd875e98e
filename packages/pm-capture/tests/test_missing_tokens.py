"""What a fatal run had not received: literal values."""

import json

from pm_capture.missing_tokens import ShardMissing, encode


def test_it_counts_all_and_names_some() -> None:
    tokens = [str(number) for number in range(300)]
    header: dict[str, int | None] = {"offset_frames": 0, "rx_mono_ns": 5}
    shards = [
        ShardMissing(0, ["7"], ["7", "8"], True, 3, None, 2, [header]),
        ShardMissing(11, tokens, tokens, False, 0, 90, 0, []),
    ]
    found = json.loads(encode(shards, reason="LOW_DISK", now=91, backpressure_ns_p99=4))
    other = found["per_shard"].pop("11")
    assert found == {
        "reason": "LOW_DISK",
        "global_missing": {"count": 301, "sample": ["7", *tokens[:199]]},
        "backpressure_ns_p99": 4,
        "per_shard": {
            "0": {
                "missing": {"count": 1, "sample": ["7"]},
                "confirmed": True,
                "confirm_events_seen": 3,
                "confirm_deadline_mono_ns": None,
                "confirm_deadline_exceeded": False,
                "reconnects": 2,
                "confirm_token_ids": ["7", "8"],
                "recent_headers": [header],
            },
        },
    }
    assert other["confirm_deadline_exceeded"] is True
    assert other["missing"] == {"count": 300, "sample": tokens[:200]}
