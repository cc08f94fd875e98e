"""What a fatal run leaves beside its records: `fatal.json`, `missing_tokens.json`, `last_frames_*.bin`.

The reserve has been released; what matters most is written first, and one file that cannot be written does
not keep the next from being tried.
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial

from pm_capture import missing_tokens
from pm_capture.durable import write_file
from pm_capture.fatal import Fatal, write_fatal
from pm_capture.last_frames import BYTES_MAX, Tail, tail
from pm_capture.recorder import Recorder
from pm_capture.shard_session import ShardSession
from pm_frames import paths

# The reserve pays for everything, and at most three quarters of it are for frames.
FRAMES_SHARE = 0.75
UNRESERVED_BYTES_MAX = 64 * BYTES_MAX


def bytes_for_each(held_bytes: int, shards: int) -> int:
    """Return how much of the end of each shard is kept, when the reserve held this much."""
    budget = int(held_bytes * FRAMES_SHARE) if held_bytes else UNRESERVED_BYTES_MAX
    return min(BYTES_MAX, budget // max(1, shards))


def leave(
    recorder: Recorder,
    sessions: Sequence[ShardSession],
    fatal: Fatal,
    *,
    counts: Mapping[str, int],
    recent_heartbeats: Sequence[dict[str, int]],
    backpressure_ns_p99: int,
    tail_bytes_max: int,
    say: Callable[[str], None],
) -> None:
    """Write all of it, unless an earlier fatal error has been written. Nothing raises."""
    run_dir = recorder.run_dir
    if (run_dir / paths.FATAL).exists():
        return
    stamp = recorder.stamper.frames()

    def attempt(name: str, write: Callable[[], None]) -> None:
        try:
            write()
        except OSError as error:
            say(f"{name} could not be written: {error.strerror}")

    attempt(
        paths.FATAL,
        lambda: write_fatal(
            run_dir,
            fatal,
            run_id=recorder.run_id,
            stamp=stamp,
            counts=dict(counts),
            recent_heartbeats=recent_heartbeats,
        ),
    )
    tails = _tails(recorder, tail_bytes_max, say)
    missing = missing_tokens.encode(
        [missing_tokens.shard_missing(one, tails[one.shard_id].headers) for one in sessions],
        reason=fatal.reason,
        now=stamp[0],
        backpressure_ns_p99=backpressure_ns_p99,
    )
    attempt(paths.MISSING_TOKENS, partial(write_file, run_dir / paths.MISSING_TOKENS, missing))
    for shard_id, one in tails.items():
        path = paths.last_frames_path(run_dir, shard_id)
        if one.data:
            attempt(path.name, partial(write_file, path, one.data))


def _tails(recorder: Recorder, bytes_max: int, say: Callable[[str], None]) -> dict[int, Tail]:
    tails = {}
    for shard in recorder.shards:
        try:
            tails[shard.shard_id] = tail(shard, bytes_max=bytes_max)
        except OSError as error:
            say(f"{shard.frames_path.name} could not be read: {error.strerror}")
            tails[shard.shard_id] = Tail(b"", [])
    return tails
