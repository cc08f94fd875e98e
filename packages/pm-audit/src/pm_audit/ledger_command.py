"""`pm-audit ledger RUN`: the loss ledger. The shell around `pm_audit.loss`."""

from __future__ import annotations

import argparse
import json
from typing import TYPE_CHECKING

from pm_audit.command_shell import Shell, guarded, make_parser
from pm_frames.command import (
    ExitCode,
    UsageError,
    chosen_runs,
    parse_time,
    run_arguments,
    wants_json,
)
from pm_frames.selection import selection_arguments, selection_of

if TYPE_CHECKING:
    from pathlib import Path

    from pm_audit.loss import Window
    from pm_audit.wall_clock import WallClock
    from pm_frames.bundle import Bundle

EPILOG = """\
Every nanosecond of every token, from its first subscription to the end, is in exactly one state, with
the cause and the record or frame that began it; the sums are exact. The output is one page, or one line of JSON
for each interval, token and shard, and the run last. With a selection the page lists the gaps of each token
in UTC. Times are RFC 3339, nanoseconds of UTC, or +5m from the start of the run; --to is exclusive.

loss: first_book (asked for, nothing here yet), fault (until the book after it), planned (a change of ours),
damage (frames that cannot be read), unsubscribed, unknown (no runlog that names tokens, a new connection).

exit codes: 0 written, whatever was lost; 2 usage, or no such run.

  pm-audit ledger @last
  pm-audit ledger @last --market will-it-rain --from 2026-11-21T04:00:00Z --to 2026-11-21T05:00:00Z
"""


def parser() -> argparse.ArgumentParser:
    """Return the command line of the ledger."""
    made = make_parser(
        "pm-audit ledger", "Account for every nanosecond of every token of a run.", EPILOG
    )
    run_arguments(made)
    selection_arguments(made)
    made.add_argument("--from", dest="start", metavar="TIME", help="only from here on")
    made.add_argument("--to", dest="stop", metavar="TIME", help="only to before this")
    made.add_argument("--json", action="store_true", help="print JSON Lines, also on a terminal")
    return made


def window_of(
    bundle: Bundle, clock: WallClock, start: str | None, stop: str | None
) -> tuple[Window, int]:
    """Return the window asked for, within that of a slice, and where the bundle says that it ends (or 0).

    Raises `UsageError` where a time cannot be placed.
    """
    from pm_audit.loss import Window

    first, before = bundle.emit_window or (None, None)
    asked = [_mono(bundle, clock, text) for text in (start, stop)]
    bounds = (
        max((one for one in (first, asked[0]) if one is not None), default=None),
        min((one for one in (before, asked[1]) if one is not None), default=None),
    )
    return Window(*bounds), before or 0


def _mono(bundle: Bundle, clock: WallClock, text: str | None) -> int | None:
    if text is None:
        return None
    point = parse_time(text)
    if not point.relative:
        mono = clock.mono_ns(point.ns)
        if mono is None:
            raise UsageError(f"{text}: this run has no wall clock; use +5m", path=bundle.path)
        return max(0, mono)
    start = bundle.manifest.get("t0_mono_ns")
    if not isinstance(start, int):
        raise UsageError(f"{text}: the manifest does not say when the run began", path=bundle.path)
    return start + point.ns


def show_ledger(run_dir: Path, options: argparse.Namespace, shell: Shell) -> None:
    """Print the ledger of one run. Raises `MissingFile` or `UsageError`."""
    from pm_audit.evidence import Lines
    from pm_audit.ledger_report import (
        entry_json,
        gap_lines,
        summary_json,
        summary_page,
        sums_json,
    )
    from pm_audit.loss import Entry, Sums, keep_account
    from pm_audit.timeline import Timeline
    from pm_audit.wall_clock import read_clock
    from pm_frames.bundle import open_bundle, read_json
    from pm_frames.selection import select_tokens

    bundle = open_bundle(run_dir)
    selection = selection_of(options)
    chosen: dict[str, list[Entry]] | None = None
    if any(selection):
        documents = [read_json(path) for path in bundle.universe_files()]
        chosen = {token_id: [] for token_id in select_tokens(selection, documents)}
    clock = read_clock(bundle, Lines().records(bundle.runlog_path))
    window, end_mono_ns = window_of(bundle, clock, options.start, options.stop)
    as_json = wants_json(options, shell.stdout)
    sums = Sums()

    def take(entry: Entry) -> None:
        if chosen is not None and entry.token_id not in chosen:
            return
        sums.add(entry)
        if as_json:
            shell.stdout.write(json.dumps(entry_json(entry, clock)) + "\n")
        elif chosen is not None:
            chosen[entry.token_id].append(entry)

    timeline = Timeline(bundle)
    state = str(bundle.state())
    cause = {"running": "running", "fatal": "fatal", "crashed": "crash"}.get(state, "end")
    ledger = keep_account(timeline, take, window=window, cause=cause, end_mono_ns=end_mono_ns)
    summary = summary_json(str(run_dir), bundle.run_id, state, timeline, ledger, sums)
    if as_json:
        shell.stdout.writelines(json.dumps(line) + "\n" for line in [*sums_json(sums), summary])
    elif chosen is None:
        shell.stdout.writelines(f"{line}\n" for line in summary_page(summary, sums))
    else:
        for token_id, entries in chosen.items():
            shell.stdout.writelines(
                f"{line}\n" for line in gap_lines(token_id, bundle.run_id, entries, clock)
            )
    shell.stdout.flush()


def run_ledger(argv: list[str], shell: Shell) -> int:
    """Account for what the command line names; return the severest exit code."""
    options = parser().parse_args(argv)

    def work(codes: list[ExitCode]) -> None:
        runs = chosen_runs(options, stdin=shell.stdin, environment=shell.environment)
        for run_dir in runs:
            show_ledger(run_dir, options, shell)
            codes.append(ExitCode.OK)

    return guarded("pm-audit ledger", shell, work)
