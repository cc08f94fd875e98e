"""slice.json, and the maps of where a slice stands in its capture: do they state what the files hold?"""

from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from struct import Struct
from typing import Final, NamedTuple

from pm_frames.errors import BundleError
from pm_frames.index import IdxEntry, read_index
from pm_frames.layout import Version, header_size
from pm_frames.paths import RUNLOG, SLICE, SOURCE
from pm_frames.provenance import EmitWindow, read_provenance
from pm_frames.window import Window
from pm_verify.documents import as_integer, as_mapping
from pm_verify.evidence import Evidence, is_number
from pm_verify.findings import Code, Finding, Scene
from pm_verify.shard_result import ShardResult

MAP_ENTRY: Final = Struct("<4Q")
RUNLOG_MAP: Final = f"{SOURCE}/runlog.map"
SPAN: Final = ("first_ordinal", "last_ordinal", "first_offset", "end_offset")


class _Run(NamedTuple):
    """An entry of a map: `length` that follow one another here and in the capture."""

    first: int
    there: int
    offset: int
    length: int


class _BadMap(Exception):
    """An entry that cannot follow the one before it; `offset` is where it stands."""

    def __init__(self, problem: str, offset: int, expected: object, found: object) -> None:
        super().__init__(problem)
        self.offset, self.expected, self.found = offset, expected, found


def check_slice(evidence: Evidence) -> Iterator[Finding]:
    """Check what slice.json, if there is one, says of the files.

    After a repair its counts are those of the parent, and the maps are kept with what else speaks of that.
    """
    if SLICE not in evidence.files:
        return
    scene = evidence.scene
    try:
        provenance = read_provenance(evidence.run_dir)
    except BundleError as error:
        offset = None if error.offset is None else (error.offset, error.offset)
        yield scene.finding(
            Code.SLICE_DAMAGED, SLICE, detail=str(error.args[0]), span=offset,
            expected=error.expected, found=_plain(error.found),
        )  # fmt: skip
        return
    assert provenance is not None
    shards = {
        int(key): as_mapping(value)
        for key, value in as_mapping(provenance.document.get("shards")).items()
        if is_number(key)
    }
    for name, expected, found in (
        ("the run_id of the first ancestor", evidence.run_id, provenance.origin.run_id),
        ("slice_id", evidence.manifest.text("slice_id"), provenance.slice_id),
        ("shards", sorted(evidence.results), sorted(shards)),
    ):
        if expected != found:
            yield scene.finding(
                Code.SLICE_DISAGREES, SLICE, detail=name, expected=expected, found=found
            )
    if evidence.repaired:
        return
    for shard in sorted(shards.keys() & evidence.results.keys()):
        claims = _ShardClaims(evidence, evidence.results[shard], shards[shard], provenance.window)
        for finding in claims.check(Scene(evidence.run_dir, shard)):
            yield replace(finding, explained=not evidence.results[shard].ok)
    if evidence.runlog.present:
        yield from _check_runlog_map(evidence)


def _plain(value: object) -> object:
    return (
        value
        if isinstance(value, str | int | list | dict)
        else None
        if value is None
        else str(value)
    )


class _ShardClaims:
    """One shard of a slice, and what slice.json and its map say of it."""

    def __init__(
        self,
        evidence: Evidence,
        result: ShardResult,
        stated: Mapping[str, object],
        window: EmitWindow,
    ) -> None:
        self._evidence = evidence
        self._result = result
        self._stated = stated
        self._window = window
        self._map = f"{SOURCE}/shard_{result.shard:02d}.map"

    def check(self, scene: Scene) -> Iterator[Finding]:
        frames, lead_in = (
            as_integer(self._stated.get(key)) for key in ("frames", "lead_in_frames")
        )
        if frames is None or lead_in is None or not 0 <= lead_in <= frames:
            detail = f"frames and lead_in_frames of shard {scene.shard}"
            yield scene.finding(Code.SLICE_DAMAGED, SLICE, detail=detail, found=[frames, lead_in])
            return
        if frames != self._result.records:
            yield self._disagrees(scene, "frames", self._result.records, frames)
        if not self._result.ok or frames != self._result.records:
            return
        yield from self._check_stamps(scene, frames, lead_in)
        yield from self._check_places(scene, frames, lead_in)

    def _check_stamps(self, scene: Scene, frames: int, lead_in: int) -> Iterator[Finding]:
        """Stamps never go back, so those at the edges decide."""
        first, before = self._window
        if lead_in and (stamp := self._entry(lead_in - 1).rx_mono_ns) > first:
            yield self._disagrees(scene, "emit_from_mono_ns, after the lead-in", stamp, first)
        if lead_in == frames:
            return
        if (stamp := self._entry(lead_in).rx_mono_ns) < first:
            yield self._disagrees(scene, "emit_from_mono_ns, at the first frame", stamp, first)
        if before is not None and (stamp := self._entry(frames - 1).rx_mono_ns) >= before:
            yield self._disagrees(scene, "emit_before_mono_ns, at the last frame", stamp, before)

    def _check_places(self, scene: Scene, frames: int, lead_in: int) -> Iterator[Finding]:
        """Compare the map with the number of frames, and its places with those that are stated."""
        ends: list[_Run | None] = [None, None]
        try:
            if (missing := _missing(self._evidence, self._map)) is not None:
                yield missing
                return
            for run in _runs(self._evidence.run_dir / self._map, frames):
                for end, ordinal in enumerate((lead_in, frames - 1)):
                    if run.first <= ordinal < run.first + run.length:
                        ends[end] = run
        except _BadMap as error:
            yield _bad(scene, self._map, error)
            return
        found: list[int | None] = [None] * len(SPAN)
        first, last = ends
        if first is not None and last is not None and lead_in < frames:
            found = [
                first.there + lead_in - first.first,
                last.there + frames - 1 - last.first,
                self._offset_there(first, lead_in),
                self._offset_there(last, frames - 1) + self._size(frames - 1),
            ]
        for name, place in zip(SPAN, found, strict=True):
            if self._stated.get(name) != place:
                yield self._disagrees(scene, name, place, self._stated.get(name))

    def _offset_there(self, run: _Run, ordinal: int) -> int:
        here = self._entry(ordinal).offset_frames - self._entry(run.first).offset_frames
        return run.offset + here

    def _size(self, ordinal: int) -> int:
        return header_size(self._version) + self._entry(ordinal).payload_len

    @property
    def _version(self) -> Version:
        return Version(self._result.schema_versions[0])

    def _entry(self, ordinal: int) -> IdxEntry:
        assert self._result.idx_path is not None
        path = self._evidence.run_dir / self._result.idx_path
        (entry,) = read_index(path, self._version, start=ordinal, stop=ordinal + 1)
        return entry

    def _disagrees(self, scene: Scene, name: str, expected: object, found: object) -> Finding:
        return scene.finding(
            Code.SLICE_DISAGREES,
            SLICE,
            detail=f"{name} of shard {scene.shard}",
            expected=expected,
            found=found,
        )


def _check_runlog_map(evidence: Evidence) -> Iterator[Finding]:
    """Check that the map of the runlog names every line."""
    if (missing := _missing(evidence, RUNLOG_MAP)) is not None:
        yield missing
        return
    try:
        for _ in _runs(evidence.run_dir / RUNLOG_MAP, evidence.runlog.lines):
            pass
    except _BadMap as error:
        finding = _bad(evidence.scene, RUNLOG_MAP, error)
        yield replace(finding, explained=evidence.says_where(RUNLOG))


def _missing(evidence: Evidence, name: str) -> Finding | None:
    if name in evidence.files:
        return None
    return evidence.scene.finding(Code.SLICE_DAMAGED, name, detail="the map is not there")


def _bad(scene: Scene, name: str, error: _BadMap) -> Finding:
    return scene.finding(
        Code.SLICE_DAMAGED,
        name,
        detail=str(error),
        span=(error.offset, error.offset + MAP_ENTRY.size),
        expected=error.expected,
        found=error.found,
    )


def _runs(path: Path, total: int) -> Iterator[_Run]:
    """Yield the entries of a map of `total` frames or lines. Raises `_BadMap`."""
    here = there = offset = at = 0
    with Window(path, span=1 << 16) as window:
        for at in range(0, window.size, MAP_ENTRY.size):
            data = window.at(at, MAP_ENTRY.size)
            if len(data) < MAP_ENTRY.size:
                raise _BadMap("ends inside an entry", at, MAP_ENTRY.size, len(data))
            run = _Run(*MAP_ENTRY.unpack(data))
            if run.first != here or not run.length:
                raise _BadMap("an entry does not follow the one before it", at, here, run.first)
            # What stands there is in the same order, and takes a byte at the least.
            if run.there < there or run.offset < offset:
                raise _BadMap("goes back in the capture", at, [there, offset], list(run[1:3]))
            yield run
            here += run.length
            there, offset = run.there + run.length, run.offset + run.length
        if here != total:
            raise _BadMap("does not name every one", window.size, total, here)
