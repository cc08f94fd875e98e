"""`manifest.json`: what a run was meant to be, written before its first socket opens, never changed.

The initial universe and the initial shard map are pinned here; what changes later is in the runlog.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass

from pm_capture import refresh_config, subscribe
from pm_capture.settings import Resolved, Settings, shown
from pm_capture.shard_range import parse_range
from pm_capture.subscribe import SubscribeCaps
from pm_capture.takeover import Origin
from pm_capture.universe import Universe

MANIFEST_VERSION = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Anchors:
    """Facts of the start: both clocks read together, and what they belong to."""

    run_id: str
    wall_ns_utc: int
    mono_ns: int
    monotonic_ns_source: str
    boot_id: str | None
    git_commit: str
    origin: Origin | None = None  # the generation of the run before that the universe is


def build(
    anchors: Anchors,
    *,
    resolved: Resolved,
    environment: Mapping[str, str],
    versions: Mapping[str, str],
    universe: Universe,
    universe_file: str,
    shards: Sequence[Sequence[str]],
    source: Mapping[str, object] | None = None,
) -> dict[str, object]:
    """Return the manifest; `shards` holds the tokens of every shard, by shard id.

    `source` is what a source other than the venue says of itself; it wins.
    """
    document = universe.document
    selection = document.selection
    settings = resolved.settings
    caps = SubscribeCaps(settings.ws_subscribe_max_tokens, settings.ws_subscribe_max_bytes)
    return {
        "manifest_version": MANIFEST_VERSION,
        "run_id": anchors.run_id,
        "t0_wall_ns_utc": anchors.wall_ns_utc,
        "t0_mono_ns": anchors.mono_ns,
        "capture_schema_version": settings.capture_frames_schema_version,
        "payload_source": "text",
        "payload_encoder": "utf-8",
        "universe_mode": selection.get("universe_mode", "active-binary"),
        "capture_use_market_filters": selection.get("capture_use_market_filters", False),
        "market_regex_effective": selection.get("market_regex_effective"),
        "monotonic_ns_source": anchors.monotonic_ns_source,
        "git_commit": anchors.git_commit,
        "boot_id": anchors.boot_id,
        "previous_run_id": None if anchors.origin is None else anchors.origin.run_id,
        "environment": dict(environment),
        "versions": dict(versions),
        "shard_range": _shard_range(settings),
        "config": shown(settings),
        "config_sources": resolved.sources,
        "pinned_tokens": universe.token_ids,
        "pinned_markets": [
            {
                "id": market.market_id,
                "token_ids": [token.token_id for token in market.tokens],
            }
            for market in document.markets
        ],
        "initial_universe": {
            "universe_version": document.universe_version,
            "file": universe_file,
            "sha256": universe.sha256,
            "market_ids": [market.market_id for market in document.markets],
            "token_ids": universe.token_ids,
            "created_wall_ns_utc": document.created_wall_ns_utc,
            "created_mono_ns": document.created_mono_ns,
            "selection": selection,
            "taken_over": None if anchors.origin is None else asdict(anchors.origin),
        },
        "universe_refresh": refresh_config.described(settings),
        "shards": {
            "count": len(shards),
            "assignments": {
                str(shard_id): _assignment(token_ids, caps)
                for shard_id, token_ids in enumerate(shards)
            },
        },
        "subscribe_caps": {"max_tokens": caps.tokens_max, "max_bytes": caps.bytes_max},
        **(source or {}),
    }


def encode(manifest: Mapping[str, object]) -> bytes:
    """Return the bytes of the file."""
    return json.dumps(manifest, indent=2, ensure_ascii=False).encode("utf-8") + b"\n"


def _shard_range(settings: Settings) -> dict[str, int] | None:
    if settings.shard_range is None:
        return None
    return asdict(parse_range(settings.shard_range, settings.ws_shards))


def _assignment(token_ids: Sequence[str], caps: SubscribeCaps) -> dict[str, object]:
    # The groups are consecutive runs of `token_ids`, so their lengths tell all.
    return {
        "token_ids": list(token_ids),
        "groups": [len(group) for group in subscribe.groups(token_ids, caps)],
    }
