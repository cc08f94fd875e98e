"""Wall times of monotonic stamps, through the moments at which a run has read both clocks together.

Each anchor holds from its moment to the next: a step of the wall clock moves what follows, not what was.
Anchors that agree with the one before within 100 µs add nothing and are not kept, so memory follows the
drift of the clocks and not the length of the run.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from pm_audit.figures import whole
from pm_frames.bundle import Bundle
from pm_frames.errors import BundleError

SAME_NS: Final = 100_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


class WallClock:
    """Anchors of (mono, wall); add them in order of mono, earlier ones are left out."""

    def __init__(self) -> None:
        self._monos = array("q")
        self._offsets = array("q")

    def add(self, mono_ns: int, wall_ns: int) -> None:
        """Take a pair of stamps that were read together."""
        offset = wall_ns - mono_ns
        if self._monos and (
            mono_ns < self._monos[-1] or abs(offset - self._offsets[-1]) <= SAME_NS
        ):
            return
        if 0 <= mono_ns < 2**63 and -(2**63) <= offset < 2**63:
            self._monos.append(mono_ns)
            self._offsets.append(offset)

    def wall_ns(self, mono_ns: int) -> int | None:
        """Return the UTC of a stamp in ns; None if nothing was ever read together."""
        if not self._monos:
            return None
        at = max(0, bisect_right(self._monos, mono_ns) - 1)
        return mono_ns + self._offsets[at]

    def mono_ns(self, wall_ns: int) -> int | None:
        """Return the first stamp whose wall time is `wall_ns` or later; None as above."""
        for at, offset in enumerate(self._offsets):
            mono_ns = wall_ns - offset
            if at:
                mono_ns = max(mono_ns, self._monos[at])
            if at + 1 == len(self._monos) or mono_ns < self._monos[at + 1]:
                return mono_ns
        return None

    def text(self, mono_ns: int) -> str:
        """Return a stamp as a person reads it: UTC to the microsecond, else the stamp itself."""
        wall_ns = self.wall_ns(mono_ns)
        return f"mono {mono_ns}" if wall_ns is None else rfc3339(wall_ns, digits=6)

    def __len__(self) -> int:
        return len(self._monos)


def read_clock(bundle: Bundle, records: Iterable[Mapping[str, Any]]) -> WallClock:
    """Return the clock of a run: the manifest's anchor, every runlog stamp pair, else the frames' own.

    `records` is the runlog. Of a bundle without either, the first stamp pair of each shard is taken
    (frames of version 1 have none).
    """
    clock = WallClock()
    try:
        manifest: Mapping[str, Any] = bundle.manifest
    except BundleError:
        manifest = {}
    _add(clock, manifest, "t0_mono_ns", "t0_wall_ns_utc")
    for record in records:
        if record.get("record_type") == "heartbeat":
            _add(clock, record, "hb_mono_ns", "hb_wall_ns_utc")
        else:
            _add(clock, record, "ts_mono_ns", "ts_wall_ns_utc")
    if not len(clock):
        firsts = (entry for shard in bundle.shards() for entry in _first_entry(shard))
        for mono_ns, wall_ns in sorted(firsts):
            clock.add(mono_ns, wall_ns)
    return clock


def _first_entry(shard: Any) -> list[tuple[int, int]]:
    try:
        return [
            (one.rx_mono_ns, one.rx_wall_ns_utc)
            for one in shard.entries(0, 1)
            if one.rx_wall_ns_utc
        ]
    except BundleError:
        return []


def _add(clock: WallClock, record: Mapping[str, Any], mono: str, wall: str) -> None:
    mono_ns, wall_ns = whole(record, mono), whole(record, wall)
    if mono_ns is not None and wall_ns is not None:
        clock.add(mono_ns, wall_ns)


def wall_text(value: object, *, digits: int = 9) -> str:
    """Return a wall stamp out of a file as `rfc3339` does; a dash for what is none."""
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**63:
        return "-"
    return rfc3339(value, digits=digits)


def rfc3339(wall_ns: int, *, digits: int = 9) -> str:
    """Return a time as RFC 3339 in UTC with so many decimals (cut, not rounded)."""
    seconds, part = divmod(wall_ns, 10**9)
    try:
        moment = _EPOCH + timedelta(seconds=seconds)
    except OverflowError:
        return str(wall_ns)
    return f"{moment:%Y-%m-%dT%H:%M:%S}.{part:09d}"[: 20 + digits].rstrip(".") + "Z"
