"""What the two files of a shard say by their sizes and idx stamps; no payload and no checksum is read."""

from pathlib import Path
from typing import Any

from pm_frames.errors import BundleError, MissingFile
from pm_frames.layout import Version, header_size, idx_size
from pm_frames.paths import archived_path
from pm_frames.shard import Shard
from pm_frames.window import Window


def shard_summary(shard: Shard, run_dir: Path, problems: list[str]) -> dict[str, Any]:
    """Return records, bytes and first and last stamps of a shard; what cannot be told is None.

    `records` are the whole entries of the idx, `whole_frames` those of them of which the frame is whole,
    `unindexed_bytes` what .frames holds beyond them. Of an archived shard `frames_bytes` is what it was before. Appends to `problems` what a reader has to know.
    """
    archived = archived_path(shard.frames_path)
    packed = archived.is_file() and not shard.frames_path.exists()
    found: dict[str, Any] = {
        "frames_path": _relative(archived if packed else shard.frames_path, run_dir),
        "idx_path": _relative(shard.idx_path, run_dir),
        "schema_version": None,
        "records": None,
        "whole_frames": None,
        "frames_bytes": None if packed else _size(shard.frames_path),
        "archived_bytes": _size(archived) if packed else None,
        "idx_bytes": _size(shard.idx_path),
        "unindexed_bytes": None,
        "rx_mono_ns_first": None,
        "rx_mono_ns_last": None,
        "rx_wall_ns_utc_first": None,
        "rx_wall_ns_utc_last": None,
    }
    try:
        _read(shard, found, problems)
    except MissingFile as error:
        problems.append(str(error))
    except (BundleError, OSError) as error:
        problems.append(str(error))
    return found


def _read(shard: Shard, found: dict[str, Any], problems: list[str]) -> None:
    version = found["schema_version"] = int(shard.version)
    if found["frames_bytes"] is None:
        with Window(shard.frames_path) as window:
            found["frames_bytes"] = window.size
    records = found["records"] = len(shard)
    pairs = found["whole_frames"] = shard.pairs()
    end = 0
    if pairs:
        last = next(shard.entries(pairs - 1, pairs))
        end = last.offset_frames + header_size(version) + last.payload_len
    if records:
        first, last = next(shard.entries(0, 1)), next(shard.entries(records - 1, records))
        found["rx_mono_ns_first"], found["rx_mono_ns_last"] = first.rx_mono_ns, last.rx_mono_ns
        found["rx_wall_ns_utc_first"] = first.rx_wall_ns_utc
        found["rx_wall_ns_utc_last"] = last.rx_wall_ns_utc
    name = found["idx_path"]
    if found["frames_bytes"] is not None:
        found["unindexed_bytes"] = found["frames_bytes"] - end
    torn = (found["idx_bytes"] or 0) % idx_size(Version(version))
    if torn:
        problems.append(f"{name}: ends with {torn} bytes of an entry")
    if records > pairs:
        problems.append(f"{name}: {records - pairs} entries whose frames are not whole")
    elif found["unindexed_bytes"]:
        problems.append(
            f"{found['frames_path']}: {found['unindexed_bytes']} bytes that no idx entry names"
        )


def _relative(path: Path, run_dir: Path) -> str:
    return path.relative_to(run_dir).as_posix()


def _size(path: Path) -> int | None:
    try:
        return path.stat().st_size
    except OSError:
        return None
