"""A grid of simulations as TOML: what is the same in all, and lists whose every combination is one.

    [always]
    strategy = ["random_taker"]
    fee-bps = 100

    [grid]
    seed = [1, 2, 3]
    order-latency-ms = ["50", "200"]

    [grid.param]
    one_in = [4, 8]

Names are the flags of pm-sim about strategies, account and venue, without dashes; `param` is a table. Numbers
with decimals are written as text, as everywhere.
"""

import itertools
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

from pm_frames.command import UsageError
from pm_frames.errors import MissingFile

CELLS_MAX: Final = 1_000_000
ALWAYS, GRID, PARAM = "always", "grid", "param"


class Cell(NamedTuple):
    """One simulation: where it stands in the grid, and its command line."""

    values: dict[str, str]  # of what differs, in the order of the file
    arguments: tuple[str, ...]


def read_grid(path: Path) -> list[Cell]:
    """Return the cells, the last list of the file turning fastest. Raises `MissingFile`, `UsageError`."""
    try:
        facts = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise MissingFile("no such grid", path=path) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"not TOML: {error}", path=path) from error
    try:
        return _cells(facts)
    except ValueError as error:
        raise UsageError(str(error), path=path) from None


def _cells(facts: dict[str, Any]) -> list[Cell]:
    unknown = facts.keys() - {ALWAYS, GRID}
    if unknown:
        raise ValueError(f"no table {sorted(unknown)[0]!r}; there are [always] and [grid]")
    always: list[str] = []
    for name, value in _flat(facts.get(ALWAYS, {})):
        for one in value if isinstance(value, list) else [value]:
            always += _flag(name, one)
    lists: dict[str, list[tuple[str, list[str]]]] = {}
    for name, value in _flat(facts.get(GRID, {})):
        if not isinstance(value, list) or not value:
            raise ValueError(f"[grid] {name} must be a list of values that are tried")
        lists[name] = [(_text(name, one), _flag(name, one)) for one in value]
        if len({text for text, _ in lists[name]}) < len(value):
            raise ValueError(f"[grid] {name} has a value twice")
    count = 1
    for choices in lists.values():
        count *= len(choices)
    if count > CELLS_MAX:
        raise ValueError(f"{count} simulations, more than {CELLS_MAX}")
    return [
        Cell(
            {name: text for name, (text, _) in zip(lists, chosen, strict=True)},
            (*always, *(part for _, flags in chosen for part in flags)),
        )
        for chosen in itertools.product(*lists.values())
    ]


def _flat(table: Any) -> Iterator[tuple[str, Any]]:
    if not isinstance(table, dict):
        raise ValueError("[always] and [grid] are tables")
    for name, value in table.items():
        if name == PARAM:
            if not isinstance(value, dict):
                raise ValueError("param is a table of parameters")
            for own, one in value.items():
                yield f"{PARAM}.{own}", one
        elif isinstance(value, dict):
            raise ValueError(f"{name} is a table; only param is one (quote names with a dot)")
        else:
            yield name, value


def _text(name: str, value: Any) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if not isinstance(value, int | str):
        raise ValueError(f"{name}: {value!r} is neither text nor a whole number; decimals are text")
    return str(value)


def _flag(name: str, value: Any) -> list[str]:
    text = _text(name, value)
    own = name.removeprefix(f"{PARAM}.")
    if own != name:
        return [f"--{PARAM}={own}={text}"]
    if isinstance(value, bool):
        return [f"--{name}"] if value else []
    return [f"--{name}={text}"]
