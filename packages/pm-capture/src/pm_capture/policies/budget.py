"""Budget: faults that may happen before a run is given up, each forgiven after a while.

    faults not yet forgiven:  0 ──fault──► 1 ──fault──► … ──fault──► above the budget (GiveUp, once)
                              ▲ one less every `heal_ns` ◄──┘

A count over the lifetime of a run would end every run in the end; this one ends only a run in which the
faults come faster than they are forgiven, for long enough.
"""

from pm_capture.actions import Action, GiveUp
from pm_capture.reasons import FatalReason


class Budget:
    """Count faults of one kind; a budget of 0 never ends a run."""

    def __init__(
        self, reason: FatalReason = FatalReason.RECONNECT_STORM, *, faults_max: int, heal_ns: int
    ) -> None:
        self._reason = reason
        self._faults_max = faults_max
        self._heal_ns = heal_ns
        self._spent = 0
        # Forgiving is counted from here; moved on by whole `heal_ns`.
        self._healed_at = 0

    def spent(self, now: int) -> int:
        """Return the faults that are not yet forgiven."""
        healed = (now - self._healed_at) // self._heal_ns
        if healed > 0:
            self._spent = max(0, self._spent - healed)
            self._healed_at += healed * self._heal_ns
        return self._spent

    def fault(self, what: str, now: int) -> list[Action]:
        """Spend one; `what` says whose fault it was."""
        if self._faults_max <= 0:
            return []
        before = self.spent(now)
        if not before:
            self._healed_at = now
        self._spent = before + 1
        if self._spent != self._faults_max + 1:
            return []
        words = (
            f"{what}: {self._spent} times, one forgiven every {self._heal_ns} ns; "
            f"{self._faults_max} are allowed"
        )
        return [GiveUp(self._reason, words)]
