"""Markets as strategies may see them: views that are made anew when the stream states something anew."""

from types import MappingProxyType

from pm_sim.fixed import PxE6, SzE6
from pm_sim.markets import Market, Markets
from pm_sim.views import MarketChange, MarketFacts, TokenFacts


class Facts:
    """The facts of every token that is defined."""

    def __init__(self, markets: Markets) -> None:
        """Look at the markets of the engine."""
        self.markets = markets
        self.tokens: dict[int, TokenFacts] = {}
        self.version = 0  # another one where anything has changed
        self.changed: list[int] = []  # tokens whose facts are new, for the engine to empty

    def defined(self, token: int) -> None:
        """Take a TOKEN slot that `markets` has taken."""
        market = self.markets.by_token.get(token)
        view = _UNKNOWN._replace(tokens=(token,)) if market is None else _facts(market)
        self._take(token, view, "")

    def stated(self, market: Market) -> MarketFacts:
        """Make the views of a market anew; return what can be said of it now."""
        self.version += 1
        view = _facts(market)
        outcomes = dict(zip(market.tokens, market.outcomes, strict=True))
        for token in market.tokens:
            if token in self.markets.ids:
                self._take(token, view, outcomes[token])
        return view

    def change(self, market: Market, now_ns: int) -> MarketChange:
        """Return what strategies are told of a market."""
        paid = market.payouts_e6
        payouts = None if paid is None else MappingProxyType(dict(paid))
        return MarketChange(now_ns, self.stated(market), payouts)

    def _take(self, token: int, view: MarketFacts, outcome: str) -> None:
        markets = self.markets
        self.version += 1
        self.changed.append(token)
        self.tokens[token] = TokenFacts(
            token, markets.ids[token], outcome, markets.complement(token), view
        )


def _facts(market: Market) -> MarketFacts:
    return MarketFacts(
        market_id=market.market_id,
        slug=market.slug,
        question=market.question,
        event_slug=market.event_slug,
        tokens=market.tokens,
        outcomes=market.outcomes,
        tick_e6=PxE6(market.rules.tick_e6),
        min_size_e6=SzE6(market.rules.min_size_e6),
        taker_delay_ns=market.taker_delay_ns,
        end_ns=market.end_ns,
        set_id=market.set_id,
        is_augmented=market.is_augmented,
        is_open=market.is_open,
    )


_UNKNOWN = _facts(Market("", (), ()))
