"""One market as Gamma tells it, read into known types.

Gamma is loose: lists arrive as JSON text, arrays or comma text; booleans and numbers arrive as such
or as text; fields are absent, null or empty. Reading is total: whatever arrives becomes a `Market`
or a `BadMarket` with a reason, never an exception. Decimals stay the text that was written; they
never pass through a float. A fact that Gamma did not state is None.
"""

import re
from decimal import Decimal
from typing import Final

import msgspec

from .query import Entry, decode

DECIMAL: Final = re.compile(r"-?(?:0|[1-9][0-9]{0,39})(?:\.[0-9]{1,60})?(?:[eE][+-]?[0-9]{1,3})?\Z")
# Decimal today, hexadecimal position ids are possible; ids are opaque, but they are one word.
TOKEN_ID: Final = re.compile(r"[0-9A-Za-z_-]{1,128}\Z")
VOLUME_DIGITS_MAX: Final = 20


class Token(msgspec.Struct, frozen=True, kw_only=True):
    """One outcome token of a market."""

    token_id: str
    outcome: str


class FeeSchedule(msgspec.Struct, frozen=True, kw_only=True):
    """The taker fee curve, C x rate x (p(1-p))^exponent; decimals as text."""

    rate: str
    exponent: str | None
    taker_only: bool | None
    rebate_rate: str | None


class MarketRow(msgspec.Struct, frozen=True, kw_only=True):
    """What a universe file says about a market; the order of the fields is that of the file."""

    market_id: str
    condition_id: str
    slug: str
    question: str
    category: str | None
    event_id: str | None
    event_slug: str | None
    neg_risk: bool
    neg_risk_augmented: bool
    neg_risk_market_id: str | None
    # How many markets the venue lists in the event, closed ones included; asked of neg-risk events alone.
    event_markets: int | None = None
    tick_size: str | None
    min_size: str | None
    fees_enabled: bool | None
    fee_type: str | None
    fee_schedule: FeeSchedule | None
    seconds_delay: int | None
    end_date: str | None
    version: str | None
    tokens: tuple[Token, ...]


class Market(msgspec.Struct, frozen=True, kw_only=True):
    """A market: its row, and what decides whether the row is selected."""

    row: MarketRow
    active: bool | None
    closed: bool | None
    archived: bool | None
    accepting_orders: bool | None
    order_book: bool | None
    event_slugs: tuple[str, ...]
    volume_24h_e6: int
    updated_at: str


class BadMarket(msgspec.Struct, frozen=True, kw_only=True):
    """Something in a listing that cannot be used; `reason` is a stable word."""

    reason: str
    market_id: str | None


def parse(entry: Entry) -> Market | BadMarket:
    """Read one entry of a listing."""
    given = entry.market
    if not isinstance(given, dict):
        return BadMarket(reason="not_an_object", market_id=None)
    market_id = text_of(given.get("id"))
    events = _events(given, entry.event)
    event = events[0] if events else {}
    condition_id = text_of(given.get("conditionId"))
    if condition_id is None:
        return BadMarket(reason="no_condition_id", market_id=market_id)
    version = text_of(given.get("version"))
    token_ids = texts_of(given.get("positionIds" if version == "v2" else "clobTokenIds"))
    outcomes = texts_of(given.get("outcomes"))
    if reason := _bad_tokens(token_ids, outcomes):
        return BadMarket(reason=reason, market_id=market_id)
    row = MarketRow(
        market_id=market_id or "",
        condition_id=condition_id,
        slug=text_of(given.get("slug")) or "",
        question=text_of(given.get("question")) or "",
        category=text_of(given.get("category")) or text_of(event.get("category")),
        event_id=text_of(event.get("id")),
        event_slug=text_of(event.get("slug")),
        neg_risk=_either(given, event, "negRisk"),
        neg_risk_augmented=_either(given, event, "negRiskAugmented"),
        neg_risk_market_id=text_of(given.get("negRiskMarketID"))
        or text_of(event.get("negRiskMarketID")),
        tick_size=_decimal(given.get("orderPriceMinTickSize")),
        min_size=_decimal(given.get("orderMinSize")),
        fees_enabled=_boolean(given.get("feesEnabled")),
        fee_type=text_of(given.get("feeType")),
        fee_schedule=_fee_schedule(given.get("feeSchedule")),
        seconds_delay=_count(given.get("secondsDelay")),
        end_date=text_of(given.get("endDate")) or text_of(event.get("endDate")),
        version=version,
        tokens=tuple(
            Token(token_id=token_id, outcome=outcome)
            for token_id, outcome in zip(token_ids, outcomes, strict=True)
        ),
    )
    return Market(
        row=row,
        active=_boolean(given.get("active")),
        closed=_boolean(given.get("closed")),
        archived=_boolean(given.get("archived")),
        accepting_orders=_boolean(given.get("acceptingOrders")),
        order_book=_boolean(given.get("enableOrderBook")),
        event_slugs=tuple(slug for each in events if (slug := text_of(each.get("slug")))),
        volume_24h_e6=_volume_e6(given.get("volume24hr")),
        updated_at=text_of(given.get("updatedAt")) or "",
    )


def members_of(event: object) -> tuple[str, int] | None:
    """Return the id of an event that came with its markets, and how many those are; else None."""
    if not isinstance(event, dict) or not isinstance(markets := event.get("markets"), list):
        return None
    event_id = text_of(event.get("id"))
    # What cannot be read is a market nonetheless, and a copy of one is not.
    known = {text_of(each.get("id")) for each in markets if isinstance(each, dict)} - {None}
    nameless = sum(
        not isinstance(each, dict) or text_of(each.get("id")) is None for each in markets
    )
    return None if event_id is None else (event_id, len(known) + nameless)


def _bad_tokens(token_ids: list[str], outcomes: list[str]) -> str | None:
    if not token_ids:
        return "no_token_ids"
    if not all(TOKEN_ID.match(token_id) for token_id in token_ids):
        return "bad_token_ids"
    if len(set(token_ids)) != len(token_ids):
        return "repeated_token_id"
    if len(outcomes) != len(token_ids):
        # Without an outcome for each token nobody could tell YES from NO later.
        return "outcomes_unlike_tokens"
    return None


def _events(given: dict[str, object], parent: object) -> list[dict[str, object]]:
    if isinstance(parent, dict):
        return [parent]
    events = given.get("events")
    return [each for each in events if isinstance(each, dict)] if isinstance(events, list) else []


def _either(given: dict[str, object], event: dict[str, object], key: str) -> bool:
    stated = _boolean(given.get(key))
    return (_boolean(event.get(key)) if stated is None else stated) or False


def text_of(value: object) -> str | None:
    """Return a text that is not empty and can be written as UTF-8; numbers are texts here."""
    if not isinstance(value, str) or not (value := value.strip()):
        return None
    # JSON may carry half a surrogate pair, which no file and no terminal takes.
    return value.encode("utf-8", "surrogatepass").decode("utf-8", "replace")


def texts_of(value: object) -> list[str]:
    """Read a list given as an array, as JSON text or as comma text; [] if it is none of them."""
    if isinstance(value, str):
        if value.lstrip()[:1] == "[":
            try:
                value = decode(value)
            except ValueError:
                return []
        else:
            value = value.split(",")
    if not isinstance(value, list):
        return []
    texts = [text_of(each) for each in value]
    known = [text for text in texts if text is not None]
    return known if len(known) == len(texts) else []


def _boolean(value: object) -> bool | None:
    if isinstance(value, str):
        return {"true": True, "false": False}.get(value.strip().lower())
    return value if isinstance(value, bool) else None


def _decimal(value: object) -> str | None:
    text = text_of(value)
    return text if text is not None and DECIMAL.match(text) else None


def _count(value: object) -> int | None:
    text = text_of(value)
    return int(text) if text and text.isascii() and text.isdigit() and len(text) <= 9 else None


def _fee_schedule(value: object) -> FeeSchedule | None:
    if isinstance(value, str):
        try:
            value = decode(value)
        except ValueError:
            return None
    if not isinstance(value, dict) or (rate := _decimal(value.get("rate"))) is None:
        return None
    return FeeSchedule(
        rate=rate,
        exponent=_decimal(value.get("exponent")),
        taker_only=_boolean(value.get("takerOnly")),
        rebate_rate=_decimal(value.get("rebateRate")),
    )


def _volume_e6(value: object) -> int:
    """Return a volume in millionths; 0 if there is none. Integers add up alike in any order."""
    text = _decimal(value)
    if text is None:
        return 0
    volume = Decimal(text)
    if volume <= 0 or not -VOLUME_DIGITS_MAX < volume.adjusted() < VOLUME_DIGITS_MAX:
        return 0
    return int(volume * 1_000_000)
