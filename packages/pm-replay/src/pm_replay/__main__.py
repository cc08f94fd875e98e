"""pm-replay: run bundles as canonical events. The shell around `pm_replay.pipeline`."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pm_frames.command import (
    BROKEN_PIPE,
    ExitCode,
    UsageError,
    chosen_runs,
    data_dir_of,
    first_interrupt_ignored,
    names_from_stdin,
    parse_duration,
    parse_time,
    resolve_run,
    run_arguments,
    severest,
)
from pm_frames.errors import BundleError, WriteFailed
from pm_frames.paths import MANIFEST
from pm_frames.selection import selection_arguments, selection_of

if TYPE_CHECKING:
    from pm_frames.bundle import Bundle
    from pm_replay.following import Following
    from pm_replay.interrupt import Interrupts
    from pm_replay.pipeline import Request, Source

INTERRUPTED = 130
RUN = "{run}"  # in the name of an output
EPILOG = """\
One JSON line a run on stdout (a page on a terminal); with --events-out - the events are on stdout and the
summary is on stderr. docs/spec/events.md describes the events, docs/replay.md the summary.

  pm-replay @last
  pm-replay monday --market will-it-rain --from +5m --to +10m --events-out - --format jsonl
  pm-replay monday --events-out monday.pmev --depth
  pm-replay monday tuesday --events-out {run}.pmev
  pm-replay diff monday.pmev again.pmev

exit codes: 0 clean; 2 usage, or no such run; 3 the run is not sealed, or findings that were asked for, or
(diff) the streams differ; 4 corruption; 5 the events cannot be written; 130 stopped by SIGINT. Of several
runs the severest.
"""


class ShowVersion(argparse.Action):
    """Look the version up only when it is asked for: the lookup costs more than all of --help."""

    def __init__(self, option_strings: Sequence[str], dest: str, **settings: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **settings)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"pm-replay {version('pm-replay')}")
        parser.exit()


def make_parser() -> argparse.ArgumentParser:
    """Return the command line of pm-replay."""
    parser = argparse.ArgumentParser(
        prog="pm-replay",
        description="Replay run bundles as canonical events: exact books, causal, deterministic.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--version", action=ShowVersion, help="print the version and exit")
    run_arguments(parser)
    selection_arguments(parser)
    add("--from", dest="start", metavar="TIME", help="first moment told: RFC 3339, ns, or +5m")
    add("--to", dest="stop", metavar="TIME", help="first moment not told any more")
    add(
        "--follow",
        action="store_true",
        help="go on while the run grows, until it ends; of runs named on stdin, one after the other",
    )
    add("--max-seconds", metavar="N", help="capture time from the first frame told, such as 300")
    add("--max-events", type=_count, metavar="N", help="stop after exactly N events")
    add(
        "--events-out",
        metavar="FILE",
        help="write the events there; - is stdout, and {run} in the name stands for the name of each run",
    )
    add(
        "--format",
        choices=("pmev", "jsonl"),
        default="pmev",
        help="of the events: slots of 64 bytes, or JSON lines (default pmev)",
    )
    add("--force", action="store_true", help="write over an output that exists")
    add("--depth", action="store_true", help="tell every level (BOOK, LEVEL); hashes stay the same")
    add("--emit", choices=("all", "changes"), default="all", help="all tops, or only new ones")
    add(
        "--profile",
        choices=("full", "book-only"),
        default="full",
        help="book-only: tops of whole books alone, as the predecessors did",
    )
    add(
        "--cache-dir",
        type=Path,
        metavar="DIR",
        help="where checkpoints for --from are kept (default: the caches of the platform; PM_DATA_CACHE_DIR wins)",
    )
    add(
        "--cache",
        action=argparse.BooleanOptionalAction,
        default=True,
        help="use and leave checkpoints (default: yes)",
    )
    add(
        "--cache-every",
        type=_positive,
        metavar="FRAMES",
        help="frames between two checkpoints (default 131072); none where fewer come before --from",
    )
    add(
        "--cache-mb",
        type=_count,
        metavar="MB",
        help="bound of the cache in 10^6 bytes, when a file is added; the least recently used ones go (default 4000)",
    )
    add(
        "--pace",
        type=_speed,
        metavar="SPEED",
        help="wait between frames: 1 as recorded, 2 twice as fast (default: do not wait)",
    )
    add(
        "--oracles",
        choices=("sample", "all", "none"),
        default="sample",
        help="check hash and mirror at one message in 4093, at all, or at none (default sample)",
    )
    add(
        "--verdicts",
        type=Path,
        metavar="FILE",
        help="write what the oracles say of each token and minute, as JSON lines; {run} as above",
    )
    add("--strict-schema", action="store_true", help="exit 3 if a message has an unknown shape")
    add("--print-hash", action="store_true", help="on a terminal: print the event hash alone")
    add("--stable-json", action="store_true", help="the same bytes on every machine, sorted")
    add("--json", action="store_true", help="print JSON, also on a terminal")
    return parser


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"not a count: {text!r}")
    return int(text)


def _positive(text: str) -> int:
    if _count(text) == 0:
        raise argparse.ArgumentTypeError("not a count above 0: '0'")
    return int(text)


def _speed(text: str) -> float:
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed <= 1e6:
        raise argparse.ArgumentTypeError(f"not a speed above 0: {text!r}")
    return speed


def replay_runs(options: argparse.Namespace) -> Iterator[int]:
    """Replay what the command line names, and yield an exit code for each run."""
    if options.follow and options.pace is not None:
        raise UsageError("--pace is for what is over, --follow for what is not: one of them")
    if options.follow and not options.run_dir and options.runs in ([], ["-"]):
        yield from _follow_named_on_stdin(options)
        return
    runs = chosen_runs(options, stdin=sys.stdin, environment=os.environ)
    names: set[str] = set()
    for run in runs:
        _refuse_several(run, names, options)
    for run in runs:
        yield _code_of(run, options)


def _refuse_several(run: Path, names: set[str], options: argparse.Namespace) -> None:
    """Raise `UsageError` if an output of this run is that of one before, and add its name to theirs."""
    name = run.resolve().name
    outputs = [one for one in (options.events_out, options.verdicts) if one is not None]
    if outputs and name in names:
        raise UsageError(
            f"two runs are named {name}, and --events-out and --verdicts take one of them"
        )
    names.add(name)
    for output in outputs:
        if len(names) > 1 and RUN not in str(output):
            raise UsageError(
                f"--events-out and --verdicts take one run, and there is another; {RUN} in a name of a file "
                "stands for the name of each"
            )


def _outputs_named(options: argparse.Namespace, run: Path) -> argparse.Namespace:
    """Return the options of one run: its name where an output says so."""
    named = argparse.Namespace(**vars(options))
    name = run.resolve().name
    if named.events_out is not None:
        named.events_out = named.events_out.replace(RUN, name)
    if named.verdicts is not None:
        named.verdicts = Path(str(named.verdicts).replace(RUN, name))
    return named


def _follow_named_on_stdin(options: argparse.Namespace) -> Iterator[int]:
    """Follow each run at once when its line comes; a run that rotates names the next one."""
    from pm_replay.interrupt import Interrupts

    if sys.stdin.isatty():
        raise UsageError("no run given: name a run directory, a run id, or @last")
    data_dir = data_dir_of(options.data_dir, os.environ)
    # In `pm-capture | pm-replay --follow` the first Ctrl-C tells pm-capture to stop, and what it leaves is ours
    # to read; the second one finds `interrupts`, which it puts back.
    interrupts = Interrupts()
    with interrupts.installed(), first_interrupt_ignored():
        names: set[str] = set()
        for line in names_from_stdin(sys.stdin):
            run = resolve_run(line, data_dir)
            _refuse_several(run, names, options)
            yield _code_of(run, options, interrupts)
            interrupts.between()


def _code_of(run: Path, options: argparse.Namespace, interrupts: Interrupts | None = None) -> int:
    """Replay a run and return its exit code: also where it cannot be opened, for others may follow."""
    try:
        return _replay_run(run, options, interrupts)
    except UsageError:
        raise  # what was asked for cannot be, of whichever run
    except BundleError as error:
        print(f"pm-replay: {error}", file=sys.stderr)
        return error.exit_code


def _replay_run(
    run: Path, options: argparse.Namespace, interrupts: Interrupts | None = None
) -> int:
    from pm_frames.bundle import open_bundle, read_json
    from pm_frames.paths import MANIFEST
    from pm_frames.selection import select_tokens
    from pm_replay.interrupt import Interrupts
    from pm_replay.oracles import SAMPLE_EVERY
    from pm_replay.pipeline import Request, mono_of, replay
    from pm_replay.report import exit_code, summary
    from pm_replay.telling import Options
    from pm_replay.verdicts import Verdicts

    options = _outputs_named(options, run)
    # A run that has only just begun has no shard; a directory without a manifest is not one that is over.
    bundle = open_bundle(run, empty_ok=options.follow or (run / MANIFEST).exists())
    following = _following(bundle) if options.follow else None
    selection = selection_of(options)
    chosen = None
    if any(selection):
        chosen = select_tokens(selection, [read_json(path) for path in bundle.universe_files()])
    start = None if options.start is None else mono_of(bundle, parse_time(options.start))
    stop = None if options.stop is None else mono_of(bundle, parse_time(options.stop))
    if start is not None and stop is not None and stop <= start:
        raise UsageError("--to is not after --from", expected=f"after {start}", found=stop)
    _refuse_outputs(run, options)
    interrupts = interrupts or Interrupts()
    with ExitStack() as stack:
        sink = _sink(options, stack)
        verdicts = None
        if options.verdicts is not None:
            write = _output(options.verdicts, stack, force=options.force)
            anchors = bundle.manifest
            verdicts = Verdicts(
                lambda text: write(text.encode()),
                anchors.get("t0_mono_ns") or 0,
                anchors.get("t0_wall_ns_utc"),
            )
        request = Request(
            chosen=chosen,
            from_mono_ns=start,
            before_mono_ns=stop,
            max_ns=None if options.max_seconds is None else _seconds(options.max_seconds),
            options=Options(
                full=options.profile == "full",
                depth=options.depth,
                changes_only=options.emit == "changes",
                max_events=options.max_events,
            ),
            sample_every={"sample": SAMPLE_EVERY, "all": 1, "none": 0}[options.oracles],
            verdicts=verdicts,
        )
        pace = None if options.pace is None else _pace(options.pace)
        begun = time.perf_counter_ns()
        source: Source | None = following
        if following is None and pace is None and options.cache:
            source = _checkpoint(bundle, request, options)
        with interrupts.installed():
            result = replay(bundle, request, sink, pace=pace, source=source, interrupts=interrupts)
        elapsed_ms = (time.perf_counter_ns() - begun) // 1_000_000
    code: int = exit_code(result, strict_schema=options.strict_schema, following=options.follow)
    if result.reason.name == "STOPPED":
        code = INTERRUPTED
    line = summary(
        result,
        bundle.run_id,
        elapsed_ms=None if options.stable_json else elapsed_ms,
        profile=options.profile,
        code=code,
        follow=None if following is None or options.stable_json else following.summary(),
    )
    _show(line, options)
    return code


def _following(bundle: Bundle) -> Following:
    """Wait until a run has begun, and return what follows it."""
    from pm_replay.following import POLL_S, Following, await_beginning

    def wait() -> None:
        time.sleep(POLL_S)

    await_beginning(bundle, wait)
    return Following(wait, time.perf_counter_ns)


def _checkpoint(bundle: Bundle, request: Request, options: argparse.Namespace) -> Source | None:
    """Return a checkpoint before the window; most replays have no window, and nothing is loaded for them."""
    if request.from_mono_ns is None and bundle.emit_window is None:
        return None
    from pm_replay.cache_dir import cache_dir_of
    from pm_replay.checkpoints import BYTES_MAX, EVERY, Cache, resumed

    directory = cache_dir_of(options.cache_dir, os.environ, platform=sys.platform, home=Path.home())
    cache = Cache(
        directory,
        EVERY if options.cache_every is None else options.cache_every,
        lambda text: print(f"pm-replay: {text}", file=sys.stderr, flush=True),
        BYTES_MAX if options.cache_mb is None else options.cache_mb * 1_000_000,
    )
    return resumed(bundle, request, cache)


def _seconds(text: str) -> int:
    return parse_duration(text if text[-1:].isalpha() else f"{text}s")


def _sink(options: argparse.Namespace, stack: ExitStack) -> Callable[[bytes], object] | None:
    if options.events_out is None:
        return None
    if options.events_out == "-":
        if options.format == "pmev" and sys.stdout.isatty():
            raise UsageError("binary events are not written to a terminal; try --format jsonl")
        write: Callable[[bytes], None] = _to_stdout
    else:
        write = _output(Path(options.events_out), stack, force=options.force)
    if options.format == "pmev":
        return write
    from pm_replay.jsonl import JsonLines

    return JsonLines(write)


def _refuse_outputs(run: Path, options: argparse.Namespace) -> None:
    """Raise `UsageError` for a file that must not be written, before the first one is."""
    out = None if options.events_out in (None, "-") else Path(options.events_out)
    targets = [path for path in (out, options.verdicts) if path is not None]
    for path in targets:
        above = path.resolve().parents
        if run.resolve() in above or any((each / MANIFEST).is_file() for each in above):
            raise UsageError("nothing is written into a bundle: choose another place", path=path)
        if path.exists() and not options.force:
            raise UsageError("exists; --force writes over it", path=path)
    if len({path.resolve() for path in targets}) < len(targets):
        raise UsageError("--events-out and --verdicts are one file", path=out)


def _output(path: Path, stack: ExitStack, *, force: bool) -> Callable[[bytes], None]:
    try:
        # Without a buffer: what is told is there, and nothing is left for closing to fail at.
        out = stack.enter_context(open(path, "wb" if force else "xb", buffering=0))
    except FileExistsError:
        raise UsageError("exists; --force writes over it", path=path) from None
    except OSError as error:
        raise WriteFailed(f"cannot be written: {error.strerror}", path=path) from error

    def write(data: bytes) -> None:
        rest = memoryview(data)
        try:
            while rest:
                rest = rest[out.write(rest) :]
        except OSError as error:
            error.filename = str(path)  # the system does not say which file it was
            raise

    return write


def _to_stdout(data: bytes) -> None:
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def _pace(speed: float) -> Callable[[Iterable[Any]], Iterator[Any]]:
    def paced(items: Iterable[Any]) -> Iterator[Any]:
        first: int | None = None
        begun = time.perf_counter_ns()
        for shard, ordinal, item in items:
            stamp = item["ts_mono_ns"] if shard < 0 else item.rx_mono_ns
            first = stamp if first is None else first
            ahead = (stamp - first) / speed - (time.perf_counter_ns() - begun)
            if ahead > 0:
                time.sleep(ahead / 1e9)
            yield shard, ordinal, item

    return paced


def _show(line: dict[str, Any], options: argparse.Namespace) -> None:
    out = sys.stderr if options.events_out == "-" else sys.stdout
    if options.stable_json or options.json or not out.isatty():
        text = json.dumps(_sorted_inside(line) if options.stable_json else line)
        print(text, file=out)
    elif options.print_hash:
        print(line["event_hash"], file=out)
    else:
        from pm_replay.report import page

        print(*page(line), sep="\n", file=out)
    out.flush()


def _sorted_inside(line: dict[str, Any]) -> dict[str, Any]:
    """Return the same keys in the same order, everything below them sorted."""
    return {key: json.loads(json.dumps(value, sort_keys=True)) for key, value in line.items()}


def diff(arguments: Sequence[str]) -> int:
    """Run `pm-replay diff A B`."""
    parser = argparse.ArgumentParser(
        prog="pm-replay diff",
        description="Print the first event in which two event files differ; exit 3 if they do.",
        allow_abbrev=False,
    )
    parser.add_argument("a", type=Path, metavar="A", help="a .pmev file")
    parser.add_argument("b", type=Path, metavar="B", help="another")
    options = parser.parse_args(arguments)
    from pm_replay.difference import first_difference

    found = first_difference(options.a, options.b)
    print(json.dumps(found))
    return ExitCode.OK if found["equal"] else ExitCode.FINDINGS


def main(argv: list[str] | None = None) -> int:
    """Replay what the command line names; return the severest exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    codes: list[int] = []
    try:
        if arguments[:1] == ["diff"]:
            return diff(arguments[1:])
        options = make_parser().parse_args(arguments)
        for code in replay_runs(options):
            if code == INTERRUPTED:
                return INTERRUPTED
            codes.append(code)
    except BundleError as error:
        print(f"pm-replay: {error}", file=sys.stderr)
        codes.append(error.exit_code)
    except BrokenPipeError:
        # Who read us has left; without this, Python would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:
        named = "cannot write" if error.filename is None else f"{error.filename}: cannot be written"
        print(f"pm-replay: {named}: {error.strerror}", file=sys.stderr)
        codes.append(ExitCode.WRITE_ERROR)
    except KeyboardInterrupt:
        return INTERRUPTED
    return severest(codes)


if __name__ == "__main__":
    sys.exit(main())
