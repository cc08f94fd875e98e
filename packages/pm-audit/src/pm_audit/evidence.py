"""All that the gates of a run are judged by, gathered in one pass over each file, in bounded memory."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pm_audit.figures import MetricsFigures, RunlogFigures
from pm_audit.heartbeat import Heartbeats
from pm_audit.verification import Verification
from pm_frames import paths
from pm_frames.bundle import Bundle, RunState, read_json
from pm_frames.errors import BundleError, MissingFile
from pm_frames.runlog import RunlogReader, read_runlog

LISTED_MAX: Final = 5


@dataclass
class Lines:
    """How the lines of an NDJSON file read: `problems` of damaged ones (a few), and how many there are."""

    present: bool = False
    damaged: int = 0
    problems: list[str] = field(default_factory=list)
    torn_offset: int | None = None
    torn_bytes: int = 0

    def records(self, path: Path) -> Iterator[dict[str, Any]]:
        """Yield the records of a file, noting what is wrong with it instead of raising."""
        for _, record in self.numbered(path):
            yield record

    def numbered(self, path: Path) -> Iterator[tuple[int, dict[str, Any]]]:
        """Yield each record with the number of its line, from 0; damaged lines are counted too."""
        try:
            reader = read_runlog(path)
        except MissingFile:
            return
        self.present = True
        yield from self._rest(reader)
        self.torn_offset, self.torn_bytes = reader.torn_offset, reader.torn_bytes

    def _rest(self, reader: RunlogReader) -> Iterator[tuple[int, dict[str, Any]]]:
        while True:
            try:
                record = next(reader)
                if isinstance(record.get("record_type", ""), str):
                    yield reader.ordinal, record
                    continue
                self._damaged(f"{reader.path}: line {reader.ordinal}: record_type is no text")
            except StopIteration:
                return
            except BundleError as error:
                self._damaged(str(error))

    def _damaged(self, problem: str) -> None:
        self.damaged += 1
        if len(self.problems) < LISTED_MAX:
            self.problems.append(problem)


@dataclass(frozen=True)
class Evidence:
    """What is known about a run; `fatal` is the content of fatal.json, empty if that cannot be read."""

    run_dir: Path
    run_id: str
    state: RunState
    offline: bool
    slice_id: str | None
    merged: bool
    runlog: Lines
    heartbeats: Heartbeats
    connections: RunlogFigures
    metrics_lines: Lines
    metrics: MetricsFigures
    verification: Verification
    fatal: Mapping[str, Any] | None

    @property
    def sliced(self) -> bool:
        """Whether this is a window of a run, and not the run."""
        return self.slice_id is not None


Reader = Callable[[Mapping[str, Any]], object]


def _unread(record: Mapping[str, Any]) -> None:
    """Nobody else reads along."""


def gather(
    bundle: Bundle,
    verification: Verification,
    *,
    threshold_ns: int,
    also_runlog: Reader = _unread,
    also_metrics: Reader = _unread,
) -> Evidence:
    """Read runlog and global metrics of a run once; `also_…` is given every record too.

    Damage is noted; raised is only `BundleError` of a `slice.json` that does not say what counts.
    """
    state = bundle.state()
    window = bundle.emit_window
    heartbeats = Heartbeats(threshold_ns, window, parts=_parts(bundle.path))
    connections, runlog = RunlogFigures(window), Lines()
    for record in runlog.records(bundle.runlog_path):
        heartbeats.add(record)
        connections.add(record)
        also_runlog(record)
    # What is under way, or cut out, ends where its last record stands.
    open_ended = state is RunState.RUNNING or window is not None
    heartbeats.close(str(state) if open_ended else None)
    metrics, lines = MetricsFigures(), Lines()
    for record in lines.records(bundle.global_metrics_path):
        metrics.add(record)
        also_metrics(record)
    try:
        manifest: Mapping[str, Any] = bundle.manifest
    except BundleError:
        manifest = {}
    return Evidence(
        bundle.path, bundle.run_id, state, "fixtures_dir" in manifest, bundle.provenance and bundle.provenance.slice_id,
        (bundle.path / paths.MERGE).is_file(), runlog, heartbeats, connections, lines, metrics, verification, _fatal(bundle.path),
    )  # fmt: skip


def _parts(run_dir: Path) -> int:
    """Return how many captures are in a bundle, each with heartbeats of its own."""
    try:
        parts = read_json(run_dir / paths.MERGE).get("parts")
    except BundleError:
        return 1
    # Slices of one capture keep its runlog as it was: one capture, whatever they were put together of.
    whole = not (run_dir / paths.SLICE).is_file()
    return max(1, len(parts)) if whole and isinstance(parts, list) else 1


def _fatal(run_dir: Path) -> Mapping[str, Any] | None:
    path = run_dir / paths.FATAL
    try:
        return read_json(path)
    except MissingFile:
        return {} if path.exists() else None
    except BundleError:
        return {}
