"""The plant script: a TOML file of `[[arbitrage]]` and `[[mirror]]` tables, checked when it is read.

Prices are decimal text on a grid of cents, sizes decimal text with at most two decimals, times seconds.
"""

import re
import tomllib
from pathlib import Path
from typing import Literal

import msgspec

from pm_mock.fixed import CENT_E6, ONE_E4, UNIT_E6

TICK_E4 = 100
MARKETS_MAX = 6
_PRICE = re.compile(r"0\.(\d\d?)")
_SIZE = re.compile(r"(\d{1,7})(?:\.(\d\d?))?")


class BadPlants(ValueError):
    """A plant script that cannot be used; the message names the file, the entry and the field."""


class Arbitrage(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A neg-risk event of its own, calm but for a while in which all its YES together cost less.

    `at` counts from the moment at which all its tokens are subscribed; without it the event stays calm.
    """

    calm: list[str]
    asks: list[str]
    size: str
    at: float | None = None
    seconds: float = 2.0
    winner: int | None = None
    resolve_after: float = 0.5

    def __post_init__(self) -> None:
        if not 2 <= len(self.calm) == len(self.asks) <= MARKETS_MAX:
            raise ValueError(f"calm and asks must name the same 2 to {MARKETS_MAX} markets")
        for calm, ask in zip(self.calm, self.asks, strict=True):
            if not 2 * TICK_E4 <= price_e4(ask) < price_e4(calm):
                raise ValueError(f"an ask must be at least 0.02 and below the calm one, got {ask}")
        if size_e6(self.size) <= 0:
            raise ValueError(f"size must be positive, got {self.size}")
        if min(self.at or 0, self.seconds, self.resolve_after) < 0:
            raise ValueError("times must not be negative")
        if self.winner is not None and not 0 <= self.winner < len(self.asks):
            raise ValueError(f"winner must be from 0 to {len(self.asks) - 1}, got {self.winner}")


class Mirror(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A market of its own whose two asks sum to less than 1, but only for who joins them wrongly.

    Its price goes down and up. `split`: the token that falls is told first, the other `seconds` later, in a
    second frame of the same batch. `stale`: both are told at once, but the other with its old book, which is
    corrected `seconds` later.
    """

    how: Literal["split", "stale"]
    at: float = 0.5
    every: float = 0.5
    count: int = 4
    seconds: float = 0.2

    def __post_init__(self) -> None:
        if self.at < 0 or self.count < 1 or not 0 <= self.seconds < self.every:
            raise ValueError(
                "at must not be negative, count at least 1, and seconds less than every"
            )


Plant = Arbitrage | Mirror


class _Script(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    arbitrage: list[Arbitrage] = []
    mirror: list[Mirror] = []


def price_e4(text: str) -> int:
    """Read a price on the cent grid, in ten-thousandths. ValueError."""
    match = _PRICE.fullmatch(text)
    if match is None or not int(match[1]):
        raise ValueError(f"a price is text such as '0.21', got {text!r}")
    return int(match[1].ljust(2, "0")) * ONE_E4 // 100


def size_e6(text: str) -> int:
    """Read a size in millionths of a share. ValueError."""
    match = _SIZE.fullmatch(text)
    if match is None:
        raise ValueError(f"a size is text such as '60' or '12.5', got {text!r}")
    return int(match[1]) * UNIT_E6 + int((match[2] or "").ljust(2, "0")) * CENT_E6


def parse_plants(text: str, *, name: str) -> tuple[Plant, ...]:
    """Read a plant script; `name` is what errors call it. Raises `BadPlants`."""
    try:
        script = msgspec.convert(tomllib.loads(text), _Script)
    except (tomllib.TOMLDecodeError, msgspec.ValidationError) as problem:
        raise BadPlants(f"{name}: {problem}") from problem
    return (*script.arbitrage, *script.mirror)


def read_plants(path: Path) -> tuple[Plant, ...]:
    """Read a plant script from a file. Raises `BadPlants`."""
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as problem:
        raise BadPlants(f"{path}: {problem.strerror}") from problem
    except UnicodeDecodeError as problem:
        raise BadPlants(f"{path}: byte {problem.start} is not UTF-8") from problem
    return parse_plants(text, name=str(path))
