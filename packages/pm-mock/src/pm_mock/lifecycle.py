"""When markets list and resolve while the venue runs. Times are ns of one monotonic clock."""

from enum import Enum


class Step(Enum):
    """What happens in the life of the set of markets."""

    LIST = "a market lists"
    CLOSE = "the oldest short-lived market moves to its outcome"
    RESOLVE = "that market resolves"


class Lifecycle:
    """LIST → CLOSE → RESOLVE → LIST …, one step each third of a period; never with period 0."""

    _AFTER = {Step.LIST: Step.CLOSE, Step.CLOSE: Step.RESOLVE, Step.RESOLVE: Step.LIST}  # noqa: RUF012

    def __init__(self, *, period_ns: int, start_ns: int) -> None:
        self._stride_ns = period_ns // 3
        self._next_ns = start_ns + self._stride_ns
        self._step = Step.LIST

    def deadline(self) -> int | None:
        """When the next step is due."""
        return self._next_ns if self._stride_ns else None

    def deadline_reached(self, now_ns: int) -> list[Step]:
        """The step that is due, if any; steps missed in a pause are put off, not lost."""
        if not self._stride_ns or now_ns < self._next_ns:
            return []
        step = self._step
        self._step = self._AFTER[step]
        self._next_ns = max(self._next_ns, now_ns - self._stride_ns) + self._stride_ns
        return [step]
