"""What the settings make of one run: the machines of its shards, its limits, and how the venue is reached."""

import random
from collections.abc import Sequence

from pm_capture import environment
from pm_capture.policies.backoff import Backoff
from pm_capture.policies.budget import Budget
from pm_capture.policies.confirm import Confirm
from pm_capture.policies.data_idle import DataIdle
from pm_capture.policies.keepalive import Keepalive
from pm_capture.policies.snapshot import Snapshot
from pm_capture.reasons import FatalReason
from pm_capture.settings import Settings, nanoseconds
from pm_capture.shard_link import Dial, Open
from pm_capture.shard_range import ShardRange, parse_range
from pm_capture.shard_session import Policies, ShardSession
from pm_capture.subscribe import SubscribeCaps
from pm_capture.vitals import Guards

BYTES_PER_GB = 1_000_000_000


def part_of(settings: Settings) -> ShardRange | None:
    """Return the range of shards that this process captures, if it is not all of them."""
    if settings.shard_range is None:
        return None
    return parse_range(settings.shard_range, settings.ws_shards)


def session(settings: Settings, shard_id: int, token_ids: Sequence[str]) -> ShardSession:
    """Return the session of one shard, with machines of its own."""
    return ShardSession(
        shard_id,
        token_ids,
        caps=SubscribeCaps(settings.ws_subscribe_max_tokens, settings.ws_subscribe_max_bytes),
        policies=Policies(
            keepalive=Keepalive(
                interval_ns=nanoseconds(settings.ws_ping_interval_seconds),
                timeout_ns=nanoseconds(settings.ws_ping_timeout_seconds),
            ),
            confirm=Confirm(
                timeout_ns=nanoseconds(settings.capture_confirm_timeout_seconds),
                events_min=settings.capture_confirm_min_events,
            ),
            data_idle=DataIdle(idle_ns=nanoseconds(settings.ws_data_idle_reconnect_seconds)),
            snapshot=Snapshot(timeout_ns=nanoseconds(settings.capture_snapshot_timeout_seconds)),
            backoff=Backoff(
                base_ns=nanoseconds(settings.ws_reconnect_backoff_seconds),
                cap_ns=nanoseconds(settings.ws_reconnect_backoff_max_seconds),
                heal_ns=nanoseconds(settings.ws_reconnect_heal_seconds),
                budget=settings.ws_reconnect_max,
                # Shards must not fall into step, and neither must two captures.
                jitter=random.Random(),
            ),
            grace_ns=nanoseconds(settings.capture_universe_refresh_grace_seconds),
            storm=Budget(
                FatalReason.RECONNECT_STORM,
                faults_max=settings.ws_reconnect_storm_max,
                heal_ns=nanoseconds(settings.ws_reconnect_heal_seconds),
            ),
            unconfirmed=Budget(
                FatalReason.SUBSCRIBE_CONFIRM_FAIL,
                faults_max=settings.capture_confirm_max_failures,
                heal_ns=nanoseconds(settings.capture_confirm_heal_seconds),
            ),
        ),
    )


def guards(settings: Settings) -> Guards:
    """Return the limits of a run."""
    return Guards(
        free_bytes_min=round(settings.min_free_disk_gb * BYTES_PER_GB),
        backpressure_ns=nanoseconds(settings.capture_backpressure_fatal_ms / 1000),
        disk_interval_seconds=settings.capture_disk_usage_interval_seconds,
        coverage_interval_ns=nanoseconds(settings.capture_coverage_metrics_interval_seconds),
    )


def dial(settings: Settings, open_connection: Open) -> Dial:
    """Return how the venue is reached, by a transport."""
    return Dial(
        url=settings.clob_ws_url,
        open_seconds=settings.ws_connect_timeout_seconds,
        open=open_connection,
        user_agent=settings.ws_user_agent
        or f"pm-capture/{environment.versions().get('pm-capture', 'unknown')}",
    )
