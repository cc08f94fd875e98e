"""What is in a run bundle and how it is, from names, sizes, stamps and the small files.

No payload is read and no checksum is made: that is pm-verify. Everything that can be missing or torn is
allowed to be; it is told in `problems`.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from pm_audit.evidence import Lines
from pm_audit.figures import RunlogFigures
from pm_audit.inspect.ndjson_tail import ndjson_tail
from pm_audit.inspect.shard_sizes import shard_summary
from pm_frames import paths
from pm_frames.bundle import Bundle, RunState, open_bundle, read_json
from pm_frames.command import ExitCode, severest
from pm_frames.errors import BundleError, MissingFile
from pm_frames.provenance import EmitWindow, Provenance

PROBLEMS_MAX = 100


def inspect_run(run_dir: Path) -> dict[str, Any]:
    """Return the summary of a run as JSON values; `exit_code` is part of it.

    0 whatever the state of the run, 2 without a manifest, 4 where a manifest or seal cannot be read. Raises
    `MissingFile` if there is no such directory.
    """
    bundle = open_bundle(run_dir, empty_ok=True)
    problems: list[str] = []
    codes: list[int] = []
    manifest = _document(run_dir / paths.MANIFEST, problems, codes, needed=True)
    seal = _document(run_dir / paths.SEAL, problems, codes) or None
    fatal = _document(run_dir / paths.FATAL, problems, codes) or None
    provenance = _provenance(bundle, problems, codes)
    window = provenance and provenance.window
    merged = _document(run_dir / paths.MERGE, problems, codes) or None
    state = bundle.state()
    shards = _shards(bundle, manifest, problems)
    runlog = _runlog(bundle, window, problems)
    pinned = manifest.get("pinned_tokens") or []
    if state is RunState.CRASHED:
        problems.append("seal.json: not there; the run was not closed cleanly")
    return {
        "run_dir": str(run_dir),
        "run_id": bundle.run_id,
        "state": str(state),
        "manifest_version": manifest.get("manifest_version"),
        "capture_schema_version": manifest.get("capture_schema_version"),
        "payload_source": manifest.get("payload_source"),
        "previous_run_id": manifest.get("previous_run_id"),
        "t0_wall_ns_utc": manifest.get("t0_wall_ns_utc"),
        "t0_mono_ns": manifest.get("t0_mono_ns"),
        "duration_ns": duration_ns(
            manifest, seal, shards["by_shard"].values(), window, merged=merged is not None
        ),
        "stop_reason": (seal or {}).get("stop_reason"),
        "fatal": fatal and {key: fatal.get(key) for key in ("fatal_reason", "fatal_message")},
        "slice": provenance and dict(provenance.document),
        "merged": merged and _part_names(merged),
        "universe": {
            "generations": len(bundle.universe_files()),
            "tokens_at_start": len(pinned) if isinstance(pinned, list) else None,
        },
        "shards": shards,
        "metrics": _metrics(bundle, problems),
        "runlog": runlog,
        "problems": problems[:PROBLEMS_MAX],
        "problems_count": len(problems),
        "exit_code": int(severest(codes)),
    }


def duration_ns(
    manifest: Mapping[str, Any],
    seal: Mapping[str, Any] | None,
    shards: Iterable[Mapping[str, Any]],
    window: EmitWindow | None = None,
    *,
    merged: bool = False,
) -> int | None:
    """Return how long a run lasted by its monotonic clock: to the seal, else to its last frame.

    Of a slice the length of its `window`. The seal of a slice or a merged bundle says when that was made.
    """
    begin = manifest.get("t0_mono_ns")
    ends = [shard["rx_mono_ns_last"] for shard in shards if shard["rx_mono_ns_last"] is not None]
    closed = (seal or {}).get("closed_mono_ns")
    made_later = merged or window is not None
    end = closed if isinstance(closed, int) and not made_later else max(ends, default=None)
    if window is not None:
        begin = max(window.from_mono_ns, begin if isinstance(begin, int) else 0)
        end = end if window.before_mono_ns is None else window.before_mono_ns
    return max(0, end - begin) if isinstance(begin, int) and isinstance(end, int) else None


def _provenance(bundle: Bundle, problems: list[str], codes: list[int]) -> Provenance | None:
    try:
        return bundle.provenance
    except (BundleError, OSError) as error:
        problems.append(str(error))
        codes.append(ExitCode.CORRUPT)
        return None


def _part_names(merged: Mapping[str, Any]) -> list[str]:
    """Return the parts of a merged bundle as people call them."""
    parts = merged.get("parts")
    sound = [part for part in parts if isinstance(part, dict)] if isinstance(parts, list) else []
    return [str(part.get("slice_id") or part.get("run_id")) for part in sound]


def _document(
    path: Path, problems: list[str], codes: list[int], *, needed: bool = False
) -> dict[str, Any]:
    """Return a JSON file, {} where there is none or it is damaged, which is then told."""
    try:
        return read_json(path)
    except MissingFile as error:
        if needed:
            problems.append(str(error))
            codes.append(ExitCode.USAGE)
    except (BundleError, OSError) as error:
        problems.append(str(error))
        codes.append(ExitCode.CORRUPT)
    return {}


def _shards(bundle: Bundle, manifest: dict[str, Any], problems: list[str]) -> dict[str, Any]:
    found = {
        f"{shard.shard_id:02d}": shard_summary(shard, bundle.path, problems)
        for shard in bundle.shards()
    }
    if not found:
        problems.append("capture/: no shard_NN.frames")
    stated = manifest.get("shards")
    assigned = stated.get("assignments") if isinstance(stated, dict) else None
    if isinstance(assigned, dict):
        there = {shard.shard_id for shard in bundle.shards()}
        problems.extend(
            f"shard {number}: the manifest assigns it tokens, and it has no .frames file"
            for number, one in assigned.items()
            if str(number).isdecimal() and int(number) not in there and (one or {}).get("token_ids")
        )

    def total(key: str) -> int:
        return sum(shard[key] or 0 for shard in found.values())

    return {
        "count": len(found),
        "records": total("records"),
        "frames_bytes": total("frames_bytes"),
        "idx_bytes": total("idx_bytes"),
        "archived_bytes": total("archived_bytes"),
        "by_shard": found,
    }


def _metrics(bundle: Bundle, problems: list[str]) -> dict[str, Any]:
    files = {
        f"{shard.shard_id:02d}": bundle.shard_metrics_path(shard.shard_id)
        for shard in bundle.shards()
    }
    shards = {name: _tail(path, bundle.path, problems) for name, path in files.items()}
    return {
        "global": _tail(bundle.global_metrics_path, bundle.path, problems),
        "shards": {name: tail for name, tail in shards.items() if tail is not None},
    }


def _tail(path: Path, run_dir: Path, problems: list[str]) -> dict[str, Any] | None:
    """Return count and last record of a metrics file, without its histograms; None where there is none."""
    try:
        tail = ndjson_tail(path)
    except OSError:
        return None
    name = path.relative_to(run_dir).as_posix()
    if tail.torn_bytes:
        problems.append(f"{name}: ends with {tail.torn_bytes} bytes of a line")
    if tail.lines and tail.last is None:
        problems.append(f"{name}: the last line is not a JSON object")
    last = tail.last and {key: value for key, value in tail.last.items() if key != "histograms"}
    return {"path": name, "count": tail.lines, "last": last}


def _runlog(
    bundle: Bundle, window: EmitWindow | None, problems: list[str]
) -> dict[str, Any] | None:
    """Return how often each record type occurs, and the connections that were lost, by trigger."""
    types: Counter[str] = Counter()
    figures, lines = RunlogFigures(window), Lines()
    for record in lines.records(bundle.runlog_path):
        types[str(record.get("record_type"))] += 1
        figures.add(record)
    if not lines.present:
        return None
    problems += lines.problems[:1]
    if lines.torn_bytes:
        problems.append(f"{paths.RUNLOG}: ends with {lines.torn_bytes} bytes of a line")
    faults = Counter(outage.trigger or "not_told" for outage in figures.outages)
    return {
        "path": paths.RUNLOG,
        "records": dict(sorted(types.items())),
        "disconnects_by_fault": dict(sorted(faults.items())),
        "disconnects_planned": figures.planned.total(),
        "damaged_lines": lines.damaged,
        "torn_bytes": lines.torn_bytes,
    }
