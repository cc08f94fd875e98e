"""What the venue displays, and in which state its books are: the part of the world that all lenses share.

Slots are kept as the tuples that the stream gives (in the order of `TopOfBook`), because there are
millions of them and few are ever looked at.
"""

from typing import Final

from pm_frames.continuity import State
from pm_frames.events import NONE
from pm_frames.events import Side as LevelSide
from pm_sim.orders import Side
from pm_sim.views import Book, Level, TopOfBook

BID: Final = int(LevelSide.BUY)
ASK: Final = int(LevelSide.SELL)
Slot = tuple[int, ...]


class Books:
    """Tops, levels and continuity of all tokens, up to the event `seq`, at `now_ns`."""

    def __init__(self, *, has_levels: bool = False) -> None:
        """`has_levels`: the stream tells depth; without it the top is all there is of a book."""
        self.has_levels = has_levels
        self.seq = 0
        self.now_ns = 0  # what time it is for whoever is being dealt with
        self.tops: dict[int, Slot] = {}
        self.statuses: dict[int, Slot] = {}  # the last STATUS of each token
        self.levels: dict[int, tuple[dict[int, int], dict[int, int]]] = {}  # bids, asks

    # -- what the stream says -------------------------------------------------------------------

    def replaced(self, slot: Slot) -> None:
        """Take a BOOK slot: the levels of the token follow."""
        self.has_levels = True
        self.levels[slot[6]] = ({}, {})

    def level(self, slot: Slot) -> None:
        """Take a LEVEL slot."""
        book = self.levels.get(slot[6])
        if book is None:
            book = self.levels[slot[6]] = ({}, {})
        if slot[3]:
            book[slot[8]][slot[7]] = slot[3]
        else:
            book[slot[8]].pop(slot[7], None)

    # -- what can be asked ----------------------------------------------------------------------

    def top(self, token: int) -> TopOfBook:
        """Return the last top. KeyError before there was one."""
        top: TopOfBook = tuple.__new__(TopOfBook, self.tops[token][:12])
        return top

    def state_number(self, token: int) -> int:
        """Return the continuity of a book now: what its last top or STATUS says."""
        top, status = self.tops.get(token), self.statuses.get(token)
        if status is not None and (top is None or status[0] > top[0]):
            return status[11] & 7
        return State.UNSUBSCRIBED if top is None else top[11] & 7

    def sides(self, token: int) -> tuple[dict[int, int], dict[int, int]]:
        """Return displayed size by price, of bids and asks; not to be changed."""
        if self.has_levels:
            return self.levels.get(token, _EMPTY)
        top = self.tops.get(token)
        if top is None:
            return _EMPTY
        bids = {} if top[7] == NONE else {top[7]: top[3]}
        asks = {} if top[8] == NONE else {top[8]: top[4]}
        return bids, asks

    def best(self, token: int, side: Side) -> int | None:
        """Return the best price that an order of this side would meet."""
        bids, asks = self.sides(token)
        if side is Side.BUY:
            return min(asks, default=None)
        return max(bids, default=None)

    def book(self, token: int) -> Book:
        """Return all that is displayed, best first."""
        bids, asks = self.sides(token)
        return Book(
            tuple(Level(*one) for one in sorted(bids.items(), reverse=True)),  # type: ignore[arg-type]
            tuple(Level(*one) for one in sorted(asks.items())),  # type: ignore[arg-type]
        )


_EMPTY: Final[tuple[dict[int, int], dict[int, int]]] = ({}, {})
