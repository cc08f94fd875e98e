"""Four witnesses against our own books; each counts, keeps its first examples, and changes nothing.

- `bbo`: the best prices that the venue states with its changes, judged where an engine batch ends;
- `snapshot`: each whole book against ours just before it;
- `hash`: the venue's hash, sampled;
- `mirror`: YES and NO of one market are one book seen from two sides, sampled.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Any, Final

from pm_frames.events import Settled
from pm_replay.book import Levels, differing
from pm_replay.book_hash import Hashed, candidates, find_terms, price_forms
from pm_replay.e6 import PX_ONE_E6, from_e6, to_e6
from pm_replay.token import Token

UNSTATED, SETTLED, UNSETTLED = (int(each) for each in Settled)
EXAMPLES_MAX: Final = 5
SAMPLE_EVERY: Final = 4093  # messages; of the whole venue that is still several a second
COUNTS: Final = {
    "bbo": ("agree", "disagree", "unsettled", "unstated"),
    "snapshot": ("equal", "different"),
    "hash": ("verified", "mismatch", "unverifiable"),
    "mirror": ("equal", "different"),
}
# What each outcome says of the minute in which it was found.
GOOD: Final = frozenset({("bbo", "agree"), ("snapshot", "equal"), ("mirror", "equal")})
BAD: Final = frozenset({("bbo", "disagree"), ("snapshot", "different"), ("mirror", "different")})

Note = Callable[[Token, str, str], None]


class Oracles:
    """Counts of all four; `note` hears of every outcome (for verdicts)."""

    def __init__(self, *, sample_every: int = SAMPLE_EVERY, note: Note | None = None) -> None:
        """`sample_every` 1 checks everything, 0 leaves hash and mirror out."""
        self.sample_every = sample_every
        self._note = note
        self.counts: dict[str, Counter[str]] = {name: Counter() for name in COUNTS}
        self._bbo = self.counts["bbo"]
        self.agree = 0  # of `bbo`; what is not sampled is counted by the engine itself
        self.examples: dict[str, list[dict[str, Any]]] = {}

    def summary(self) -> dict[str, Any]:
        """Return counts (every one, also 0) and first examples."""
        self._bbo["agree"] = self.agree
        found: dict[str, Any] = {
            name: {outcome: self.counts[name][outcome] for outcome in outcomes}
            for name, outcomes in COUNTS.items()
        }
        for name, examples in self.examples.items():
            found[name]["examples"] = examples
        return found

    def is_sampled(self, serial: int) -> bool:
        """Return whether hash and mirror are looked at when the message of this number arrives."""
        return self.sample_every > 0 and serial % self.sample_every == 0

    @property
    def counts_only(self) -> bool:
        """Whether an agreement is nothing but a count."""
        return self._note is None

    def close_group(self, token: Token, *, sampled: bool) -> None:
        """Judge a token's book at the end of an engine batch, before the next message changes it."""
        settled = token.group_settled
        token.group_settled = -1
        if settled == SETTLED:
            self.agree += 1
            if self._note is not None:
                self._note(token, "bbo", "agree")
        elif settled == UNSETTLED:
            self._outcome(
                token, "bbo", "disagree",
                stated_bid=token.change.best_bid, stated_ask=token.change.best_ask,
                bid_px_e6=token.bid, ask_px_e6=token.ask,
            )  # fmt: skip
        elif settled == UNSTATED:
            self._bbo["unstated"] += 1
        else:
            return
        if sampled:
            self.sample(token)

    def unsettled(self, token: Token) -> None:
        """Count a top that the same batch, or a whole book, has overtaken."""
        self._bbo["unsettled"] += 1
        token.group_settled = -1

    def snapshot(self, token: Token, levels: int) -> None:
        """Judge ours by a book that has arrived: so many levels are not the same."""
        if levels:
            self._outcome(token, "snapshot", "different", levels=levels)
        else:
            self._outcome(token, "snapshot", "equal")

    def sample(self, token: Token) -> None:
        """Check hash and mirror of a book as it stands."""
        if token.change.hash:
            self._hash(token, token.change.hash)
        mate = token.mate()
        if mate is not None and mate.known and mate.mark == token.mark:
            same = _mirrors(token.bids, mate.asks) and _mirrors(token.asks, mate.bids)
            self._outcome(token, "mirror", "equal" if same else "different")

    def _hash(self, token: Token, stated: str) -> None:
        market = token.market
        terms = candidates(
            min_size=market.min_size, tick_size=market.tick_size, neg_risk=market.neg_risk
        )
        book = Hashed(market.condition_id, token.token_id, token.group_text, token.bids, token.asks)
        # A change at the touch is often a trade whose print comes later: its price may be in the hash.
        changed = [
            form
            for each in market.tokens[:2]
            if each.change.price
            for form in price_forms(from_e6(to_e6(each.change.price)))
        ]
        found = find_terms(book, stated, terms, ["", *market.trade_prices, *changed])
        if found is not None:
            market.min_size, market.tick_size, market.neg_risk = found
            self._outcome(token, "hash", "verified")
        elif market.min_size is None or market.tick_size is None or market.neg_risk is None:
            self._outcome(token, "hash", "unverifiable")
        elif not market.trade_prices:
            self._outcome(token, "hash", "unverifiable")
        else:
            self._outcome(token, "hash", "mismatch", stated=stated)

    def _outcome(self, token: Token, oracle: str, outcome: str, **facts: Any) -> None:
        self.counts[oracle][outcome] += 1
        if self._note is not None:
            self._note(token, oracle, outcome)
        if (oracle, outcome) in BAD or outcome == "mismatch":
            examples = self.examples.setdefault(oracle, [])
            if len(examples) < EXAMPLES_MAX:
                where = {"shard": token.shard, "frame": token.group_frame}
                examples.append({"token_id": token.token_id, **where, **facts})


def _mirrors(side: Levels, other: Levels) -> bool:
    return not differing(side, {PX_ONE_E6 - price: size for price, size in other.items()})
