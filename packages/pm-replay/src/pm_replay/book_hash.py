"""The venue's own hash of a book, as soft evidence: SHA-1 over ten fields, three of which the feed leaves out.

`min_order_size`, `neg_risk` and the last trade price of the market are tried as far as the bundle offers
them. A match cannot be chance; no match proves nothing, since the trade price inside the hash may be one
that arrives later or never.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from pm_replay.book import Levels
from pm_replay.e6 import from_e6

_price_text = lru_cache(maxsize=1 << 12)(from_e6)  # a book has the same few again and again


class Terms(NamedTuple):
    """What the hash contains beside levels and trade price, as the venue writes it."""

    min_order_size: str
    tick_size: str
    neg_risk: bool


# Where the bundle does not say: what markets have.
_MIN_SIZES: Final = ("5", "15", "1")
_TICKS: Final = ("0.01", "0.001", "0.1", "0.005", "0.0025", "0.0001")


class Hashed(NamedTuple):
    """The state of a book that a hash was stated for."""

    market: str
    token_id: str
    timestamp: str
    bids: Levels
    asks: Levels


def candidates(
    *, min_size: str | None, tick_size: str | None, neg_risk: bool | None
) -> Iterable[Terms]:
    """Yield the terms to try, the known ones first and alone where they are known."""
    for tick in _TICKS if tick_size is None else (tick_size,):
        for size in _MIN_SIZES if min_size is None else (min_size,):
            for risk in (False, True) if neg_risk is None else (neg_risk,):
                yield Terms(size, tick, risk)


def find_terms(
    book: Hashed, stated: str, terms: Iterable[Terms], trade_prices: Sequence[str]
) -> Terms | None:
    """Return the terms with which the hash is that of the book, None if there are none among them.

    The recipe of before December 2025, nine fields without the trade price, is tried too.
    """
    body = hashlib.sha1(_bytes(_body(book)), usedforsecurity=False)
    for each in terms:
        risk = "true" if each.neg_risk else "false"
        middle = (
            f'"min_order_size":"{each.min_order_size}","tick_size":"{each.tick_size}",'
            f'"neg_risk":{risk}'
        )
        for price in (*trade_prices, None):
            digest = body.copy()
            tail = "}" if price is None else f',"last_trade_price":"{price}"}}'
            digest.update(_bytes(middle + tail))
            if digest.hexdigest() == stated:
                return each
    return None


def _bytes(text: str) -> bytes:
    # JSON can say half of a surrogate pair, which has no UTF-8: such a text has no hash that could match.
    return text.encode("utf-8", "surrogatepass")


def price_forms(text: str) -> tuple[str, ...]:
    """Return a trade price as it may stand in the hash: as written, without zeros, with three decimals."""
    whole, dot, part = text.partition(".")
    if not dot:
        return (text,)
    short = f"{whole}.{part.rstrip('0')}".rstrip(".")
    return tuple(dict.fromkeys((text, short, f"{whole}.{part.rstrip('0').ljust(3, '0')}")))


def _body(book: Hashed) -> str:
    # Best levels last on both sides: bids ascending, asks descending.
    bids = _levels(book.bids, sorted(book.bids))
    asks = _levels(book.asks, sorted(book.asks, reverse=True))
    return (
        f'{{"market":"{book.market}","asset_id":"{book.token_id}","timestamp":"{book.timestamp}",'
        f'"hash":"","bids":[{bids}],"asks":[{asks}],'
    )


def _levels(side: Levels, order: Sequence[int]) -> str:
    return ",".join(
        f'{{"price":"{_price_text(price)}","size":"{from_e6(side[price])}"}}' for price in order
    )
