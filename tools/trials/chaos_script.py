"""A fault script for pm-mock, drawn from a seed: what becomes of each connection, and of Gamma.

The first connection is left alone: it is the reference, which hears everything. Gamma fails while the
first universe is discovered, but only so that trying again helps; later also for so long that it does not.
"""

import random
from collections.abc import Iterator
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
# The troubles of Gamma: `spell` ends soon enough for a discovery to get over it, `outage` does not.
GAMMA_FROM = 14.0
GAMMA_EVERY = (6.0, 14.0)
SPELL_SECONDS = (0.2, 1.2)
OUTAGE_SECONDS = (7.0, 9.0)
GAMMA_TROUBLES: tuple[dict[str, object], ...] = (
    {"kind": "gamma_429"},
    {"kind": "gamma_429", "retry_after": 1},
    {"kind": "gamma_429", "retry_after": 3600},  # longer than anybody waits
    {"kind": "gamma_500"},
    {"kind": "gamma_garbage"},
    {"kind": "gamma_garbage", "body": '{"markets": [{"id": '},
    {"kind": "gamma_garbage", "body": '{"markets": 7}'},
)


@dataclass(frozen=True, slots=True)
class Fate:
    """What befalls one connection, `at` seconds after it opened."""

    kind: str
    at: float


@dataclass(frozen=True, slots=True)
class Trouble:
    """A time, in seconds since the start of the venue, in which every question to Gamma is spoiled."""

    kind: str
    begin: float
    end: float


@dataclass(frozen=True, slots=True)
class Script:
    """A script as pm-mock reads it, and as the judge does."""

    toml: str
    fates: dict[int, Fate]
    troubles: tuple[Trouble, ...]


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
    troubles = list(_troubles(rng, seconds))
    tables += [table for _, table in troubles]
    return Script("\n".join(map(_toml, tables)), fates, tuple(one for one, _ in troubles))


def _troubles(rng: random.Random, seconds: float) -> Iterator[tuple[Trouble, dict[str, object]]]:
    """Garbage for long first, so that a short run has an outage too; after that whatever comes."""
    table: dict[str, object] = {"kind": "gamma_garbage"}
    lasts = OUTAGE_SECONDS
    begin = GAMMA_FROM
    while begin < seconds:
        length = rng.uniform(*lasts)
        trouble = Trouble(str(table["kind"]), begin, begin + length)
        yield trouble, {**table, "at": round(begin, 3), "seconds": round(length, 3)}
        begin = trouble.end + rng.uniform(*GAMMA_EVERY)
        table = rng.choice(GAMMA_TROUBLES)
        lasts = OUTAGE_SECONDS if rng.random() < 0.3 else SPELL_SECONDS


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
