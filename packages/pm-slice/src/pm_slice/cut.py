"""A slice of a bundle, made: see docs/spec/run-bundle.md, "Slices"."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from itertools import chain
from pathlib import Path
from typing import Any, Final

from pm_frames import paths
from pm_frames.bundle import RunState, open_bundle, read_json
from pm_frames.command import TimePoint, UsageError
from pm_frames.files import Files
from pm_frames.frames import Frame
from pm_frames.provenance import SLICE_VERSION, EmitWindow
from pm_frames.selection import Selection, select_tokens
from pm_frames.watermark import read_watermark
from pm_slice.asked import Asked, mono_of
from pm_slice.lead_in import LeadIn, wanted
from pm_slice.new_bundle import NewBundle, NewShard
from pm_slice.origin_map import RUNLOG_MAP, MapBuilder, OriginMap, map_name
from pm_slice.runlog_cut import Cut, Survey, lines
from pm_slice.source_shard import SourceShard, Unsound

UNSOUND_LISTED: Final = 1000


@dataclass(frozen=True, slots=True)
class Wish:
    """What is to be cut out."""

    asked: Asked
    shards: tuple[int, ...] = ()  # none: all
    selection: Selection = field(default_factory=Selection)


@dataclass(slots=True)
class Outcome:
    """What was cut out; `unsound` counts what was left out because it is damaged in the source."""

    path: Path
    slice_id: str
    window: EmitWindow
    frames: int = 0
    lead_in_frames: int = 0
    shards: dict[str, dict[str, int | None]] = field(default_factory=dict)
    unsound: list[dict[str, Any]] = field(default_factory=list)
    unsound_count: int = 0

    def report(self, **where: Any) -> None:
        """Note one thing that could not be copied."""
        self.unsound_count += 1
        if len(self.unsound) < UNSOUND_LISTED:
            self.unsound.append(where)

    def as_json(self) -> dict[str, Any]:
        """Return what a program says of it."""
        return {
            "slice_id": self.slice_id,
            "emit_from_mono_ns": self.window.from_mono_ns,
            "emit_before_mono_ns": self.window.before_mono_ns,
            "frames": self.frames,
            "lead_in_frames": self.lead_in_frames,
            "shards": self.shards,
            "damage": self.unsound,
            "damage_count": self.unsound_count,
        }


class Slicer:
    """One bundle, opened for cutting; reads it, and never writes there."""

    def __init__(self, run_dir: Path, wish: Wish) -> None:
        """Find out what is asked for. Raises `UsageError`, `MissingFile`, `BundleError`."""
        bundle = open_bundle(run_dir)
        self.state = bundle.state()
        # A run that lives: W first, then the shards that there are, then nothing after W.
        watermark = None
        if self.state is RunState.RUNNING:
            watermark = read_watermark(run_dir / paths.WATERMARK) or 0
            bundle = open_bundle(run_dir)
        self.bundle = bundle
        self.manifest = bundle.manifest
        self.survey = Survey(bundle.runlog_path, self.manifest)
        self.wish = wish
        self.tokens = self._chosen_tokens()
        self._stack = ExitStack()
        try:
            self.sources = [
                self._stack.enter_context(SourceShard(shard)) for shard in self._chosen_shards()
            ]
            self.window = self._window(watermark)
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the files of the source."""
        self._stack.close()

    def _chosen_tokens(self) -> frozenset[str] | None:
        before = (
            self.bundle.provenance.document.get("token_ids") if self.bundle.provenance else None
        )
        had = None if before is None else frozenset(before)
        if self.wish.selection == Selection():
            return had
        documents = [read_json(path) for path in self.bundle.universe_files()]
        chosen = frozenset(select_tokens(self.wish.selection, documents))
        if had is not None:
            chosen &= had
        if not chosen:
            raise UsageError(
                "nothing of what was asked for is in this slice", path=self.bundle.path
            )
        return chosen

    def _chosen_shards(self) -> list[Any]:
        there = {shard.shard_id: shard for shard in self.bundle.shards()}
        for number in self.wish.shards:
            if number not in there:
                raise UsageError(
                    f"--shard {number}: no such shard", path=self.bundle.path, expected=list(there)
                )
        chosen = [there[number] for number in sorted(set(self.wish.shards) or there)]
        if self.tokens is not None:
            chosen = [one for one in chosen if self.survey.may_carry(one.shard_id, self.tokens)]
        if not chosen:
            raise UsageError("no shard carries what was asked for", path=self.bundle.path)
        if self.wish.asked.kind in ("offset", "frames") and len(chosen) > 1:
            raise UsageError(
                "offsets and positions are those of one shard: choose it with --shard",
                found=[shard.shard_id for shard in chosen],
            )
        return chosen

    def _window(self, watermark: int | None) -> EmitWindow:
        asked = self.wish.asked
        start, before = asked.start, asked.end
        if asked.kind in ("offset", "frames"):
            start, before = self._stamps_of(*self._ordinals())
        else:
            if isinstance(start, TimePoint):
                start = mono_of(start, self.survey.anchors)
            if isinstance(before, TimePoint):
                before = mono_of(before, self.survey.anchors)
            elif before is not None and asked.kind == "mono":
                before += 1  # the last stamp is included
        assert not isinstance(start, TimePoint)
        outer = self.bundle.emit_window or EmitWindow(0, None)
        limits = (before, outer.before_mono_ns, None if watermark is None else watermark + 1)
        first = max(start or 0, outer.from_mono_ns)
        last = min((limit for limit in limits if isinstance(limit, int)), default=None)
        if last is not None and last < first:
            raise UsageError(
                "the window ends before it starts, or lies outside of what is there",
                path=self.bundle.path,
                expected=f"from {outer.from_mono_ns} to before {outer.before_mono_ns or watermark}",
                found=f"from {start} to before {before}",
            )
        return EmitWindow(first, last)

    def _ordinals(self) -> tuple[int, int | None]:
        """Return the window of positions or offsets as ordinals; None: to the end."""
        (source,), asked = self.sources, self.wish.asked
        assert not isinstance(asked.start, TimePoint)
        assert not isinstance(asked.end, TimePoint)
        if asked.kind == "frames":
            return asked.start or 0, asked.end
        first = source.first_from(asked.start or 0)
        return first, None if asked.end is None else source.first_from(asked.end + 1, end=True)

    def _stamps_of(self, first: int, stop: int | None) -> tuple[int, int | None]:
        (source,) = self.sources
        if first >= source.count or (stop is not None and stop <= first):
            raise UsageError(
                "no frame begins in the window", path=source.shard.frames_path,
                expected=f"positions below {source.count}", found=f"{first} to {stop}",
            )  # fmt: skip
        before = None
        if stop is not None and stop < source.count:
            before = source.entry(stop - 1).rx_mono_ns + 1
        return source.entry(first).rx_mono_ns, before

    def bounds(self, source: SourceShard) -> tuple[int, int]:
        """Return the ordinals of the window in a shard."""
        if self.wish.asked.kind in ("offset", "frames"):
            first, stop = self._ordinals()
            first = max(first, source.first_at(self.window.from_mono_ns))
            return first, source.count if stop is None else min(stop, source.count)
        before = self.window.before_mono_ns
        return (
            source.first_at(self.window.from_mono_ns),
            source.count if before is None else source.first_at(before, end=True),
        )

    def default_id(self) -> str:
        """Return a name made of the run and the window."""
        first, before = self.window
        run_id = self.bundle.run_id
        return f"{run_id[:80]}_{first}-{'end' if before is None else before}"

    def cut(
        self,
        target: Path,
        slice_id: str,
        *,
        clocks: Callable[[], tuple[int, int]],
        files: Files | None = None,
        replaces: bool = False,
    ) -> Outcome:
        """Make the slice at `target`, which must not exist; `clocks` reads (monotonic ns, wall ns).

        `replaces`: a slice or a merged bundle that is there is replaced.

        Raises `UsageError`, `WriteFailed`; the source is only read, and without success nothing stays.
        """
        outcome = Outcome(target, slice_id, self.window)
        with NewBundle(target, files, replaces=replaces, sources=(self.bundle.path,)) as new:
            for source in self.sources:
                self._cut_shard(new, source, outcome)
            stop_reason = self._cut_runlog(new, outcome)
            self._copy_universe(new)
            self._cut_metrics(new)
            new.add_json(paths.MANIFEST, self._manifest(slice_id))
            new.add_json(paths.SLICE, self._document(outcome))
            new.seal(self.bundle.run_id, stop_reason or "slice", clocks())
        return outcome

    def _cut_shard(self, new: NewBundle, source: SourceShard, outcome: Outcome) -> None:
        number = source.shard_id
        if source.problem is not None and self.state is not RunState.RUNNING:
            at = source.end_offset() if source.count else 0
            outcome.report(shard_id=number, kind=source.problem, ordinal=source.count, offset=at)
        first, stop = self.bounds(source) if source.count else (0, 0)
        shard = new.shard(number, source.version)
        copy = _Copy(shard, new, self._origin(source), source)
        if source.count:
            lead_in = LeadIn(
                source, first, tokens=self.tokens, expected=self.survey.tokens_of(number)
            )
            for ordinal, item in lead_in.frames():
                copy.add(ordinal, item, outcome)
        lead_in_frames = shard.frames
        for ordinal, item in source.frames(first, stop):
            if isinstance(item, Unsound) or wanted(item, self.tokens):
                copy.add(ordinal, item, outcome, counts=True)
        copy.close()
        new.close_shard(number, shard)
        outcome.frames += shard.frames
        outcome.lead_in_frames += lead_in_frames
        outcome.shards[str(number)] = {
            "frames": shard.frames,
            "lead_in_frames": lead_in_frames,
            **copy.span,
        }

    def _origin(self, source: SourceShard) -> OriginMap:
        if self.bundle.provenance is None:
            return OriginMap(None)
        return OriginMap(
            self.bundle.path / map_name(source.shard_id),
            lambda ordinal: source.entry(ordinal).offset_frames,
        )

    def _cut_runlog(self, new: NewBundle, outcome: Outcome) -> str | None:
        """Copy the lines that belong to the slice; return the stop reason if the end is among them."""
        if not self.survey.present:
            return None
        for offset in self.survey.bad_lines:
            outcome.report(shard_id=None, kind="runlog_line", ordinal=None, offset=offset)
        file, places = new.file(paths.RUNLOG), MapBuilder()
        path = self.bundle.path / RUNLOG_MAP
        origin = OriginMap(path if self.bundle.provenance else None)
        cut = Cut(self.window, frozenset(source.shard_id for source in self.sources))
        stop_reason = None
        for line in chain(lines(self.bundle.runlog_path, origin), (None,)):
            for kept in cut.finish() if line is None else cut.take(line):
                file.add(kept.data)
                places.add(kept.place, len(kept.data))
                if kept.record and kept.record.get("record_type") == "capture_stop":
                    stop_reason = str(kept.record.get("reason"))
        origin.close()
        file.close()
        new.add_file(RUNLOG_MAP, places.finish())
        return stop_reason

    def _copy_universe(self, new: NewBundle) -> None:
        """Copy the generations up to the one in force at the end of the window."""
        newest = None
        if self.survey.present and self.window.before_mono_ns is not None:
            newest = 0
            for line in lines(self.bundle.runlog_path):
                record = line.record or {}
                if line.mono_ns >= self.window.before_mono_ns:
                    continue
                version = record.get("universe_version")
                if isinstance(version, int):
                    newest = max(newest, version)
        for version in paths.universe_versions(self.bundle.path):
            if newest is None or version <= newest:
                source = paths.universe_path(self.bundle.path, version)
                new.copy_file(source.relative_to(self.bundle.path).as_posix(), source)

    def _cut_metrics(self, new: NewBundle) -> None:
        named = [self.bundle.global_metrics_path]
        named += [self.bundle.shard_metrics_path(one.shard_id) for one in self.sources]
        for path in named:
            if not path.is_file():
                continue
            file = new.file(path.relative_to(self.bundle.path).as_posix())
            with open(path, "rb") as source:
                for data in source:
                    if data.endswith(b"\n") and self._in_window(data):
                        file.add(data)
            file.close()

    def _in_window(self, data: bytes) -> bool:
        import json

        try:
            stamp = json.loads(data).get("hb_mono_ns")
        except (ValueError, AttributeError):
            return False
        return isinstance(stamp, int) and self.window.holds(stamp)

    def _manifest(self, slice_id: str) -> Mapping[str, Any]:
        manifest = dict(self.manifest)
        shards = manifest.get("shards")
        if isinstance(shards, dict) and isinstance(shards.get("assignments"), dict):
            numbers = {str(source.shard_id) for source in self.sources}
            kept = {key: one for key, one in shards["assignments"].items() if key in numbers}
            manifest["shards"] = {**shards, "assignments": kept}
        return {**manifest, "slice_id": slice_id, "source_run_id": self.bundle.run_id}

    def _document(self, outcome: Outcome) -> Mapping[str, Any]:
        parent = self.bundle.provenance
        seal = self.bundle.seal or {}
        ancestors = list(parent.document["ancestors"]) if parent else []
        ancestors.append(
            {
                "run_id": self.bundle.run_id,
                "slice_id": parent.slice_id if parent else None,
                "state": str(self.state),
                "seal_sha256": seal.get("seal_sha256"),
            }
        )
        return {
            "slice_version": SLICE_VERSION,
            "slice_id": outcome.slice_id,
            "emit_from_mono_ns": self.window.from_mono_ns,
            "emit_before_mono_ns": self.window.before_mono_ns,
            "ancestors": ancestors,
            "source_run_dir": str(self.bundle.path),
            "asked": self.wish.asked.as_json(),
            "token_ids": None if self.tokens is None else sorted(self.tokens),
            "shards": outcome.shards,
            "damage": outcome.unsound,
            "damage_count": outcome.unsound_count,
        }


class _Copy:
    """Frames on their way from a source to a new shard, with the map of where they stood."""

    def __init__(
        self, shard: NewShard, new: NewBundle, origin: OriginMap, source: SourceShard
    ) -> None:
        self._shard = shard
        self._origin = origin
        self._source = source
        self._places = MapBuilder()
        self._file = new.file(map_name(source.shard_id))
        self.span: dict[str, int | None] = dict.fromkeys(
            ("first_ordinal", "last_ordinal", "first_offset", "end_offset")
        )

    def add(
        self, ordinal: int, item: Frame | Unsound, outcome: Outcome, *, counts: bool = False
    ) -> None:
        """Copy a frame, or report what is none; `counts` for one of the window."""
        if isinstance(item, Unsound):
            outcome.report(**item._asdict())
            return
        self._shard.add(item)
        place, size = self._origin.place(ordinal, item.offset), self._source.size_of(ordinal)
        self._places.add(place, size)
        if len(self._places.data) > 1 << 16:
            self._file.add(self._places.take())
        if counts:
            if self.span["first_ordinal"] is None:
                self.span["first_ordinal"], self.span["first_offset"] = place
            self.span["last_ordinal"] = place.ordinal
            self.span["end_offset"] = place.offset + size

    def close(self) -> None:
        """Write the rest of the map."""
        self._file.add(self._places.finish())
        self._file.close()
        self._origin.close()


def slice_path(data_dir: Path, slice_id: str) -> Path:
    """Return where a slice is made by default; raises `UsageError` for what cannot be a name."""
    if not paths.valid_run_id(slice_id):
        raise UsageError("a slice is named as a run is: letters, digits, . _ -", found=slice_id)
    return data_dir / "slices" / slice_id
