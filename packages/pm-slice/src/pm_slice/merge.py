"""Several bundles as one: see docs/spec/run-bundle.md, "Merged bundles".

Parts that are slices of one capture keep their runlog lines as they are, each once, in their old order; parts
that are captures of one boot get one run id, and shard numbers of their own where they collide.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from heapq import merge as merged_by
from pathlib import Path
from typing import Any, Final

from pm_frames import paths
from pm_frames.bundle import Bundle, RunState, open_bundle
from pm_frames.command import UsageError
from pm_frames.files import Files
from pm_frames.provenance import Parent
from pm_slice.new_bundle import NewBundle
from pm_slice.origin_map import RUNLOG_MAP, MapBuilder, OriginMap, map_name
from pm_slice.runlog_cut import Line, lines
from pm_slice.view import boot_of

MERGE_VERSION: Final = 1
ALIKE: Final = ("emit_from_mono_ns", "emit_before_mono_ns", "token_ids", "ancestors")
PINNED: Final = ("pinned_tokens", "pinned_markets")
LISTED: Final = ("market_ids", "token_ids")
SUMMED: Final = ("frames_total", "bytes_total", "durable_frames_total")


@dataclass(slots=True)
class Merged:
    """What was put together; `notes` are what a reader should know."""

    path: Path
    run_id: str
    frames: int = 0
    shards: dict[str, dict[str, int]] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return what a program says of it."""
        return {
            "merge_dir": str(self.path), "run_id": self.run_id, "frames": self.frames,
            "shards": self.shards, "notes": self.notes,
        }  # fmt: skip


class _Part:
    """One bundle, and the numbers that its shards get."""

    def __init__(self, number: int, run: Path) -> None:
        self.number = number
        self.bundle: Bundle = open_bundle(run)
        self.manifest = self.bundle.manifest
        self.shards = {shard.shard_id: shard.shard_id for shard in self.bundle.shards()}
        if self.bundle.state() is RunState.RUNNING:
            raise UsageError("a run that still lives cannot be merged; slice it first", path=run)

    @property
    def origin(self) -> Parent | None:
        """The capture that this is a slice of."""
        return self.bundle.provenance.origin if self.bundle.provenance else None

    def assignments(self) -> dict[str, Any]:
        """Return the tokens of the shards by their new numbers."""
        found = (self.manifest.get("shards") or {}).get("assignments") or {}
        return {
            str(self.shards[int(key)]): value
            for key, value in found.items()
            if int(key) in self.shards
        }

    def lines(self) -> Iterator[Line]:
        """Yield the records of the runlog."""
        path = self.bundle.path / RUNLOG_MAP
        origin = OriginMap(path if self.origin else None)
        for line in lines(self.bundle.runlog_path, origin):
            if line.record is not None:
                yield line
        origin.close()


def join(
    runs: Sequence[Path],
    target: Path,
    *,
    run_id: str | None = None,
    clocks: Callable[[], tuple[int, int]],
    files: Files | None = None,
    replaces: bool = False,
) -> Merged:
    """Make one bundle of several at `target`, which must not exist.

    `replaces`: a slice or a merged bundle that is there is replaced. Raises `UsageError` where that cannot be,
    `BundleError` for what is damaged, `WriteFailed`.
    """
    if len(runs) < 2:
        raise UsageError("a merge needs at least two bundles", found=len(runs))
    parts = [_Part(number, run) for number, run in enumerate(runs)]
    same_capture = _check(parts)
    if not same_capture:
        _number(parts)
    name = run_id or (parts[0].bundle.run_id if same_capture else target.name)
    if not paths.valid_run_id(name):
        raise UsageError("not a run id: letters, digits, . _ -", found=name)
    if same_capture and name != parts[0].bundle.run_id:
        raise UsageError(
            "parts of one capture keep its run id", expected=parts[0].bundle.run_id, found=name
        )
    merged = Merged(target, name, notes=_shared_tokens(parts))
    with NewBundle(target, files, replaces=replaces, sources=runs) as new:
        for part in parts:
            merged.frames += _copy_shards(new, part)
            merged.shards[str(part.number)] = {str(a): b for a, b in part.shards.items()}
        stop_reason = _merge_runlogs(new, parts, None if same_capture else name)
        _copy_documents(new, parts, merged)
        new.seal(name, stop_reason or "merge", clocks())
    return merged


def _check(parts: list[_Part]) -> bool:
    """Return whether all are slices of one capture with shards of their own; raise if they do not fit."""
    boots = {boot_of(part.bundle, part.number) for part in parts}
    origins = {part.origin for part in parts}
    if len(origins) == 1 and None not in origins:
        documents = [part.bundle.provenance.document for part in parts if part.bundle.provenance]
        if any(one[key] != documents[0][key] for one in documents for key in ALIKE):
            raise UsageError("slices of one run are merged if window and tokens are the same")
        held = [shard for part in parts for shard in part.shards]
        if len(set(held)) < len(held):
            raise UsageError(
                "slices of one run are merged only by shards, and one is in two of them"
            )
        return True
    if any(part.origin for part in parts):
        raise UsageError("a slice is merged only with slices of the same run")
    if len(boots) > 1:
        raise UsageError(
            "the runs are of several boots, and a bundle has one receive clock: use --list",
            found=sorted(boots),
        )
    bases = {part.bundle.continuity_basis for part in parts}
    if len(bases) > 1:
        raise UsageError(
            "some runlogs name the subscribed tokens and others do not, and a bundle is judged by one rule: use --list",
            found=sorted(one.value for one in bases),
        )
    tokens = [frozenset(_universe_tokens(part)) for part in parts]
    if len(set(tokens)) > 1:
        raise UsageError(
            "the runs are of several universes, and a bundle has one: use --list",
            expected="the same tokens in each", found=[len(one) for one in tokens],
        )  # fmt: skip
    if any(len(part.bundle.universe_files()) > 1 for part in parts):
        raise UsageError(
            "a run whose universe was refreshed cannot be in a bundle of several: use --list"
        )
    return False


def _universe_tokens(part: _Part) -> Iterator[str]:
    for path in part.bundle.universe_files():
        for market in json.loads(path.read_bytes()).get("markets", ()):
            for token in market.get("tokens", ()):
                yield str(token.get("token_id"))


def _number(parts: list[_Part]) -> None:
    """Keep the numbers of the shards where they are all different, else count them through."""
    held = [shard for part in parts for shard in part.shards]
    if len(set(held)) == len(held):
        return
    following = iter(range(len(held)))
    for part in parts:
        part.shards = {shard: next(following) for shard in part.shards}


def _shared_tokens(parts: list[_Part]) -> list[str]:
    seen: dict[str, int] = {}
    shared = set()
    for part in parts:
        for assignment in part.assignments().values():
            for token in assignment.get("token_ids") or ():
                if seen.setdefault(token, part.number) != part.number:
                    shared.add(token)
    if not shared:
        return []
    return [
        f"{len(shared)} tokens are in several parts (the first: {min(shared)}); continuity follows "
        "the shard that named a token last"
    ]


def _copy_shards(new: NewBundle, part: _Part) -> int:
    frames = 0
    for shard in part.bundle.shards():
        number = part.shards[shard.shard_id]
        copy = new.shard(number, shard.version)
        for frame in shard.frames():
            copy.add(frame)
        new.close_shard(number, copy)
        frames += copy.frames
        metrics = part.bundle.shard_metrics_path(shard.shard_id)
        if metrics.is_file():
            new.copy_file(f"{paths.METRICS}/shard_{number:02d}.ndjson", metrics)
    return frames


def _merge_runlogs(new: NewBundle, parts: list[_Part], run_id: str | None) -> str | None:
    """Write the runlog of the whole; `run_id` None keeps lines as they are. Returns the stop reason."""
    if not any(part.bundle.runlog_path.is_file() for part in parts):
        return None
    file, places, reason = new.file(paths.RUNLOG), MapBuilder(), None
    rewriting = _Rewriting(parts, run_id)
    streams = [_tagged(part) for part in parts]
    last = -1
    for line, part in merged_by(*streams, key=rewriting.order):
        if run_id is None:
            if line.place.ordinal == last:
                continue  # the same line of the same runlog, in several parts
            last = line.place.ordinal
            file.add(line.data)
            places.add(line.place, len(line.data))
        else:
            file.add(rewriting.line(line, part))
        record = line.record or {}
        if record.get("record_type") == "capture_stop":
            reason = str(record.get("reason"))
    file.close()
    if run_id is None:
        new.add_file(RUNLOG_MAP, places.finish())
    return reason


def _tagged(part: _Part) -> Iterator[tuple[Line, _Part]]:
    return ((line, part) for line in part.lines())


class _Rewriting:
    """Records of several captures as those of one run: its id, its shard numbers, one stop at the end."""

    def __init__(self, parts: list[_Part], run_id: str | None) -> None:
        self._run_id = run_id
        self._open = len(parts)
        self._totals = dict.fromkeys(SUMMED, 0)

    def order(self, tagged: tuple[Line, _Part]) -> tuple[int, ...]:
        line, part = tagged
        if self._run_id is None:
            return (line.place.ordinal,)
        return (line.mono_ns, part.number)

    def line(self, line: Line, part: _Part) -> bytes:
        record: dict[str, Any] = {**(line.record or {}), "run_id": self._run_id}
        shard = record.get("shard_id")
        if isinstance(shard, int):
            record["shard_id"] = part.shards.get(shard, shard)
        record["part"] = part.number
        if record.get("record_type") == "capture_stop":
            self._open -= 1
            for name in SUMMED:
                self._totals[name] += int(record.get(name) or 0)
            if self._open:  # the others go on: this is not yet the end of every token
                record["record_type"] = "part_stop"
            else:
                record.update(self._totals)
        return json.dumps(record, ensure_ascii=False, separators=(",", ":")).encode() + b"\n"


def _copy_documents(new: NewBundle, parts: list[_Part], merged: Merged) -> None:
    first = parts[0]
    for path in first.bundle.universe_files():
        new.copy_file(path.relative_to(first.bundle.path).as_posix(), path)
    if first.bundle.global_metrics_path.is_file() and first.origin:
        new.copy_file(paths.METRICS_GLOBAL, first.bundle.global_metrics_path)
    manifest = {**first.manifest, "run_id": merged.run_id}
    if isinstance(shards := manifest.get("shards"), dict):
        assignments = {key: one for part in parts for key, one in part.assignments().items()}
        ordered = {key: assignments[key] for key in sorted(assignments, key=int)}
        manifest["shards"] = {**shards, "assignments": ordered}
        if first.bundle.provenance is None:
            manifest["shards"]["count"] = sum(len(part.shards) for part in parts)
    if first.bundle.provenance is None:
        manifest |= _facts_of_all(parts)
    else:
        manifest["slice_id"] = new.target.name
        _merge_provenance(new, parts, first.bundle.provenance.document)
    new.add_json(paths.MANIFEST, manifest)
    new.add_json(
        paths.MERGE,
        {
            "merge_version": MERGE_VERSION,
            "run_id": merged.run_id,
            "parts": [
                {
                    "run_id": part.bundle.run_id,
                    "slice_id": part.bundle.provenance.slice_id if part.bundle.provenance else None,
                    "run_dir": str(part.bundle.path),
                    "state": str(part.bundle.state()),
                    "seal_sha256": (part.bundle.seal or {}).get("seal_sha256"),
                    "shards": merged.shards[str(part.number)],
                }
                for part in parts
            ],
            "notes": merged.notes,
        },
    )


def _facts_of_all(parts: list[_Part]) -> dict[str, Any]:
    """Return what a manifest says of all parts together: since when, and which tokens and markets."""
    manifests = [part.manifest for part in parts]
    earliest = min(manifests, key=lambda one: one["t0_mono_ns"])
    facts: dict[str, Any] = {"shard_range": None}
    facts |= {key: earliest[key] for key in ("t0_mono_ns", "t0_wall_ns_utc") if key in earliest}
    facts |= {key: _joined(manifests, key) for key in PINNED if key in manifests[0]}
    universes = [one.get("initial_universe") or {} for one in manifests]
    if universes[0]:
        lists = {key: _joined(universes, key) for key in LISTED if key in universes[0]}
        facts["initial_universe"] = {**universes[0], **lists}
    return facts


def _joined(documents: Sequence[Mapping[str, Any]], key: str) -> list[Any]:
    """Return the lists of all documents as one, what is in several of them once."""
    joined: list[Any] = []
    seen: set[str] = set()
    for one in (one for document in documents for one in document.get(key) or ()):
        if (text := json.dumps(one, sort_keys=True)) not in seen:
            seen.add(text)
            joined.append(one)
    return joined


def _merge_provenance(new: NewBundle, parts: list[_Part], first: Mapping[str, Any]) -> None:
    """What is put together out of slices of one run is a slice of it."""
    documents = [part.bundle.provenance.document for part in parts if part.bundle.provenance]
    shards = {key: one for document in documents for key, one in document["shards"].items()}
    for part in parts:
        for shard in part.shards:
            new.copy_file(map_name(shard), part.bundle.path / map_name(shard))
    new.add_json(
        paths.SLICE,
        {
            **first,
            "slice_id": new.target.name,
            "shards": {key: shards[key] for key in sorted(shards, key=int)},
            "damage": [one for document in documents for one in document["damage"]],
            "damage_count": sum(document["damage_count"] for document in documents),
        },
    )
