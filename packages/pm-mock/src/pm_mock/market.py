"""One binary market: two mirrored books, their hashes, tick and last trade. All numbers are integers.

`YES` and `NO` are the indexes 0 and 1 of everything that a market keeps for its tokens, whatever the
outcomes are called. The state changes only through `put`, `trade` and `refine_tick`, and `settle` ends an
engine batch: it gives the timestamp that, together with the levels, makes the hashes.
"""

from enum import Enum

from pm_mock import booktext
from pm_mock.booktext import BookSides, BookTerms
from pm_mock.fixed import ONE_E4, PRICE_TEXT, last_trade_text
from pm_mock.ladder import Ladder

YES, NO = 0, 1
OUTCOMES = (YES, NO)


class EmptySide(Enum):
    """How a market writes the best price of a side without levels; both forms were captured."""

    BLANK = ("", "")
    BOUNDS = ("0", "1")


class Market:
    """A unified order book for two complementary tokens."""

    __slots__ = (
        "_hashes",
        "condition_id",
        "empty_side",
        "ladders",
        "last_trade_price",
        "min_order_size",
        "neg_risk",
        "tick_e4",
        "timestamp_ms",
        "tokens",
    )

    def __init__(
        self,
        condition_id: str,
        tokens: tuple[str, str],
        *,
        tick_e4: int,
        timestamp_ms: int,
        min_order_size: str = "5",
        neg_risk: bool = False,
        empty_side: EmptySide = EmptySide.BOUNDS,
    ) -> None:
        self.condition_id = condition_id
        self.tokens = tokens
        self.tick_e4 = tick_e4
        self.timestamp_ms = timestamp_ms
        self.min_order_size = min_order_size
        self.neg_risk = neg_risk
        self.empty_side = empty_side
        self.last_trade_price = ""
        self.ladders = (Ladder(), Ladder())
        self._hashes: tuple[str, str] | None = None

    # -- changes --------------------------------------------------------------------------------

    def put(self, outcome: int, price_e4: int, size_e6: int) -> None:
        """Make `size_e6` the whole bid for an outcome at a price; 0 removes it.

        The caller keeps the book uncrossed at the end of a batch.
        """
        self.ladders[outcome].put(price_e4, size_e6)
        self._hashes = None

    def trade(self, price_e4: int) -> None:
        """Note the raw price of a trade on either token: it is part of both hashes."""
        self.last_trade_price = last_trade_text(price_e4)
        self._hashes = None

    def refine_tick(self, tick_e4: int) -> None:
        """Make the tick finer. Raises `ValueError` if levels would be off the new grid."""
        if self.tick_e4 % tick_e4:
            raise ValueError(f"tick {tick_e4} e-4 does not divide {self.tick_e4} e-4")
        self.tick_e4 = tick_e4
        self._hashes = None

    def settle(self, timestamp_ms: int) -> None:
        """End an engine batch: the books as they stand are stated under this time (ms since 1970)."""
        assert self.ladders[YES].best_e4 + self.ladders[NO].best_e4 < ONE_E4, "crossed book"
        self.timestamp_ms = max(timestamp_ms, self.timestamp_ms)
        self._hashes = None

    # -- what is stated -------------------------------------------------------------------------

    @property
    def tick_size(self) -> str:
        return PRICE_TEXT[self.tick_e4]

    def terms(self) -> BookTerms:
        return BookTerms(self.min_order_size, self.tick_size, self.neg_risk, self.last_trade_price)

    def sides(self, outcome: int) -> BookSides:
        """The bids of a token and its asks, which are the mirrored bids of the other."""
        return BookSides(self.ladders[outcome].as_bids(), self.ladders[1 - outcome].as_asks())

    def hashes(self) -> tuple[str, str]:
        """The stated hash of each token's book."""
        if self._hashes is None:
            yes, no = (
                booktext.book_hash(
                    self.condition_id,
                    self.tokens[outcome],
                    str(self.timestamp_ms),
                    self.sides(outcome),
                    self.terms(),
                )
                for outcome in OUTCOMES
            )
            self._hashes = (yes, no)
        return self._hashes

    def best_bid(self, outcome: int) -> str:
        ladder = self.ladders[outcome]
        return PRICE_TEXT[ladder.best_e4] if len(ladder) else self.empty_side.value[0]

    def best_ask(self, outcome: int) -> str:
        ladder = self.ladders[1 - outcome]
        return PRICE_TEXT[ONE_E4 - ladder.best_e4] if len(ladder) else self.empty_side.value[1]

    def spread(self, outcome: int) -> str:
        """Best ask less best bid, as `best_bid_ask` states it; blank unless both are numbers."""
        bid, ask = self.ladders[outcome], self.ladders[1 - outcome]
        if self.empty_side is EmptySide.BLANK and not (len(bid) and len(ask)):
            return ""
        return PRICE_TEXT[ONE_E4 - ask.best_e4 - bid.best_e4]

    def tops_e4(self) -> tuple[int, int]:
        """The best bid for each outcome, 0 where there is none: changes when any best price does."""
        return self.ladders[YES].best_e4, self.ladders[NO].best_e4

    def compact_book(self, outcome: int) -> bytes:
        """The token's element of the array that answers a subscription."""
        return booktext.compact_book(
            self.condition_id,
            self.tokens[outcome],
            str(self.timestamp_ms),
            self.sides(outcome),
            self.terms(),
            hash_hex=self.hashes()[outcome],
        )

    def spaced_book(self, outcome: int) -> bytes:
        """The token's `book` event after a trade."""
        return booktext.spaced_book(
            self.condition_id,
            self.tokens[outcome],
            str(self.timestamp_ms),
            self.sides(outcome),
            hash_hex=self.hashes()[outcome],
        )

    def summary(self, outcome: int) -> bytes:
        """The body of `GET /book`."""
        return booktext.summary(
            self.condition_id,
            self.tokens[outcome],
            str(self.timestamp_ms),
            self.sides(outcome),
            self.terms(),
            hash_hex=self.hashes()[outcome],
        )
