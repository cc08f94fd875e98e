"""What `capture_stop` says of the run."""

import dataclasses
from typing import Any

import pytest

from pm_capture.metrics import ShardFacts
from pm_capture.quality import judged

GOOD = ShardFacts(
    shard_id=0, frames=1, bytes_written=1, tokens_assigned=3, tokens_seen=2, tokens_eligible=2,
    tokens_overdue=0, connected=True, confirmed=True, confirm_events_seen=1, confirm_failures=0,
    confirm_deadline_ns=None, reconnects=0, reconnect_budget_remaining=1, down_ns=0,
    down_incidents=0, startup_connect_ns=1, last_frame_ns=1,
)  # fmt: skip


def test_nothing_wrong_is_ok() -> None:
    assert judged([GOOD, GOOD], {"loss_total": 0}) == {
        "quality_status": "ok", "quality_ok": True, "quality_reasons": [],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("down_incidents", 1, "midrun_disconnected_incidents"),
        ("confirm_failures", 2, "confirm_failures_total"),
        ("tokens_eligible", 3, "coverage_pct"),
        ("decode_errors", 1, "decode_errors"),
    ],
)
def test_one_shard_is_enough_to_be_degraded(field: str, value: int, reason: str) -> None:
    changed: dict[str, Any] = {field: value}
    found = judged([GOOD, dataclasses.replace(GOOD, **changed)], {"loss_total": 0})
    assert found == {
        "quality_status": "degraded", "quality_ok": False, "quality_reasons": [reason],
    }  # fmt: skip


def test_what_was_lost_is_a_reason() -> None:
    assert judged([GOOD], {"loss_total": 1})["quality_reasons"] == ["loss_total"]
