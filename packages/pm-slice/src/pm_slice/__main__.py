"""pm-slice, pm-merge and pm-archive: the shells around the modules of those names."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from pm_frames.command import (
    BROKEN_PIPE,
    ExitCode,
    UsageError,
    chosen_runs,
    data_dir_of,
    run_arguments,
    wants_json,
)
from pm_frames.errors import BundleError
from pm_frames.selection import Selection, selection_arguments, selection_of
from pm_slice.asked import asked_for, window_arguments

INTERRUPTED = 130
SLICE_EPILOG = """\
The slice is a sealed bundle that every tool takes, made of the frames as they are. A frame that carries
several tokens is kept whole if one of them was chosen; frames that carry none (PONG, new_market) are kept
too. Before the window stand the frames since each token's last book: readers take them in silently.
--from/--to and --frames leave their end out, --end-mono-ns and --end-offset include it. Without a window,
what was chosen of the whole run. The name of the slice's folder goes to standard output.

exit codes: 0 done; 2 usage or missing input; 3 done, but what is damaged in the run was left out (it is listed
in slice.json; pm-verify tells more); 4 manifest or universe damaged; 5 the disk refuses

  pm-slice @last --from +5m --to +10m --market will-it-rain
  pm-slice monday --start-mono-ns 5000000000 --end-mono-ns 6000000000 --out part
  pm-slice monday --shard 3 --frames 1000:2000 | pm-verify
"""
MERGE_EPILOG = """\
Parts are slices of one run, or runs of one boot over one universe (pm-capture --shard-range). Frames keep
their stamps and their order; shards keep their numbers where they are all different. Runs of several
boots or machines have no common receive clock: --list shows them in one order, by wall time. Refused as well,
but listed: runs whose universe was refreshed, and runs of which some runlogs name the subscribed tokens and others
do not, because books of a bundle are judged by one rule.

exit codes: 0 done; 2 usage, or parts that cannot be one bundle; 3 done, but a token is in several parts;
4 corruption; 5 the disk refuses

  pm-merge runs/a runs/b --out runs/both
  pm-merge runs/a runs/b --list | head
"""
ARCHIVE_EPILOG = """\
Each .frames file becomes a .frames.zst, which every tool opens as it is and any zstd program unpacks. The
original is removed after the archive has given back, byte for byte, what the seal states; --restore brings
it back. SHA256SUMS names the uncompressed files: sha256sum --check works again after --restore.

exit codes: 0 done; 2 usage, zstd missing, or another pm-archive at work; 3 the run is not sealed; 4 a file is
not what was sealed; 5 the disk refuses

  pm-archive monday
  pm-archive monday --restore
"""


class ShowVersion(argparse.Action):
    """Look the version up only when it is asked for: the lookup costs more than all of --help."""

    def __init__(self, option_strings: Sequence[str], dest: str, **settings: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **settings)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"{parser.prog} {version('pm-slice')}")
        parser.exit()


def make_parser(prog: str, description: str, epilog: str) -> argparse.ArgumentParser:
    """Return what the three programs have in common."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=ShowVersion, help="print the version and exit")
    run_arguments(parser)
    parser.add_argument("--json", action="store_true", help="print JSON, also on a terminal")
    return parser


def force_argument(parser: argparse.ArgumentParser) -> None:
    """Let what a program makes replace what it made before."""
    parser.add_argument(
        "--force",
        action="store_true",
        help="replace a slice or a merged bundle that is there; never a captured run, or what it is made of",
    )


def clocks() -> tuple[int, int]:
    """Return both clocks in nanoseconds, the monotonic one first."""
    return time.perf_counter_ns(), time.time_ns()


def runs_of(options: argparse.Namespace) -> list[Path]:
    """Return the runs that the command line or stdin names."""
    return chosen_runs(options, stdin=sys.stdin, environment=os.environ)


def one_run(options: argparse.Namespace) -> Path:
    """Return the one run that is named."""
    runs = runs_of(options)
    if len(runs) > 1:
        raise UsageError("one run at a time", found=[str(run) for run in runs])
    return runs[0]


def guarded(prog: str, work: Callable[[], int]) -> int:
    """Run a program's work and turn what may go wrong into its exit code."""
    try:
        code = work()
        sys.stdout.flush()
        return code
    except BundleError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:  # who read us has left
        _discard_output()
        return BROKEN_PIPE
    except OSError as error:
        if error.filename is None:  # no file of a bundle: standard output
            _discard_output()
            print(f"{prog}: cannot write the output: {error.strerror}", file=sys.stderr)
            return ExitCode.WRITE_ERROR
        # Files that are written say so themselves.
        print(f"{prog}: cannot read {error.filename}: {error.strerror}", file=sys.stderr)
        return ExitCode.USAGE
    except KeyboardInterrupt:
        return INTERRUPTED


def _discard_output() -> None:
    """Send what still waits nowhere; without this, Python would complain when it flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def slice_parser() -> argparse.ArgumentParser:
    """Return the command line of pm-slice."""
    parser = make_parser(
        "pm-slice", "Cut a window out of a run bundle, as a bundle that starts warm.", SLICE_EPILOG
    )
    window_arguments(parser)
    parser.add_argument(
        "--shard", action="append", default=[], type=int, metavar="N", help="a shard; repeatable"
    )
    selection_arguments(parser)
    parser.add_argument(
        "--out", "--out-dir", type=Path, metavar="DIR",
        help="where the slice is made (default DATA_DIR/slices/SLICE_ID); must not exist",
    )  # fmt: skip
    force_argument(parser)
    parser.add_argument("--slice-id", metavar="ID", help="its name (default: run and window)")
    return parser


def slice_main(argv: list[str] | None = None) -> int:
    """Cut a slice; return the exit code."""
    options = slice_parser().parse_args(argv)
    return guarded("pm-slice", lambda: _slice(options))


def _slice(options: argparse.Namespace) -> int:
    from pm_slice.cut import Slicer, Wish, slice_path

    asked, selection = asked_for(options), selection_of(options)
    if asked.kind == "all" and not options.shard and selection == Selection():
        raise UsageError("no window and nothing chosen: a slice would be the whole run")
    wish = Wish(asked, tuple(options.shard), selection)
    slicer = Slicer(one_run(options), wish)
    try:
        slice_id = options.slice_id or (options.out and options.out.name) or slicer.default_id()
        target = slice_path(data_dir_of(options.data_dir, os.environ), slice_id)
        out = options.out or target
        outcome = slicer.cut(out, slice_id, clocks=clocks, replaces=options.force)
    finally:
        slicer.close()
    for lost in outcome.unsound[:10]:
        print(f"pm-slice: not sound, left out: {json.dumps(lost)}", file=sys.stderr)
    print(
        f"pm-slice: {outcome.frames - outcome.lead_in_frames} frames, and {outcome.lead_in_frames} "
        f"before them; {outcome.unsound_count} places were not sound",
        file=sys.stderr,
    )
    if options.json:
        print(json.dumps({"slice_dir": str(outcome.path), **outcome.as_json()}))
    else:
        print(outcome.path)
    return ExitCode.FINDINGS if outcome.unsound_count else ExitCode.OK


def archive_parser() -> argparse.ArgumentParser:
    """Return the command line of pm-archive."""
    parser = make_parser(
        "pm-archive", "Compress the frames of a sealed run; readers do not notice.", ARCHIVE_EPILOG
    )
    parser.add_argument("--restore", action="store_true", help="bring the .frames files back")
    parser.add_argument(
        "--level", type=int, default=9, metavar="N", help="of zstd, 1 to 19 (default 9)"
    )
    return parser


def archive_main(argv: list[str] | None = None) -> int:
    """Archive or restore runs; return the exit code."""
    options = archive_parser().parse_args(argv)
    return guarded("pm-archive", lambda: _archive(options))


def _archive(options: argparse.Namespace) -> int:
    from pm_frames.archive import archive, restore

    if not 1 <= options.level <= 19:
        raise UsageError("--level", expected="1 to 19", found=options.level)
    for run in runs_of(options):
        steps = restore(run) if options.restore else archive(run, level=options.level)
        shards = [step._asdict() for step in steps]
        plain, packed = (
            sum(step[name] for step in shards) for name in ("frames_bytes", "archived_bytes")
        )
        if wants_json(options, sys.stdout):
            print(json.dumps({"run_dir": str(run), "restored": options.restore, "shards": shards}))
        else:
            print(f"{run}: {len(shards)} shards, {plain} bytes of frames, {packed} archived")
        sys.stdout.flush()
    return ExitCode.OK


def merge_parser() -> argparse.ArgumentParser:
    """Return the command line of pm-merge."""
    parser = make_parser(
        "pm-merge", "Put bundles together: into one bundle, or into one view.", MERGE_EPILOG
    )
    parser.add_argument("--out", type=Path, metavar="DIR", help="where the bundle is made")
    force_argument(parser)
    parser.add_argument("--run-id", metavar="ID", help="its run id (default: that of the parts)")
    parser.add_argument(
        "--list",
        action="store_true",
        help="print every frame with its source as JSON Lines instead",
    )
    return parser


def merge_main(argv: list[str] | None = None) -> int:
    """Merge bundles; return the exit code."""
    options = merge_parser().parse_args(argv)
    return guarded("pm-merge", lambda: _merge(options))


def _merge(options: argparse.Namespace) -> int:
    from pm_slice.merge import join
    from pm_slice.view import listed

    runs = runs_of(options)
    if options.list == (options.out is not None):
        raise UsageError("give --out DIR for a bundle, or --list for a view")
    if options.list:
        for line in listed(runs):
            print(json.dumps(line))
        return ExitCode.OK
    merged = join(runs, options.out, run_id=options.run_id, clocks=clocks, replaces=options.force)
    for note in merged.notes:
        print(f"pm-merge: {note}", file=sys.stderr)
    if options.json:
        print(json.dumps(merged.as_json()))
    else:
        print(merged.path)
    return ExitCode.FINDINGS if merged.notes else ExitCode.OK


if __name__ == "__main__":
    sys.exit(slice_main())
