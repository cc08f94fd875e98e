"""The end of a repair: every file durable, `SHA256SUMS`, then `seal.json`, as of a capture that was closed."""

import hashlib
import json
from collections.abc import Iterable
from pathlib import Path
from typing import Final

from pm_frames.files import Files
from pm_frames.index import write_all
from pm_frames.paths import SEAL, SUMS, UNSEALED
from pm_verify.checks.seal import SELF_DIGEST, self_digest
from pm_verify.evidence import list_files
from pm_verify.salvage import SalvagedShard
from pm_verify.sums import file_digest

SEAL_VERSION: Final = 1


def seal_bundle(
    run_dir: Path,
    *,
    run_id: str,
    stop_reason: str,
    closed: tuple[int, int],
    shards: Iterable[SalvagedShard],
    files: Files,
) -> None:
    """Write both files of a bundle whose other files are there; `closed` is (monotonic ns, wall ns).

    Raises OSError.
    """
    names = [name for name in list_files(run_dir) if name not in UNSEALED]
    text = "".join(f"{file_digest(run_dir / name)}  {name}\n" for name in names).encode("utf-8")
    write_durable(files, run_dir / SUMS, text)
    stated = {str(shard.shard): _counts(shard) for shard in shards}
    document: dict[str, object] = {
        "seal_version": SEAL_VERSION,
        "run_id": run_id,
        "stop_reason": stop_reason,
        "closed_wall_ns_utc": closed[1],
        "closed_mono_ns": closed[0],
        "sha256sums_sha256": hashlib.sha256(text).hexdigest(),
        "frames_total": sum(shard["frames"] or 0 for shard in stated.values()),
        "bytes_total": sum(shard["frames_bytes"] or 0 for shard in stated.values()),
        "shards": stated,
    }
    document[SELF_DIGEST] = self_digest(document)
    write_durable(files, run_dir / SEAL, json.dumps(document, indent=2).encode("utf-8") + b"\n")


def _counts(shard: SalvagedShard) -> dict[str, int | None]:
    first, last = shard.first or (None, None), shard.last or (None, None)
    return {
        "frames": shard.frames,
        "frames_bytes": shard.frames_bytes,
        "idx_bytes": shard.idx_bytes,
        "rx_mono_ns_first": first[0],
        "rx_mono_ns_last": last[0],
        "rx_wall_ns_utc_first": first[1],
        "rx_wall_ns_utc_last": last[1],
    }


def write_durable(files: Files, path: Path, data: bytes) -> None:
    """Write a new file and return when it is on the device. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fd = files.open_append(path)
    try:
        write_all(files, fd, data, path)
        files.sync(fd)
    finally:
        files.close(fd)
