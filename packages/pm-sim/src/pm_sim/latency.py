"""How long an order or a cancel is under way: always the same, or drawn from a given histogram.

A draw depends on the seed and on the order's number alone, so that no order changes the latency of another,
and both lenses draw alike. The histogram is measured elsewhere (`pm_frames.histogram`, ns), never taken from
the future of the run that is simulated.
"""

import hashlib
import json
from bisect import bisect_right
from decimal import Decimal, InvalidOperation
from itertools import accumulate
from pathlib import Path
from typing import Final, Protocol

from pm_frames.command import UsageError
from pm_frames.errors import MissingFile
from pm_frames.histogram import LogHistogram, upper_bound

NS_PER_MS: Final = 1_000_000


class Latency(Protocol):
    """Something that says how long number `number` takes."""

    @property
    def name(self) -> str:
        """What the summary calls it."""

    def draw_ns(self, number: int) -> int:
        """Return ns."""


class Fixed:
    """Always the same."""

    def __init__(self, ns: int) -> None:
        self.ns = ns
        self.name = f"{Decimal(ns) / NS_PER_MS} ms"

    def draw_ns(self, number: int) -> int:
        """Return ns."""
        del number
        return self.ns


class Drawn:
    """Drawn from a histogram; of a bucket always its largest value."""

    def __init__(self, counts: dict[int, int], *, seed: int, what: str, name: str) -> None:
        """`counts` by bucket of `LogHistogram`. ValueError if there are none."""
        buckets = sorted(bucket for bucket, count in counts.items() if count)
        if not buckets:
            raise ValueError("an empty histogram")
        self.name = name
        self._salt = f"{seed}|{what}|"
        self._values = [upper_bound(bucket) for bucket in buckets]
        self._sums = list(accumulate(counts[bucket] for bucket in buckets))

    def draw_ns(self, number: int) -> int:
        """Return ns."""
        digest = hashlib.sha256(f"{self._salt}{number}".encode()).digest()
        return self._values[
            bisect_right(self._sums, int.from_bytes(digest[:8], "big") % self._sums[-1])
        ]


def latency_of(text: str, *, seed: int, what: str) -> Latency:
    """Read what the command line gives: milliseconds, or a file with a histogram.

    Raises `UsageError`, `MissingFile`.
    """
    try:
        value = Decimal(text)
    except InvalidOperation:
        return _from_file(Path(text), seed=seed, what=what)
    ns = value * NS_PER_MS
    if not value.is_finite() or not 0 <= ns <= 10**15 or ns != int(ns):
        raise UsageError("not a latency in ms", expected="such as 50 or 2.5", found=repr(text))
    return Fixed(int(ns))


def _from_file(path: Path, *, seed: int, what: str) -> Latency:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise MissingFile("neither milliseconds nor a file with a histogram", path=path) from error
    try:
        facts = json.loads(data)
        counts = dict(LogHistogram.from_dict(facts).to_dict()["buckets"])
        name = f"histogram {hashlib.sha256(data).hexdigest()[:16]}"
        return Drawn(counts, seed=seed, what=what, name=name)
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise UsageError(f"not a histogram of latencies: {error}", path=path) from error
