"""A bundle through the engine into an event stream: what is read, from where to where, and how it ended."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol, cast

from pm_frames import RunState as BundleState
from pm_frames.bundle import Bundle, read_json
from pm_frames.command import TimePoint, UsageError
from pm_frames.continuity import Basis, State
from pm_frames.errors import BundleError, MissingFile
from pm_frames.events import RUNLOG_SHARD, EndReason, EventWriter, Header, RunState
from pm_frames.events.event_writer import Sink
from pm_frames.frames import Frame
from pm_frames.merge import Item
from pm_frames.merged_records import MergedRecords
from pm_frames.records import STAMP_END
from pm_frames.rows import FrameRow, Row
from pm_replay.batch_engine import BatchEngine
from pm_replay.engine import Engine
from pm_replay.interrupt import Interrupts
from pm_replay.oracles import SAMPLE_EVERY, Oracles
from pm_replay.registry import Registry
from pm_replay.telling import Options
from pm_replay.verdicts import Verdicts

ALSO_READ: Final = ("universe_refresh", "heartbeat")  # beside the continuity records
NEVER: Final = STAMP_END
# What is read in the time that it takes to load compiled code.
COMPILED_FROM_BYTES: Final = 256 << 20
APPLIED: Final = "APPLIED"

Pace = Callable[[Iterable[tuple[int, int, Item]]], Iterator[tuple[int, int, Item]]]

_UNHEARD: Final = {Basis.RUNLOG: State.UNSUBSCRIBED, Basis.FLAGS: State.UNKNOWN}
_STATES: Final = {
    BundleState.RUNNING: RunState.RUNNING,
    BundleState.ENDED: RunState.ENDED,
    BundleState.FATAL: RunState.FATAL,
    BundleState.CRASHED: RunState.CRASHED,
}


class Request(NamedTuple):
    """What of a run is wanted; stamps are of the receive clock, None is open."""

    chosen: Collection[str] | None = None
    from_mono_ns: int | None = None
    before_mono_ns: int | None = None
    max_ns: int | None = None
    options: Options = Options()
    sample_every: int = SAMPLE_EVERY
    verdicts: Verdicts | None = None


class Source(Protocol):
    """Where rows come from, if not from the bundle as it lies there."""

    def rows(self, replay: Replay) -> Iterator[Sequence[Row]]:
        """Yield what is fed to a replay that has begun."""


class Result(NamedTuple):
    """What came of it; `error` stopped the reading."""

    engine: Engine
    writer: EventWriter
    basis: Basis
    frames: int
    records: int
    first_mono_ns: int | None
    last_mono_ns: int | None
    run_state: RunState
    reason: EndReason
    error: BundleError | None


def replay(
    bundle: Bundle,
    request: Request,
    sink: Sink | None,
    *,
    pace: Pace | None = None,
    source: Source | None = None,
    make_engine: type[Engine] | None = None,
    interrupts: Interrupts | None = None,
) -> Result:
    """Replay a run into a sink, to its END. What the sink raises comes through.

    Damage does not raise: the stream ends there with the reason ERROR, and the error is in the result.
    `source` is a checkpoint (`pm_replay.checkpoints`), or what follows (`pm_replay.following`).
    `make_engine` is `Engine` where the reference itself is wanted; all give the same bytes. None: the
    fastest that there is for so much.
    `interrupts`, if it is the handler of SIGINT, lets it end the replay between two frames only.
    """
    return Replay(bundle, request, sink, pace, source, make_engine, interrupts).run()


def fastest_engine(frames_bytes: int) -> type[Engine]:
    """Return the fastest engine for so much: compiled code has to be loaded, and numba may not be there."""
    if frames_bytes >= COMPILED_FROM_BYTES:
        with suppress(Exception):  # numba is not there, or broken, each time in another way
            from pm_replay.compiled_engine import CompiledEngine

            return CompiledEngine
    return BatchEngine


def window_start(bundle: Bundle, request: Request) -> int | None:
    """Return the first stamp that is told: of the request, or of a slice, whichever is later."""
    window = bundle.emit_window
    return _latest(None if window is None else window.from_mono_ns, request.from_mono_ns)


def one_by_one(items: Iterable[tuple[int, int, Item]]) -> Iterator[Sequence[Row]]:
    """Yield items as rows of their own, so that each is fed before the next one is asked for."""
    for shard, ordinal, item in items:
        if isinstance(item, Frame):
            yield [(item.rx_mono_ns, shard, ordinal, item.flags, item.payload)]
        else:
            yield [(item["ts_mono_ns"], shard, ordinal, 0, item)]


def refuse_shard(shard_id: int, path: Path) -> None:
    """Raise `BundleError` for a shard whose number no event can say."""
    if shard_id >= RUNLOG_SHARD:
        raise BundleError(
            "no event can name such a shard",
            path=path, expected=f"below {RUNLOG_SHARD}", found=shard_id,
        )  # fmt: skip


def mono_of(bundle: Bundle, point: TimePoint) -> int:
    """Return a point in time on the receive clock of a run; raise `UsageError` without its anchors."""
    t0_mono, t0_wall = _anchor(bundle, "t0_mono_ns"), _anchor(bundle, "t0_wall_ns_utc")
    if t0_mono is None or (t0_wall is None and not point.relative):
        raise UsageError("the manifest has no anchors, so a time cannot be told", path=bundle.path)
    if point.relative:
        return t0_mono + point.ns
    assert t0_wall is not None
    return max(0, t0_mono + point.ns - t0_wall)


class Replay:
    """One replay, under way; `replay` is what to call."""

    def __init__(
        self,
        bundle: Bundle,
        request: Request,
        sink: Sink | None,
        pace: Pace | None,
        source: Source | None = None,
        make_engine: type[Engine] | None = None,
        interrupts: Interrupts | None = None,
    ) -> None:
        self.pace = pace
        self.source = source
        self.interrupts = interrupts or Interrupts()
        self.bundle = bundle
        self.request = request
        self.wants = MergedRecords(ALSO_READ)
        self.basis = bundle.continuity_basis
        self.state = bundle.state()
        _, emit_before = bundle.emit_window or (None, None)
        self.start = window_start(bundle, request)
        open_end = _earliest(emit_before, request.before_mono_ns)
        self.open_end = open_end
        self.before = NEVER if open_end is None else min(open_end, NEVER)
        verdicts = request.verdicts
        if make_engine is None:
            whole = pace is None and source is None
            make_engine = fastest_engine(_frames_bytes(bundle) if whole else 0)
        self.writer = EventWriter(
            sink,
            self._header(),
            flush_pieces=make_engine.flush_pieces if pace is None else 1,
        )
        self.engine: Engine = make_engine(
            Registry(request.chosen, _UNHEARD[self.basis]),
            self.basis,
            request.options,
            Oracles(
                sample_every=request.sample_every, note=None if verdicts is None else verdicts.note
            ),
            self.writer,
        )
        self.records = 0
        self.waiting = True  # for the window, or for the first frame in it
        self._limit_reason = EndReason.WHOLE
        self.first: int | None = None
        self.last: int | None = None
        self.stopped = False  # capture_stop was read

    def run(self) -> Result:
        """Replay to the END."""
        error: BundleError | None = None
        reason = EndReason.WHOLE
        engine = self.engine
        interrupts = self.interrupts
        interrupts.busy = True
        try:
            self._begin()
            interrupts.between()
            for rows in self.rows():
                interrupts.busy = True
                if not self.waiting and rows[-1][0] < self.before and not engine.limited:
                    self._feed(rows)
                    interrupts.between()
                    continue
                stopped = self._feed_one_by_one(rows)
                if stopped is not None:
                    reason = stopped
                    break
                interrupts.between()
            else:
                interrupts.busy = True
                if self.state in (BundleState.CRASHED, BundleState.FATAL) and not self.stopped:
                    engine.close(self.last or 0)
                    if engine.full:
                        reason = EndReason.LIMIT
        except BundleError as found:
            error, reason = found, EndReason.ERROR
        except KeyboardInterrupt:
            reason = EndReason.STOPPED
        interrupts.busy = True
        engine.finish()
        self._count_left_out()
        if self.request.verdicts is not None:
            self.request.verdicts.close()
        run_state = _STATES[self.state]
        self.writer.end(
            seq=engine.seq, ts_recv_ns=self.last or 0, run_state=run_state, reason=reason
        )
        return Result(
            engine, self.writer, self.basis, engine.frames, self.records, self.first, self.last,
            run_state, reason, error,
        )  # fmt: skip

    def _begin(self) -> None:
        t0 = _anchor(self.bundle, "t0_mono_ns") or 0
        files = self.bundle.universe_files()
        if files:
            self._universe(files[0], t0)
        wall = _anchor(self.bundle, "t0_wall_ns_utc")
        if wall is not None:
            self.engine.clock(t0, wall)
        self.engine.emitting = self.start is None

    def rows(self) -> Iterator[Sequence[Row]]:
        """Return what is fed, in its order: whole blocks, unless something happens between two items."""
        for shard in self.bundle.shards():
            refuse_shard(shard.shard_id, shard.frames_path)
        if self.pace is not None:
            return one_by_one(self.pace(self.items()))
        if self.source is not None:
            return self.source.rows(self)
        records = self.bundle.records(self.wants)
        return self.bundle.merged_blocks(records, torn_ok=self.state is not BundleState.ENDED)

    def items(self) -> Iterator[tuple[int, int, Item]]:
        """Return the same one after the other."""
        records = self.bundle.records(self.wants)
        return self.bundle.merged(records, torn_ok=self.state is not BundleState.ENDED)

    def _feed(self, rows: Sequence[Row]) -> None:
        stamp, shard, ordinal, _, item = rows[-1]
        if shard < 0:  # a record is a row by itself
            self._record(ordinal, cast("Mapping[str, Any]", item))
        else:
            self.engine.feed(cast("Sequence[FrameRow]", rows))
        self.last = stamp

    def _feed_one_by_one(self, rows: Sequence[Row]) -> EndReason | None:
        """Feed rows of which one may be the last, or change what is told; return why no more is to be read."""
        for at, (stamp, shard, ordinal, _, _) in enumerate(rows):
            if stamp >= self.before:
                if self.before == NEVER:
                    raise BundleError(f"shard {shard}, {ordinal}: impossible stamp", found=stamp)
                return self._limit_reason
            if self.waiting:
                self._look(shard, stamp)
            self._feed(rows[at : at + 1])
            if self.engine.full:
                return EndReason.LIMIT
        return None

    def _look(self, shard: int, stamp: int) -> None:
        """Do what depends on the time, before the frame or record of that time is fed."""
        engine, request = self.engine, self.request
        if request.verdicts is not None:
            request.verdicts.at(stamp)
        if not engine.emitting and (self.start is None or stamp >= self.start):
            engine.emitting = True
        if shard >= 0 and engine.emitting and self.first is None:
            self.first = stamp
            if request.max_ns is not None and stamp + request.max_ns < self.before:
                self.before = stamp + request.max_ns
                self._limit_reason = EndReason.LIMIT
            self.waiting = request.verdicts is not None

    def _record(self, ordinal: int, record: Mapping[str, Any]) -> None:
        self.records += 1
        kind = record["record_type"]
        if kind == "universe_refresh":
            if record.get("reason") == APPLIED:
                name = record.get("universe_file")
                if isinstance(name, str):
                    self._universe(_inside(self.bundle.path, name), record["ts_mono_ns"])
            return
        self.stopped = self.stopped or kind == "capture_stop"
        self.engine.record(ordinal, record)

    def _count_left_out(self) -> None:
        """Count the records that could be spared, and had to be."""
        left_out = {
            "records_unusable": self.wants.unusable,
            "records_out_of_order": self.wants.out_of_order,
        }
        self.engine.counts.update({what: n for what, n in left_out.items() if n})

    def _universe(self, path: Path, mono_ns: int) -> None:
        document = read_json(path)
        try:
            self.engine.universe(document, mono_ns)
        except (ValueError, RecursionError) as error:  # NaN, 1e999, or nested without end
            raise BundleError(f"cannot be told: {error}", path=path) from None

    def _header(self) -> Header:
        options = self.request.options
        wall = _anchor(self.bundle, "t0_wall_ns_utc")
        chosen = self.request.chosen
        facts = {
            "run_id": self.bundle.run_id,
            "profile": "full" if options.full else "book-only",
            "emit": "changes" if options.changes_only else "all",
            "depth": options.depth,
            "continuity": self.basis.value,
            "from_mono_ns": self.start,
            "before_mono_ns": self.open_end,
            "tokens_chosen": None if chosen is None else len(chosen),
        }
        return Header(_anchor(self.bundle, "t0_mono_ns") or 0, -1 if wall is None else wall, facts)


def _frames_bytes(bundle: Bundle) -> int:
    paths = [shard.frames_path for shard in bundle.shards()]
    return sum(path.stat().st_size for path in paths if path.exists())


def _anchor(bundle: Bundle, key: str) -> int | None:
    try:
        value = bundle.manifest.get(key)
    except MissingFile:
        return None
    ok = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 2**63
    return value if ok else None


def _inside(run_dir: Path, name: str) -> Path:
    path = run_dir / name
    if "\0" in name or not path.resolve().is_relative_to(run_dir.resolve()):
        raise BundleError("a universe file outside of the bundle", path=path)
    return path


def _latest(*stamps: int | None) -> int | None:
    return max((each for each in stamps if each is not None), default=None)


def _earliest(*stamps: int | None) -> int | None:
    return min((each for each in stamps if each is not None), default=None)
