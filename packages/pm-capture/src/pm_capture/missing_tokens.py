"""`missing_tokens.json`: what a fatal run had not received yet, shard by shard."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pm_capture.shard_session import ShardSession

SAMPLE_MAX = 200


@dataclass(frozen=True, slots=True)
class ShardMissing:
    """What one shard still owed at the end; times are monotonic ns."""

    shard_id: int
    missing: Sequence[str]
    token_ids: Sequence[str]
    confirmed: bool
    confirm_events_seen: int
    confirm_deadline_ns: int | None
    reconnects: int
    recent_headers: Sequence[Mapping[str, int | None]]


def shard_missing(
    session: ShardSession, recent_headers: Sequence[Mapping[str, int | None]]
) -> ShardMissing:
    """Ask a session whose connection was dropped without telling it, so that it has forgotten nothing."""
    confirm = session.policies.confirm
    return ShardMissing(
        shard_id=session.shard_id,
        missing=session.coverage.missing(),
        token_ids=session.token_ids,
        confirmed=confirm.confirmed,
        confirm_events_seen=confirm.events_seen,
        confirm_deadline_ns=confirm.deadline(),
        reconnects=session.reconnects,
        recent_headers=recent_headers,
    )


def encode(
    shards: Sequence[ShardMissing], *, reason: str, now: int, backpressure_ns_p99: int
) -> bytes:
    """Return the bytes of the file; `now` is when the run ended, in monotonic ns."""
    missing = [token_id for shard in shards for token_id in shard.missing]
    document = {
        "reason": reason,
        "global_missing": {"count": len(missing), "sample": missing[:SAMPLE_MAX]},
        "backpressure_ns_p99": backpressure_ns_p99,
        "per_shard": {str(shard.shard_id): _described(shard, now) for shard in shards},
    }
    return json.dumps(document, indent=2).encode("utf-8") + b"\n"


def _described(shard: ShardMissing, now: int) -> dict[str, object]:
    deadline = shard.confirm_deadline_ns
    return {
        "missing": {"count": len(shard.missing), "sample": list(shard.missing[:SAMPLE_MAX])},
        "confirmed": shard.confirmed,
        "confirm_events_seen": shard.confirm_events_seen,
        "confirm_deadline_mono_ns": deadline,
        "confirm_deadline_exceeded": deadline is not None and now > deadline,
        "reconnects": shard.reconnects,
        "confirm_token_ids": list(shard.token_ids),
        "recent_headers": list(shard.recent_headers),
    }
