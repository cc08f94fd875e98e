"""Metrics under the names that readers of older captures know: latency families, queues, drops, losses.

They come from designs with queues between socket, parser and file. Here one call takes a read from the
socket to the file, so some of these durations are the same, and depths, drops and losses are zero because
there is nothing that could be deep or drop; docs/spec/metrics.md says for each key which it is.
"""

from collections.abc import Callable, Mapping
from typing import Any

NS_PER_MS = 1e6
PERCENTS = (50, 95, 99)
QUEUES = ("ws_in_q_depth", "parse_q_depth", "write_q_depth")
NO_LOSS = (
    "loss_parse_queue_drops",
    "loss_parse_results_drops",
    "loss_runlog_enqueue_timeouts",
    "loss_frame_write_queue_pressure_events",
)

Histogram = Mapping[str, Any]
Quantiles = Callable[[Histogram, tuple[int, ...]], list[int]]


def latencies(
    durations: Mapping[str, Histogram], reactions: Histogram, quantiles: Quantiles
) -> dict[str, float]:
    """Return the latency families in ms; arguments are sparse histograms in ns of one interval."""
    reads = durations["ingest_ns"]["count"]
    at_once = {"count": reads, "sum": 0, "max": 0, "buckets": [[0, reads]] if reads else []}
    families = {
        "ws_rx_to_enqueue_ms": durations["backpressure_ns"],
        "ws_rx_to_parsed_ms": durations["backpressure_ns"],
        "ws_rx_to_applied_ms": durations["ingest_ns"],
        "write_end_to_apply_ms": at_once,
        "apply_update_ms": reactions,
    }
    found: dict[str, float] = {}
    for name, histogram in families.items():
        count = histogram["count"]
        found[f"{name}_mean"] = histogram["sum"] / count / NS_PER_MS if count else 0.0
        for percent, value in zip(PERCENTS, quantiles(histogram, PERCENTS), strict=True):
            found[f"{name}_p{percent}"] = value / NS_PER_MS
        found[f"{name}_max"] = histogram["max"] / NS_PER_MS
        found[f"{name}_count"] = count
    return found


def losses(*, metrics_errors: int) -> dict[str, int]:
    """Return the loss counters of the run; metrics records are all that can be lost without an end."""
    found = dict.fromkeys(NO_LOSS, 0)
    found["loss_metrics_drops"] = metrics_errors
    return {"loss_total": sum(found.values()), **found}


def queues() -> dict[str, int]:
    """Return what there is to tell of queues that do not exist."""
    depths = {f"{name}_{what}": 0 for name in QUEUES for what in ("p95", "max")}
    return {
        **depths,
        "metrics_writer_queue_size": 0,
        "dropped_messages_count": 0,
        "dropped_messages_total": 0,
    }
