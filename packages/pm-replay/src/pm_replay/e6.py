"""Decimal text to integers of millionths, exact: round half up, no float anywhere.

Accepted: plain decimals ("0.5", ".5", "5.", "007") and scientific notation ("5e-1"). Not accepted: a sign,
NaN, infinities, white space, underscores, digits that are not ASCII, nothing at all.
"""

from __future__ import annotations

import re
from typing import Final

BAD: Final = -1  # what the caches give for text that is no number, or one that does not fit
NO_SIDE: Final = -1
PX_ONE_E6: Final = 1_000_000

_POWERS: Final = tuple(int(10**power) for power in range(7))
_DECIMAL: Final = re.compile(r"(\d*)(?:\.(\d*))?(?:[eE]([+-]?\d{1,4}))?", re.ASCII)
TEXT_MAX: Final = 64  # characters that are kept; no price or size of the venue comes near


def to_e6(text: str) -> int:
    """Return a decimal text in millionths, rounded half up; raise ValueError for what is not accepted."""
    whole, _, part = text.partition(".")
    # Nearly all of them: a few digits before the point, up to six behind it.
    digits_text = whole + part
    if 0 < len(whole) <= 12 and len(part) <= 6 and digits_text.isdecimal() and text.isascii():
        return int(digits_text) * _POWERS[6 - len(part)]
    match = _DECIMAL.fullmatch(text)
    if match is None or len(text) > TEXT_MAX or not (match[1] or match[2]):
        raise ValueError(f"not a decimal number: {text[:TEXT_MAX]!r}")
    part = match[2] or ""
    digits = int((match[1] or "") + part)
    shift = int(match[3] or "0") + 6 - len(part)
    if shift >= 0:
        if digits and shift > TEXT_MAX:
            raise ValueError(f"too large: {text!r}")
        return digits * int(10**shift) if digits else 0
    if -shift > 2 * TEXT_MAX:
        return 0
    # Half up: add half of the unit that is cut, then cut.
    unit = int(10**-shift)
    return (digits + unit // 2) // unit


def from_e6(value: int) -> str:
    """Return the shortest decimal text of millionths, as the venue writes prices and sizes."""
    whole, part = divmod(value, PX_ONE_E6)
    return f"{whole}.{part:06d}".rstrip("0") if part else str(whole)


class _Cache(dict[str, int]):
    """Text to millionths; texts repeat, so most are looked up once. Bounded, `BAD` for bad text."""

    def __init__(self, limit: int, entries_max: int = 1 << 13) -> None:
        super().__init__()
        self._limit = limit
        self._entries_max = entries_max

    def value(self, text: str) -> int:
        try:
            value = to_e6(text)
        except ValueError:
            return BAD
        return value if value <= self._limit else BAD

    def __missing__(self, text: str) -> int:
        value = self.value(text)
        if len(text) <= TEXT_MAX:  # none of the venue's is longer; a message may be of 64 MiB
            if len(self) >= self._entries_max:
                self.clear()
            self[text] = value
        return value


class Prices(_Cache):
    """Price text to millionths; `BAD` also for anything that is not above 0 and at most `limit`."""

    def __init__(self, limit: int = PX_ONE_E6) -> None:
        super().__init__(limit)

    def value(self, text: str) -> int:
        value = super().value(text)
        return value if value > 0 else BAD


class Sizes(_Cache):
    """Size text to millionths, 0 included; `BAD` where it does not fit into 63 bits."""

    def __init__(self) -> None:
        super().__init__(2**63 - 1)


class Stated(_Cache):
    """What a message states as a best price: millionths, or `NO_SIDE` for "", 0 and 1.

    Text that is no price gives -2, which no book has.
    """

    def __init__(self) -> None:
        super().__init__(PX_ONE_E6)

    def value(self, text: str) -> int:
        if not text:
            return NO_SIDE
        value = super().value(text)
        if value == BAD:
            return -2
        return NO_SIDE if value in (0, PX_ONE_E6) else value
