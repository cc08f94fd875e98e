"""Which frames of a bundle are meant: shards, tokens, a span of time, a range of ordinals.

Everything is decided on the idx but for tokens, for which a payload is searched and not decoded.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from pm_frames.bundle import Bundle, read_json
from pm_frames.command import TimePoint, UsageError
from pm_frames.errors import CorruptFrame, MissingFile
from pm_frames.frames import Frame
from pm_frames.index import IndexCursor
from pm_frames.merge import merge
from pm_frames.peek import mentions_token, peek
from pm_frames.selection import Selection, select_tokens
from pm_frames.shard import Shard
from pm_frames.window import Window


class Chosen(NamedTuple):
    """One frame: its shard, its ordinal there, and itself."""

    shard_id: int
    ordinal: int
    frame: Frame


class Choice(NamedTuple):
    """What was asked for; None means everything. Spans are half-open."""

    shards: frozenset[int] | None = None
    tokens: frozenset[str] | None = None
    since: TimePoint | None = None
    before: TimePoint | None = None
    ordinals: tuple[int, int | None] | None = None


class Span(NamedTuple):
    """The frames `start` to before `stop` of one shard, as a source that can be merged."""

    shard: Shard
    start: int
    stop: int

    @property
    def shard_id(self) -> int:
        return self.shard.shard_id

    @property
    def frames_path(self) -> Path:
        return self.shard.frames_path

    def frames(self) -> Iterator[Frame]:
        return self.shard.frames(self.start, self.stop) if self.stop > self.start else iter(())


def parse_ordinals(text: str) -> tuple[int, int | None]:
    """Return A and B of `A:B`, either of which may be left out; raises `UsageError`."""
    first, colon, last = text.partition(":")
    parts = [part for part in (first, last) if part]
    if not colon or not all(part.isascii() and part.isdecimal() for part in parts):
        raise UsageError("not a range of frames", expected="A:B", found=repr(text))
    start = int(first) if first else 0
    stop = int(last) if last else None
    if stop is not None and stop < start:
        raise UsageError("a range that ends before it begins", found=repr(text))
    return start, stop


def tokens_of(bundle: Bundle, selection: Selection) -> frozenset[str] | None:
    """Return the token ids that a selection names, None where it names nothing; raises `UsageError`."""
    if selection == Selection():
        return None
    return frozenset(select_tokens(selection, map(read_json, bundle.universe_files())))


def whole_until(shard: Shard, mono_ns: int | None = None) -> int:
    """Return how many frames are whole, and stamped at `mono_ns` or before, by sizes and idx alone."""
    try:
        pairs = shard.pairs()
        return pairs if mono_ns is None else _ordinal(shard, pairs, mono_ns, bisect_right)
    except MissingFile:  # no idx yet, or a process that died before its first entry
        return 0
    except CorruptFrame as error:
        if error.kind == "truncated_header":  # less than the magic of its first frame
            return 0
        raise


def merged(spans: Sequence[Span], tokens: frozenset[str] | None = None) -> Iterator[Chosen]:
    """Yield the frames of the spans in merge order; raises what reading a damaged shard raises."""
    first = {span.shard_id: span.start for span in spans}
    for shard_id, ordinal, frame in merge(spans):
        if tokens is None or _about(frame.payload, tokens):
            yield Chosen(shard_id, first[shard_id] + ordinal, frame)


def chosen_frames(bundle: Bundle, choice: Choice) -> Iterator[Chosen]:
    """Yield the frames that are meant, in merge order, in bounded memory.

    A relative time is from `t0_mono_ns` of the manifest, by the monotonic clock; an absolute one is
    compared with the wall clock of each frame, which can step. Raises `UsageError` for a shard that is not
    there, an ordinal range over several shards, or an absolute time in a bundle without a wall clock.
    """
    shards = shards_of(bundle, choice.shards)
    if choice.ordinals is not None and len(shards) > 1:
        raise UsageError("--frames counts in one shard: name it with --shard")
    spans = [_span(bundle, shard, choice) for shard in shards]
    walls = [point and not point.relative and point.ns for point in (choice.since, choice.before)]
    since, before = (None if wall in (None, False) else wall for wall in walls)
    for chosen in merged(spans, choice.tokens):
        wall = chosen.frame.rx_wall_ns_utc
        # The span is wide enough for every frame that fits; where the clock stepped, some inside do not.
        if wall is None or ((since is None or wall >= since) and (before is None or wall < before)):
            yield chosen


def shards_of(bundle: Bundle, wanted: frozenset[int] | None) -> list[Shard]:
    """Return the shards that are meant; raises `UsageError` for one that is not there."""
    shards = bundle.shards()
    missing = (wanted or frozenset()) - {shard.shard_id for shard in shards}
    if missing:
        raise UsageError(f"no shard {min(missing)} in {bundle.path}")
    return [shard for shard in shards if wanted is None or shard.shard_id in wanted]


def _about(payload: bytes, tokens: frozenset[str]) -> bool:
    return mentions_token(payload) and not tokens.isdisjoint(peek(payload).token_ids)


def _span(bundle: Bundle, shard: Shard, choice: Choice) -> Span:
    start, stop = 0, whole_until(shard)
    if choice.ordinals is not None:
        first, last = choice.ordinals
        start, stop = min(first, stop), stop if last is None else min(last, stop)
    points = [point for point in (choice.since, choice.before) if point is not None]
    if stop and any(not point.relative for point in points) and shard.version == 1:
        raise UsageError(
            "frames of version 1 have no wall clock: give times from the start, as +5m"
        )
    if choice.since is not None:
        start = max(start, _first_at(bundle, shard, stop, choice.since))
    if choice.before is not None:
        stop = min(stop, _end_before(bundle, shard, stop, choice.before))
    return Span(shard, start, max(start, stop))


def _first_at(bundle: Bundle, shard: Shard, stop: int, point: TimePoint) -> int:
    if point.relative:
        return _ordinal(shard, stop, _origin(bundle) + point.ns, bisect_left)
    for ordinal, entry in enumerate(shard.entries(0, stop)):
        if entry.rx_wall_ns_utc is not None and entry.rx_wall_ns_utc >= point.ns:
            return ordinal
    return stop


def _end_before(bundle: Bundle, shard: Shard, stop: int, point: TimePoint) -> int:
    if point.relative:
        return _ordinal(shard, stop, _origin(bundle) + point.ns, bisect_left)
    end = 0
    for ordinal, entry in enumerate(shard.entries(0, stop)):
        if entry.rx_wall_ns_utc is not None and entry.rx_wall_ns_utc < point.ns:
            end = ordinal + 1
    return end


def _ordinal(shard: Shard, stop: int, mono_ns: int, bisect: Callable[..., int]) -> int:
    """Return the place of a stamp among the first `stop` entries, whose stamps never decrease."""
    if not stop:
        return 0
    with Window(shard.idx_path) as window:
        cursor = IndexCursor(window, shard.version)

        def stamp(ordinal: int) -> int:
            entry = cursor.get(ordinal)
            assert entry is not None  # below `stop`
            return entry.rx_mono_ns

        return bisect(range(stop), mono_ns, key=stamp)


def _origin(bundle: Bundle) -> int:
    origin = bundle.manifest.get("t0_mono_ns")
    if not isinstance(origin, int):
        raise UsageError("the manifest has no t0_mono_ns: give absolute times", path=bundle.path)
    return origin
