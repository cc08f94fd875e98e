"""The command line: `pm-universe discover` and `pm-universe resolutions`."""

import argparse
import sys
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from .arguments import parser
from .streams import print_all, tell

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from .discover import Discovery
    from .generation import Delta, Since
    from .http import Patience
    from .selection import Wanted
    from .universe_file import UniverseFile


def main(argv: list[str] | None = None) -> int:
    """Run the program; return its exit code."""
    usage = parser()
    arguments = usage.parse_args(argv)
    try:
        if arguments.command == "resolutions":
            return _resolutions(arguments)
        return _discover(arguments, usage)
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain once more when it exits.
        sys.stdout = None
        from pm_frames.command import BROKEN_PIPE

        return BROKEN_PIPE
    except OSError as error:
        if error.filename is not None:
            raise  # files say themselves what is wrong with them, so this is a bug
        from pm_frames.command import ExitCode

        sys.stdout = None  # Python would complain once more when it exits
        tell(f"pm-universe: cannot write the output: {error.strerror}")
        return ExitCode.WRITE_ERROR
    except KeyboardInterrupt:
        return 130


def _discover(arguments: argparse.Namespace, usage: argparse.ArgumentParser) -> int:
    import time

    from .chain import read_since
    from .errors import UniverseError
    from .generation import diff, encode_generation
    from .publish import publish, refuse_taken
    from .universe_file import Circumstances, describe

    if arguments.end_with_stdin:
        from .lifeline import end_with_stdin

        end_with_stdin()
    wanted = _wanted(arguments, usage)
    out: Path | None = arguments.out
    content: bytes | None = None
    try:
        refuse_taken(out, force=arguments.force)
        since = None if arguments.since is None else read_since(arguments.since)
        found = _run(arguments, wanted, since)
        how = Circumstances(
            gamma_base_url=arguments.gamma_base_url,
            pages=found.pages,
            created_wall_ns_utc=time.time_ns(),
            # The clock that pm-capture stamps frames with.
            created_mono_ns=time.perf_counter_ns(),
            sweep=found.sweep,
        )
        generation: UniverseFile | Delta
        if since is None:
            generation, is_changed = describe(found.selection, wanted, how), True
        else:
            generation = diff(since, found.selection, wanted, how)
            is_changed = not generation.is_empty
        if out is None or is_changed:
            content = encode_generation(generation)
        if out is not None and content is not None:
            publish(out, content, force=arguments.force)
    except UniverseError as error:
        tell(f"pm-universe: {error}")
        return error.exit_code
    for note in _notes(arguments, found):
        tell(f"pm-universe: {note}")
    if out is not None:
        from .report import report

        print_all(report(generation, found, content, out))
    elif content is not None:
        _show(arguments, generation, found, content)
    return 0


def _resolutions(arguments: argparse.Namespace) -> int:
    import os
    import time

    from pm_frames.bundle import open_bundle
    from pm_frames.command import data_dir_of, resolve_run
    from pm_frames.errors import BundleError

    from .errors import UniverseError
    from .publish import publish, refuse_taken
    from .report import resolutions_report
    from .resolutions_file import VERSION, ResolutionsFile, counted, encode
    from .resolve import known_markets, resolve

    out: Path | None = arguments.out
    try:
        refuse_taken(out, force=arguments.force)
        run = resolve_run(arguments.run, data_dir_of(arguments.data_dir, os.environ))
        bundle = open_bundle(run, empty_ok=True)
        known = known_markets(bundle)
        with _watched("markets found") as progress:
            found = resolve(
                known.rows,
                arguments.gamma_base_url,
                now_wall_ns=time.time_ns,
                page_limit=arguments.page_limit,
                patience=_patience(arguments),
                user_agent=_user_agent(),
                progress=progress,
            )
        document = ResolutionsFile(
            resolutions_version=VERSION,
            run_id=bundle.run_id,
            universe_version=known.universe_version,
            universe_sha256=known.universe_sha256,
            created_wall_ns_utc=time.time_ns(),
            gamma_base_url=arguments.gamma_base_url,
            gamma_pages_fetched=found.pages,
            counts=counted(found.markets),
            markets=found.markets,
        )
        content = encode(document)
        if out is not None:
            publish(out, content, force=arguments.force)
    except (UniverseError, BundleError) as error:
        tell(f"pm-universe: {error}")
        return error.exit_code
    for note in found.notes:
        tell(f"pm-universe: {note}")
    print_all(
        content.decode() if out is None else resolutions_report(document, found, content, out)
    )
    return 0


@contextmanager
def _watched(what: str) -> "Iterator[Callable[[int, int], None] | None]":
    """Show progress on a terminal, and clear it away in the end."""
    if not sys.stderr.isatty():
        yield None
        return
    try:
        yield lambda pages, count: tell(f"\r{pages} pages, {count} {what} ", end="")
    finally:
        tell("\r\033[K", end="")


def _wanted(arguments: argparse.Namespace, usage: argparse.ArgumentParser) -> "Wanted":
    import re

    from .selection import Wanted

    pattern: str | None = arguments.market_regex
    if pattern is not None:
        try:
            re.compile(pattern, re.IGNORECASE)
        except (re.error, OverflowError, RecursionError) as error:
            usage.error(f"argument --market-regex: {pattern!r} is no regular expression: {error}")
    elif arguments.capture_use_market_filters:
        usage.error("--capture-use-market-filters needs --market-regex")
    if arguments.sweep == "recent" and arguments.since is None:
        usage.error("--sweep recent needs --since")
    return Wanted(
        max_markets=arguments.max_markets,
        events=tuple(dict.fromkeys(arguments.event)),
        markets=tuple(dict.fromkeys(arguments.market)),
        market_regex=pattern if arguments.capture_use_market_filters else None,
    )


def _run(arguments: argparse.Namespace, wanted: "Wanted", since: "Since | None") -> "Discovery":
    from .discover import discover

    with _watched("markets") as progress:
        return discover(
            arguments.gamma_base_url,
            wanted,
            since=None if since is None else since.universe,
            sweep=arguments.sweep,
            page_limit=arguments.page_limit,
            patience=_patience(arguments),
            user_agent=_user_agent(),
            progress=progress,
        )


def _user_agent() -> str:
    return f"pm-universe/{version('pm-universe')}"


def _patience(arguments: argparse.Namespace) -> "Patience":
    import stamina.instrumentation

    from .http import Patience

    def retrying(details: stamina.instrumentation.RetryDetails) -> None:
        tell(f"pm-universe: retry in {details.wait_for:.1f} s: {details.caused_by}")

    stamina.instrumentation.set_on_retry_hooks([retrying])
    return Patience(
        page_timeout_seconds=arguments.timeout_seconds,
        total_timeout_seconds=arguments.total_timeout_seconds,
        attempts=arguments.retries + 1,
    )


def _notes(arguments: argparse.Namespace, found: "Discovery") -> list[str]:
    notes = list(found.notes)
    selection = found.selection
    if arguments.market_regex is not None and not arguments.capture_use_market_filters:
        notes.append("--market-regex is ignored without --capture-use-market-filters")
    if selection.not_found:
        notes.append(f"not found or not active: {', '.join(selection.not_found)}")
    if selection.over_cap:
        split = f"; {selection.events_split} events are not whole" if selection.events_split else ""
        notes.append(f"{len(selection.over_cap)} markets dropped by --max-markets{split}")
    return notes


def _show(
    arguments: argparse.Namespace,
    generation: "UniverseFile | Delta",
    found: "Discovery",
    content: bytes,
) -> None:
    from . import table
    from .universe_file import UniverseFile

    is_read_by_eyes = sys.stdout.isatty() and not arguments.tsv
    if arguments.json:
        print_all(content.decode())
        return
    if not isinstance(generation, UniverseFile):
        print_all(table.lines(table.changes(generation, found.selection)))
    elif is_read_by_eyes:
        import shutil

        width = shutil.get_terminal_size().columns
        print_all(table.lines(table.table(found.selection.selected, width=width)))
    else:
        print_all(table.lines(table.tsv(found.selection)))
    if is_read_by_eyes:
        tell(table.summary(found.selection, pages=found.pages))


if __name__ == "__main__":
    sys.exit(main())
