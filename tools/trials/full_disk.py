"""What a capture leaves on a disk that became full: judged by a capture of the same fixtures that had room."""

import json
from bisect import bisect_right
from collections.abc import Iterator
from dataclasses import dataclass
from errno import ENOSPC
from pathlib import Path

from trials.survivors import ENTRY_BYTES, HEADER_BYTES, whole_frames

from pm_frames import open_bundle, paths

Payloads = dict[int, list[bytes]]
RESERVED = ("universe", "reserve")


def payloads_of(run_dir: Path) -> Payloads:
    """Every payload of a run, by shard."""
    return {
        shard.shard_id: [frame.payload for frame in shard.frames()]
        for shard in open_bundle(run_dir).shards()
    }


@dataclass(frozen=True, slots=True)
class Left:
    """A run that ended fatally."""

    run_dir: Path
    fatal: dict
    frames: int
    entries: int
    problems: list[str]

    @property
    def struck(self) -> str:
        """The kind of file that could not be written."""
        return kind_of(self.fatal["first_error"]["path"] or "")


def kind_of(path: str) -> str:
    """`shard_03.frames` is frames, `000000.json` the universe, and so on."""
    name = Path(path).name
    if name.startswith("shard_"):
        return Path(name).suffix[1:]
    return "universe" if name[:6].isdecimal() else name.strip(".").split(".")[0]


def judge(run_dir: Path, whole: Payloads, returned: dict[int, int]) -> Left:
    """`returned` are the bytes of each `.frames` whose write had returned, counted outside the run."""
    fatal = json.loads((run_dir / paths.FATAL).read_bytes())
    problems = list(_fatal_problems(run_dir, fatal))
    frames = entries = 0
    for path in sorted((run_dir / paths.CAPTURE).glob("shard_*.frames")):
        shard_id = int(path.stem.removeprefix("shard_"))
        found = [frame.payload for frame in whole_frames(path)]
        frames += len(found)
        size = sum(HEADER_BYTES + len(payload) for payload in found)
        if path.stat().st_size != size:
            problems.append(f"{path.name} has {path.stat().st_size - size} torn bytes")
        count = path.with_suffix(".idx").stat().st_size // ENTRY_BYTES
        entries += count
        if count != len(found):
            problems.append(f"{path.name} has {len(found)} frames, its index {count}")
        problems += _shard_problems(path, found, whole[shard_id], returned.get(shard_id, 0))
        last = paths.last_frames_path(run_dir, shard_id)
        if found and not (last.exists() and path.read_bytes().endswith(last.read_bytes())):
            problems.append(f"{last.name} is not the end of {path.name}")
    for name in ("frames_total", "durable_frames_total"):
        if fatal[name] != frames:
            problems.append(f"fatal.json says {name} {fatal[name]}, there are {frames}")
    return Left(run_dir, fatal, frames, entries, problems)


def _fatal_problems(run_dir: Path, fatal: dict) -> Iterator[str]:
    error = fatal["first_error"] or {}
    if error.get("errno") != ENOSPC:
        yield f"fatal.json says {fatal['fatal_message']!r} of a disk that is full"
    if not error.get("path"):
        yield "fatal.json does not say which file could not be written"
    if fatal["fatal_reason"] not in {"FRAME_WRITER_ERROR", "RUNLOG_FAILURE", "WRITE_FAILED"}:
        yield f"fatal.json gives the reason {fatal['fatal_reason']}"
    if not (run_dir / paths.MISSING_TOKENS).exists():
        yield "there is no missing_tokens.json"
    if (run_dir / paths.RESERVE).exists():
        yield "the reserve was not given back"


def _shard_problems(
    path: Path, found: list[bytes], whole: list[bytes], returned: int
) -> Iterator[str]:
    if found != whole[: len(found)]:
        yield f"{path.name} differs from what was to be captured"
    ends = [0]
    for payload in whole:
        ends.append(ends[-1] + HEADER_BYTES + len(payload))
    lost = bisect_right(ends, returned) - 1 - len(found)
    if lost > 0:
        yield f"{path.name} has lost {lost} frames whose write had returned"
