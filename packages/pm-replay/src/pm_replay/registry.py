"""Which tokens and markets there are: from the universe files, and from the messages where those are silent.

Token numbers are given in the order of the universe files, then of first appearance, whatever is chosen:
a token's number does not depend on the window or on the selection.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from typing import Any, NamedTuple

from pm_frames.command import UsageError, parse_time
from pm_frames.continuity import State
from pm_frames.events import Kind
from pm_frames.events.slots import canonical_json
from pm_replay.e6 import to_e6
from pm_replay.token import Market, Token

TOKEN_ID_MAX = 256
_AS_IT_IS = (
    "market_id", "condition_id", "slug", "question", "category", "event_id", "event_slug", "version",
    "fees_enabled", "fee_type", "fee_schedule", "seconds_delay", "end_date", "neg_risk",
    "neg_risk_augmented", "neg_risk_market_id", "event_markets",
)  # fmt: skip


class Definition(NamedTuple):
    """A token to be defined (`payload` is its id) or the facts of a market to be stated."""

    kind: Kind  # TOKEN or META
    token: int
    payload: bytes


class Registry:
    """All tokens by id; `chosen` None means that every token is told."""

    def __init__(self, chosen: Collection[str] | None, unheard: State = State.UNSUBSCRIBED) -> None:
        """`unheard` is the state of a token that continuity has said nothing of."""
        self._unheard = unheard
        self._chosen = None if chosen is None else frozenset(chosen)
        self.tokens: dict[str, Token] = {}
        self.markets: dict[str, Market] = {}

    @property
    def is_filtered(self) -> bool:
        """Whether only some tokens are told."""
        return self._chosen is not None

    def chooses_any(self, token_ids: Collection[str]) -> bool:
        """Return whether one of these tokens is told."""
        return self._chosen is None or not self._chosen.isdisjoint(token_ids)

    def knows_as_others(self, token_ids: Collection[str]) -> bool:
        """Return whether these tokens are all known, with their markets, and none of them is told."""
        for token_id in token_ids:
            token = self.tokens.get(token_id)
            if token is None or token.chosen or not token.market.condition_id:
                return False
        return True

    def place(self, token: Token, condition_id: str) -> list[Definition]:
        """Say to which market a token belongs that was named without one."""
        _move(token, self._market(condition_id))
        return list(self._unlisted(token.market))

    def apply(self, document: Mapping[str, Any]) -> Iterator[Definition]:
        """Take a universe generation, full or delta, and yield what has to be told of it."""
        version = document.get("universe_version")
        for gone in _dicts(document.get("removed")):
            market = self.markets.get(str(gone.get("condition_id")))
            if market is not None and market.row is not None:
                yield from self._meta(
                    market, {**market.row, "listed": False, "reason": gone.get("reason")}, version
                )
        for changed in _dicts(document.get("changed")):
            yield from self._listed(changed.get("market"), version)
        for row in (*_dicts(document.get("markets")), *_dicts(document.get("added"))):
            yield from self._listed(row, version)

    def token(self, token_id: str, condition_id: str) -> tuple[Token | None, list[Definition]]:
        """Return the token of a message, made if it is new; None for an id that cannot be one."""
        token = self.tokens.get(token_id)
        if token is not None:
            return token, []
        if not usable_id(token_id):
            return None, []
        market = self._market(condition_id)
        token = self._new(token_id, market)
        defined = [_definition(token)] if token.chosen else []
        return token, [*defined, *self._unlisted(market)]

    def _unlisted(self, market: Market) -> Iterator[Definition]:
        """Yield what messages alone tell of a market: which tokens it has."""
        if market.row is None and market.condition_id:
            tokens = [{"token_id": token.token_id} for token in market.tokens]
            row = {"condition_id": market.condition_id, "tokens": tokens, "listed": True}
            yield from self._meta(market, row, None)

    def _listed(self, row: Any, version: Any) -> Iterator[Definition]:
        if not isinstance(row, dict):
            return
        market = self._market(str(row.get("condition_id")))
        market.row = row
        market.min_size = _text(row.get("min_size"))
        market.tick_size = _text(row.get("tick_size"))
        risk = row.get("neg_risk")
        market.neg_risk = risk if isinstance(risk, bool) else None
        for given in _dicts(row.get("tokens")):
            token_id = given.get("token_id")
            if isinstance(token_id, str) and usable_id(token_id):
                token = self.tokens.get(token_id)
                if token is None:
                    token = self._new(token_id, market)
                    if token.chosen:
                        yield _definition(token)
                elif token.market is not market:
                    _move(token, market)
        yield from self._meta(market, {**row, "listed": True}, version)

    def _meta(self, market: Market, row: Mapping[str, Any], version: Any) -> Iterator[Definition]:
        outcomes = {
            str(each.get("token_id")): each.get("outcome") for each in _dicts(row.get("tokens"))
        }
        chosen = [token for token in market.tokens if token.chosen]
        if not chosen:
            return
        facts = {key: row.get(key) for key in _AS_IT_IS}
        facts["universe_version"] = version if isinstance(version, int) else None
        facts["listed"] = row["listed"]
        if not row["listed"]:
            facts["reason"] = row.get("reason")
        facts["tick_size_e6"] = _e6(row.get("tick_size"))
        facts["min_size_e6"] = _e6(row.get("min_size"))
        facts["end_ns"] = _end_ns(row.get("end_date"))
        facts["tokens"] = [
            {
                "token": token.number,
                "token_id": token.token_id,
                "outcome": outcomes.get(token.token_id),
            }
            for token in market.tokens
        ]
        yield Definition(Kind.META, chosen[0].number, canonical_json(facts))

    def _market(self, condition_id: str) -> Market:
        market = self.markets.get(condition_id)
        if market is None:
            market = self.markets[condition_id] = Market(condition_id)
        return market

    def _new(self, token_id: str, market: Market) -> Token:
        chosen = self._chosen is None or token_id in self._chosen
        token = Token(len(self.tokens), token_id, market, chosen=chosen)
        token.state = self._unheard
        self.tokens[token_id] = token
        market.tokens.append(token)
        return token


def usable_id(token_id: str) -> bool:
    """Return whether a text can be a token id: printable ASCII without spaces and `|`, not too long."""
    return (
        0 < len(token_id) <= TOKEN_ID_MAX
        and token_id.isascii()
        and token_id.isprintable()
        and " " not in token_id
        and "|" not in token_id
    )


def _definition(token: Token) -> Definition:
    return Definition(Kind.TOKEN, token.number, token.token_id.encode())


def _move(token: Token, market: Market) -> None:
    token.market.tokens.remove(token)
    token.market = market
    market.tokens.append(token)


def _dicts(value: Any) -> Iterator[dict[str, Any]]:
    if isinstance(value, list):
        yield from (each for each in value if isinstance(each, dict))


def _text(value: Any) -> str | None:
    return value if isinstance(value, str) else None


def _e6(value: Any) -> int | None:
    try:
        return to_e6(value) if isinstance(value, str) else None
    except ValueError:
        return None


def _end_ns(value: Any) -> int | None:
    try:
        point = parse_time(value) if isinstance(value, str) else None
    except UsageError:
        return None
    return None if point is None or point.relative else point.ns
