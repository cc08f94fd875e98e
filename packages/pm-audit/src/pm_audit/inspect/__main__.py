"""pm-inspect: look inside a run bundle. The shell around `pm_audit.inspect`."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

from pm_audit.command_shell import Shell, guarded
from pm_audit.inspect import command_line
from pm_frames.command import (
    LINE_MAX,
    STDIN,
    ExitCode,
    UsageError,
    chosen_runs,
    data_dir_of,
    parse_time,
    resolve_run,
    severest,
    wants_json,
)

if TYPE_CHECKING:
    from pm_audit.inspect.chosen_frames import Chosen

POLL_SECONDS = 0.1  # how often a growing bundle is looked at


def main(argv: list[str] | None = None) -> int:
    """Show what the command line names; return the exit code."""
    argv = sys.argv[1:] if argv is None else argv
    verbs = {"ls": _ls, "cat": _cat, "tail": _tail}
    shell = Shell(sys.stdin, sys.stdout, sys.stderr, os.environ)

    def work(codes: list[ExitCode]) -> None:
        named = verbs.get(argv[0]) if argv else None
        code = named(argv[1:]) if named else _summary(argv)
        sys.stdout.flush()
        codes.append(ExitCode(code))

    return guarded("pm-inspect", shell, work)


def _summary(argv: list[str]) -> int:
    options = command_line.summary_parser().parse_args(argv)
    from pm_audit.inspect.pages import summary_page
    from pm_audit.inspect.summary import inspect_run

    codes = []
    for number, run in enumerate(_runs(options)):
        summary = inspect_run(run)
        codes.append(summary["exit_code"])
        if wants_json(options, sys.stdout):
            print(json.dumps(summary))
        else:
            print(*([""] if number else []), *summary_page(summary), sep="\n")
    return severest(codes)


def _ls(argv: list[str]) -> int:
    options = command_line.ls_parser().parse_args(argv)
    from pm_audit.inspect.listing import list_run, runs_of
    from pm_audit.inspect.pages import listing_page

    rows = map(list_run, runs_of(options.names, data_dir_of(options.data_dir, os.environ)))
    lines: Iterable[str]
    lines = map(json.dumps, rows) if wants_json(options, sys.stdout) else listing_page(rows)
    for line in lines:
        print(line)
    return ExitCode.OK


def _cat(argv: list[str]) -> int:
    options = command_line.cat_parser().parse_args(argv)
    from pm_audit.inspect.chosen_frames import Choice, chosen_frames, parse_ordinals, tokens_of
    from pm_frames.bundle import open_bundle
    from pm_frames.selection import selection_of

    for run in _runs(options):
        bundle = open_bundle(run, empty_ok=True)
        choice = Choice(
            shards=frozenset(options.shard) if options.shard else None,
            tokens=tokens_of(bundle, selection_of(options)),
            since=None if options.since is None else parse_time(options.since),
            before=None if options.before is None else parse_time(options.before),
            ordinals=None if options.frames is None else parse_ordinals(options.frames),
        )
        _write(chosen_frames(bundle, choice), _format(options))
    return ExitCode.OK


def _tail(argv: list[str]) -> int:
    options = command_line.tail_parser().parse_args(argv)
    from pm_audit.inspect.chosen_frames import shards_of, tokens_of
    from pm_audit.inspect.follow import Follower
    from pm_frames.bundle import RunState, open_bundle
    from pm_frames.selection import selection_of

    runs = [_first_run_on_stdin(options)] if _from_stdin(options) else _runs(options)
    if len(runs) != 1:
        raise UsageError("tail takes one run", found=len(runs))
    bundle = open_bundle(runs[0], empty_ok=True)
    shards = frozenset(options.shard) if options.shard else None
    if not options.follow:
        shards_of(bundle, shards)  # one that a growing run gains later is worth waiting for
    follower = Follower(bundle.path, shards=shards, tokens=tokens_of(bundle, selection_of(options)))
    encode = _format(options)
    _write(follower.last(options.lines), encode)
    while options.follow:
        # `ended` is of the round that was read: what came before the lock went is still read once.
        ended = follower.ended
        _write(follower.round(), encode)
        if ended:
            break
        time.sleep(POLL_SECONDS)
    state = bundle.state()
    if options.follow and state is not RunState.ENDED:
        print(f"pm-inspect: the run is over without a seal: {state}", file=sys.stderr)
        return ExitCode.FINDINGS
    return ExitCode.OK


def _write(chosen: Iterable["Chosen"], encode: Callable[["Chosen"], bytes]) -> None:
    out = sys.stdout.buffer
    for one in chosen:
        out.write(encode(one))
    out.flush()


def _format(options: argparse.Namespace) -> Callable[["Chosen"], bytes]:
    from pm_audit.inspect.frame_formats import FORMATS

    default = "ndjson" if wants_json(options, sys.stdout) else "table"
    name = options.format or default
    if options.json and name != "ndjson":
        raise UsageError(f"--json and --format {name} ask for different things")
    if name == "raw" and sys.stdout.isatty():
        raise UsageError("raw payloads are not for a terminal: use --format hex, or a pipe")
    return FORMATS[name]


def _runs(options: argparse.Namespace) -> list[Path]:
    return chosen_runs(options, stdin=sys.stdin, environment=os.environ)


def _from_stdin(options: argparse.Namespace) -> bool:
    return bool(options.follow and not options.run_dir and options.runs in ([], [STDIN]))


def _first_run_on_stdin(options: argparse.Namespace) -> Path:
    """Return the run of the first line at once: `pm-capture | pm-inspect tail -f` follows it live."""
    if not options.runs and sys.stdin.isatty():
        raise UsageError("no run given: name a run directory, a run id, or @last")
    name = sys.stdin.readline(LINE_MAX).strip()
    if not name:
        raise UsageError("stdin ended without naming a run")
    return resolve_run(name, data_dir_of(options.data_dir, os.environ))


if __name__ == "__main__":
    sys.exit(main())
