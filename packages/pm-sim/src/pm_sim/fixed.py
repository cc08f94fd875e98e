"""Fixed-point money: three integer types that cannot stand in for one another, and every rounding by name.

All three count millionths: of a dollar per share (`PxE6`), of a share (`SzE6`), of a dollar (`CashE6`).
Rounding is always against the trader, so each product has an `up` and a `down` form.
"""

from typing import Final, NewType

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
