"""Which markets make up the universe, and in which order.

1. **Duplicates.** A market that came twice counts once, as its latest `updatedAt` has it.
2. **Predicate** (active-binary): exactly two outcome tokens, and not stated as closed, archived,
   inactive, without an order book, or not accepting orders. With selectors: only what they name.
   With a market regex: only where it is found in the slug or the question, in any case.
3. **Cap**, after the predicate, by the rules of `cap`: incumbents first, events together.
4. **Order** of `order`: by event id, then market id.

The order in which pages and markets arrived has no influence on anything.
"""

import re
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from .cap import cap
from .market import BadMarket, Market, MarketRow
from .order import file_order, identity, listing_key
from .query import is_condition_id

MODE: Final = "active-binary"
NOT_LISTED: Final = "not_listed"
REPLACED: Final = "replaced"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What to select: the cap, and what restricts it (nothing: the whole venue)."""

    max_markets: int
    events: tuple[str, ...] = ()
    markets: tuple[str, ...] = ()
    market_regex: str | None = None


class Selection(NamedTuple):
    """The universe, what the cap cut off, and why everything else is not in it.

    `lost` has the incumbents that are no longer selected, each with its reason: one of `left_out`,
    `over_cap`, `replaced` (the market has other tokens now), or `not_listed`.
    """

    selected: tuple[MarketRow, ...]
    over_cap: tuple[MarketRow, ...]
    left_out: Mapping[str, int]
    markets_seen: int
    not_found: tuple[str, ...]
    events_split: int
    lost: tuple[tuple[MarketRow, str], ...]


def refusal(market: Market) -> str | None:
    """Return why a market is not active-binary, as a stable word; None if it is."""
    if len(market.row.tokens) != 2:
        return "not_binary"
    # Only what is stated counts: old markets lack some of these fields.
    stated = (
        (market.closed is True, "closed"),
        (market.archived is True, "archived"),
        (market.active is False, "inactive"),
        (market.order_book is False, "no_order_book"),
        (market.accepting_orders is False, "not_accepting_orders"),
    )
    return next((reason for is_so, reason in stated if is_so), None)


def select(
    parsed: Iterable[Market | BadMarket], wanted: Wanted, *, incumbents: Iterable[MarketRow] = ()
) -> Selection:
    """Apply the rules of this module to everything that a query has read.

    `incumbents` are the markets of the universe that this one follows.
    """
    before = {identity(row): row for row in incumbents}
    seen, latest, left_out, fates = _latest(parsed)
    pattern = None
    if wanted.market_regex is not None:
        pattern = re.compile(wanted.market_regex, re.IGNORECASE)
    candidates: list[Market] = []
    found: set[str] = set()
    for market in latest.values():
        names = _names(market, wanted)
        reason = "not_named" if names is None else refusal(market) or _filtered(market, pattern)
        if reason is None:
            found |= names or set()
            candidates.append(market)
        else:
            left_out[reason] += 1
            fates[listing_key(market.row)] = reason
    # An incumbent keeps its tokens, whoever else may name them now.
    candidates.sort(key=lambda market: (identity(market.row) not in before, file_order(market.row)))
    candidates = _without_shared_tokens(candidates, left_out, fates)
    candidates.sort(key=lambda market: file_order(market.row))
    kept, split = cap(candidates, before.keys(), wanted.max_markets)
    over_cap = tuple(m.row for m in candidates if identity(m.row) not in kept)
    fates |= {listing_key(row): "over_cap" for row in over_cap}
    fates |= {listing_key(m.row): REPLACED for m in candidates if identity(m.row) in kept}
    lost = sorted((row for name, row in before.items() if name not in kept), key=file_order)
    return Selection(
        selected=tuple(m.row for m in candidates if identity(m.row) in kept),
        over_cap=over_cap,
        left_out=dict(sorted(left_out.items())),
        markets_seen=seen,
        not_found=tuple(name for name in (*wanted.events, *wanted.markets) if name not in found),
        events_split=split,
        lost=tuple((row, fates.get(listing_key(row), NOT_LISTED)) for row in lost),
    )


class _Read(NamedTuple):
    seen: int
    latest: dict[str, Market]
    left_out: Counter[str]
    fates: dict[str, str]


def _latest(parsed: Iterable[Market | BadMarket]) -> _Read:
    read = _Read(0, {}, Counter(), {})
    seen = 0
    for market in parsed:
        seen += 1
        if isinstance(market, BadMarket):
            reason = f"bad:{market.reason}"
            read.left_out[reason] += 1
            if market.market_id is not None:
                known = read.fates.get(market.market_id, reason)
                read.fates[market.market_id] = min(known, reason)
            continue
        key = listing_key(market.row)
        if key in read.latest:
            read.left_out["duplicate"] += 1
            market = max(market, read.latest[key], key=_recency)
        read.latest[key] = market
    return read._replace(seen=seen)


def _filtered(market: Market, pattern: re.Pattern[str] | None) -> str | None:
    if pattern is None or pattern.search(market.row.slug) or pattern.search(market.row.question):
        return None
    return "filtered"


def _recency(market: Market) -> tuple[str, bytes]:
    return market.updated_at, msgspec.json.encode(market)


def _names(market: Market, wanted: Wanted) -> set[str] | None:
    """Return the selectors that name this market; None if there are selectors and none does."""
    if not wanted.events and not wanted.markets:
        return set()
    own = {market.row.slug, market.row.condition_id.lower()}
    names = {name for name in wanted.events if name in market.event_slugs}
    names |= {name for name in wanted.markets if _folded(name) in own}
    return names or None


def _folded(name: str) -> str:
    return name.lower() if is_condition_id(name) else name


def _without_shared_tokens(
    ordered: list[Market], left_out: Counter[str], fates: dict[str, str]
) -> list[Market]:
    """Drop later markets that name a token of an earlier one: a token has one market, one shard."""
    owned: set[str] = set()
    kept: list[Market] = []
    for market in ordered:
        ids = {token.token_id for token in market.row.tokens}
        if ids & owned:
            left_out["token_of_another_market"] += 1
            fates[listing_key(market.row)] = "token_of_another_market"
            continue
        owned |= ids
        kept.append(market)
    return kept
