"""What a capture can say about itself when it ends: the `quality_*` keys of `capture_stop`.

A short answer for whoever reads only the last record. It judges nothing that takes reading the frames, and
it is no gate: that is what pm-verify and an audit are for.
"""

from collections.abc import Iterable, Mapping

from pm_capture.metrics import ShardFacts


def judged(shards: Iterable[ShardFacts], losses: Mapping[str, int]) -> dict[str, object]:
    """Return the keys; a reason is the name of the metrics key that is not as it should be."""
    shards = list(shards)
    wrong = {
        "midrun_disconnected_incidents": any(one.down_incidents for one in shards),
        "confirm_failures_total": any(one.confirm_failures for one in shards),
        "coverage_pct": any(one.tokens_seen < one.tokens_eligible for one in shards),
        "decode_errors": any(one.decode_errors for one in shards),
        "loss_total": losses["loss_total"] > 0,
    }
    reasons = [name for name, is_wrong in wrong.items() if is_wrong]
    return {
        "quality_status": "degraded" if reasons else "ok",
        "quality_ok": not reasons,
        "quality_reasons": reasons,
    }
