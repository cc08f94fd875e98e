"""What the venue displays, and in which state its books are: the part of the world that all lenses share.

Slots are kept as the tuples that the stream gives (in the order of `TopOfBook`), because there are
millions of them and few are ever looked at.
"""

from collections.abc import Callable
from typing import Final

from pm_frames.continuity import State
from pm_frames.events import NONE, Settled
from pm_frames.events import Side as LevelSide
from pm_sim.fixed import ONE
from pm_sim.orders import BUY, Side
from pm_sim.views import Book, Level, TopOfBook

BID: Final = int(LevelSide.BUY)
ASK: Final = int(LevelSide.SELL)
Slot = tuple[int, ...]
STOPPING_NS: Final = 10_000_000_000  # that closing its connections takes a run, at most
_LIVE: Final = int(State.LIVE)
_UNKNOWN: Final = State.UNKNOWN
_AWAITING: Final = State.AWAITING_SNAPSHOT


class Books:
    """Tops, levels and continuity of all tokens, up to the event `seq`, at `now_ns`."""

    def __init__(self, *, has_levels: bool = False, tells_breaks: bool = True) -> None:
        """`has_levels`: the stream tells depth; without it the top is all there is of a book.

        `tells_breaks`: it tells when a book is lost; without that none is ever known to be live.
        """
        self.has_levels = has_levels
        self.tells_breaks = tells_breaks
        self.seq = 0
        self.now_ns = 0  # what time it is for whoever is being dealt with
        self.tops: dict[int, Slot] = {}
        self.statuses: dict[int, Slot] = {}  # the last STATUS of each token
        self.levels: dict[int, tuple[dict[int, int], dict[int, int]]] = {}  # bids, asks
        self._reconnects: set[tuple[int, int]] = set()  # what told of them: shard and frame
        self._closed: dict[int, Slot] = {}  # books that were known until we gave up the connection
        # What lenses have taken: of each the highest bid and the lowest ask by token, and of all together.
        self.nearest: list[dict[int, tuple[int, int]]] = []
        self.gates: dict[int, tuple[int, int]] = {}
        self.regated: set[int] = set()  # tokens of which that has changed, for `tops_run` to empty
        # What brings the books up to the top that is being told, while tops are told ahead of them.
        self.behind: Callable[[], None] | None = None
        self._broken: dict[int, int] = {}  # event after which a book must be told anew

    @property
    def reconnects(self) -> int:
        """How often a connection was lost that brought a token of the stream."""
        return len(self._reconnects)

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

    def status(self, slot: Slot) -> None:
        """Take a STATUS slot. The end of a run breaks no book that was live until then.

        Before a run ends its connections are closed, as planned: that is part of its end if it is not long before.
        """
        token, state = slot[6], slot[11] & 7
        if state == State.PLANNED_CHANGE and self.is_markable(token):
            self._closed[token] = slot
        elif state == State.ENDED and slot[4] == State.PLANNED_CHANGE:
            closed = self._closed.get(token)
            if closed is not None and closed is self.statuses[token]:
                if slot[1] - closed[1] <= STOPPING_NS:
                    self.statuses[token] = slot
                    self._broken.pop(token, None)
                    return
        self.statuses[token] = slot
        if state == State.RECONNECTING:
            self._reconnects.add((slot[9], slot[5]))
        if state != State.LIVE and not (state == State.ENDED and slot[4] == State.LIVE):
            self.broken(slot)

    def broken(self, slot: Slot) -> None:
        """Take a break: until the next top nothing is known of the book (docs/spec/events.md)."""
        self._broken[slot[6]] = slot[0]

    def regate(self, token: int) -> None:
        """Find the gate of a token anew: a top that is better than it says nothing of what was taken."""
        self.regated.add(token)
        found = [of[token] for of in self.nearest if token in of]
        if found:
            self.gates[token] = max(bid for bid, _ in found), min(ask for _, ask in found)
        else:
            self.gates.pop(token, None)

    # -- what can be asked ----------------------------------------------------------------------

    def top(self, token: int) -> TopOfBook:
        """Return the last top. KeyError before there was one."""
        top: TopOfBook = tuple.__new__(TopOfBook, self.tops[token][:12])
        return top

    def state_number(self, token: int) -> int:
        """Return the continuity of a book now: what its last top or STATUS says.

        A book that is said to be live again is awaited until its first top.
        """
        if not self.tells_breaks:
            return _UNKNOWN
        top, status = self.tops.get(token), self.statuses.get(token)
        told = 0 if top is None else top[0]
        if status is not None and status[0] > told and status[11] & 7 != _LIVE:
            return status[11] & 7
        if top is None:
            return State.UNSUBSCRIBED if status is None else _AWAITING
        if self._broken.get(token, 0) > told:
            return _AWAITING
        return top[11] & 7

    def is_markable(self, token: int) -> bool:
        """Whether the last top is still the truth, or was when the run ended."""
        top = self.tops.get(token)
        return (
            top is not None
            and self._broken.get(token, 0) < top[0]
            and top[11] >> 3 & 3 != Settled.UNSETTLED
            and self.state_number(token) in {State.LIVE, State.ENDED}
        )

    def is_crossed(self, token: int, complement: int | None) -> bool:
        """Whether a bid meets an ask, in the book of a token or across the two views of it.

        At the venue they would have traded: one of the two is not the truth (docs/design/simulation.md).
        """
        top = self.tops[token]
        bid, ask = top[7], top[8]
        if ask != NONE and bid >= ask:
            return True
        other = None if complement is None else self.tops.get(complement)
        if other is None:
            return False
        return (bid != NONE != other[7] and bid + other[7] > ONE) or (
            ask != NONE != other[8] and ask + other[8] < ONE
        )

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
        if side is BUY:
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
