"""The levels that an order can take: displayed size, less what we have taken of it already.

YES and NO of a market are two views of one book: a YES ask at p is a NO bid at 1 - p. What is taken is
therefore remembered for both. It is forgotten when the level is gone; a lens that is less strict also
forgets it when the venue states the level with another size.
"""

from typing import Final, NamedTuple

from pm_frames.events import NONE, Event
from pm_frames.events import Side as LevelSide
from pm_sim.fixed import ONE, PxE6, SzE6
from pm_sim.orders import Side
from pm_sim.rules import SIZE_STEP_E6

BID: Final = int(LevelSide.BUY)
ASK: Final = int(LevelSide.SELL)


class Level(NamedTuple):
    """What can be had at one price."""

    px_e6: PxE6
    size_e6: SzE6


class _Taken(NamedTuple):
    size_e6: int
    displayed_e6: int  # when it was taken last


class Depth:
    """The books of all tokens as one lens may use them."""

    def __init__(self, *, share_bps: int = 10_000, forget_on_restatement: bool = False) -> None:
        """`share_bps` is how much of a displayed size can be had, rounded down to two decimals."""
        self.has_levels = False
        self._share_bps = share_bps
        self._forget_on_restatement = forget_on_restatement
        self._books: dict[int, tuple[dict[int, int], dict[int, int]]] = {}  # bids, asks
        self._taken: dict[tuple[int, int, int], _Taken] = {}  # token, side, price
        self._watched: dict[int, int] = {}  # how many taken levels a token has

    # -- what the stream says -------------------------------------------------------------------

    def replaced(self, event: Event) -> None:
        """Take a BOOK slot: the levels of the token follow."""
        self.has_levels = True
        book = self._books.get(event.token)
        if book is None:
            self._books[event.token] = ({}, {})
            return
        book[0].clear()
        book[1].clear()

    def level(self, event: Event) -> None:
        """Take a LEVEL slot."""
        book = self._books.get(event.token)
        if book is None:
            book = self._books[event.token] = ({}, {})
        side = book[event.ask_px_e6]
        if event.bid_sz_e6:
            side[event.bid_px_e6] = event.bid_sz_e6
        else:
            side.pop(event.bid_px_e6, None)

    def top(self, event: Event) -> None:
        """Take a TOB slot: it ends a message, so now the taken levels of its token can be judged."""
        if not self.has_levels:
            bids = {event.bid_px_e6: event.bid_sz_e6} if event.bid_px_e6 != NONE else {}
            asks = {event.ask_px_e6: event.ask_sz_e6} if event.ask_px_e6 != NONE else {}
            self._books[event.token] = (bids, asks)
        if event.token in self._watched:
            self._judge(event.token)

    def dropped(self, token: int) -> None:
        """Forget the book of a token that can no longer be known."""
        self._books.pop(token, None)

    # -- what an order finds --------------------------------------------------------------------

    def best(self, token: int, side: Side) -> PxE6 | None:
        """Return the displayed best price that an order of this side would meet."""
        book = self._books.get(token)
        if book is None:
            return None
        if side is Side.BUY:
            return PxE6(min(book[1])) if book[1] else None
        return PxE6(max(book[0])) if book[0] else None

    def displayed(self, token: int, side: int, px_e6: PxE6) -> SzE6:
        """Return what the venue displays at a level of the book (`BID` or `ASK`)."""
        book = self._books.get(token)
        return SzE6(0 if book is None else book[side].get(px_e6, 0))

    def reachable(self, token: int, side: Side, limit_px_e6: PxE6) -> list[Level]:
        """Return the levels that an order can take without passing its limit, best first."""
        book = self._books.get(token)
        if book is None:
            return []
        if side is Side.BUY:
            at, prices = ASK, sorted(px for px in book[1] if px <= limit_px_e6)
        else:
            at, prices = BID, sorted((px for px in book[0] if px >= limit_px_e6), reverse=True)
        levels = []
        for px in prices:
            taken = self._taken.get((token, at, px))
            size = book[at][px] * self._share_bps // 10_000 - (
                0 if taken is None else taken.size_e6
            )
            size -= size % SIZE_STEP_E6
            if size > 0:
                levels.append(Level(PxE6(px), SzE6(size)))
        return levels

    def take(
        self, token: int, complement: int | None, side: Side, px_e6: PxE6, size_e6: SzE6
    ) -> None:
        """Remember that we took so much at a level, in both views of the book."""
        at = ASK if side is Side.BUY else BID
        self._add(token, at, px_e6, size_e6)
        if complement is not None:
            self._add(complement, BID if at == ASK else ASK, ONE - px_e6, size_e6)

    # -- inside ---------------------------------------------------------------------------------

    def _add(self, token: int, side: int, px_e6: int, size_e6: int) -> None:
        before = self._taken.get((token, side, px_e6))
        if before is None:
            self._watched[token] = self._watched.get(token, 0) + 1
        size = size_e6 + (0 if before is None else before.size_e6)
        book = self._books.get(token)
        displayed = 0 if book is None else book[side].get(px_e6, 0)
        self._taken[token, side, px_e6] = _Taken(size, displayed)

    def _judge(self, token: int) -> None:
        bids, asks = self._books.get(token, ({}, {}))
        for key in [key for key in self._taken if key[0] == token]:
            _, side, px = key
            displayed = (asks if side == ASK else bids).get(px, 0)
            if not displayed:
                # With tops alone a level behind the best is not seen, which does not mean it is gone.
                if not self.has_levels and (
                    (side == ASK and asks and min(asks) < px)
                    or (side == BID and bids and max(bids) > px)
                ):
                    continue
                self._drop(key)
            elif self._forget_on_restatement and displayed != self._taken[key].displayed_e6:
                self._drop(key)

    def _drop(self, key: tuple[int, int, int]) -> None:
        del self._taken[key]
        left = self._watched[key[0]] - 1
        if left:
            self._watched[key[0]] = left
        else:
            del self._watched[key[0]]
