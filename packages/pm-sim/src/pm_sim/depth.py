"""The levels that an order can take: displayed size, less what we have taken of it already.

YES and NO of a market are two views of one book: a YES ask at p is a NO bid at 1 - p. What is taken is
therefore remembered for both. It is forgotten when the level is gone; a lens that is less strict also
forgets it when the venue states the level with another size.
"""

from typing import Final, NamedTuple

from pm_frames.events import NONE, Settled
from pm_sim.books import ASK, BID, Books, Slot
from pm_sim.fixed import BPS, ONE, PxE6, SzE6
from pm_sim.orders import BUY, Side
from pm_sim.rules import SIZE_STEP_E6
from pm_sim.views import Level

_UNSETTLED: Final = int(Settled.UNSETTLED)


class _Taken(NamedTuple):
    size_e6: int
    displayed_e6: int  # when it was taken last


class Depth:
    """What one lens can have of the books."""

    def __init__(
        self, books: Books, *, share_bps: int = BPS, forget_on_restatement: bool = False
    ) -> None:
        """`share_bps` is how much of a displayed size can be had, rounded down to two decimals."""
        self.books = books
        self.share_bps = share_bps
        self._forget_on_restatement = forget_on_restatement
        self.taken: dict[int, dict[tuple[int, int], _Taken]] = {}  # token; side, price
        # The highest bid and the lowest ask of which something was taken: a top that is better than both
        # says nothing of what was taken, nor does one that is as good if a restatement is nothing. With
        # levels nothing is better, since every level is told.
        self.nearest: dict[int, tuple[int, int]] = {}
        books.nearest.append(self.nearest)

    def reachable(self, token: int, side: Side, limit_px_e6: PxE6) -> list[Level]:
        """Return the levels that an order can take without passing its limit, best first."""
        bids, asks = self.books.sides(token)
        if side is BUY:
            at, sizes = ASK, asks
            prices = sorted(px for px in asks if px <= limit_px_e6)
        else:
            at, sizes = BID, bids
            prices = sorted((px for px in bids if px >= limit_px_e6), reverse=True)
        taken = self.taken.get(token, {})
        levels = []
        for px in prices:
            ours = taken.get((at, px))
            size = sizes[px] * self.share_bps // BPS - (0 if ours is None else ours.size_e6)
            size -= size % SIZE_STEP_E6
            if size > 0:
                levels.append(Level(PxE6(px), SzE6(size)))
        return levels

    def take(
        self, token: int, complement: int | None, side: Side, px_e6: PxE6, size_e6: SzE6
    ) -> None:
        """Remember that we took so much at a level, in both views of the book."""
        at = ASK if side is BUY else BID
        # One book: what the other view says until it is told this message too is no restatement.
        displayed = self.books.sides(token)[at].get(px_e6, 0)
        self._add(token, at, px_e6, size_e6, displayed)
        if complement is not None:
            self._add(complement, BID if at == ASK else ASK, ONE - px_e6, size_e6, displayed)

    def told(self, slot: Slot) -> None:
        """Judge what was taken of a token, after a message about it has ended with this top.

        In the middle of a batch a level may be away for a moment: that says nothing.
        """
        token = slot[6]
        taken = self.taken.get(token)
        if taken is None or slot[11] >> 3 & 3 == _UNSETTLED:
            return
        sides, gone = self.books.sides(token), []
        for key, ours in taken.items():
            side, px = key
            displayed = sides[side].get(px, 0)
            if displayed:
                if self._forget_on_restatement and displayed != ours.displayed_e6:
                    gone.append(key)
            # With tops alone a level behind the best is not seen, which does not mean it is gone.
            elif self.books.has_levels or not (
                slot[8] != NONE and slot[8] < px if side == ASK else slot[7] > px
            ):
                gone.append(key)
        for key in gone:
            del taken[key]
        if not taken:
            del self.taken[token]
            del self.nearest[token]
            self.books.regate(token)
        elif gone:
            self.nearest[token] = self._nearest(taken)
            self.books.regate(token)

    def _add(self, token: int, side: int, px_e6: int, size_e6: int, displayed: int) -> None:
        taken = self.taken.setdefault(token, {})
        before = taken.get((side, px_e6))
        taken[side, px_e6] = _Taken(size_e6 + (before.size_e6 if before else 0), displayed)
        if before is None:
            self.nearest[token] = self._nearest(taken)
            self.books.regate(token)

    def _nearest(self, taken: dict[tuple[int, int], _Taken]) -> tuple[int, int]:
        if self.books.has_levels:
            return ONE, NONE
        bid, ask = NONE, int(ONE)
        for side, px in taken:
            if side == BID:
                bid = max(bid, px)
            else:
                ask = min(ask, px)
        as_good = not self._forget_on_restatement
        return bid - as_good, ask + as_good
