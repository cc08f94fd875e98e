"""How a market ended, as Gamma tells it. Pure, and never more certain than what was read.

| status | when |
|---|---|
| `resolved` | closed, one outcome at 1 and the others at 0, and no UMA status that says otherwise |
| `tie` | closed, UMA says resolved, and all outcomes at the same share of 1 (0.5/0.5: void or draw) |
| `pending` | closed, but the prices are not a payout, or UMA is not done |
| `open` | not closed |
| `unknown` | Gamma does not list it, or lists it with other tokens or outcomes than the run has |

`basis` says who stands behind a payout: `uma` when `umaResolutionStatus` is `resolved`, `prices` when
Gamma states no UMA status and only the closed market's prices say it. Equal prices alone are no tie:
a market that was closed without a trade may stand there, too.
"""

from collections.abc import Iterable, Sequence
from decimal import Decimal
from typing import Final, NamedTuple

import msgspec

from .market import DECIMAL, BadMarket, Market, MarketRow, Token, parse, text_of, texts_of
from .order import file_order, identity
from .query import Entry

RESOLVED: Final = "resolved"
TIE: Final = "tie"
PENDING: Final = "pending"
OPEN: Final = "open"
UNKNOWN: Final = "unknown"
STATUSES: Final = (RESOLVED, TIE, PENDING, OPEN, UNKNOWN)


class Answer(NamedTuple):
    """One market as Gamma told it, and where and when."""

    market: Market
    outcome_prices: tuple[str, ...]
    uma_resolution_status: str | None
    closed_time: str | None
    fetched_wall_ns_utc: int
    source: str


class Payout(msgspec.Struct, frozen=True, kw_only=True):
    """One outcome token, and what one of it pays: exact decimal text, or None if not settled."""

    token_id: str
    outcome: str
    payout: str | None


class Resolution(msgspec.Struct, frozen=True, kw_only=True):
    """How one market ended; the fields from `closed` on are as Gamma wrote them."""

    condition_id: str
    market_id: str
    status: str
    reason: str | None
    basis: str | None
    winning_token_id: str | None
    tokens: tuple[Payout, ...]
    closed: bool | None
    outcome_prices: tuple[str, ...]
    uma_resolution_status: str | None
    closed_time: str | None
    updated_at: str | None
    fetched_wall_ns_utc: int | None
    source: str | None


def read_answer(entry: Entry, *, fetched_wall_ns_utc: int, source: str) -> Answer | None:
    """Read one entry of a listing; None if it is no market."""
    market = parse(entry)
    if isinstance(market, BadMarket) or not isinstance(entry.market, dict):
        return None
    return Answer(
        market=market,
        outcome_prices=tuple(texts_of(entry.market.get("outcomePrices"))),
        uma_resolution_status=text_of(entry.market.get("umaResolutionStatus")),
        closed_time=text_of(entry.market.get("closedTime")),
        fetched_wall_ns_utc=fetched_wall_ns_utc,
        source=source,
    )


def resolutions(rows: Iterable[MarketRow], answers: Sequence[Answer]) -> tuple[Resolution, ...]:
    """Return the resolution of every market once, in the order of a universe file.

    `rows` may name a market several times; the last one counts.
    """
    told: dict[str, list[Answer]] = {}
    for answer in answers:
        told.setdefault(answer.market.row.condition_id, []).append(answer)
    known = {identity(row): row for row in rows}
    return tuple(
        _resolution(row, told.get(row.condition_id, ()))
        for row in sorted(known.values(), key=file_order)
    )


def _resolution(row: MarketRow, answers: Sequence[Answer]) -> Resolution:
    if not answers:
        return _told(row, None, UNKNOWN, "not_found")
    answer = max(answers, key=lambda each: _rank(row, each))
    market = answer.market
    if _outcomes(market.row.tokens) != _outcomes(row.tokens):
        return _told(row, answer, UNKNOWN, "other_tokens")
    if market.closed is None:
        return _told(row, answer, UNKNOWN, "closed_not_stated")
    if market.closed is False:
        return _told(row, answer, OPEN, None)
    uma = (answer.uma_resolution_status or "").lower()
    if uma not in ("", "resolved"):
        return _told(row, answer, PENDING, "uma_not_resolved")
    prices = answer.outcome_prices
    if len(prices) != len(market.row.tokens) or not all(map(DECIMAL.match, prices)):
        return _told(row, answer, PENDING, "no_prices")
    values = [Decimal(price) for price in prices]
    if sorted(values) == [*([Decimal(0)] * (len(values) - 1)), Decimal(1)]:
        payouts = dict(zip(_ids(market.row.tokens), map(_plain, values), strict=True))
        return _told(row, answer, RESOLVED, None, payouts)
    if uma and len(set(values)) == 1 and sum(values) == 1:
        payouts = dict(zip(_ids(market.row.tokens), map(_plain, values), strict=True))
        return _told(row, answer, TIE, None, payouts)
    return _told(row, answer, PENDING, "prices_are_no_payout")


def _rank(row: MarketRow, answer: Answer) -> tuple[bool, bool, str, bytes]:
    """Order the answers about one condition: the same tokens, then closed, then the latest."""
    market = answer.market
    is_same = _outcomes(market.row.tokens) == _outcomes(row.tokens)
    everything = msgspec.json.encode(answer)
    return is_same, market.closed is True, market.updated_at, everything


def _told(
    row: MarketRow,
    answer: Answer | None,
    status: str,
    reason: str | None,
    payouts: dict[str, str] | None = None,
) -> Resolution:
    paid = payouts or {}
    basis = None
    if payouts and answer is not None:
        basis = "prices" if answer.uma_resolution_status is None else "uma"
    return Resolution(
        condition_id=row.condition_id,
        market_id=row.market_id,
        status=status,
        reason=reason,
        basis=basis,
        winning_token_id=next((name for name, value in paid.items() if value == "1"), None),
        tokens=tuple(
            Payout(token_id=token.token_id, outcome=token.outcome, payout=paid.get(token.token_id))
            for token in row.tokens
        ),
        closed=None if answer is None else answer.market.closed,
        outcome_prices=() if answer is None else answer.outcome_prices,
        uma_resolution_status=None if answer is None else answer.uma_resolution_status,
        closed_time=None if answer is None else answer.closed_time,
        updated_at=None if answer is None else answer.market.updated_at or None,
        fetched_wall_ns_utc=None if answer is None else answer.fetched_wall_ns_utc,
        source=None if answer is None else answer.source,
    )


def _outcomes(tokens: tuple[Token, ...]) -> dict[str, str]:
    return {token.token_id: token.outcome for token in tokens}


def _ids(tokens: tuple[Token, ...]) -> list[str]:
    return [token.token_id for token in tokens]


def _plain(value: Decimal) -> str:
    """Return `1` for 1.00 and 1E+0, `0` for -0: one text for one payout."""
    text = format(value, "f")
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if value == 0 else text
