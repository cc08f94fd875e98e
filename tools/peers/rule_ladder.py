"""Buying the favourite late, reckoned from the recorded books alone, in exact numbers and under stated rules.

The first rules are resolvedkit's. Each rung of the ladder replaces one of them by pm-sim's; what then
changes of a market's outcome is due to that rule and to nothing else. It uses neither program.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from functools import cache
from itertools import groupby
from typing import Any, Final, NamedTuple

E6: Final = 1_000_000
CENT_E6: Final = 10_000
FEE_STEP_E6: Final = 10
BPS: Final = 10_000
SIDES: Final = ("UP", "DOWN")
Number = int | Fraction
Levels = dict[int, int]  # size by price, both e6
Sides = tuple[Levels, Levels]  # bids, asks


class Spec(NamedTuple):
    """What the strategy bets on; prices and dollars e6."""

    seconds: int
    min_px_e6: int
    max_px_e6: int
    slippage_e6: int
    dollars_e6: int


class Venue(NamedTuple):
    """What is the same for both programs."""

    latency_ms: int
    fee_rate: Fraction


@dataclass(frozen=True, slots=True)
class Rules:
    """All False: resolvedkit's. All True: those of pm-sim's worst lens."""

    looks_at_moments: bool = False
    looks_at_changes: bool = False
    fills_placeholders: bool = False
    orders_shares: bool = False
    rounds_each_fill: bool = False
    refuses_crossed: bool = False
    has_half: bool = False


class Rung(NamedTuple):
    """One rule replaced."""

    cause: str
    change: dict[str, bool]


LADDER: Final = (
    Rung(
        "looks when both books of a moment are told, not between the two",
        {"looks_at_moments": True},
    ),
    Rung("looks at what changed, not at every snapshot", {"looks_at_changes": True}),
    Rung("fills on a book of 0.01 and 0.99 are not refused", {"fills_placeholders": True}),
    Rung(
        "orders shares, as many (two decimals) as the dollars buy at the limit",
        {"orders_shares": True},
    ),
    Rung(
        "rounds cost (1e-6) and fee (1e-5) up, fill by fill; not one fee to the nearest 1e-5",
        {"rounds_each_fill": True},
    ),
    Rung("refuses a book that crosses itself or its mirror", {"refuses_crossed": True}),
    Rung("half of the displayed size, rounded down to 0.01", {"has_half": True}),
)
RUNGS: Final = {"central": LADDER[:-1], "worst": LADDER}


class Told(NamedTuple):
    """The book of a side at a moment of the recording."""

    at_ms: int
    side: str
    book: Sides


class Take(NamedTuple):
    """What is had at one level."""

    px_e6: int
    size_e6: Number
    fee_e6: Number


class Bought(NamedTuple):
    """The one fill of a market."""

    side: str
    at_ms: int
    takes: tuple[Take, ...]
    size_e6: Number
    paid_e6: Number
    fee_e6: Number
    asked_e6: int  # shares of the order, where it is one for shares


class Outcome(NamedTuple):
    """What became of a market: its fill, and the orders before it that had none (time, reason)."""

    bought: Bought | None
    refused: tuple[tuple[int, str], ...]


class _Order(NamedTuple):
    side: str
    limit_e6: int
    due_ms: int


def climb(
    rows: Sequence[Told], end_ms: int, spec: Spec, venue: Venue, lens: str
) -> Iterator[tuple[str, Outcome]]:
    """Yield the outcome of a market under the peer's rules, and after each rung up to a lens of pm-sim."""
    rules = Rules()
    yield "", outcome(rows, end_ms, spec, venue, rules)
    for rung in RUNGS[lens]:
        rules = replace(rules, **rung.change)
        yield rung.cause, outcome(rows, end_ms, spec, venue, rules)


def outcome(rows: Sequence[Told], end_ms: int, spec: Spec, venue: Venue, rules: Rules) -> Outcome:
    """Reckon one market from its rows, in order of time and side."""
    books: dict[str, Sides] = {}
    waiting: _Order | None = None
    refused: list[tuple[int, str]] = []
    bought: Bought | None = None

    def arrive(order: _Order) -> None:
        nonlocal waiting, bought
        waiting = None
        found = _filled(order, books, spec, venue, rules)
        if isinstance(found, str):
            refused.append((order.due_ms, found))
        else:
            bought = found

    for at_ms, told in _told(rows, rules):
        # What is due at a moment meets the books that the moment tells.
        if waiting is not None and waiting.due_ms < at_ms:
            arrive(waiting)
        changed = any(books.get(side) != book for side, book in told.items())
        books.update(told)
        if waiting is not None and waiting.due_ms <= at_ms:
            arrive(waiting)
        looks = changed or not rules.looks_at_changes
        if looks and waiting is None and bought is None:
            waiting = _look(at_ms, end_ms, books, spec, venue)
    if waiting is not None:
        arrive(waiting)
    return Outcome(bought, tuple(refused))


def _told(rows: Sequence[Told], rules: Rules) -> Iterator[tuple[int, dict[str, Sides]]]:
    """Yield what is told together: the rows of a moment, or for the peer each row, by name of the side."""
    if not rules.looks_at_moments:
        yield from ((row.at_ms, {row.side: row.book}) for row in rows)
        return
    for at_ms, moment in groupby(rows, key=lambda row: row.at_ms):
        yield at_ms, {row.side: row.book for row in moment}


def exact(rows: Iterable[Mapping[str, Any]]) -> list[Told]:
    """Return rows of one market in exact numbers, in order of time and side (DOWN before UP)."""
    told = (
        Told(row["ts"], row["side"], (_levels(row, "bid"), _levels(row, "ask"))) for row in rows
    )
    return sorted(told, key=lambda row: (row.at_ms, row.side))


def _levels(row: Mapping[str, Any], side: str) -> Levels:
    prices, sizes = row[f"{side}_px"], row[f"{side}_sz"]
    return {e6(px): e6(size) for px, size in zip(prices, sizes, strict=True)}


@cache
def e6(value: float) -> int:
    """Return millionths, half up, of the shortest decimal: the recording has 1.9300000000000002 for 1.93."""
    return int(Fraction(repr(value)) * E6 + Fraction(1, 2))


def _look(
    at_ms: int,
    end_ms: int,
    books: Mapping[str, Sides],
    spec: Spec,
    venue: Venue,
) -> _Order | None:
    if not 0 < end_ms - at_ms <= spec.seconds * 1000 or len(books) < 2:
        return None
    first, second = (_twice_mid(books[side]) for side in SIDES)
    favourite = SIDES[0] if first >= second else SIDES[1]
    ask = min(books[favourite][1], default=None)
    if ask is None or not spec.min_px_e6 <= ask <= spec.max_px_e6:
        return None
    return _Order(favourite, ask + spec.slippage_e6, at_ms + venue.latency_ms)


def _twice_mid(book: Sides) -> int:
    return max(book[0], default=0) + min(book[1], default=E6)


def _filled(
    order: _Order,
    books: Mapping[str, Sides],
    spec: Spec,
    venue: Venue,
    rules: Rules,
) -> Bought | str:
    bids, asks = books[order.side]
    best_bid, best_ask = max(bids, default=0), min(asks, default=E6)
    if not rules.fills_placeholders and best_bid <= CENT_E6 and best_ask >= E6 - CENT_E6:
        return "placeholder_book"
    if best_ask > order.limit_e6:
        return "no_match"
    if rules.refuses_crossed and _is_crossed(books, order.side):
        return "crossed_book"
    asked = spec.dollars_e6 * E6 // order.limit_e6 // CENT_E6 * CENT_E6
    takes = list(_walk(order, asks, asked, spec, venue, rules))
    if not takes:
        return "no_match"
    paid = [take.px_e6 * take.size_e6 / Fraction(E6) for take in takes]
    if rules.rounds_each_fill:
        fee: Number = sum(take.fee_e6 for take in takes)
        whole: Number = sum(_up(one, 1) for one in paid)
    else:
        fee = round(sum(take.fee_e6 for take in takes) / Fraction(FEE_STEP_E6)) * FEE_STEP_E6
        whole = sum(paid)
    size = sum(take.size_e6 for take in takes)
    return Bought(order.side, order.due_ms, tuple(takes), size, whole, fee, asked)


def _walk(
    order: _Order, asks: Levels, asked_e6: int, spec: Spec, venue: Venue, rules: Rules
) -> Iterator[Take]:
    dollars, shares = Fraction(spec.dollars_e6), Fraction(asked_e6)
    for px in sorted(px for px in asks if px <= order.limit_e6):
        there = asks[px]
        if rules.has_half:
            there = there * (BPS // 2) // BPS // CENT_E6 * CENT_E6
        size: Number = min(there, shares if rules.orders_shares else dollars * E6 / px)
        if size <= 0:
            continue
        shares, dollars = shares - size, dollars - size * px / Fraction(E6)
        fee = size * venue.fee_rate * px * (E6 - px) / (E6 * E6)
        yield Take(px, size, _up(fee, FEE_STEP_E6) if rules.rounds_each_fill else fee)


def _is_crossed(books: Mapping[str, Sides], side: str) -> bool:
    """Whether a bid meets an ask: in the book of a side, or across the two views of its market."""
    # A side that is not there is as far away as it can be: it meets nothing.
    bids = {one: max(book[0], default=0) for one, book in books.items()}
    asks = {one: min(book[1], default=E6) for one, book in books.items()}
    return bids[side] >= asks[side] or sum(bids.values()) > E6 or sum(asks.values()) < E6


def _up(value: Number, step: int) -> int:
    return -(-Fraction(value) // step) * step
