"""One cell of a sweep: computed in whatever process, written once, under a name that says what it is of."""

import argparse
import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, NoReturn

from pm_frames.command import UsageError
from pm_frames.errors import BundleError, WriteFailed
from pm_frames.events import CorruptEvents, open_events
from pm_sim.code_version import code_version
from pm_sim.commands.arguments import add_account_arguments, add_strategy_arguments
from pm_sim.commands.run import asked_of, engine_of, settings_of
from pm_sim.hashing import result_id
from pm_sim.lens import StrategyFailed
from pm_sim.mask import read_mask
from pm_sim.report import settings_facts, stable, summary, verdict


class Stream(NamedTuple):
    """A finished event file whose digest was checked."""

    path: Path
    sha256: str
    run_id: str | None


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise UsageError(f"the grid: {message}")


def checked_stream(path: Path) -> Stream:
    """Read a file to its end. Raises `UsageError`, `MissingFile`, `CorruptEvents`."""
    if path.is_dir():
        raise UsageError(
            "is a directory: a sweep takes a finished event file, which "
            "`pm-replay RUN --depth --events-out FILE` makes of a run",
            path=path,
        )
    with open_events(path) as reader:
        for _ in reader.blocks():
            pass
        assert reader.end is not None
        return Stream(path, reader.end.sha256.hex(), reader.header.facts.get("run_id"))


def options_of(arguments: Sequence[str]) -> argparse.Namespace:
    """Read the command line of a cell. Raises `UsageError`."""
    parser = _Parser(prog="pm-sim sweep", add_help=False, allow_abbrev=False)
    add_strategy_arguments(parser)
    add_account_arguments(parser)
    options = parser.parse_args(arguments)
    options.follow, options.print_pnl = False, True
    return options


def id_of(stream: Stream, arguments: Sequence[str]) -> str:
    """Return the result id that a cell will have: of the stream, the code, the parameters and the seed.

    Raises what reading the strategies, masks and other files of the cell raises.
    """
    options = options_of(arguments)
    asked = asked_of(options)
    if options.mask is not None:
        asked = asked._replace(mask=read_mask(options.mask, stream.run_id))
    return result_id(stream.sha256, code_version(), settings_facts(settings_of(options), asked))


def compute(stream: Stream, arguments: Sequence[str], out: Path, expected_id: str) -> None:
    """Simulate a cell and write its line; the file is there whole, or not at all.

    The digest of the stream is not checked again: END must be the same. Raises `WriteFailed`, `CorruptEvents`.
    """
    options = options_of(arguments)
    asked, settings = asked_of(options), settings_of(options)
    error: Exception | None = None
    with open_events(stream.path, verify=False) as reader:
        engine, asked = engine_of(reader, settings, asked, options, None)
        try:
            engine.run(reader.blocks())
            assert reader.end is not None
            engine.finish(reader.end)
        except (BundleError, StrategyFailed) as raised:
            error = raised
        end = reader.end
    if end is not None and end.sha256.hex() != stream.sha256:
        raise CorruptEvents(
            "the file has changed meanwhile", kind="bad_digest", path=stream.path,
            expected=stream.sha256, found=end.sha256.hex(),
        )  # fmt: skip
    if isinstance(error, BundleError):
        raise error
    line = stable(summary(engine, asked, verdict(engine, error), elapsed_ms=0))
    # A simulation that a strategy has stopped has not seen END, but it is of this stream all the same.
    line["result_id"] = expected_id
    write_once(out, expected_id, line)


def path_of(out: Path, name: str) -> Path:
    """Return where the line of a cell is."""
    return out / f"{name}.json"


def write_once(out: Path, name: str, line: dict[str, Any]) -> None:
    """Write a line under its name, all of it or nothing. Raises `WriteFailed`."""
    path = path_of(out, name)
    partial = out / f"{name}.{os.getpid()}.partial"
    try:
        partial.write_text(json.dumps(line) + "\n", encoding="utf-8", newline="\n")
        partial.replace(path)
    except OSError as error:
        raise WriteFailed(f"cannot be written: {error.strerror}", path=path) from error


def read_back(out: Path, name: str) -> dict[str, Any] | None:
    """Return the line of a cell that was computed before; None if there is none that is whole."""
    try:
        line = json.loads(path_of(out, name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return line if isinstance(line, dict) and line.get("result_id") == name else None
