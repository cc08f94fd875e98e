"""Every key of the metrics records: unit and meaning. docs/spec/metrics.md holds these tables as generated.

A test holds the tables to the page, and to the keys that a capture really writes.
"""

from collections.abc import Mapping
from typing import NamedTuple


class Key(NamedTuple):
    """Unit and meaning of one key. `structural` marks a value that this design makes constant."""

    unit: str
    meaning: str
    structural: bool = False


def _quantile_keys(
    name: str, unit: str, meaning: str, ends: tuple[str, ...], *, structural: bool = False
) -> dict[str, Key]:
    words = {
        "mean": "mean", "p50": "median", "p95": "95th percentile", "p99": "99th percentile",
        "max": "largest", "count": "number of samples",
    }  # fmt: skip
    first, *rest = ends
    keys = {f"{name}_{first}": Key(unit, f"{meaning}; {words[first]}", structural)}
    for end in rest:
        keys[f"{name}_{end}"] = Key(
            "" if end == "count" else unit,
            words[end],
            # However little there is to measure, how often it happened is counted.
            structural and end != "count",
        )
    return keys


_NS = ("p50", "p95", "p99", "max", "count")
_MS = ("mean", "p50", "p95", "p99", "max", "count")

_HEAD = {
    "record_type": Key("", "`shard_metrics` or `global_metrics`"),
    "run_id": Key("", "the run"),
    "hb_wall_ns_utc": Key("ns", "wall clock at the end of the interval"),
    "hb_mono_ns": Key("ns", "monotonic clock at the end of the interval"),
    "elapsed_ns": Key("ns", "length of the interval"),
}
_FLOW = {
    "frames": Key("", "frames written since the start"),
    "bytes_written": Key("bytes", "bytes of `.frames` since the start"),
    "msgs_per_sec": Key("1/s", "frames of the interval"),
    "bytes_per_sec": Key("bytes/s", "bytes of the interval"),
    **_quantile_keys("write_ns", "ns", "time inside the append of one read", _NS),
    **_quantile_keys("ingest_ns", "ns", "stamp of a read to the end of its append", _NS),
    **_quantile_keys(
        "backpressure_ns", "ns", "stamp of a read to the beginning of its append: cutting frames", _NS
    ),
    "histograms": Key("", "`write_ns`, `ingest_ns`, `backpressure_ns` of the interval, mergeable"),
    "coverage_pct": Key(
        "%", "100 · seen / eligible; 100 when none is eligible; counted every "
        "`capture_coverage_metrics_interval_seconds`",
    ),
    "token_ids_seen": Key("", "assigned tokens whose first `book` has come in this run"),
    "token_ids_eligible": Key("", "tokens seen, and tokens whose grace is over"),
    "token_ids_assigned": Key("", "tokens that are to be delivered"),
    "decode_errors": Key(
        "", "frames since the start that are no keepalive and not empty, and in which no event type is found"
    ),
    "msg_type_counts": Key(
        "", "events since the start by type; `_keepalive` and `_empty` count frames, `_other` types beyond 64"
    ),
    "midrun_disconnected_time_s_total": Key(
        "s", "time without a connection after the first one, an outage that still lasts included"
    ),
    "midrun_disconnected_incidents": Key("", "connections lost by a fault"),
}  # fmt: skip

SHARD: Mapping[str, Key] = {
    **_HEAD,
    "shard_id": Key("", "the shard"),
    **_FLOW,
    "token_ids_overdue": Key("", "tokens that were asked for again and still have no book"),
    "connected": Key("", "whether a connection is open"),
    "confirmed": Key("", "whether data of an assigned token has come on this connection"),
    "confirm_events_seen": Key("", "events of assigned tokens until it was confirmed"),
    "confirm_failures": Key("", "subscriptions that were not confirmed in time, since the start"),
    "confirm_deadline_remaining_ms": Key("ms", "until a subscription counts as failed, or null"),
    "reconnects": Key("", "faults since the start that were followed by a new connection"),
    "reconnect_budget_remaining": Key("", "failures left until the delay stops growing"),
    "rx_idle_s": Key("s", "since the last frame, PONG included; null before the first"),
    "startup_connect_time_s": Key("s", "from the start to the first connection, or null"),
}
GLOBAL: Mapping[str, Key] = {
    **_HEAD,
    **_FLOW,
    "durable_frames": Key("", "frames that a finished sync has made durable"),
    "shards_connected": Key("", "shards with an open connection"),
    "shards_unconfirmed_count": Key("", "shards with tokens that are not confirmed"),
    "confirm_failures_total": Key("", "`confirm_failures` of all shards"),
    "reconnects_total": Key("", "`reconnects` of all shards"),
    "rx_idle_any_shard_s": Key("s", "the longest `rx_idle_s` of a shard with tokens"),
    "rx_idle_all_shards_s": Key("s", "the shortest: for so long nothing has come at all"),
    "startup_connect_time_s_p50": Key("s", "first connections of the shards; median"),
    "startup_connect_time_s_p95": Key("s", "95th percentile"),
    "startup_connect_time_s_max": Key("s", "largest"),
    "startup_connect_pending_shards": Key("", "shards that have not connected yet"),
    "midrun_disconnected_incident_duration_s_p95": Key(
        "s", "outages that are over, since the start; 95th percentile"
    ),
    "midrun_disconnected_incident_duration_s_max": Key("s", "largest"),
    "loop_lag_ms_max_last_interval": Key("ms", "largest lateness of a 100 ms timer"),
    "loop_lag_ns": Key(
        "ns", "histogram of that lateness, mergeable; ticks that a stall swallowed count as late"
    ),
    "hb_tick_work_ns": Key("ns", "work of the heartbeat before this one"),
    "gc_pauses_count": Key("", "garbage collections of the interval"),
    "gc_pauses_ns_total": Key("ns", "their time together"),
    "gc_pauses_ns_max": Key("ns", "the longest of them"),
    "clock_steps_total": Key("", "`clock_step` records since the start"),
    "disk_total_bytes": Key("bytes", "size of the file system; null until it was measured"),
    "disk_used_bytes": Key("bytes", "used"),
    "disk_free_bytes": Key("bytes", "free to this user"),
    "disk_check_ns": Key("ns", "how long the newest measurement took, in its own thread"),
    "disk_check_performed": Key("", "whether a measurement was made in this interval"),
    "metrics_writer_errors": Key("", "metrics records that could not be written"),
    **_quantile_keys(
        "ws_rx_to_enqueue_ms", "ms", "stamp to handing over for writing: `backpressure_ns`", _MS
    ),
    **_quantile_keys(
        "ws_rx_to_parsed_ms",
        "ms",
        "stamp to frames cut out of the stream, which is the same moment; payloads are not parsed",
        _MS,
    ),
    **_quantile_keys(
        "ws_rx_to_applied_ms",
        "ms",
        "stamp to written and counted: `ingest_ns`, since the append counts what it has written",
        _MS,
    ),
    **_quantile_keys(
        "write_end_to_apply_ms",
        "ms",
        "written to counted: one call",
        _MS,
        structural=True,
    ),
    **_quantile_keys(
        "apply_update_ms", "ms", "end of the append to the end of what the policies made of it", _MS
    ),
    "ws_in_q_depth_p95": Key("", "no queue between receiving and writing", structural=True),
    "ws_in_q_depth_max": Key("", "the same", structural=True),
    "parse_q_depth_p95": Key("", "no queue between receiving and looking at frames", structural=True),
    "parse_q_depth_max": Key("", "the same", structural=True),
    "write_q_depth_p95": Key("", "no queue between writing and counting", structural=True),
    "write_q_depth_max": Key("", "the same", structural=True),
    "metrics_writer_queue_size": Key("", "metrics are written at the heartbeat", structural=True),
    "dropped_messages_count": Key(
        "", "messages received and not written, in the interval: a frame that cannot be written ends the run",
        structural=True,
    ),
    "dropped_messages_total": Key("", "the same since the start", structural=True),
    "loss_total": Key("", "sum of the five below"),
    "loss_parse_queue_drops": Key("", "no such queue", structural=True),
    "loss_parse_results_drops": Key("", "no such queue", structural=True),
    "loss_metrics_drops": Key("", "`metrics_writer_errors`"),
    "loss_runlog_enqueue_timeouts": Key(
        "", "runlog records are written at once, or the run ends", structural=True
    ),
    "loss_frame_write_queue_pressure_events": Key("", "no such queue", structural=True),
    "universe_version": Key("", "the generation in force"),
    "refresh_count": Key("", "refreshes since the start that changed the universe"),
    "refresh_churn_pct_last": Key(
        "%", "100 · (added + removed) / tokens before, of the newest refresh that was judged"
    ),
    "tokens_added_last": Key("", "tokens added by the newest change"),
    "tokens_removed_last": Key("", "tokens removed by it"),
    "shards_refreshed_last": Key("", "shards that it touched"),
    "refresh_failures": Key("", "refreshes since the start that failed; the universe stayed as it was"),
    "refresh_interval_seconds_current": Key("s", "time to the next refresh; grows while the guard holds"),
    "refresh_skipped_delta_below_min_count": Key("", "changes too small to apply, since the start"),
    "refresh_last_decision_reason": Key("", "what became of the newest refresh, or null"),
    "refresh_inflight_skipped_count": Key("", "refreshes that were due while one was under way"),
    "universe_refresh_duration_ms": Key("ms", "the newest refresh, or null"),
    "universe_refresh_worker_duration_ms": Key("ms", "its discovery process, or null"),
    "gamma_pages_fetched": Key("", "pages read by the newest discovery, or null"),
    "markets_seen": Key("", "markets that it saw, or null"),
    "tokens_selected": Key("", "tokens that it selected, or null"),
    "expected_churn_bool": Key("", "whether the newest change was expected to be large"),
    "expected_churn_reason": Key("", "by what: `NONE`, or the windows that were hit"),
    "rollover_window_hit": Key("", "whether changed markets were near a rollover"),
    "expiry_window_hit": Key("", "whether changed markets were near their end"),
}  # fmt: skip


def table(keys: Mapping[str, Key]) -> str:
    """Return a table as Markdown."""
    lines = ["| key | unit | meaning |", "|---|---|---|"]
    for name, key in keys.items():
        zero = " **(always 0)**" if key.structural else ""
        lines.append(f"| `{name}` | {key.unit} | {key.meaning}{zero} |")
    return "\n".join(lines) + "\n"
