"""What the oracles say of each token and minute, as JSON Lines.

`VERIFIED`: the venue's own hash was reproduced. `CONSISTENT`: other witnesses agree and none disagrees.
`MISMATCH`: at least one disagrees. `UNVERIFIABLE`: the token told something, and nobody witnessed it. A hash
that could not be reproduced is no mismatch: what it contains is not all known.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable

from pm_replay.oracles import BAD, GOOD
from pm_replay.token import Token

MINUTE_NS = 60 * 10**9


class Verdicts:
    """Collects outcomes and writes the rows of a minute when it is over, by token number."""

    def __init__(
        self, write: Callable[[str], object], t0_mono_ns: int, t0_wall_ns: int | None
    ) -> None:
        """Minutes are those of UTC, or of the run where `t0_wall_ns` is None."""
        self._write = write
        self._shift = -t0_mono_ns if t0_wall_ns is None else t0_wall_ns - t0_mono_ns
        self._minute: int | None = None
        self._found: dict[Token, Counter[tuple[str, str]]] = {}
        self.totals: Counter[str] = Counter()

    def at(self, mono_ns: int) -> None:
        """Say what time it is, before the frame of that time is fed."""
        minute = (mono_ns + self._shift) // MINUTE_NS
        if minute != self._minute:
            self.close()
            self._minute = minute

    def note(self, token: Token, oracle: str, outcome: str) -> None:
        """Take an outcome of the oracles."""
        if token.chosen:
            self._found.setdefault(token, Counter())[oracle, outcome] += 1

    def close(self) -> None:
        """Write what is left."""
        for token, found in sorted(self._found.items(), key=lambda item: item[0].number):
            verdict = judge(found)
            self.totals[verdict] += 1
            row = {
                "token_id": token.token_id,
                "minute_ns": (self._minute or 0) * MINUTE_NS,
                "verdict": verdict,
                "outcomes": {f"{oracle}.{what}": n for (oracle, what), n in sorted(found.items())},
            }
            self._write(json.dumps(row) + "\n")
        self._found.clear()


def judge(found: Counter[tuple[str, str]]) -> str:
    """Return the verdict on what was found."""
    if any(found[each] for each in BAD):
        return "MISMATCH"
    if found["hash", "verified"]:
        return "VERIFIED"
    return "CONSISTENT" if any(found[each] for each in GOOD) else "UNVERIFIABLE"
