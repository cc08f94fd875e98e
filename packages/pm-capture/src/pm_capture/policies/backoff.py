"""Backoff: how long to wait before the next attempt.

Full jitter: the delay is uniform between 0 and a ceiling that doubles with every failure not yet
forgiven, so shards that fell together do not return together. Failures are forgiven one per
`heal_ns`, whatever happened in between. A venue that accepts and drops at once is therefore not
hammered, and a run of weeks does not die of the faults of its first day.
"""

from typing import Protocol


class Jitter(Protocol):
    """What is needed of `random.Random`."""

    def randrange(self, stop: int, /) -> int: ...


class Backoff:
    """Count failures that are not yet forgiven and turn them into delays, in ns."""

    def __init__(
        self, *, base_ns: int, cap_ns: int, heal_ns: int, budget: int, jitter: Jitter
    ) -> None:
        self._base_ns = base_ns
        self._cap_ns = cap_ns
        self._heal_ns = heal_ns
        self._budget = budget
        self._jitter = jitter
        self._spent = 0
        # Forgiving is counted from here; moved on by whole `heal_ns`.
        self._healed_at = 0

    def remaining(self, now: int) -> int:
        """Failures left before the budget is used up; then only the ceiling of the delay stands."""
        return self._budget - self._unhealed(now)

    def failed(self, now: int) -> int:
        """Spend one failure and return how long to wait from now."""
        if self._spent == 0:
            self._healed_at = now
        else:
            healed = self._spent - self._unhealed(now)
            self._spent -= healed
            self._healed_at = now if self._spent == 0 else self._healed_at + healed * self._heal_ns
        self._spent = min(self._spent + 1, self._budget)
        ceiling_ns = min(self._cap_ns, self._base_ns << (self._spent - 1))
        return self._jitter.randrange(ceiling_ns + 1)

    def _unhealed(self, now: int) -> int:
        return max(0, self._spent - (now - self._healed_at) // self._heal_ns)
