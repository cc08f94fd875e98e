"""`--rotate`: how long a run may become, and how large, before another one takes its place.

A duration (`24h`, `90m`, `3s`), a size (`50GB`, `512MiB`), or one of each with a comma between.
"""

import re
from dataclasses import dataclass
from fractions import Fraction

NS_PER = {"s": 1_000_000_000, "m": 60_000_000_000, "h": 3_600_000_000_000}
BYTES_PER = {
    f"{prefix}{unit}": factor**power
    for power, prefix in enumerate(("", "K", "M", "G", "T"))
    for unit, factor in (("B", 1000), ("iB", 1024))
    if prefix or unit == "B"
}
AFTER_NS_MIN = NS_PER["s"]
BYTES_MIN = 1_000_000
_PART = re.compile(r"([0-9]+(?:\.[0-9]+)?) *([a-zA-Z]+)", re.ASCII)


@dataclass(frozen=True, slots=True)
class RotateLimits:
    """Either may be None, not both: `after_ns` of age, `bytes_max` of `.frames` and `.idx` together."""

    after_ns: int | None = None
    bytes_max: int | None = None


def parse_limits(text: str) -> RotateLimits:
    """Read the limits. Raises ValueError with words for the operator."""
    after_ns: int | None = None
    bytes_max: int | None = None
    units = {**{unit.lower(): unit for unit in BYTES_PER}, **{unit: unit for unit in NS_PER}}
    for part in text.split(","):
        found = _PART.fullmatch(part.strip())
        unit = units.get(found[2].lower()) if found else None
        if found is None or unit is None:
            raise ValueError(
                f"must be a duration such as 24h, 90m or 30s, a size such as 50GB or 512MiB, "
                f"or both with a comma between, found {text!r}"
            )
        number = Fraction(found[1])
        if (after_ns if unit in NS_PER else bytes_max) is not None:
            raise ValueError(f"must have one duration and one size at most, found {text!r}")
        if unit in NS_PER:
            after_ns = int(number * NS_PER[unit])
        else:
            bytes_max = int(number * BYTES_PER[unit])
    if after_ns is not None and after_ns < AFTER_NS_MIN:
        raise ValueError(f"must be 1s or more, found {text!r}")
    if bytes_max is not None and bytes_max < BYTES_MIN:
        raise ValueError(f"must be 1MB or more, found {text!r}")
    return RotateLimits(after_ns, bytes_max)
