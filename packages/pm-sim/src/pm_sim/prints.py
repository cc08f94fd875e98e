"""Trade prints that may be of a trade that was told already.

Whether the venue prints a trade once for each token is not known, and that it sends things again is
(venue facts). Who must not be flattered by that takes prints of one stamp, size and price, in either view, for one.
"""

from pm_frames.events import NONE
from pm_sim.books import Slot
from pm_sim.fixed import ONE


class Prints:
    """What was printed at the last stamp of each market."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._told: dict[int, tuple[int, set[tuple[int, int]]]] = {}  # stamp; price and size

    def is_again(self, slot: Slot, complement: int | None) -> bool:
        """Take a TRADE, and say whether it may be one that was told; never where the venue states no stamp."""
        stamp, token, px, size = slot[2], slot[6], slot[7], slot[3]
        if stamp == NONE:
            return False
        if complement is not None and complement < token:
            token, px = complement, ONE - px
        at, told = self._told.get(token, (NONE, set()))
        if at != stamp:
            at, told = self._told[token] = stamp, set()
        is_again = (px, size) in told
        told.add((px, size))
        return is_again
