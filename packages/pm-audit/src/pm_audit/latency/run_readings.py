"""Everything that a latency report is made of, read from a bundle; damage is noted, never raised."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pm_audit.evidence import Evidence, Lines, gather
from pm_audit.figures import number, whole
from pm_audit.gates import DEFAULT_THRESHOLD_NS
from pm_audit.latency.connection_bands import Band, connection_bands
from pm_audit.latency.readings import GlobalReadings, ShardReadings
from pm_audit.verification import Verification
from pm_frames.bundle import Bundle
from pm_frames.errors import BundleError
from pm_frames.provenance import EmitWindow
from pm_frames.records import stamp_of

NOT_VERIFIED = Verification(None, "pm-latency-report does not verify; run pm-verify")


@dataclass
class RunlogReadings:
    """What the runlog adds: heartbeat stamps, refreshes, clock steps, the ends of the run."""

    heartbeats_mono_ns: list[int] = field(default_factory=list)
    refresh_ms: list[float] = field(default_factory=list)
    refresh_reasons: Counter[str] = field(default_factory=Counter)
    refresh_errors: int = 0
    refreshes_at: list[int] = field(default_factory=list)
    clock_steps: list[tuple[int, int]] = field(default_factory=list)
    connections: list[Mapping[str, Any]] = field(default_factory=list)
    latest_mono_ns: int = 0
    window: EmitWindow | None = None

    def add(self, record: Mapping[str, Any]) -> None:
        """Take one record. Of a slice counts what is in its window; connections are open since before it."""
        kind, at = record.get("record_type"), stamp_of(record)
        self.latest_mono_ns = max(self.latest_mono_ns, at or 0)
        if kind in ("shard_open", "ws_connect", "disconnect"):
            self.connections.append(record)
        elif self.window is not None and at is not None and not self.window.holds(at):
            return
        elif kind == "heartbeat":
            stamp = whole(record, "hb_mono_ns")
            self.heartbeats_mono_ns += [] if stamp is None else [stamp]
        elif kind == "universe_refresh":
            took = number(record, "duration_ms")
            self.refresh_ms += [] if took is None else [took]
            reason = str(record.get("reason"))
            self.refresh_reasons[reason] += 1
            if reason == "APPLIED" and at is not None:
                self.refreshes_at.append(at)
        elif kind == "universe_refresh_error":
            self.refresh_errors += 1
        elif kind == "clock_step" and at is not None:
            step = record.get("step_ns")
            self.clock_steps.append((at, step if isinstance(step, int) else 0))


@dataclass(frozen=True)
class RunReadings:
    """One run as read; `start_mono_ns` to `end_mono_ns` is what is told of, both 0 where nothing is known."""

    evidence: Evidence
    manifest: Mapping[str, Any]
    metrics: GlobalReadings
    shards: Mapping[int, ShardReadings]
    runlog: RunlogReadings
    bands: list[Band]
    start_mono_ns: int
    end_mono_ns: int
    problems: list[str]

    def wall_ns(self, mono_ns: int) -> int | None:
        """Return the wall clock of a monotonic stamp by the anchors of the manifest; steps are not followed."""
        wall, mono = (whole(self.manifest, key) for key in ("t0_wall_ns_utc", "t0_mono_ns"))
        return None if wall is None or mono is None else wall + mono_ns - mono


def read_run(bundle: Bundle) -> RunReadings:
    """Read metrics and runlog of a run."""
    problems: list[str] = []
    try:
        manifest: Mapping[str, Any] = bundle.manifest
    except BundleError as error:
        manifest = {}
        problems.append(str(error))
    metrics = GlobalReadings()
    runlog = RunlogReadings(window=bundle.emit_window)
    evidence = gather(
        bundle, NOT_VERIFIED, threshold_ns=DEFAULT_THRESHOLD_NS,
        also_runlog=runlog.add, also_metrics=metrics.add,
    )  # fmt: skip
    problems += _problems(bundle.global_metrics_path, evidence.metrics_lines)
    shards = {
        shard.shard_id: ShardReadings(_told(bundle.shard_metrics_path(shard.shard_id), problems))
        for shard in bundle.shards()
    }
    problems += evidence.runlog.problems
    start, end = _ends(bundle, manifest, metrics, runlog)
    bands = connection_bands(runlog.connections, start, end)
    return RunReadings(evidence, manifest, metrics, shards, runlog, bands, start, end, problems)


def _told(path: Path, problems: list[str]) -> Iterator[dict[str, Any]]:
    lines = Lines()
    yield from lines.records(path)
    problems += _problems(path, lines)


def _problems(path: Path, lines: Lines) -> Iterator[str]:
    """Yield what is wrong with a metrics file that was read to its end."""
    if not lines.present:
        yield f"metrics/{path.name}: not there"
    if lines.torn_offset is not None:
        yield f"metrics/{path.name}: torn last line at offset {lines.torn_offset}"
    yield from lines.problems


def _ends(
    bundle: Bundle,
    manifest: Mapping[str, Any],
    metrics: GlobalReadings,
    runlog: RunlogReadings,
) -> tuple[int, int]:
    """Return when what is reported begins and ends: the run, or the window of a slice."""
    start = whole(manifest, "t0_mono_ns")
    stamps = [*runlog.heartbeats_mono_ns[:1], *metrics.mono_ns[:1]]
    first = min(stamps, default=0) if start is None else start
    last = max(runlog.latest_mono_ns, metrics.mono_ns[-1] if metrics else 0, first)
    window = bundle.emit_window
    if window is not None:
        first = max(first, window.from_mono_ns)
        last = last if window.before_mono_ns is None else window.before_mono_ns
    return first, max(first, last)
