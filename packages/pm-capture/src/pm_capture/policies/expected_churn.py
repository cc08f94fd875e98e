"""Expected churn: markets that live minutes come and go together, and that is no fault of the listing.

A changed market is expected

- near a boundary of its cadence: a five-minute market near every full five minutes of UTC, and so on;
  the cadence is what its slug says (`btc-updown-5m-1790994600`, `...-10pm-et` for hourly ones);
- near its end.

The change as a whole is expected if enough of its markets are.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import NamedTuple

MINUTE_NS = 60_000_000_000
_CADENCE = re.compile(r"(?:^|-)(5m|15m|30m|60m|1h|hourly|\d{1,2}(?:am|pm)-et)(?=-|$)")
_MINUTES = {"5m": 5, "15m": 15, "30m": 30}


class Ending(NamedTuple):
    """A market that came or went: its slug, and when it ends in ns since 1970, if that is known."""

    slug: str | None
    end_wall_ns_utc: int | None


@dataclass(frozen=True, slots=True)
class Expectation:
    """How many of the changed markets are expected to change now, and by what."""

    expected: bool
    changed: int
    rollover_hits: int
    expiry_hits: int

    @property
    def reason(self) -> str:
        """A stable word."""
        if not self.expected:
            return "NONE"
        hits = (("ROLLOVER", self.rollover_hits), ("EXPIRY", self.expiry_hits))
        return "_AND_".join(name for name, count in hits if count) + "_WINDOW"


class ExpectedChurn:
    """Judge changes by the wall clock; without windows, or disabled, nothing is expected."""

    def __init__(
        self,
        *,
        enabled: bool,
        windows_ns: Mapping[int, int],
        expiry_window_ns: int,
        ratio_min: float,
    ) -> None:
        """`windows_ns` says for each cadence, in minutes, how near to a boundary is near."""
        self._enabled = enabled
        self._windows_ns = dict(windows_ns)
        self._expiry_window_ns = expiry_window_ns
        self._ratio_min = ratio_min

    def judge(self, markets: Iterable[Ending], wall_ns_utc: int) -> Expectation:
        """Decide whether a change that consists of these markets is expected at this moment."""
        changed = hits = rollover_hits = expiry_hits = 0
        for market in markets:
            rollover = self._rolls_over(market.slug, wall_ns_utc)
            end = market.end_wall_ns_utc
            expiry = (
                self._expiry_window_ns > 0
                and end is not None
                and abs(wall_ns_utc - end) <= self._expiry_window_ns
            )
            changed += 1
            rollover_hits += rollover
            expiry_hits += expiry
            hits += rollover or expiry
        expected = self._enabled and hits > 0 and hits >= self._ratio_min * changed
        return Expectation(expected, changed, rollover_hits, expiry_hits)

    def _rolls_over(self, slug: str | None, wall_ns_utc: int) -> bool:
        minutes = cadence_minutes(slug)
        window_ns = self._windows_ns.get(minutes, 0) if minutes is not None else 0
        if minutes is None or window_ns <= 0:
            return False
        since = wall_ns_utc % (minutes * MINUTE_NS)
        return min(since, minutes * MINUTE_NS - since) <= window_ns


def cadence_minutes(slug: str | None) -> int | None:
    """Return 5, 15, 30 or 60 if the slug is that of a series with this cadence."""
    found = _CADENCE.search(slug or "")
    return None if found is None else _MINUTES.get(found[1], 60)
