"""The universe of fixtures: their page of Gamma in the form of `universe/000000.json`.

A small reading of what pm-universe reads in full, by the same rules: active-binary markets, filtered,
ordered by event and market id, capped. Numbers stay the text that was written.
"""

import json
import re
from dataclasses import dataclass
from typing import Any

from pm_capture.offline.fixtures import MARKETS, FixturesError


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """Which markets to take, and when that was asked: both clocks, in ns."""

    markets_max: int
    market_regex: str | None
    mono_ns: int
    wall_ns_utc: int


def universe_text(listing: bytes, choice: Choice) -> bytes:
    """Return the bytes of the universe file. Raises `FixturesError` for what is no listing."""
    try:
        page = json.loads(listing, parse_float=str, parse_int=str)
    except (ValueError, RecursionError) as error:
        raise FixturesError(f"{MARKETS}: not JSON: {error}") from error
    listed = page.get("markets") if isinstance(page, dict) else page
    if not isinstance(listed, list):
        raise FixturesError(f"{MARKETS}: expected a listing of markets, found none")
    rows = [row for given in listed if (row := _row(given, choice)) is not None]
    rows.sort(key=lambda row: (_id_key(row["event_id"]), _id_key(row["market_id"])))
    taken = rows[: choice.markets_max]
    document = {
        "universe_version": 0,
        "kind": "full",
        "created_wall_ns_utc": choice.wall_ns_utc,
        "created_mono_ns": choice.mono_ns,
        "selection": {
            "universe_mode": "active-binary",
            "capture_use_market_filters": choice.market_regex is not None,
            "market_regex_effective": choice.market_regex,
            "max_markets": choice.markets_max,
            "gamma_base_url": f"fixtures:{MARKETS}",
        },
        "stats": {
            "gamma_pages_fetched": 0,
            "markets_seen": len(listed),
            "markets_selected": len(taken),
            "markets_dropped_by_cap": len(rows) - len(taken),
            "tokens_selected": sum(len(row["tokens"]) for row in taken),
        },
        "markets": taken,
    }
    return json.dumps(document, ensure_ascii=False, indent=1).encode("utf-8", "replace") + b"\n"


def _row(given: object, choice: Choice) -> dict[str, Any] | None:
    """Return a market as a universe file tells it, None if it is not selected."""
    if not isinstance(given, dict) or not isinstance(given.get("conditionId"), str):
        return None
    token_ids = _texts(given.get("positionIds" if given.get("version") == "v2" else "clobTokenIds"))
    outcomes = _texts(given.get("outcomes"))
    if len(set(token_ids)) != 2 or len(outcomes) != len(token_ids):
        return None
    if given.get("closed") is True or given.get("archived") is True:
        return None
    if any(given.get(key) is False for key in ("active", "enableOrderBook", "acceptingOrders")):
        return None
    words = (str(given.get("slug") or ""), str(given.get("question") or ""))
    pattern = choice.market_regex
    if pattern is not None and not any(re.search(pattern, word, re.IGNORECASE) for word in words):
        return None
    events = given.get("events")
    event = events[0] if isinstance(events, list) and events and isinstance(events[0], dict) else {}
    return {
        "market_id": str(given.get("id") or ""),
        "condition_id": given["conditionId"],
        "slug": words[0],
        "question": words[1],
        "category": given.get("category") or event.get("category"),
        "event_id": event.get("id"),
        "event_slug": event.get("slug"),
        "neg_risk": given.get("negRisk") is True,
        "neg_risk_augmented": event.get("negRiskAugmented") is True,
        "neg_risk_market_id": given.get("negRiskMarketID"),
        # A page of a listing does not count the markets of an event.
        "event_markets": None,
        "tick_size": given.get("orderPriceMinTickSize"),
        "min_size": given.get("orderMinSize"),
        "fees_enabled": given.get("feesEnabled"),
        "fee_type": given.get("feeType"),
        "fee_schedule": _fees(given.get("feeSchedule")),
        "seconds_delay": _count(given.get("secondsDelay")),
        "end_date": given.get("endDate"),
        "version": given.get("version"),
        "tokens": [
            {"token_id": token_id, "outcome": outcome}
            for token_id, outcome in zip(token_ids, outcomes, strict=True)
        ],
    }


def _fees(given: object) -> dict[str, Any] | None:
    if not isinstance(given, dict) or given.get("rate") is None:
        return None
    return {
        "rate": given["rate"],
        "exponent": given.get("exponent"),
        "taker_only": given.get("takerOnly"),
        "rebate_rate": given.get("rebateRate"),
    }


def _texts(given: object) -> list[str]:
    """Read a list that comes as an array or as JSON in a text."""
    if isinstance(given, str):
        try:
            given = json.loads(given, parse_int=str)
        except ValueError:
            return []
    if not isinstance(given, list):
        return []
    return [each for each in given if isinstance(each, str) and each]


def _count(given: object) -> int | None:
    return int(given) if isinstance(given, str) and given.isascii() and given.isdigit() else None


def _id_key(text: object) -> tuple[int, int, str]:
    if not isinstance(text, str) or not text:
        return 2, 0, ""
    if text.isascii() and text.isdigit():
        digits = text.lstrip("0")
        return 0, len(digits), digits
    return 1, 0, text
