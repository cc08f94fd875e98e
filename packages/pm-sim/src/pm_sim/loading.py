"""Finding strategies by what the command line says, and giving them their parameters.

`NAME`, `./file.py[:Class]`, or either with an id of its own: `ID=NAME`. A name is built in, or an entry point
of the group `pm_sim.strategies`. Nothing runs that was not named.
"""

import hashlib
import importlib
import importlib.util
import re
import sys
import tomllib
from collections.abc import Callable, Iterable, Mapping
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from types import ModuleType
from typing import Any, Final, NamedTuple

from pm_frames.command import UsageError
from pm_frames.errors import MissingFile
from pm_sim.hashing import unambiguous
from pm_sim.parameters import ParameterError
from pm_sim.strategies import BUILT_IN
from pm_sim.strategy import Strategy

GROUP: Final = "pm_sim.strategies"
_ID = re.compile(r"([\w.-]+)=(.+)", re.ASCII | re.DOTALL)


class Named(NamedTuple):
    """A strategy as it takes part: its id, what makes one, and what it is."""

    strategy_id: str
    make: Callable[[], Strategy]
    source: str  # name, distribution, or class, and the SHA-256 of the code; see `load`
    parameters: Mapping[str, int | str]


class _Found(NamedTuple):
    strategy_id: str
    kind: type[Strategy]
    source: str


def load(
    specs: Iterable[str], assignments: Iterable[str] = (), files: Iterable[Path] = ()
) -> list[Named]:
    """Return the strategies that are named, in that order, with their parameters set.

    The source of a built-in one is its name, as `code_version` covers it; of one from a file its class and the
    digest of the file; of an entry point also the distribution with its version, and the digest of the
    modules that the entry point and the class are in. What those import is not part of it.

    `assignments` are `[ID.]NAME=VALUE`; a later one wins, and all win over TOML `files`. Raises `UsageError`
    for what does not exist, naming what does, and `MissingFile`.
    """
    found: list[_Found] = []
    for spec in specs:
        found.append(_find(spec, {one.strategy_id for one in found}))
    values: dict[str, dict[str, int | str]] = {one.strategy_id: {} for one in found}
    given = ((None, *_split(one)) for one in assignments)
    for path, name, text in [*_from_files(files), *given]:
        try:
            _assign(found, values, name, text)
        except UsageError as error:
            error.path = path
            raise
    return [_named(one, values[one.strategy_id]) for one in found]


def known_names() -> list[str]:
    """Return the names that can be given, sorted."""
    return sorted({*BUILT_IN, *(point.name for point in entry_points(group=GROUP))})


def _named(found: _Found, values: dict[str, int | str]) -> Named:
    kind = found.kind

    def make() -> Strategy:
        return kind(**values)

    try:
        strategy = make()
    except Exception as error:
        raise UsageError(f"the strategy {found.strategy_id!r} cannot be made: {error!r}") from error
    parameters = {name: getattr(strategy, name) for name in sorted(kind.declared)}
    return Named(found.strategy_id, make, found.source, parameters)


def _find(spec: str, taken: set[str]) -> _Found:
    wanted: str | None = None
    match = _ID.fullmatch(spec)
    if match is not None and not Path(spec).exists():
        wanted, spec = match.groups()
    path, colon, name = spec.rpartition(":")
    if not (colon and path.endswith(".py") and name.isidentifier()):
        path, name = spec, ""
    if path.endswith(".py"):
        kind, source = _from_file(Path(path), name)
        default = kind.__name__
    else:
        kind, source = _by_name(spec)
        default = spec
    try:
        unambiguous(wanted or default, "the id of a strategy")
    except ValueError as error:
        raise UsageError(str(error)) from None
    if wanted is not None and wanted in taken:
        raise UsageError(f"two strategies have the id {wanted!r}")
    strategy_id, number = wanted or default, 1
    while strategy_id in taken:
        number += 1
        strategy_id = f"{default}-{number}"
    return _Found(strategy_id, kind, source)


def _by_name(name: str) -> tuple[type[Strategy], str]:
    if name in BUILT_IN:
        module, attribute = BUILT_IN[name]
        return _strategy(getattr(importlib.import_module(module), attribute), name), name
    points = [point for point in entry_points(group=GROUP) if point.name == name]
    if not points:
        raise UsageError(
            f"no strategy {name!r}",
            expected=f"{', '.join(known_names())}, or ./file.py[:Class]",
        )
    try:
        kind = points[0].load()
    except Exception as error:
        raise UsageError(f"the strategy {name!r} cannot be loaded: {error!r}") from error
    strategy = _strategy(kind, name)
    return strategy, _source_of(points[0], strategy)


def _source_of(point: EntryPoint, kind: type) -> str:
    """Name what an entry point leads to: a distribution, a class, and the code of both their modules."""
    digest = hashlib.sha256()
    for name in sorted({point.module, kind.__module__}):
        found = importlib.util.find_spec(name)
        get_data = None if found is None else getattr(found.loader, "get_data", None)
        if found is None or found.origin is None or get_data is None:
            raise UsageError(f"the code of the strategy {point.name!r} cannot be read", found=name)
        # Another checkout, or a wheel, may have other line ends.
        data = get_data(found.origin).replace(b"\r\n", b"\n")
        digest.update(f"{name}|{len(data)}\n".encode() + data)
    of = "" if point.dist is None else f"{point.dist.name} {point.dist.version} "
    return f"{of}{kind.__module__}:{kind.__qualname__} {digest.hexdigest()}"


def _from_file(path: Path, name: str) -> tuple[type[Strategy], str]:
    try:
        digest = hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise MissingFile("no such strategy", path=path) from error
    try:
        module = _imported(path, f"pm_sim_user_{digest[:16]}")
    except (Exception, SystemExit) as error:
        raise UsageError(f"a strategy that cannot be imported: {error!r}", path=path) from error
    kinds = {
        key: value
        for key, value in vars(module).items()
        if isinstance(value, type)
        and issubclass(value, Strategy)
        and value.__module__ == module.__name__
        and not key.startswith("_")
    }
    if name:
        if name not in kinds:
            raise UsageError(
                f"no strategy {name!r}", path=path, expected=", ".join(kinds) or "a class"
            )
        return kinds[name], f"{name} {digest}"
    if len(kinds) != 1:
        raise UsageError(
            "not exactly one strategy; say which: FILE:Class", path=path,
            expected="one", found=", ".join(kinds) or "none",
        )  # fmt: skip
    [(name, kind)] = kinds.items()
    return kind, f"{name} {digest}"


def _imported(path: Path, name: str) -> ModuleType:
    if name in sys.modules:
        return sys.modules[name]
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module


def _strategy(kind: Any, name: str) -> type[Strategy]:
    if not (isinstance(kind, type) and issubclass(kind, Strategy)):
        raise UsageError(f"{name!r} is no strategy", expected="a class derived from Strategy")
    return kind


def _split(assignment: str) -> tuple[str, str]:
    name, equals, text = assignment.partition("=")
    if not equals or not name:
        raise UsageError("not a parameter", expected="[ID.]NAME=VALUE", found=repr(assignment))
    return name, text


def _from_files(files: Iterable[Path]) -> Iterable[tuple[Path, str, str]]:
    """Yield files, names and texts: keys of the top level are for all, tables are for one id."""
    for path in files:
        try:
            facts = tomllib.loads(path.read_text(encoding="utf-8"))
        except OSError as error:
            raise MissingFile("no such file of parameters", path=path) from error
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"not TOML: {error}", path=path) from error
        for key, value in facts.items():
            entries = value.items() if isinstance(value, dict) else [(None, value)]
            for name, one in entries:
                if isinstance(one, float) or not isinstance(one, str | int):
                    raise UsageError(
                        f"{key}: numbers with decimals are written as text, such as \"0.01\"",
                        path=path, found=repr(one),
                    )  # fmt: skip
                text = str(one).lower() if isinstance(one, bool) else str(one)
                yield path, (key if name is None else f"{key}.{name}"), text


def _assign(
    found: list[_Found], values: dict[str, dict[str, int | str]], name: str, text: str
) -> None:
    strategy_id, dot, own = name.rpartition(".")
    meant = [one for one in found if one.strategy_id == strategy_id or not dot]
    if not found:
        raise UsageError(f"a parameter {name!r}, but no strategy", expected="--strategy")
    if not meant:
        raise UsageError(
            f"no strategy has the id {strategy_id!r}",
            expected=", ".join(one.strategy_id for one in found),
        )
    having = [one for one in meant if own in one.kind.declared]
    if not having:
        known = sorted({name for one in meant for name in one.kind.declared})
        raise UsageError(f"no parameter {own!r}", expected=", ".join(known) or "none")
    for one in having:
        try:
            values[one.strategy_id][own] = one.kind.declared[own].read(text)
        except ParameterError as error:
            raise UsageError(f"{name}: {error}") from error
