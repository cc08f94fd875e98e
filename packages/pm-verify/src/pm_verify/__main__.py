"""pm-verify: is every byte of a run what was written? The shell around `pm_verify.verify`."""

import argparse
import json
import os
import sys
from collections.abc import Iterator, Sequence
from io import BufferedReader
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pm_frames.command import (
    BROKEN_PIPE,
    STDIN,
    ExitCode,
    UsageError,
    chosen_runs,
    run_arguments,
    severest,
    wants_json,
)
from pm_frames.errors import BundleError

if TYPE_CHECKING:
    from pm_verify.report import Report
    from pm_verify.shell import Shell

MAGIC_START = b"PMCAPv0"
INTERRUPTED = 130
EPILOG = """\
Without RUN, run directories are read as lines from standard input. If the bytes of a .frames file come
from there instead, they are verified by themselves.

modes say what a reader is going to do with the run, and so what counts:
  strict         everything (the default)
  tolerate-tail  what a kill or a power cut leaves does not count
  point-in-time  up to an instant before the first damage, in all shards; the report names it
  salvage        every frame that can be proved, and holes between them

exit codes: 0 every byte is what was written (or nothing counts in the mode); 2 usage, or nothing there
to verify; 3 tolerable (torn tail, unsealed, still running, fatal run, index missing or short; in the
last two modes everything that only loses frames); 4 corruption, or a format that is not known here.
Of several runs the severest. docs/spec/findings.md explains the codes of the findings.
--repair: 0 nothing was lost, or nothing to do; 3 something was left out, repair.json says what; 2 the
run is being written, or OUT exists; 4 not repairable in the mode (without --mode: salvage); 5 OUT
cannot be written.

  pm-verify @last
  pm-capture --run-id monday | pm-verify
  pm-verify --summary-only data/runs/monday
  pm-verify --live --for 10s @last
  pm-verify --repair data/runs/monday-repaired data/runs/monday
  pm-verify - < shard_00.frames
"""


class FramesOnStdin(Exception):
    """Standard input carries frames, not the names of runs."""


class Lines:
    """Standard input as lines of names, unless frames come: told by their first bytes."""

    def __init__(self, buffer: BufferedReader) -> None:
        self._buffer = buffer
        self._looked = False

    def isatty(self) -> bool:
        return self._buffer.isatty()

    def readline(self, size: int = -1, /) -> str:
        if not self._looked:
            self._looked = True
            start = self._buffer.peek(len(MAGIC_START))
            # No name has a zero byte; every header has one, whatever else happened to it.
            begun = start[: len(MAGIC_START)]
            if (begun and MAGIC_START.startswith(begun)) or b"\0" in start:
                raise FramesOnStdin
        return os.fsdecode(self._buffer.readline(size))


class ShowVersion(argparse.Action):
    """Look the version up only when it is asked for: the lookup costs more than all of --help."""

    def __init__(self, option_strings: Sequence[str], dest: str, **settings: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **settings)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"pm-verify {version('pm-verify')}")
        parser.exit()


def make_parser() -> argparse.ArgumentParser:
    """Return the command line of pm-verify."""
    parser = argparse.ArgumentParser(
        prog="pm-verify",
        description="Verify that every byte of a run bundle is what was written, "
        "and name the first that is not.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=ShowVersion, help="print the version and exit")
    run_arguments(parser)
    parser.add_argument("--frames", type=Path, metavar="FILE", help="a .frames file, of no run")
    parser.add_argument("--idx", type=Path, metavar="FILE", help="the .idx file that belongs to it")
    parser.add_argument(
        "--mode",
        choices=("strict", "tolerate-tail", "point-in-time", "salvage"),
        help="what counts, see below (default strict; for --repair salvage)",
    )
    parser.add_argument(
        "--quick", action="store_true", help="structure and headers only: no payloads, no digests"
    )
    parser.add_argument(
        "--live",
        action="store_true",
        help="follow a run that is being written until it ends, then verify it as a whole",
    )
    parser.add_argument(
        "--for",
        dest="live_for",
        metavar="DURATION",
        help="with --live: end after 10s, 5m, 1h (0s: one look)",
    )
    parser.add_argument(
        "--repair",
        type=Path,
        metavar="OUT",
        help="make a sound run of a damaged or unsealed one, in the new directory OUT",
    )
    parser.add_argument(
        "--jobs",
        type=int,
        metavar="N",
        help="processes that read shards side by side (default: as many as help, up to the cores)",
    )
    parser.add_argument(
        "--summary-only", action="store_true", help="print only the totals, as JSON"
    )
    parser.add_argument("--quiet", action="store_true", help="print nothing; the exit code tells")
    parser.add_argument("--json", action="store_true", help="print JSON, also on a terminal")
    return parser


def reports(options: argparse.Namespace, shell: "Shell") -> Iterator["Report"]:
    """Yield a report for everything that the command line names. Raises BundleError."""
    from pm_verify.verify import verify_files, verify_stream

    if options.frames is not None:
        if options.runs or options.run_dir:
            raise UsageError("--frames is about a file, RUN and --run-dir about a run: give one")
        if options.live or options.quick:
            raise UsageError("--live and --quick are about runs: name one")
        yield shell.weighed(verify_files(options.frames, options.idx))
        return
    if options.idx is not None:
        raise UsageError("--idx belongs to --frames")
    stdin = sys.stdin.buffer
    assert isinstance(stdin, BufferedReader)
    try:
        runs = chosen_runs(options, stdin=Lines(stdin), environment=os.environ)
    except FramesOnStdin:
        if options.runs not in ([], [STDIN]) or options.run_dir:
            raise UsageError(
                "frames on stdin are verified alone: name no run beside them"
            ) from None
        yield shell.weighed(verify_stream(stdin))
        return
    if options.live and len(runs) > 1:
        raise UsageError("--live follows one run", found=len(runs))
    for run in runs:
        yield shell.follow(run) if options.live else shell.verify(run)


def check_options(options: argparse.Namespace) -> None:
    """Raise UsageError for flags that do not go together."""
    if options.jobs is not None and options.jobs < 1:
        raise UsageError(
            "--jobs is a number of processes", expected="at least 1", found=options.jobs
        )
    if options.live_for is not None and not options.live:
        raise UsageError("--for belongs to --live")
    if options.repair is not None:
        if options.frames or options.idx or options.live or options.quick:
            raise UsageError(
                "--repair is about a run as a whole, without --frames, --live, --quick"
            )


def repair(options: argparse.Namespace, shell: "Shell") -> int:
    """Repair the one run that is named; return the exit code. Raises BundleError."""
    stdin = sys.stdin.buffer
    assert isinstance(stdin, BufferedReader)
    try:
        runs = chosen_runs(options, stdin=Lines(stdin), environment=os.environ)
    except FramesOnStdin:
        raise UsageError("--repair is about a run, not about frames on stdin") from None
    if len(runs) != 1:
        raise UsageError("--repair makes one run of one", found=len(runs))
    done = shell.repair(runs[0], options.repair)
    if not options.quiet:
        if options.summary_only or wants_json(options, sys.stdout):
            print(json.dumps(done.as_json()))
        else:
            print(done.sentence())
        sys.stdout.flush()
    return done.exit_code


def show(report: "Report", options: argparse.Namespace, *, first: bool) -> None:
    """Print a report in the form that was asked for."""
    from pm_verify.report import page

    if options.quiet:
        return
    if options.summary_only:
        print(json.dumps(report.summary_json()))
    elif wants_json(options, sys.stdout):
        print(json.dumps(report.as_json()))
    else:
        print(*([] if first else [""]), *page(report), sep="\n")
    sys.stdout.flush()


def main(argv: list[str] | None = None) -> int:
    """Verify or repair what the command line names; return the severest exit code."""
    options = make_parser().parse_args(argv)
    codes: list[int] = []
    try:
        check_options(options)
        from pm_verify.shell import Shell

        shell = Shell(options)
        if options.repair is not None:
            return repair(options, shell)
        for report in reports(options, shell):
            first = not codes
            codes.append(report.exit_code)
            show(report, options, first=first)
    except BundleError as error:
        print(f"pm-verify: {error}", file=sys.stderr)
        codes.append(error.exit_code)
    except BrokenPipeError:
        # Who read us has left; without this, Python would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:
        if error.filename is not None:
            raise  # no file of a run gets here, so this is a bug
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        print(f"pm-verify: cannot write the output: {error.strerror}", file=sys.stderr)
        codes.append(ExitCode.WRITE_ERROR)
    except KeyboardInterrupt:
        return INTERRUPTED
    return severest(codes)


if __name__ == "__main__":
    sys.exit(main())
