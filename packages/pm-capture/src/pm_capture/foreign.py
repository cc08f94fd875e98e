"""Names that configurations of related programs bring along, and that are no settings here.

One environment, and often one TOML file, serves all programs. A name of another program is passed over
in silence. A name that asks for something which pm-capture does in another way, or always, is answered
with the reason, because whoever set it believes that it counts.
"""

from collections.abc import Mapping

# Settings of programs that read the same prefixes.
ELSEWHERE = frozenset({"sizes", "buffer_per_share"})

INSTEAD: Mapping[str, str] = {
    "gamma_limit": "a page of Gamma always holds 100 markets, the most that it gives",
    "capture_confirm_tokens_per_shard": "every token of a shard is watched for its first book",
    "capture_ring_buffer_frames": "the last frames are read from the files, not kept in memory",
    "capture_runlog_enqueue_timeout_seconds": "runlog records are written at once, there is no queue",
    "capture_ndjson_fsync_on_close": "every file is always synced at the end",
    "capture_ndjson_fsync_interval_seconds": "the runlog is always synced, five times a second",
    "capture_gc_disable": "what lives as long as the run is frozen instead, and collections are timed",
    "runtime_auto_ws_shards_enable": "shards are always added when the tokens need more",
}
# Of whole families of names.
LEFT_TO_READERS = ("fee_rate_", "fee_regime_", "policy_")


def answer(name: str) -> str | None:
    """Return why a name has no effect; None for a name that nobody here has heard of."""
    if name.startswith(LEFT_TO_READERS):
        return "a capture records, and fees and policies are applied by who reads it"
    return INSTEAD.get(name)
