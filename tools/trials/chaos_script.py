"""A fault script for pm-mock, drawn from a seed: what becomes of each connection that is opened.

The first connection is left alone: it is the reference, which hears everything.
"""

import random
from dataclasses import dataclass

REFERENCE = 1
# What may befall a connection, and how often relative to the others.
KINDS = {
    "close": 4,  # a close frame
    "drop": 4,  # no close frame
    "freeze": 4,  # no data for good, PING is answered
    "mute": 3,  # nothing for good
    "stillborn": 1,  # frozen from its opening
    "short_freeze": 2,  # shorter than any watchdog, then dropped
    "garbage": 2,  # a torn event, then dropped
    "invalid": 2,  # INVALID OPERATION
    "refuse": 3,  # the handshake is answered with a status, or dropped
}
CLOSE_CODES = (1000, 1001, 1011, 1012, 4000)
REFUSALS = (0, 429, 502, 503)
SHORT_SECONDS = 0.4


@dataclass(frozen=True, slots=True)
class Fate:
    """What befalls one connection, `at` seconds after it opened."""

    kind: str
    at: float


@dataclass(frozen=True, slots=True)
class Script:
    """A script as pm-mock reads it, and as the judge does."""

    toml: str
    fates: dict[int, Fate]


def draw(seed: int, *, seconds: float, connections: int) -> Script:
    """A fate for each of the connections after the reference, an outage in the middle, a poor Gamma."""
    rng = random.Random(seed)
    fates: dict[int, Fate] = {}
    tables: list[dict[str, object]] = [
        {"kind": "gamma_429", "count": 1, "retry_after": 1, "path": "/markets/keyset"},
        {"kind": "gamma_500", "at": 0.5, "count": 1},
    ]
    numbers = list(range(REFERENCE + 1, REFERENCE + 1 + connections))
    for number in numbers:
        [kind] = rng.choices(list(KINDS), weights=list(KINDS.values()))
        fate = fates[number] = Fate(kind, round(rng.uniform(0.5, 4.0), 3))
        tables += [{"connection": number, **table} for table in _tables(fate, rng)]
    middle = round(seconds / 2, 3)
    tables += [
        {"kind": "close", "code": 1006, "at": middle, "connection": numbers},
        {"kind": "refuse", "status": 503, "at": middle, "seconds": 2.0, "connection": numbers},
    ]
    return Script("\n".join(map(_toml, tables)), fates)


def _tables(fate: Fate, rng: random.Random) -> list[dict[str, object]]:
    timed = {"since": "open", "at": fate.at}
    dropped = {"kind": "close", "code": 1006, "since": "open", "at": fate.at + 1.5}
    match fate.kind:
        case "close":
            return [{"kind": "close", "code": rng.choice(CLOSE_CODES), "reason": "chaos", **timed}]
        case "drop":
            return [{"kind": "close", "code": 1006, **timed}]
        case "freeze" | "mute" as kind:
            return [{"kind": kind, **timed}]
        case "stillborn":
            return [{"kind": "freeze", "since": "open", "at": 0.0}]
        case "short_freeze":
            return [{"kind": "freeze", "seconds": SHORT_SECONDS, **timed}, dropped]
        case "garbage":
            return [{"kind": "garbage", **timed}, dropped]
        case "invalid":
            return [{"kind": "garbage", "text": "INVALID OPERATION", **timed}]
        case "refuse":
            return [{"kind": "refuse", "status": rng.choice(REFUSALS)}]
        case kind:
            raise ValueError(f"no such fate: {kind}")


def _toml(table: dict[str, object]) -> str:
    # The JSON of text, numbers and lists of numbers is TOML.
    import json

    lines = [f"{key} = {json.dumps(value)}" for key, value in table.items()]
    return "\n".join(["[[fault]]", *lines, ""])
