"""What the programs share on their command lines: exit codes, how a run is named, how times are written.

Nothing here reads the environment, a clock or stdin by itself; the programs hand them in.
"""

from __future__ import annotations

import os
import re
import signal
import threading
from argparse import ArgumentParser, Namespace
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from enum import IntEnum
from pathlib import Path
from types import FrameType
from typing import ClassVar, Final, NamedTuple, Protocol

from pm_frames.errors import BundleError, MissingFile
from pm_frames.paths import MANIFEST, runs_dir

LAST: Final = "@last"
STDIN: Final = "-"
DATA_DIR: Final = "./data"
DATA_DIR_VARIABLES: Final = ("PM_DATA_DATA_DIR", "PM_ARB_DATA_DIR")
LINE_MAX: Final = 64 * 1024  # characters of a line on stdin that names a run
BROKEN_PIPE: Final = 141  # 128 + SIGPIPE: who read our output has left; nothing is said


class ExitCode(IntEnum):
    """What a program returns; 1 is never returned on purpose, it is Python's code for a crash."""

    OK = 0
    USAGE = 2
    FINDINGS = 3
    CORRUPT = 4
    WRITE_ERROR = 5
    REMOTE = 6
    FATAL = 7


_SEVERITY: Final = (0, 2, 3, 6, 4, 5, 7)


def severest(codes: Iterable[int]) -> ExitCode:
    """Return the severest of exit codes by 7 > 5 > 4 > 6 > 3 > 2 > 0; OK if there are none.

    Raises ValueError for a number that is not one of them.
    """
    return max((ExitCode(code) for code in codes), key=_SEVERITY.index, default=ExitCode.OK)


class UsageError(BundleError):
    """The command line asks for something that cannot be; exit code 2."""

    exit_code: ClassVar[int] = 2


class TextStream(Protocol):
    """The part of a text stream that is needed here."""

    def isatty(self) -> bool: ...

    def readline(self, size: int = -1, /) -> str: ...


class Terminal(Protocol):
    """Something that may be a terminal."""

    def isatty(self) -> bool: ...


def run_arguments(parser: ArgumentParser) -> None:
    """Add the arguments that name runs: `RUN…`, `--run-dir` and `--data-dir`; see `chosen_runs`."""
    parser.add_argument(
        "runs",
        nargs="*",
        metavar="RUN",
        help="run directory, run id or unique prefix of one, @last, or - for lines on stdin "
        "(the default when stdin is not a terminal)",
    )
    parser.add_argument(
        "--run-dir",
        action="append",
        default=[],
        type=Path,
        metavar="DIR",
        help="a run directory, never taken for an id; repeatable",
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help=f"where runs/ is (default {DATA_DIR}; {DATA_DIR_VARIABLES[0]} in the environment wins)",
    )


def chosen_runs(
    arguments: Namespace, *, stdin: TextStream, environment: Mapping[str, str]
) -> list[Path]:
    """Return the run directories that `run_arguments` chose, in the order given, each once.

    Without any, or for `-`, stdin is read to its end. Raises `UsageError` where nothing is named or stdin
    is empty, `MissingFile` where a run is not there.
    """
    data_dir = data_dir_of(arguments.data_dir, environment)
    texts: list[str] = list(arguments.runs)
    if not texts and not arguments.run_dir:
        if stdin.isatty():
            raise UsageError("no run given: name a run directory, a run id, or @last")
        texts = [STDIN]
    if texts.count(STDIN) > 1:
        raise UsageError("- is given twice: stdin can be read only once")
    chosen: list[Path] = []
    for text in texts:
        names = runs_from_stdin(stdin) if text == STDIN else [text]
        chosen += [resolve_run(name, data_dir) for name in names]
    for path in arguments.run_dir:
        if not path.is_dir():
            raise MissingFile("no such run directory", path=path)
        chosen.append(path)
    return list(dict.fromkeys(chosen))


def data_dir_of(flag: Path | None, environment: Mapping[str, str]) -> Path:
    """Return the data directory: the environment wins over `--data-dir`, that over ./data.

    Raises `UsageError` if both spellings of the variable are set and differ.
    """
    values = [environment[name] for name in DATA_DIR_VARIABLES if environment.get(name)]
    if len(set(values)) > 1:
        raise UsageError(
            f"{DATA_DIR_VARIABLES[0]} and {DATA_DIR_VARIABLES[1]} are both set and differ",
            expected=values[0],
            found=values[1],
        )
    if values:
        return Path(values[0])
    return Path(DATA_DIR) if flag is None else flag


def resolve_run(text: str, data_dir: Path) -> Path:
    """Return the run directory that a text names: a directory, a run id, a unique prefix, or `@last`.

    `@last` is the run whose manifest was written last. Raises `MissingFile` where there is none,
    `UsageError` where a prefix fits several.
    """
    if text == LAST:
        return _last(data_dir)
    if not text:
        raise UsageError("an empty text names no run")
    # Not `Path.is_dir`: for a name that is too long, say, that raises.
    if os.path.isdir(text):
        return Path(text)
    runs = runs_dir(data_dir)
    names = _run_names(runs)
    if text in names:
        return runs / text
    fitting = [name for name in names if name.startswith(text)]
    if not fitting:
        if os.path.isfile(text):
            raise MissingFile(
                "this is a file, and a run is a directory (`pm-verify --frames FILE` takes a file)",
                path=Path(text),
            )
        raise MissingFile(
            f"{text!r} is neither a directory nor the beginning of a run id here", path=runs
        )
    if len(fitting) > 1:
        shown = ", ".join(fitting[:5]) + (", …" if len(fitting) > 5 else "")
        raise UsageError(f"{text!r} fits {len(fitting)} runs: {shown}", path=runs)
    return runs / fitting[0]


def runs_from_stdin(stream: TextStream) -> list[str]:
    """Return the lines of a stream as texts that name runs, after its end; empty lines are passed over.

    The first SIGINT meanwhile is not for us: in `pm-capture | pm-verify` it tells pm-capture to stop, and
    we are still to do our work. Raises `UsageError` if nothing came.
    """
    with first_interrupt_ignored():
        return list(names_from_stdin(stream))


def names_from_stdin(stream: TextStream) -> Iterator[str]:
    """Yield each line of a stream as a text that names a run, at once; see `runs_from_stdin`."""
    named = False
    while line := stream.readline(LINE_MAX):
        if len(line) >= LINE_MAX:
            raise UsageError(
                "a line on stdin is too long to name a run", expected=LINE_MAX, found=len(line)
            )
        if name := line.strip("\r\n").strip():
            named = True
            yield name
    if not named:
        raise UsageError("stdin ended without naming a run")


def wants_json(arguments: Namespace, stdout: Terminal) -> bool:
    """Return whether the output is for a machine: `--json` was given, or stdout is not a terminal."""
    return bool(getattr(arguments, "json", False)) or not stdout.isatty()


@contextmanager
def first_interrupt_ignored() -> Iterator[None]:
    """Leave the first SIGINT to the program that we read from; the next one is ours."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers, and only it is interrupted
        return

    def first(number: int, frame: FrameType | None) -> None:
        signal.signal(signal.SIGINT, before)

    before = signal.getsignal(signal.SIGINT)
    if before in (None, signal.SIG_IGN):  # foreign, or a background job: leave it
        yield
        return
    signal.signal(signal.SIGINT, first)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


def _run_names(runs: Path) -> list[str]:
    try:
        return sorted(path.name for path in runs.iterdir() if path.is_dir())
    except (FileNotFoundError, NotADirectoryError):
        return []


def _last(data_dir: Path) -> Path:
    runs = runs_dir(data_dir)
    newest: tuple[int, str] | None = None
    for name in _run_names(runs):
        try:
            written = (runs / name / MANIFEST).stat().st_mtime_ns
        except OSError:
            continue
        if newest is None or (written, name) > newest:
            newest = (written, name)
    if newest is None:
        raise MissingFile(f"{LAST}: there is no run with a manifest", path=runs)
    return runs / newest[1]


class TimePoint(NamedTuple):
    """A point in time: nanoseconds of UTC since 1970, or from the start of the run if `relative`."""

    ns: int
    relative: bool


_UNIT_NS: Final = {
    "ns": 1,
    "us": 10**3,
    "ms": 10**6,
    "s": 10**9,
    "m": 60 * 10**9,
    "h": 3600 * 10**9,
    "d": 86400 * 10**9,
}
_PART = re.compile(r"(\d+)(?:\.(\d{1,18}))?(ns|us|ms|s|m|h|d)", re.ASCII)
_RFC3339 = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)[Tt ](\d\d):(\d\d):(\d\d)(?:\.(\d{1,9}))?(?:([Zz])|([+-])(\d\d):(\d\d))",
    re.ASCII,
)


def parse_time(text: str) -> TimePoint:
    """Return the point that a text names.

    `2026-11-21T04:42:00.5Z` (RFC 3339, up to nine decimals, with a zone), a bare integer (nanoseconds of
    UTC), or `+1h30m`, `+1.5s`, `+250ms` (from the start of the run). Exact integers throughout. Raises
    `UsageError`.
    """
    if text.isascii() and text.isdecimal():
        return TimePoint(int(text), relative=False)
    if text.startswith("+"):
        return TimePoint(parse_duration(text[1:]), relative=True)
    match = _RFC3339.fullmatch(text)
    if match is None:
        raise UsageError(
            "not a time", expected="RFC 3339 with a zone, nanoseconds, or +5m", found=repr(text)
        )
    try:
        seconds = datetime(*(int(match[i]) for i in range(1, 7)), tzinfo=UTC)  # type: ignore[arg-type, misc]
    except ValueError as error:
        raise UsageError(f"not a time: {error}", found=repr(text)) from error
    offset = 0
    if match[9]:
        hours, minutes = int(match[10]), int(match[11])
        if hours > 23 or minutes > 59:
            raise UsageError("not a zone", expected="at most 23:59", found=repr(text))
        offset = (hours * 60 + minutes) * (60 if match[9] == "+" else -60)
    since = seconds - datetime(1970, 1, 1, tzinfo=UTC)
    whole = since.days * 86400 + since.seconds - offset
    return TimePoint(whole * 10**9 + int((match[7] or "").ljust(9, "0")), relative=False)


def parse_duration(text: str) -> int:
    """Return the nanoseconds of `1h30m`, `1.5s`, `250ms`; raise `UsageError`, also for parts of one ns."""
    total = 0
    end = 0
    while match := _PART.match(text, end):
        unit = _UNIT_NS[match[3]]
        total += int(match[1]) * unit
        if match[2]:
            part, rest = divmod(int(match[2]) * unit, 10 ** len(match[2]))
            if rest:
                raise UsageError("finer than one nanosecond", found=repr(text))
            total += part
        end = match.end()
    if not text or end != len(text):
        raise UsageError("not a duration", expected="such as 5m, 1h30m, 1.5s", found=repr(text))
    return total
