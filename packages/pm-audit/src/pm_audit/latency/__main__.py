"""pm-latency-report: the latency report of a run. The shell around `pm_audit.latency`."""

import argparse
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from pm_audit.command_shell import Shell, guarded, make_parser
from pm_frames.command import ExitCode, UsageError, chosen_runs, run_arguments

if TYPE_CHECKING:
    from pm_audit.latency.run_readings import RunReadings

PROGRAM = "pm-latency-report"
EPILOG = """\
Writes latency_report.json and latency_report.txt into the run, the two files that may be added to a sealed
bundle (pm-verify leaves them out), and prints the report: text on a terminal, JSON elsewhere. A run that is
still being captured is never written to: use --out.

exit codes: 0 written, and the gates passed; 2 usage, no such run, or a report that exists; 3 written, and one of
the gates reconnects, drops, loop_lag, pressure failed, or its evidence is missing; 5 it could not be written.
pm-audit judges the same gates and all others in one command. Profile data-loss does not count loop_lag and
pressure: lag alone is no loss.

  pm-latency-report @last --html report.html
  pm-latency-report data/runs/monday --out reports/monday
"""


def parser() -> argparse.ArgumentParser:
    """Return the command line."""
    made = make_parser(
        PROGRAM, "Report latency, loop lag, pressure, drops and lost connections of a run.", EPILOG
    )
    run_arguments(made)
    add = made.add_argument
    add("--out", type=Path, metavar="DIR", help="write the two files there, not into the run")
    add(
        "--html",
        type=Path,
        metavar="FILE",
        help="also one page with charts, which needs no network",
    )
    add(
        "--profile", choices=["strict", "data-loss"], default="strict",
        help="which gates count (strict: all four)",
    )  # fmt: skip
    add("--force", action="store_true", help="overwrite a report that is there")
    add("--json", action="store_true", help="print JSON, also on a terminal")
    return made


def main(argv: list[str] | None = None) -> int:
    """Report on what the command line names; return the severest exit code."""
    options = parser().parse_args(argv)
    shell = Shell(sys.stdin, sys.stdout, sys.stderr, os.environ)

    def work(codes: list[ExitCode]) -> None:
        runs = chosen_runs(options, stdin=shell.stdin, environment=shell.environment)
        if len(runs) > 1 and (options.out is not None or options.html is not None):
            raise UsageError("--out and --html take one run", found=len(runs))
        for run in runs:
            code = _report(run, options, shell)
            codes.append(code)

    return guarded(PROGRAM, shell, work)


def _report(run_dir: Path, options: argparse.Namespace, shell: Shell) -> ExitCode:
    from pm_audit.gates import Profile
    from pm_audit.latency.latency_report import latency_report
    from pm_audit.latency.report_files import check_targets, report_targets, write_reports
    from pm_audit.latency.report_text import report_text
    from pm_audit.latency.run_readings import read_run
    from pm_frames.bundle import open_bundle
    from pm_frames.paths import MANIFEST

    # Nothing is written into a directory that is no run; one with a manifest is, also before its first shard.
    bundle = open_bundle(run_dir, empty_ok=(run_dir / MANIFEST).exists())
    targets = report_targets(bundle, options.out, options.html)
    check_targets(bundle, targets, force=options.force)
    readings = read_run(bundle)
    report = latency_report(readings, run_dir, Profile(options.profile))
    page = _page(report, readings) if options.html is not None else None
    lines = list(report_text(report))
    write_reports(targets, (json.dumps(report, indent=1) + "\n", "\n".join([*lines, ""]), page))
    shell.show(options, report, lines)
    for path in targets:
        if path is not None:
            shell.stderr.write(f"{PROGRAM}: wrote {path}\n")
    return ExitCode.OK if report["gates"]["ok"] else ExitCode.FINDINGS


def _page(report: dict[str, object], readings: "RunReadings") -> str:
    from pm_audit.latency.chart_data import chart_data
    from pm_audit.latency.html_page import html_page

    return html_page(report, chart_data(readings))


if __name__ == "__main__":
    sys.exit(main())
