"""The end of a run: `SHA256SUMS`, then `seal.json`, in that order, each durable before the next.

The presence of `seal.json` is what says that a run was closed cleanly, so it is the last file written. The
digests are those kept while writing; nothing is read again.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pm_capture.durable import write_file
from pm_frames import ShardWriter, paths
from pm_frames.files import Files

SEAL_VERSION = 1


def sums(digests: Mapping[str, str]) -> bytes:
    """Return the text of `SHA256SUMS`, as coreutils' `sha256sum --check` reads it."""
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode("utf-8")


def seal(
    run_dir: Path,
    *,
    run_id: str,
    stop_reason: str,
    closed: tuple[int, int],
    digests: Mapping[str, str],
    shards: Sequence[ShardWriter],
    files: Files | None = None,
) -> None:
    """Seal a run whose files are all closed; `closed` is (monotonic ns, wall ns). Raises OSError."""
    text = sums(digests)
    write_file(run_dir / paths.SUMS, text, files)
    mono, wall = closed
    document: dict[str, object] = {
        "seal_version": SEAL_VERSION,
        "run_id": run_id,
        "stop_reason": stop_reason,
        "closed_wall_ns_utc": wall,
        "closed_mono_ns": mono,
        "sha256sums_sha256": hashlib.sha256(text).hexdigest(),
        "frames_total": sum(shard.frames for shard in shards),
        "bytes_total": sum(shard.frames_bytes for shard in shards),
        "shards": {str(shard.shard_id): _counts(shard) for shard in shards},
    }
    document["seal_sha256"] = self_digest(document)
    write_file(run_dir / paths.SEAL, json.dumps(document, indent=2).encode("utf-8") + b"\n", files)


def self_digest(document: Mapping[str, object]) -> str:
    """SHA-256 of the canonical JSON of a seal without its own digest.

    Everything else in a seal can be compared with something; the closing stamps only with this.
    """
    told = {key: value for key, value in document.items() if key != "seal_sha256"}
    text = json.dumps(told, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode("utf-8")).hexdigest()


def _counts(shard: ShardWriter) -> dict[str, int | None]:
    return {
        "frames": shard.frames,
        "frames_bytes": shard.frames_bytes,
        "idx_bytes": shard.idx_bytes,
        "rx_mono_ns_first": shard.rx_mono_ns_first,
        "rx_mono_ns_last": shard.rx_mono_ns_last,
        "rx_wall_ns_utc_first": shard.rx_wall_ns_utc_first,
        "rx_wall_ns_utc_last": shard.rx_wall_ns_utc_last,
    }
