"""Churn: a universe that changes too much at once is more likely a fault of the listing than the truth.

    CLOSED ──too much──► OPEN (1) ──too much──► OPEN (2) ── … ──► OPEN (n): SUSTAINED
      ▲                     └──────────── anything else ──────────┘
      └─────────────────────────────────────────┘

A guarded refresh is not applied, and the interval until the next one doubles up to a maximum. The first
refresh that is not guarded puts both the interval and the count back.
"""

from enum import Enum, auto


class Verdict(Enum):
    """What may happen with a change."""

    ALLOWED = auto()
    BYPASSED = auto()  # too much, but expected
    GUARDED = auto()
    SUSTAINED = auto()  # guarded once too often


def churn_pct(added: int, removed: int, current: int) -> float:
    """Return how much of the universe a change replaces; a full swap gives 200."""
    return 100.0 * (added + removed) / max(1, current)


class Churn:
    """Judge changes; a non-positive maximum never guards, a non-positive count is never sustained."""

    def __init__(
        self, *, pct_max: float, interval_ns: int, interval_max_ns: int, consecutive_fatal: int
    ) -> None:
        self._pct_max = pct_max
        self._base_ns = interval_ns
        # A maximum below the base must not make refreshes come more often than asked for.
        self._max_ns = max(interval_ns, interval_max_ns)
        self._consecutive_fatal = consecutive_fatal
        self.interval_ns = interval_ns
        self.consecutive = 0

    @property
    def pct_max(self) -> float:
        """Where the guard stands."""
        return self._pct_max

    def exceeds(self, pct: float) -> bool:
        """Return whether the guard would hold this back."""
        return 0 < self._pct_max < pct

    def passed(self) -> None:
        """Take note of a refresh that there was no reason to guard."""
        self.consecutive = 0
        self.interval_ns = self._base_ns

    def judge(self, pct: float, *, expected: bool) -> Verdict:
        """Decide on a change of `pct` percent."""
        if not self.exceeds(pct):
            self.passed()
            return Verdict.ALLOWED
        if expected:
            self.passed()
            return Verdict.BYPASSED
        self.consecutive += 1
        self.interval_ns = min(self._max_ns, 2 * self.interval_ns)
        if 0 < self._consecutive_fatal <= self.consecutive:
            return Verdict.SUSTAINED
        return Verdict.GUARDED
