"""All that the gates of a run are judged by, gathered in one pass over each file, in bounded memory."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from pm_audit.figures import MetricsFigures, RunlogFigures
from pm_audit.heartbeat import HeartbeatAudit
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
        self.torn_offset = reader.torn_offset

    def _rest(self, reader: RunlogReader) -> Iterator[tuple[int, dict[str, Any]]]:
        while True:
            try:
                record = next(reader)
                yield reader.ordinal, record
            except StopIteration:
                return
            except BundleError as error:
                self.damaged += 1
                if len(self.problems) < LISTED_MAX:
                    self.problems.append(str(error))


@dataclass(frozen=True)
class Evidence:
    """What is known about a run; `fatal` is the content of fatal.json, empty if that cannot be read."""

    run_dir: Path
    run_id: str
    state: RunState
    offline: bool
    sliced: bool
    runlog: Lines
    heartbeats: HeartbeatAudit
    connections: RunlogFigures
    metrics_lines: Lines
    metrics: MetricsFigures
    verification: Verification
    fatal: Mapping[str, Any] | None


def emit_window(bundle: Bundle) -> tuple[int, int | None] | None:
    """Return the window of a slice as mono ns (from, before or None); None for a run that is no slice."""
    return getattr(bundle, "emit_window", None)


def gather(bundle: Bundle, verification: Verification, *, threshold_ns: int) -> Evidence:
    """Read runlog and metrics of a run once. Damage is noted, never raised."""
    state = bundle.state()
    heartbeats = HeartbeatAudit(threshold_ns)
    window = emit_window(bundle)
    if window is not None:
        heartbeats.window(*window)
    connections, runlog = RunlogFigures(), Lines()
    for record in runlog.records(bundle.runlog_path):
        heartbeats.add(record)
        connections.add(record)
    if state is RunState.RUNNING or window is not None:
        # What is under way, or cut out, ends where its last record stands.
        heartbeats.close((heartbeats.latest_mono_ns, str(state)))
    else:
        heartbeats.close()
    metrics, lines = MetricsFigures(), Lines()
    for record in lines.records(bundle.global_metrics_path):
        metrics.add(record)
    try:
        manifest: Mapping[str, Any] = bundle.manifest
    except BundleError:
        manifest = {}
    return Evidence(
        bundle.path, bundle.run_id, state, "fixtures_dir" in manifest, window is not None,
        runlog, heartbeats, connections, lines, metrics, verification, _fatal(bundle.path),
    )  # fmt: skip


def _fatal(run_dir: Path) -> Mapping[str, Any] | None:
    path = run_dir / paths.FATAL
    try:
        return read_json(path)
    except MissingFile:
        return {} if path.exists() else None
    except BundleError:
        return {}
