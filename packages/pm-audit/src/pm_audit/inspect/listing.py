"""The runs of a data directory, one line each: state, length, frames, bytes, gaps."""

import json
import re
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from pm_audit.figures import RunlogFigures
from pm_audit.inspect.shard_sizes import shard_summary
from pm_audit.inspect.summary import duration_ns
from pm_frames import paths
from pm_frames.bundle import open_bundle, read_json
from pm_frames.command import resolve_run
from pm_frames.errors import BundleError, MissingFile
from pm_frames.provenance import EmitWindow
from pm_frames.runlog import LINE_MAX

# The records that tell of connections; no other line is parsed.
_CONNECTIONS = re.compile(rb'"(?:ws_connect|disconnect)"').search


def runs_of(names: Iterable[str], data_dir: Path) -> Iterator[Path]:
    """Yield the runs that the names mean, each once: a run, a directory of runs, a data directory.

    Without names all under `data_dir`. Raises `MissingFile` for a name that is nothing of this.
    """
    seen = set()
    for name in list(names) or [str(paths.runs_dir(data_dir))]:
        for path in _runs_of(name, data_dir):
            if path not in seen:
                seen.add(path)
                yield path


def _runs_of(name: str, data_dir: Path) -> list[Path]:
    path = Path(name)
    if not path.is_dir():
        return [resolve_run(name, data_dir)] if name != str(paths.runs_dir(data_dir)) else []
    if _is_run(path):
        return [path]
    inside = paths.runs_dir(path) if paths.runs_dir(path).is_dir() else path
    return sorted(child for child in inside.iterdir() if child.is_dir() and _is_run(child))


def _is_run(path: Path) -> bool:
    return (path / paths.MANIFEST).is_file() or (path / paths.CAPTURE).is_dir()


def list_run(run_dir: Path) -> dict[str, Any]:
    """Return the line of one run. What cannot be told is None, and `problem` says the first reason why.

    `gaps` are connections lost by a fault, None without a runlog; frames are whole idx entries.
    """
    bundle = open_bundle(run_dir, empty_ok=True)
    problems: list[str] = []
    documents = {}
    for name in (paths.MANIFEST, paths.SEAL):
        try:
            documents[name] = read_json(run_dir / name)
        except MissingFile as error:
            documents[name] = {}
            if name == paths.MANIFEST:
                problems.append(str(error))
        except (BundleError, OSError) as error:
            documents[name] = {}
            problems.append(str(error))
    manifest, seal = documents[paths.MANIFEST], documents[paths.SEAL]
    window = None
    try:
        window = bundle.emit_window
    except (BundleError, OSError) as error:
        problems.append(str(error))
    merged = (run_dir / paths.MERGE).is_file()
    state = bundle.state()
    shards = [shard_summary(shard, run_dir, problems) for shard in bundle.shards()]
    return {
        "run_dir": str(run_dir),
        "run_id": bundle.run_id,
        "state": str(state),
        "t0_wall_ns_utc": manifest.get("t0_wall_ns_utc"),
        "duration_ns": duration_ns(manifest, seal or None, shards, window, merged=merged),
        "shards": len(shards),
        "frames": sum(shard["records"] or 0 for shard in shards),
        "bytes": sum(shard["frames_bytes"] or 0 for shard in shards),
        "gaps": _gaps(bundle.runlog_path, window),
        "stop_reason": seal.get("stop_reason"),
        "problem": problems[0] if problems else None,
    }


def _gaps(runlog: Path, window: EmitWindow | None) -> int | None:
    """Count the connections that were lost by a fault."""
    figures = RunlogFigures(window)
    try:
        with open(runlog, "rb") as file:
            while line := file.readline(LINE_MAX):
                if _CONNECTIONS(line):
                    figures.add(_object(line))
    except OSError:
        return None
    return figures.midrun_incidents


def _object(line: bytes) -> dict[str, Any]:
    try:
        record = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return record if isinstance(record, dict) else {}
