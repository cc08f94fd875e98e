"""Which markets make up the universe, and in which order.

1. **Duplicates.** A market that came twice counts once, as its latest `updatedAt` has it.
2. **Predicate** (active-binary): exactly two outcome tokens, and not stated as closed, archived,
   inactive, without an order book, or not accepting orders. With selectors: only what they name.
3. **Cap**, after the predicate. Events are ranked by the 24-hour volume of their qualifying markets
   (most first), then by event id. They are taken whole, in rank order; an event that no longer
   fits is passed over. A market without an event is an event of its own.
4. **Order.** What is selected is ordered by event id, then market id, numbers as numbers, so it
   does not move when volumes do. Missing ids come last, ordered by condition id.

The order in which pages and markets arrived has no influence on anything.
"""

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Final, NamedTuple

import msgspec

from .market import BadMarket, Market, MarketRow
from .query import is_condition_id

MODE: Final = "active-binary"


class Wanted(msgspec.Struct, frozen=True, kw_only=True):
    """What to select: the cap, and the names that restrict it (none: the whole venue)."""

    max_markets: int
    events: tuple[str, ...] = ()
    markets: tuple[str, ...] = ()


class Selection(NamedTuple):
    """The universe, what the cap cut off, and why everything else is not in it."""

    selected: tuple[MarketRow, ...]
    over_cap: tuple[MarketRow, ...]
    left_out: Mapping[str, int]
    markets_seen: int
    not_found: tuple[str, ...]


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


def select(parsed: Iterable[Market | BadMarket], wanted: Wanted) -> Selection:
    """Apply the rules of this module to everything that a query has read."""
    left_out: Counter[str] = Counter()
    seen = 0
    latest: dict[str, Market] = {}
    for market in parsed:
        seen += 1
        if isinstance(market, BadMarket):
            left_out[f"bad:{market.reason}"] += 1
            continue
        key = market.row.market_id or market.row.condition_id
        if key in latest:
            left_out["duplicate"] += 1
            market = max(market, latest[key], key=_recency)
        latest[key] = market

    candidates: list[Market] = []
    found: set[str] = set()
    for market in latest.values():
        names = _names(market, wanted)
        if names is None:
            left_out["not_named"] += 1
        elif reason := refusal(market):
            left_out[reason] += 1
        else:
            found |= names
            candidates.append(market)
    candidates = _without_shared_tokens(sorted(candidates, key=_file_order), left_out)
    kept = _cap(candidates, wanted.max_markets)
    return Selection(
        selected=tuple(m.row for m in candidates if _event_key(m) in kept),
        over_cap=tuple(m.row for m in candidates if _event_key(m) not in kept),
        left_out=dict(sorted(left_out.items())),
        markets_seen=seen,
        not_found=tuple(name for name in (*wanted.events, *wanted.markets) if name not in found),
    )


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


def _id_key(text: str | None) -> tuple[int, int, str]:
    if not text:
        return 2, 0, ""
    if text.isascii() and text.isdigit():
        digits = text.lstrip("0")
        return 0, len(digits), digits
    return 1, 0, text


EventKey = tuple[tuple[int, int, str], str]


def _event_key(market: Market) -> EventKey:
    row = market.row
    if row.event_id is not None:
        return _id_key(row.event_id), ""
    if row.event_slug is not None:
        return _id_key(None), row.event_slug
    # The space stands in no slug, so a market of its own shares its key with no event.
    return _id_key(None), f" {row.market_id or row.condition_id}"


def _file_order(market: Market) -> tuple[EventKey, tuple[int, int, str], str, str]:
    row = market.row
    # The last two decide between ids like "7" and "07": nothing is left to the order of arrival.
    return _event_key(market), _id_key(row.market_id), row.condition_id, row.market_id


def _without_shared_tokens(ordered: list[Market], left_out: Counter[str]) -> list[Market]:
    """Drop later markets that name a token of an earlier one: a token has one market, one shard."""
    owned: set[str] = set()
    kept: list[Market] = []
    for market in ordered:
        ids = {token.token_id for token in market.row.tokens}
        if ids & owned:
            left_out["token_of_another_market"] += 1
            continue
        owned |= ids
        kept.append(market)
    return kept


def _cap(candidates: list[Market], max_markets: int) -> set[EventKey]:
    sizes: Counter[EventKey] = Counter()
    volumes: Counter[EventKey] = Counter()
    for market in candidates:
        sizes[_event_key(market)] += 1
        volumes[_event_key(market)] += market.volume_24h_e6
    kept: set[EventKey] = set()
    room = max_markets
    for event in sorted(sizes, key=lambda event: (-volumes[event], event)):
        if sizes[event] <= room:
            kept.add(event)
            room -= sizes[event]
    return kept
