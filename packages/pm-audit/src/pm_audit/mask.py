"""`pm-mask-1`: the file that names times in which tokens are not to be trusted (docs/spec/mask.md).

The same bundle gives the same bytes: no clock, no floats, a fixed order.
"""

from __future__ import annotations

import json
from typing import Any, Final

from pm_audit.freezes import Freezes, Suspicion
from pm_frames.bundle import Bundle
from pm_frames.errors import BundleError

FORMAT: Final = "pm-mask-1"


def mask_json(bundle: Bundle, freezes: Freezes) -> dict[str, Any]:
    """Return the mask of a run as JSON values."""
    return {
        "format": FORMAT,
        "run_id": bundle.run_id,
        "seal_sha256": seal_digest(bundle),
        "basis": freezes.basis.value,
        "rule": freezes.rule._asdict(),
        "messages": freezes.messages,
        "tokens_heard": freezes.tokens_heard,
        "tokens_judged": freezes.tokens_judged,
        "shards_judged": freezes.shards_judged,
        "live_ns": freezes.live_ns,
        "intervals": [_interval(one) for one in freezes.suspicions],
    }


def _interval(one: Suspicion) -> dict[str, Any]:
    return {
        "token_id": one.token_id,
        "from_mono_ns": one.from_mono_ns,
        "to_mono_ns": one.to_mono_ns,
        "reason": str(one.reason),
        "shard_id": one.shard_id,
        "ended_by": one.ended_by,
        "evidence": one.evidence._asdict(),
    }


def mask_bytes(mask: dict[str, Any]) -> bytes:
    """Return the file: UTF-8, sorted keys, one interval a line so that it can be read and compared."""
    head = {key: value for key, value in mask.items() if key != "intervals"}
    lines = [json.dumps(one, sort_keys=True, ensure_ascii=False) for one in mask["intervals"]]
    opening = json.dumps(head, sort_keys=True, indent=1, ensure_ascii=False).removesuffix("\n}")
    body = ",\n  ".join(lines)
    return (
        f'{opening},\n "intervals": [\n  {body}\n ]\n}}\n'.encode()
        if lines
        else (f'{opening},\n "intervals": []\n}}\n'.encode())
    )


def seal_digest(bundle: Bundle) -> str | None:
    """Return the digest that the seal states of itself; None for a run without a sound seal."""
    try:
        seal = bundle.seal
    except BundleError:
        return None
    digest = None if seal is None else seal.get("seal_sha256")
    return digest if isinstance(digest, str) else None
