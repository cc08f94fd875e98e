"""The window of a slice, as it is asked for on a command line and as it is on the receive clock."""

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple

from pm_frames.command import TimePoint, UsageError, parse_time

_KINDS: Final = (
    "--start-mono-ns and --end-mono-ns, --start-offset and --end-offset, --from and --to, --frames"
)


class Asked(NamedTuple):
    """A window of one kind: `mono` and `offset` include their end, `time` and `frames` do not.

    A limit of None is the start or the end of what is there.
    """

    kind: str  # mono, time, offset, frames, all
    start: int | TimePoint | None = None
    end: int | TimePoint | None = None

    def as_json(self) -> dict[str, Any]:
        """Return what `slice.json` keeps of it."""
        limits = {
            name: limit._asdict() if isinstance(limit, TimePoint) else limit
            for name, limit in (("start", self.start), ("end", self.end))
        }
        return {"kind": self.kind, **limits}


def window_arguments(parser: ArgumentParser) -> None:
    """Add the options that name a window; see `asked_for`."""
    group = parser.add_argument_group("the window, one kind of it")
    add = group.add_argument
    add("--from", dest="from_", metavar="TIME", help="first moment: RFC 3339, UTC ns, or +5m")
    add("--to", metavar="TIME", help="the moment before which it ends")
    add("--start-mono-ns", type=int, metavar="NS", help="first receive stamp")
    add("--end-mono-ns", type=int, metavar="NS", help="last receive stamp, included")
    add("--start-offset", type=int, metavar="BYTES", help="first offset at which a frame may begin")
    add("--end-offset", type=int, metavar="BYTES", help="last such offset, included")
    add("--frames", metavar="A:B", help="frames by position, from A to before B; of one shard")


def asked_for(arguments: Namespace) -> Asked:
    """Return the window that the arguments name; raise `UsageError` for more than one kind.

    Without any it is everything.
    """
    kinds = {
        "mono": (arguments.start_mono_ns, arguments.end_mono_ns),
        "offset": (arguments.start_offset, arguments.end_offset),
        "time": (arguments.from_, arguments.to),
        "frames": (arguments.frames, None),
    }
    given = {kind: pair for kind, pair in kinds.items() if pair != (None, None)}
    if len(given) > 1:
        raise UsageError(f"exactly one kind of window: {_KINDS}", found=" and ".join(given))
    if not given:
        return Asked("all")
    ((kind, (start, end)),) = given.items()
    if kind == "time":
        start, end = (None if text is None else parse_time(text) for text in (start, end))
    elif kind == "frames":
        start, end = _positions(start)
    for limit in (start, end):
        if isinstance(limit, int) and limit < 0:
            raise UsageError(f"a window of {kind} has no negative limits", found=limit)
    if isinstance(start, int) and isinstance(end, int) and end < start:
        raise UsageError("the window ends before it starts", expected=start, found=end)
    return Asked(kind, start, end)


def _positions(text: str) -> tuple[int | None, int | None]:
    first, colon, last = text.partition(":")
    if not colon or not all(part == "" or part.isdecimal() for part in (first, last)):
        raise UsageError("not positions", expected="A:B, either may be missing", found=text)
    return (int(first) if first else None, int(last) if last else None)


def mono_of(point: TimePoint, anchors: Sequence[tuple[int, int]]) -> int:
    """Return the first moment of the receive clock at which the wall clock shows `point`, or more.

    `anchors` are (mono ns, wall ns), read together, by time; between two the wall clock is taken to go at
    the rate of the receive clock. A relative point counts from the first. Raises `UsageError` without any.
    """
    if not anchors:
        raise UsageError("the run has no t0_mono_ns and t0_wall_ns_utc: give --start-mono-ns")
    first_mono, first_wall = anchors[0]
    if point.relative:
        return first_mono + point.ns
    if point.ns <= first_wall:
        return max(0, first_mono + point.ns - first_wall)
    for (mono, wall), following in pairwise(anchors):
        at = mono + max(0, point.ns - wall)
        if at < following[0]:
            return at
    mono, wall = anchors[-1]
    return mono + max(0, point.ns - wall)
