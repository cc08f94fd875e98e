"""The order of a run: every stamp that pm-capture gives comes from here, from one thread.

Three promises, which the readers of a bundle build on:

- stamps never decrease, over all shards and the runlog together;
- a runlog record is strictly later than every frame already written;
- a watermark is strictly earlier than everything that will be stamped after it.

The wall clock is passed on as it is read: it may step, and that is a fact worth keeping.
"""

import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

NS_PER_MS = 1_000_000


class Stamper:
    """Give (monotonic ns, wall ns since 1970) pairs; the clocks are arguments."""

    def __init__(self, monotonic: Callable[[], int], wall: Callable[[], int]) -> None:
        self._monotonic = monotonic
        self._wall = wall
        self._last = 0

    def frames(self) -> tuple[int, int]:
        """Stamp what one socket read brought; call it before anything else is done with the bytes."""
        mono = self._monotonic()
        wall = self._wall()
        if mono < self._last:
            mono = self._last
        self._last = mono
        return mono, wall

    def record(self) -> tuple[int, int]:
        """Stamp a runlog record, strictly after everything stamped before."""
        mono = max(self._monotonic(), self._last + 1)
        self._last = mono
        return mono, self._wall()

    def watermark(self, read_ns: int | None = None) -> int:
        """Return a moment before which nothing more will be stamped, not at it either.

        Call it only when everything that has been stamped is written; `read_ns` is a reading of the
        monotonic clock at such a moment, if there is one already.
        """
        mark = max(self._monotonic() if read_ns is None else read_ns, self._last)
        self._last = mark + 1
        return mark

    def clocks(self) -> tuple[int, int, int]:
        """Read the wall clock between two readings of the monotonic one; nothing is stamped."""
        before = self._monotonic()
        wall = self._wall()
        return before, wall, self._monotonic()

    def now(self) -> int:
        """Read the monotonic clock for a policy; nothing is stamped."""
        return self._monotonic()


@dataclass(frozen=True, slots=True)
class Precision:
    """What consecutive readings of the monotonic clock say about it; deltas of 0 are not counted."""

    sample_count: int
    min_delta_ns: int | None
    max_delta_ns: int | None
    delta_gcd_ns: int | None

    @property
    def any_non_ms(self) -> bool:
        """Whether any step is no whole number of milliseconds."""
        return self.delta_gcd_ns is not None and self.delta_gcd_ns % NS_PER_MS != 0

    @property
    def ok(self) -> bool:
        """Whether the clock resolves less than a millisecond."""
        return self.min_delta_ns is not None and self.min_delta_ns < NS_PER_MS


def precision(samples: Sequence[int]) -> Precision:
    """Judge readings of the monotonic clock that were taken one after the other."""
    deltas = [b - a for a, b in itertools.pairwise(samples) if b > a]
    return Precision(
        sample_count=len(samples),
        min_delta_ns=min(deltas, default=None),
        max_delta_ns=max(deltas, default=None),
        delta_gcd_ns=math.gcd(*deltas) or None,
    )
