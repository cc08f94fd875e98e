"""Fixed-point money: three integer types that cannot stand in for one another, and every rounding by name.

All three count millionths: of a dollar per share (`PxE6`), of a share (`SzE6`), of a dollar (`CashE6`).
Rounding is always against the trader, so each product has an `up` and a `down` form.
"""

import re
from collections.abc import Callable
from decimal import Decimal
from typing import Final, NewType, Self, cast

PxE6 = NewType("PxE6", int)
SzE6 = NewType("SzE6", int)
CashE6 = NewType("CashE6", int)

E6: Final = 1_000_000
ONE: Final = PxE6(E6)  # what a winning share pays
BPS: Final = 10_000


def cost_up(price_e6: PxE6, size_e6: SzE6) -> CashE6:
    """Return what buying costs, rounded up to a millionth of a dollar."""
    return CashE6(-(-price_e6 * size_e6 // E6))


def proceeds_down(price_e6: PxE6, size_e6: SzE6) -> CashE6:
    """Return what selling brings, rounded down to a millionth of a dollar."""
    return CashE6(price_e6 * size_e6 // E6)


class Literal(int):
    """A number that was written as text, and remembers how such texts are read; for defaults."""

    read: Callable[[str], int]

    def __new__(cls, value: int, read: Callable[[str], int]) -> Self:
        """Make the number."""
        made = super().__new__(cls, value)
        made.read = read
        return made


def e6(text: object) -> int:
    """Read a decimal as millionths, exactly. ValueError for what is finer, no number, or not text."""
    match = _DECIMAL.fullmatch(text) if isinstance(text, str) else None
    if match is None:
        raise ValueError(f"{text!r} is no decimal text with at most six decimals, such as '0.01'")
    sign, whole, part = match.groups()
    value = int(whole) * E6 + int((part or "").ljust(6, "0"))
    return -value if sign else value


def px(text: str) -> PxE6:
    """Read a price in dollars a share, from 0 to 1. ValueError."""
    value = e6(text)
    if not 0 <= value <= ONE:
        raise ValueError(f"a price lies from 0 to 1, {text!r} does not")
    return cast(PxE6, Literal(value, px))


def shares(text: str) -> SzE6:
    """Read a number of shares. ValueError if it is negative."""
    value = e6(text)
    if value < 0:
        raise ValueError(f"a number of shares is not negative, {text!r} is")
    return cast(SzE6, Literal(value, shares))


def usd(text: str) -> CashE6:
    """Read an amount of dollars. ValueError."""
    return cast(CashE6, Literal(e6(text), usd))


def usd_text(amount_e6: int) -> str:
    """Return millionths as decimal text, exactly and without an exponent."""
    return f"{Decimal(amount_e6) / E6:f}"


_DECIMAL: Final = re.compile(r"(-?)(\d{1,12})(?:\.(\d{1,6})0*)?", re.ASCII)
