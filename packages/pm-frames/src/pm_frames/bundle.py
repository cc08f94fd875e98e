"""A run bundle as a whole: what is there, who it is, and in which state it is.

Opening reads the directory only; manifest and seal are read when they are asked for, so that a damaged
manifest does not keep anybody from the frames.
"""

from __future__ import annotations

import json
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from enum import StrEnum
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from pm_frames import paths
from pm_frames.errors import BundleError, CorruptFrame, MissingFile
from pm_frames.frames import Frame
from pm_frames.lock import is_locked
from pm_frames.merge import (
    BlockSource,
    Item,
    merge,
    merge_blocks,
    merge_with_records,
)
from pm_frames.merged_records import MergedRecords, basis_of
from pm_frames.paths import shard_paths
from pm_frames.rows import FrameRow, Row
from pm_frames.runlog import read_runlog
from pm_frames.shard import Shard

if TYPE_CHECKING:
    from pm_frames.continuity import Basis
    from pm_frames.provenance import EmitWindow, Provenance

__all__ = [
    "Bundle",
    "RunState",
    "open_bundle",
    "read_json",
    "run_state",
    "shard_paths",
    "whole_pairs",
]

JSON_MAX: Final = 256 << 20  # bytes of a manifest, seal or universe file


class RunState(StrEnum):
    """State of a run, derived from its files and never stored."""

    RUNNING = "running"
    ENDED = "ended"
    FATAL = "fatal"
    CRASHED = "crashed"


def run_state(run_dir: Path) -> RunState:
    """Return the state of a run: lock held, else sealed, else fatal.json, else crashed.

    The lock is looked at first: a run that ends meanwhile has its seal before it lets the lock go.
    """
    if is_locked(run_dir):
        return RunState.RUNNING
    if (run_dir / paths.SEAL).is_file():
        return RunState.ENDED
    if (run_dir / paths.FATAL).is_file():
        return RunState.FATAL
    return RunState.CRASHED


class Bundle:
    """A run directory and the shards that it had when it was opened."""

    def __init__(self, path: Path, shard_ids: list[int]) -> None:
        self.path = path
        self._shards = [Shard(number, *shard_paths(path, number)) for number in shard_ids]

    @cached_property
    def manifest(self) -> dict[str, Any]:
        """The manifest; raises `MissingFile`, or `BundleError` with the offset where it is damaged."""
        return read_json(self.path / paths.MANIFEST)

    @cached_property
    def seal(self) -> dict[str, Any] | None:
        """The seal, None where the run is not sealed; raises `BundleError` where it is damaged."""
        try:
            return read_json(self.path / paths.SEAL)
        except MissingFile:
            return None

    @cached_property
    def provenance(self) -> Provenance | None:
        """Where a slice came from, None for any other bundle; raises what `read_provenance` raises."""
        from pm_frames.provenance import read_provenance

        return read_provenance(self.path)

    @property
    def emit_window(self) -> EmitWindow | None:
        """What counts in a slice, as (from, before) in ns of the receive clock; None: everything does.

        What is stamped before is the lead-in: it sets the state at the start of the window and is not
        itself part of what the slice says. Raises what `read_provenance` raises.
        """
        return None if self.provenance is None else self.provenance.window

    @property
    def run_id(self) -> str:
        """The run id of the manifest, or the name of the directory where the manifest tells none."""
        try:
            run_id = self.manifest.get("run_id")
        except BundleError:
            run_id = None
        return run_id if isinstance(run_id, str) else self.path.resolve().name

    def state(self) -> RunState:
        """The state now; see `run_state`."""
        return run_state(self.path)

    def shards(self) -> list[Shard]:
        """The shards in numeric order."""
        return list(self._shards)

    def frames(self, *, torn_ok: bool = False) -> Iterator[tuple[int, int, Frame]]:
        """All frames as (shard_id, ordinal, frame) in merge order; strict, see `merge`.

        With `torn_ok` each shard ends with its last whole pair of frame and idx entry, as it must be read
        while the run lives and after a crash; what is damaged before that still raises.
        """
        return merge(self._sources(torn_ok=torn_ok))

    def timeline(self, *, torn_ok: bool = False) -> Iterator[tuple[int, int, Item]]:
        """All frames, and the runlog's continuity records as shard -1, in merge order.

        Frames alone where there is no runlog. `torn_ok` as in `frames`. Raises what
        `merge_with_records` raises.
        """
        return self.merged(self.records(MergedRecords()), torn_ok=torn_ok)

    @property
    def continuity_basis(self) -> Basis:
        """What continuity is judged by: the runlog, if it names the subscribed tokens, else the flags.

        It does not change while a run grows, from the first whole line of its runlog on; see
        `pm_frames.merged_records.basis_of`.
        """
        return basis_of(self.runlog_path)

    def records(self, wants: MergedRecords) -> Iterator[Mapping[str, Any]]:
        """The records of the runlog that are wanted; none where there is no runlog."""
        if self.runlog_path.is_file():
            with read_runlog(self.runlog_path) as runlog:
                yield from filter(wants, runlog)

    def merged(
        self, records: Iterable[Mapping[str, Any]], *, torn_ok: bool = False
    ) -> Iterator[tuple[int, int, Item]]:
        """All frames, and runlog records of the caller's choice as shard -1; see `merge_with_records`."""
        sources = self._sources(torn_ok=torn_ok)
        return merge_with_records(sources, records, runlog_path=self.runlog_path)

    def merged_blocks(
        self, records: Iterable[Mapping[str, Any]], *, torn_ok: bool = False
    ) -> Iterator[list[Row]]:
        """The same in lists, which is much faster; see `merge_blocks`."""
        return merge_blocks(self._sources(torn_ok=torn_ok), records, runlog_path=self.runlog_path)

    def _sources(self, *, torn_ok: bool) -> Sequence[BlockSource]:
        if not torn_ok:
            return list(self._shards)
        return [_WholePart(shard) for shard in self._shards]

    @property
    def runlog_path(self) -> Path:
        """Where the runlog is, or would be."""
        return self.path / paths.RUNLOG

    @property
    def global_metrics_path(self) -> Path:
        """Where the metrics of the whole run are, or would be."""
        return self.path / paths.METRICS_GLOBAL

    def shard_metrics_path(self, shard_id: int) -> Path:
        """Where the metrics of a shard are, or would be."""
        return paths.shard_metrics_path(self.path, shard_id)

    def universe_files(self) -> list[Path]:
        """The universe generations that are there, oldest first."""
        return [
            paths.universe_path(self.path, number) for number in paths.universe_versions(self.path)
        ]

    def __repr__(self) -> str:
        return f"Bundle({str(self.path)!r}, {len(self._shards)} shards)"


class _WholePart:
    """The frames of a shard up to its last whole pair at this moment, whatever follows in its files."""

    def __init__(self, shard: Shard) -> None:
        self.shard_id = shard.shard_id
        self.frames_path = shard.frames_path
        self._shard = shard
        self._stop = whole_pairs(shard)

    def frames(self) -> Iterator[Frame]:
        return self._shard.frames(stop=self._stop) if self._stop else iter(())

    def blocks(self) -> Generator[list[FrameRow], None, None]:
        if self._stop:
            yield from self._shard.blocks(stop=self._stop)


def whole_pairs(shard: Shard) -> int:
    """Return how many whole pairs of frame and entry a shard has now; it may have hardly begun."""
    try:
        return shard.pairs()
    except MissingFile:  # no idx: a process that died before its first frame was paired
        return 0
    except CorruptFrame as error:
        if error.kind == "truncated_header":  # less than the magic of its first frame
            return 0
        raise


def open_bundle(path: Path | str, *, empty_ok: bool = False) -> Bundle:
    """Open a run directory, whole, torn, fatal or still growing.

    Raises `MissingFile` if there is no such directory, or if it holds no capture/shard_NN.frames (unless
    `empty_ok`: a run that has only just begun has none).
    """
    path = Path(path)
    if not path.is_dir():
        what = "not a directory" if path.exists() else "no such run directory"
        raise MissingFile(what, path=path)
    shard_ids = paths.shard_ids(path)
    if not shard_ids and not empty_ok:
        missing = "capture/" if not (path / paths.CAPTURE).is_dir() else "capture/shard_NN.frames"
        raise MissingFile(f"not a run bundle: {missing} is missing", path=path)
    return Bundle(path, shard_ids)


def read_json(path: Path) -> dict[str, Any]:
    """Return the JSON object of a bundle file.

    Raises `MissingFile`, or `BundleError` with the byte offset where it is not one JSON object in UTF-8.
    """
    try:
        with open(path, "rb") as file:
            data = file.read(JSON_MAX + 1)
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise MissingFile("no such file", path=path) from error
    if len(data) > JSON_MAX:
        raise BundleError("too long to be read", path=path, offset=JSON_MAX, expected=JSON_MAX)
    try:
        value = json.loads(data.decode("utf-8"))
    except UnicodeDecodeError as error:
        raise BundleError("not UTF-8", path=path, offset=error.start) from error
    except json.JSONDecodeError as error:
        at = len(error.doc[: error.pos].encode())
        raise BundleError(
            f"not JSON: {error.msg}", path=path, offset=at, found=data[at : at + 16]
        ) from error
    except (ValueError, RecursionError) as error:
        raise BundleError(f"cannot be read: {error}", path=path, offset=0) from error
    if not isinstance(value, dict):
        raise BundleError(
            "not a JSON object", path=path, offset=0, expected="object", found=data[:16]
        )
    return value
