"""Histograms of durations that can be merged, so that percentiles of a whole run are true ones.

Buckets are logarithmic with 64 steps per power of two: a value below 128 has a bucket of its own, above
that a bucket spans at most 1/64 of its values. Integers only; memory is that of the buckets in use, at
most 3776 of them; `count`, `sum`, `min` and `max` are exact.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from fractions import Fraction
from typing import Any, Final, Self

VALUE_MAX: Final = 2**64 - 1
_STEP_BITS: Final = 6
_EXACT_BITS: Final = _STEP_BITS + 1
BUCKETS: Final = ((64 - _EXACT_BITS) << _STEP_BITS) + (1 << _EXACT_BITS)


def bucket_of(value: int) -> int:
    """Return the bucket of a value from 0 to 2**64 - 1."""
    shift = value.bit_length() - _EXACT_BITS
    return value if shift <= 0 else (shift << _STEP_BITS) + (value >> shift)


def upper_bound(bucket: int) -> int:
    """Return the largest value of a bucket."""
    if bucket < 1 << _EXACT_BITS:
        return bucket
    shift = (bucket >> _STEP_BITS) - 1
    return ((bucket - (shift << _STEP_BITS) + 1) << shift) - 1


class LogHistogram:
    """Counts of non-negative integers (nanoseconds, usually) in logarithmic buckets."""

    __slots__ = ("_buckets", "_min", "count", "max", "sum")

    def __init__(self) -> None:
        self._buckets: defaultdict[int, int] = defaultdict(int)
        self._min = VALUE_MAX + 1
        self.count = 0
        self.sum = 0
        self.max = 0

    @property
    def min(self) -> int:
        """The smallest value, 0 while there is none."""
        return self._min if self.count else 0

    def record(self, value: int) -> None:
        """Count one value; raise ValueError below 0 or above 2**64 - 1."""
        # A value out of range is below min or above max, so the two tests that have to be made anyway
        # are the range check as well.
        if value < self._min:
            if not 0 <= value <= VALUE_MAX:
                raise ValueError(f"expected a value from 0 to {VALUE_MAX}, found {value}")
            self._min = value
        if value > self.max:
            if value > VALUE_MAX:
                raise ValueError(f"expected a value from 0 to {VALUE_MAX}, found {value}")
            self.max = value
        shift = value.bit_length() - _EXACT_BITS
        self._buckets[value if shift <= 0 else (shift << _STEP_BITS) + (value >> shift)] += 1
        self.count += 1
        self.sum += value

    def merge(self, other: LogHistogram) -> None:
        """Add what another histogram has counted; the result is as if all had been recorded here."""
        buckets = self._buckets
        for bucket, count in list(other._buckets.items()):
            buckets[bucket] += count
        self.count += other.count
        self.sum += other.sum
        self._min = min(self._min, other._min)
        self.max = max(self.max, other.max)

    def quantile(self, percent: int | float | Fraction) -> int:
        """Return the nearest-rank percentile: the upper bound of the bucket of value ceil(percent/100·n).

        Never below the true value, above it by at most 1/64 of it, and never above `max`. An empty
        histogram answers 0. A float means the decimal that it prints as. Raises ValueError outside
        0 to 100.
        """
        exact = Fraction(str(percent)) if isinstance(percent, float) else Fraction(percent)
        if not 0 <= exact <= 100:
            raise ValueError(f"expected a percentage from 0 to 100, found {percent}")
        rank = max(1, -(-exact.numerator * self.count // (exact.denominator * 100)))
        seen = 0
        for bucket in sorted(self._buckets):
            seen += self._buckets[bucket]
            if seen >= rank:
                return min(upper_bound(bucket), self.max)
        return 0

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON object: count, sum, min, max, and [bucket, count] of the buckets in use."""
        return {
            "count": self.count,
            "sum": self.sum,
            "min": self.min,
            "max": self.max,
            "buckets": [[bucket, self._buckets[bucket]] for bucket in sorted(self._buckets)],
        }

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> Self:
        """Return the histogram of which `data` is the `to_dict`; raise ValueError if it cannot be one."""
        self = cls()
        try:
            pairs = [(int(bucket), int(count)) for bucket, count in data["buckets"]]
            count, self.sum, low, self.max = (data[name] for name in ("count", "sum", "min", "max"))
        except (KeyError, TypeError) as error:
            raise ValueError(f"not a histogram: {error!r}") from error
        for bucket, number in pairs:
            if not 0 <= bucket < BUCKETS or number < 1 or bucket in self._buckets:
                raise ValueError(f"bad bucket [{bucket}, {number}]")
            self._buckets[bucket] = number
            self.count += number
        if count != self.count:
            raise ValueError(f"expected a count of {self.count}, found {count}")
        if pairs:
            self._min = low
            for name, value, bucket in (
                ("min", low, min(self._buckets)),
                ("max", self.max, max(self._buckets)),
            ):
                if bucket_of(value) != bucket:
                    raise ValueError(f"{name} {value} is not in bucket {bucket}")
        return self

    def __eq__(self, other: object) -> bool:
        return isinstance(other, LogHistogram) and self.to_dict() == other.to_dict()

    __hash__ = None  # type: ignore[assignment]  # mutable

    def __repr__(self) -> str:
        return f"LogHistogram(count={self.count}, min={self.min}, max={self.max})"
