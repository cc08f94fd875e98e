"""How long the hooks of strategies take: a wrapper around each, put on from outside, so that nobody pays who does not ask.

Calls are counted exactly and are part of the result; times are those of this machine, and `--stable-json` tells
them as 0. A hook is timed with every step of what it yields, and not with what the engine does in between.
"""

from collections.abc import Callable, Iterator
from typing import Any, Final

from pm_sim.strategy import Strategy

Clock = Callable[[], int]
Make = Callable[[], Strategy]
TIMES: Final = ("mean_us", "max_us", "overruns")


class HookStats:
    """One hook of one strategy, in all lenses together."""

    __slots__ = ("calls", "longest_ns", "overruns", "total_ns")

    def __init__(self) -> None:
        self.calls = self.total_ns = self.longest_ns = self.overruns = 0

    def took(self, ns: int, budget_ns: int) -> None:
        """Take the time of a whole call, or of what is left of one."""
        self.total_ns += ns
        self.longest_ns = max(self.longest_ns, ns)
        self.overruns += ns > budget_ns

    def as_json(self) -> dict[str, int]:
        """Return the count, and whole microseconds."""
        return {
            "count": self.calls,
            "mean_us": self.total_ns // max(1, self.calls) // 1000,
            "max_us": self.longest_ns // 1000,
            "overruns": self.overruns,
        }


class CallbackStats:
    """Statistics by strategy and hook; `clock` and `budget_ns` in ns."""

    def __init__(self, clock: Clock, budget_ns: int) -> None:
        """A call that takes longer than the budget is an overrun."""
        self._clock = clock
        self._budget_ns = budget_ns
        self._stats: dict[str, dict[str, HookStats]] = {}

    def watched(self, strategy_id: str, make: Make) -> Make:
        """Return what makes the same strategy with its hooks timed."""

        def made() -> Strategy:
            strategy = make()
            stats = self._stats.setdefault(strategy_id, {})
            for name in dir(Strategy):
                # Only the hooks that it has: what is not overridden is never called.
                if name.startswith("on_") and getattr(type(strategy), name) is not getattr(
                    Strategy, name
                ):
                    one = stats.setdefault(name, HookStats())
                    setattr(strategy, name, self._timed(getattr(strategy, name), one))
            return strategy

        return made

    def as_json(self) -> dict[str, dict[str, dict[str, int]]]:
        """Return the figures by strategy id and hook."""
        return {
            strategy_id: {name: stats.as_json() for name, stats in sorted(hooks.items())}
            for strategy_id, hooks in sorted(self._stats.items())
        }

    def _timed(self, hook: Callable[..., Any], stats: HookStats) -> Callable[..., Any]:
        clock, budget_ns = self._clock, self._budget_ns

        def called(*arguments: Any) -> Any:
            stats.calls += 1
            begun = clock()
            intents = None
            try:
                intents = hook(*arguments)
            finally:
                taken = clock() - begun
                if intents is None:
                    stats.took(taken, budget_ns)
            return None if intents is None else _Timed(intents, stats, taken, clock, budget_ns)

        return called


class _Timed:
    """What a hook yields, each step with its time; the call is over when nothing more comes."""

    def __init__(
        self, intents: Iterator[Any], stats: HookStats, taken_ns: int, clock: Clock, budget_ns: int
    ) -> None:
        self._next = intents.__next__
        self._send: Callable[[Any], Any] = getattr(intents, "send", lambda answer: self._next())
        self._stats, self._taken_ns = stats, taken_ns
        self._clock, self._budget_ns = clock, budget_ns

    def __iter__(self) -> "_Timed":
        return self

    def __next__(self) -> Any:
        return self._step(self._next)

    def send(self, answer: Any) -> Any:
        return self._step(lambda: self._send(answer))

    def _step(self, step: Callable[[], Any]) -> Any:
        begun = self._clock()
        try:
            return step()
        except BaseException:
            self._stats.took(self._taken_ns + self._clock() - begun, self._budget_ns)
            self._taken_ns = 0
            raise
        finally:
            self._taken_ns += self._clock() - begun
