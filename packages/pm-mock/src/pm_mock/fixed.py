"""Fixed-point numbers of the venue and the text it writes them in.

Prices are integers of 1e-4 (`_e4`, 0 to 10000), sizes integers of 1e-6 (`_e6`). No float is ever a
price or a size; text is made from the integer.
"""

ONE_E4 = 10_000
UNIT_E6 = 1_000_000
CENT_E6 = 10_000


def decimal_text(value: int, places: int) -> str:
    """Write a non-negative fixed-point integer without trailing zeros ("0.5", "110000")."""
    whole, fraction = divmod(value, 10**places)
    if not fraction:
        return str(whole)
    return f"{whole}.{fraction:0{places}d}".rstrip("0")


PRICE_TEXT = tuple(decimal_text(price, 4) for price in range(ONE_E4 + 1))


def size_text(size_e6: int) -> str:
    """Write a size as the venue does ("112689", "37677.02")."""
    if size_e6 % UNIT_E6 == 0:
        return str(size_e6 // UNIT_E6)
    return decimal_text(size_e6, 6)


def last_trade_text(price_e4: int) -> str:
    """Write `last_trade_price`: three decimals ("0.500"), four only where the tick needs them."""
    if price_e4 % 10:
        return f"0.{price_e4:04d}"
    return f"{price_e4 // ONE_E4}.{price_e4 % ONE_E4 // 10:03d}"
