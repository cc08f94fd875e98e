"""Names of the files of a run bundle (docs/spec/run-bundle.md), relative to the run directory."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

MANIFEST: Final = "manifest.json"
RUNLOG: Final = "runlog.ndjson"
LOCK: Final = ".lock"
RESERVE: Final = ".reserve"
SEAL: Final = "seal.json"
SLICE: Final = "slice.json"
MERGE: Final = "merge.json"
SOURCE: Final = "source"
SUMS: Final = "SHA256SUMS"
FATAL: Final = "fatal.json"
MISSING_TOKENS: Final = "missing_tokens.json"
REPAIR: Final = "repair.json"
QUARANTINE: Final = "quarantine"
PARENT: Final = "parent"
CAPTURE: Final = "capture"
WATERMARK: Final = "capture/watermark"
UNIVERSE: Final = "universe"
METRICS: Final = "metrics"
METRICS_GLOBAL: Final = "metrics/global.ndjson"
LATENCY_REPORT: Final = "latency_report.json"
LATENCY_REPORT_TEXT: Final = "latency_report.txt"

ARCHIVED: Final = ".zst"
WORKPLACE: Final = ".archive"  # where pm-archive makes its files

# What SHA256SUMS leaves out: files that change after the seal, and the seal itself.
UNSEALED: Final = frozenset(
    {LOCK, RESERVE, WATERMARK, SEAL, SUMS, LATENCY_REPORT, LATENCY_REPORT_TEXT}
)

_RUN_ID = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,126}[A-Za-z0-9_-])?")
_SHARD = re.compile(r"shard_(\d{2,18})\.(frames|idx|frames\.zst)", re.ASCII)
_UNIVERSE = re.compile(r"(\d{6,18})\.json", re.ASCII)


def runs_dir(data_dir: Path) -> Path:
    """Return the directory that holds the run directories."""
    return data_dir / "runs"


def run_dir(data_dir: Path, run_id: str) -> Path:
    """Return the directory of a run; raise ValueError if the id cannot be a directory name."""
    if not valid_run_id(run_id):
        raise ValueError(
            f"run id {run_id!r}: expected 1 to 128 of A-Z a-z 0-9 . _ -, "
            "beginning with a letter or digit and not ending with a dot"
        )
    return runs_dir(data_dir) / run_id


def valid_run_id(text: str) -> bool:
    """Return whether a text is a run id: a name that every file system takes as it is."""
    return _RUN_ID.fullmatch(text) is not None


def shard_paths(run_dir: Path, shard_id: int) -> tuple[Path, Path]:
    """Return the .frames and .idx paths of a shard; its number has at least two digits."""
    stem = run_dir / CAPTURE / f"shard_{shard_id:02d}"
    return stem.with_suffix(".frames"), stem.with_suffix(".idx")


def shard_ids(run_dir: Path, suffix: str = "frames") -> list[int]:
    """Return the numbers of the shards with a .frames (or .idx) file, in numeric order.

    A .frames file may be there as it is or archived, as .frames.zst.

    A name that `shard_paths` would not make (`shard_7`, `shard_007`) is an unknown file, not a shard.
    """
    found = set()
    for path in _listed(run_dir / CAPTURE):
        match = _SHARD.fullmatch(path.name)
        if match is None or match[2].removesuffix(ARCHIVED) != suffix:
            continue
        shard_id = int(match[1])
        if f"{shard_id:02d}" == match[1]:
            found.add(shard_id)
    return sorted(found)


def archived_path(frames_path: Path) -> Path:
    """Return where a .frames file is, or would be, when it is archived."""
    return frames_path.with_name(frames_path.name + ARCHIVED)


def universe_path(run_dir: Path, version: int) -> Path:
    """Return the path of a universe generation; its number has at least six digits."""
    return run_dir / UNIVERSE / f"{version:06d}.json"


def universe_versions(run_dir: Path) -> list[int]:
    """Return the numbers of the universe generations that are there, ascending."""
    found = []
    for path in _listed(run_dir / UNIVERSE):
        match = _UNIVERSE.fullmatch(path.name)
        if match is not None and f"{int(match[1]):06d}" == match[1]:
            found.append(int(match[1]))
    return sorted(found)


def shard_metrics_path(run_dir: Path, shard_id: int) -> Path:
    """Return the metrics file of a shard."""
    return run_dir / METRICS / f"shard_{shard_id:02d}.ndjson"


def last_frames_path(run_dir: Path, shard_id: int) -> Path:
    """Return where a fatal run leaves the last frames of a shard."""
    return run_dir / f"last_frames_shard_{shard_id:02d}.bin"


def _listed(directory: Path) -> list[Path]:
    try:
        return list(directory.iterdir())
    except (FileNotFoundError, NotADirectoryError):
        return []
