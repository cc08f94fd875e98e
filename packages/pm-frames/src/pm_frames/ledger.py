"""How long each token was in each state: an account that adds up to the run, in ns.

A token's time begins with its first transition and ends with `ENDED`. In between every nanosecond belongs
to one state. A state begins at `since_mono_ns` of its transition: what may be missing when a connection
is lost is everything after its last frame, not only after the loss was noticed.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import NamedTuple

from pm_frames.continuity import State, Transition


class Interval(NamedTuple):
    """A token was in one state from `start_mono_ns` to before `end_mono_ns`; never empty."""

    token_id: str
    state: State
    start_mono_ns: int
    end_mono_ns: int
    cause: str
    shard_id: int


class _Account:
    __slots__ = ("open", "start", "totals")

    def __init__(self, opening: Transition) -> None:
        self.open = opening
        self.start = opening.at_mono_ns
        self.totals: dict[State, int] = {}


class Ledger:
    """Sums the transitions of a `Continuity`; memory is one account per token, whatever the length."""

    def __init__(self) -> None:
        self._accounts: dict[str, _Account] = {}

    def add(self, transitions: Iterable[Transition]) -> list[Interval]:
        """Account for transitions in the order in which they came; return the intervals they close."""
        closed = []
        for transition in transitions:
            account = self._accounts.get(transition.token_id)
            if account is None:
                self._accounts[transition.token_id] = _Account(transition)
                continue
            before = account.open
            # The cause may have begun before the state that it ends: time is then taken from that
            # state down to nothing, never from the one before.
            end = max(account.start, transition.since_mono_ns)
            if end > account.start:
                length = end - account.start
                account.totals[before.state] = account.totals.get(before.state, 0) + length
                closed.append(
                    Interval(
                        before.token_id,
                        before.state,
                        account.start,
                        end,
                        before.cause,
                        before.shard_id,
                    )
                )
            account.open = transition
            account.start = end
        return closed

    def totals(self, token_id: str) -> dict[State, int]:
        """Return the ns that a token has spent in each state, up to its last transition."""
        account = self._accounts.get(token_id)
        return {} if account is None else dict(account.totals)

    def token_ids(self) -> list[str]:
        """Return the tokens that have an account, in the order of their first transition."""
        return list(self._accounts)
