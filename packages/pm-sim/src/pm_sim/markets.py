"""What is known of each token and market, from the TOKEN, META, TICK_SIZE and MARKET slots of the stream.

Facts apply from the slot on that states them; what a later slot will say is not visible before it.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from decimal import Decimal, InvalidOperation
from typing import Any, Final

from pm_frames.events import Event, MarketChange
from pm_sim.fees import UNKNOWN, MarketFees, market_fees
from pm_sim.fixed import ONE, PxE6
from pm_sim.rules import MIN_SIZE_UNKNOWN_E6, TICK_UNKNOWN_E6, MarketRules

NS_PER_S: Final = 1_000_000_000
# The venue's delays that it states in no market: of crypto (since 2026-08), and of sports where unreadable.
CRYPTO_DELAY_NS: Final = 50_000_000
LONGEST_DELAY_NS: Final = 3 * NS_PER_S


@dataclass(slots=True)
class Market:
    """One market with its tokens in the order of the outcomes."""

    market_id: str
    tokens: tuple[int, ...]
    outcomes: tuple[str, ...]
    slug: str = ""
    question: str = ""
    event_slug: str = ""
    rules: MarketRules = field(default_factory=MarketRules)
    fees: MarketFees = UNKNOWN
    taker_delay_ns: int = 0
    end_ns: int | None = None
    set_id: str | None = None  # neg-risk sets: markets with the same id exclude one another
    is_augmented: bool = False
    # How many markets the venue lists in the event, closed ones too; None where the universe does not say.
    event_markets: int | None = None
    is_listed: bool = True
    # What each token pays, once the market is resolved.
    payouts_e6: dict[int, PxE6] | None = None

    @property
    def is_open(self) -> bool:
        """Whether orders are still taken."""
        return self.is_listed and self.payouts_e6 is None


class Markets:
    """All tokens and markets that the stream has defined so far."""

    def __init__(self, *, accepts_uncounted: bool = False) -> None:
        """`accepts_uncounted`: believe what is told of an event to be all, where nothing says how many."""
        self._accepts_uncounted = accepts_uncounted
        self.ids: dict[int, str] = {}
        self.numbers: dict[str, int] = {}
        self.by_token: dict[int, Market] = {}
        self.by_id: dict[str, Market] = {}
        self.sets: dict[str, list[Market]] = {}

    def define(self, token: int, token_id: str) -> None:
        """Take a TOKEN slot."""
        self.ids[token] = token_id
        self.numbers[token_id] = token

    def complement(self, token: int) -> int | None:
        """Return the other token of a market of two, None if there is not exactly one other."""
        market = self.by_token.get(token)
        if market is None or len(market.tokens) != 2:
            return None
        first, second = market.tokens
        return second if token == first else first

    def of(self, token: int) -> Market | None:
        """Return the market of a token; one that no META speaks of is made, with nothing known of it."""
        market = self.by_token.get(token)
        if market is None and token in self.ids:
            market = Market(self.ids[token], (token,), ("",))
            self.by_token[token] = market
        return market

    def meta(self, facts: Mapping[str, Any]) -> Market:
        """Take the facts of a META slot; those of the same market are replaced, an outcome stays."""
        market_id = str(facts.get("market_id") or facts.get("condition_id") or "")
        entries = facts.get("tokens") or []
        tokens = tuple(int(entry["token"]) for entry in entries)
        before = [self.by_id.get(market_id), *map(self.by_token.get, tokens)]
        known = next((one.payouts_e6 for one in before if one and one.payouts_e6), None)
        market = Market(
            market_id=market_id,
            tokens=tokens,
            outcomes=tuple(str(entry.get("outcome") or "") for entry in entries),
            slug=str(facts.get("slug") or ""),
            question=str(facts.get("question") or ""),
            event_slug=str(facts.get("event_slug") or ""),
            rules=MarketRules(
                facts.get("tick_size_e6") or TICK_UNKNOWN_E6,
                facts["min_size_e6"]
                if facts.get("min_size_e6") is not None
                else MIN_SIZE_UNKNOWN_E6,
            ),
            fees=market_fees(facts),
            taker_delay_ns=_taker_delay_ns(facts),
            end_ns=facts.get("end_ns"),
            set_id=facts.get("neg_risk_market_id") or None if facts.get("neg_risk") else None,
            is_augmented=bool(facts.get("neg_risk_augmented")),
            event_markets=_count(facts.get("event_markets")),
            is_listed=facts.get("listed") is not False,
            payouts_e6=known,
        )
        # It may have had another id: one of a message has its condition id alone.
        for old in before:
            if old is not None and self.by_id.get(old.market_id) is old:
                self._forget(old)
        self.by_id[market_id] = market
        for token in tokens:
            self.by_token[token] = market
        if market.set_id is not None:
            self.sets.setdefault(market.set_id, []).append(market)
        return market

    def tick_changed(self, slot: tuple[int, ...]) -> Market | None:
        """Take a TICK_SIZE slot; return the market whose rules it has changed."""
        market = self.of(slot[6])
        if market is not None and slot[7] > 0:
            market.rules = market.rules._replace(tick_e6=slot[7])
        return market

    def changed(self, event: Event) -> Market | None:
        """Take a MARKET slot; return the market if this resolves it."""
        if event.bid_px_e6 != MarketChange.RESOLVED:
            return None
        facts = event.json()
        winner = facts.get("winning_token_id")
        market = self._meant(facts)
        if market is None or market.payouts_e6 is not None or not isinstance(winner, str):
            return None
        number = self.numbers.get(winner)
        if number not in market.tokens:
            return None
        return self.resolve(
            market, {token: ONE if token == number else 0 for token in market.tokens}
        )

    def resolve(self, market: Market, payouts_e6: Mapping[int, int]) -> Market:
        """Close a market with what each token pays. ValueError if it does not pay 1 in all."""
        paid = {token: PxE6(payouts_e6.get(token, 0)) for token in market.tokens}
        if sum(paid.values()) != ONE or min(paid.values()) < 0:
            raise ValueError(f"the payouts of {market.slug or market.market_id} are not 1 in all")
        market.payouts_e6 = paid
        return market

    def complete_set(self, set_id: str) -> list[Market] | None:
        """Return the markets of a neg-risk set if buying all of them is sure to pay 1, else None.

        Not if the set is augmented (outcomes may be added), if a market of it is not open, if fewer than two
        are known, or not as many as the event has: a stream cannot tell what it leaves out, the universe can.
        """
        members = self.sets.get(set_id, [])
        if len(members) < 2 or any(one.is_augmented or not one.is_open for one in members):
            return None
        counts = {one.event_markets for one in members}
        stated = [count for count in counts if count is not None]
        if len(stated) < len(counts) and not self._accepts_uncounted:
            return None
        # A number below what is told has counted something else: it says nothing of what is left out.
        return list(members) if not stated or max(stated) == len(members) else None

    def __iter__(self) -> Iterator[Market]:
        """Go over the markets in the order of their first META."""
        return iter(self.by_id.values())

    def _meant(self, facts: Mapping[str, Any]) -> Market | None:
        named = facts.get("market")
        if isinstance(named, str) and named in self.by_id:
            return self.by_id[named]
        for token_id in facts.get("token_ids") or []:
            token = self.numbers.get(token_id)
            if token is not None and token in self.by_token:
                return self.by_token[token]
        return None

    def _forget(self, old: Market) -> None:
        del self.by_id[old.market_id]
        if old.set_id is not None:
            self.sets[old.set_id] = [one for one in self.sets[old.set_id] if one is not old]


def _count(value: object) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) else None


def _taker_delay_ns(facts: Mapping[str, Any]) -> int:
    """Read the taker delay in seconds as the venue wrote it; what cannot be read is the longest known."""
    least = CRYPTO_DELAY_NS if str(facts.get("fee_type") or "").startswith("crypto") else 0
    value = facts.get("seconds_delay")
    if value is None or value == "":
        return least
    try:
        seconds = Decimal(str(value))
    except InvalidOperation:
        return LONGEST_DELAY_NS
    if not seconds.is_finite() or seconds < 0:
        return LONGEST_DELAY_NS
    return max(least, int(seconds * NS_PER_S))
