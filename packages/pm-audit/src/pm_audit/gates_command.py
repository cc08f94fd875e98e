"""`pm-audit RUN`: every gate of the table in one command. The shell around `pm_audit.gates`."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TYPE_CHECKING

from pm_audit.command_shell import Shell, guarded, make_parser
from pm_frames.command import ExitCode, UsageError, chosen_runs, run_arguments

if TYPE_CHECKING:
    from pm_audit.report import Audit

NS = {"ms": 10**6, "s": 10**9}
EPILOG = """\
gates: heartbeat (gaps of the capture's loop), reconnects (faults, not planned changes), drops, loop_lag,
pressure, crc (pm-verify is run), fatal. One that fails fails the run, and missing evidence fails a gate.
Profile data-loss does not count loop_lag and pressure.

exit codes: 0 every gate passed; 2 usage, or no such run; 3 a gate failed. Of several runs the severest.

  pm-audit @last
  pm-audit --profile data-loss data/runs/monday
  pm-verify monday --summary-only > verify.json; pm-audit monday --verify-report verify.json

other commands, each with its own --help:
  pm-audit ledger @last --market SLUG --from +1h --to +2h    every ns of every token, accounted for
  pm-audit freezes @last --out mask.json                     silences that were no quiet market
"""


def _duration(unit: str) -> Callable[[str], int]:
    def parsed(text: str) -> int:
        try:
            value = Decimal(text) * NS[unit]
        except InvalidOperation:
            value = Decimal("NaN")
        if not value.is_finite() or value < 0 or value != int(value):
            raise argparse.ArgumentTypeError(
                f"expected {unit} of at least 0, in whole nanoseconds, found {text!r}"
            )
        return int(value)

    return parsed


def parser() -> argparse.ArgumentParser:
    """Return the command line of the gates."""
    made = make_parser(
        "pm-audit", "Audit whether a capture is credible: every gate, with named reasons.", EPILOG
    )
    run_arguments(made)
    add = made.add_argument
    add(
        "--profile", choices=["strict", "data-loss"], default="strict",
        help="which gates count (strict: all)",
    )  # fmt: skip
    add(
        "--threshold-seconds", type=_duration("s"), default=2 * NS["s"], metavar="S",
        help="a heartbeat gap strictly over this fails (2.0)",
    )  # fmt: skip
    add(
        "--max-loop-lag-p99-ms", type=_duration("ms"), default=10 * NS["ms"], metavar="MS",
        help="99th percentile of the loop lag (10)",
    )  # fmt: skip
    add(
        "--max-loop-lag-max-ms", type=_duration("ms"), default=100 * NS["ms"], metavar="MS",
        help="largest loop lag (100)",
    )  # fmt: skip
    add(
        "--pressure-streak-intervals", type=int, default=5, metavar="N",
        help="so many intervals under pressure in a row fail (5)",
    )  # fmt: skip
    add(
        "--latency-gates", action=argparse.BooleanOptionalAction, default=True,
        help="--no-latency-gates is the profile data-loss",
    )  # fmt: skip
    add(
        "--verify-report", type=Path, metavar="FILE",
        help="what pm-verify --json (or --summary-only) printed for this run, instead of running it",
    )  # fmt: skip
    add("--quiet", action="store_true", help="print nothing; the exit code tells")
    add("--json", action="store_true", help="print JSON, also on a terminal")
    return made


def audit_run(run_dir: Path, options: argparse.Namespace, environment: Mapping[str, str]) -> Audit:
    """Audit one run. Raises `MissingFile` if there is none, `BundleError` for a bad --verify-report."""
    from pm_audit.evidence import gather
    from pm_audit.gates import Limits, Profile, judge
    from pm_audit.report import Audit
    from pm_audit.verification import read_report, verify
    from pm_frames.bundle import open_bundle

    bundle = open_bundle(run_dir)
    if options.verify_report is None:
        verification = verify(run_dir, environment)
    else:
        verification = read_report(options.verify_report, bundle.run_id)
    limits = Limits(
        options.threshold_seconds, options.max_loop_lag_p99_ms,
        options.max_loop_lag_max_ms, options.pressure_streak_intervals,
    )  # fmt: skip
    evidence = gather(bundle, verification, threshold_ns=limits.heartbeat_gap_ns)
    profile = Profile(options.profile) if options.latency_gates else Profile.DATA_LOSS
    return Audit(evidence, profile, judge(evidence, limits, profile=profile))


def run_gates(argv: list[str], shell: Shell) -> int:
    """Audit what the command line names; return the severest exit code."""
    options = parser().parse_args(argv)

    def work(codes: list[ExitCode]) -> None:
        from pm_audit.report import page

        if options.pressure_streak_intervals < 1:
            raise UsageError("--pressure-streak-intervals: expected at least 1")
        runs = chosen_runs(options, stdin=shell.stdin, environment=shell.environment)
        if options.verify_report is not None and len(runs) > 1:
            raise UsageError("--verify-report is about one run: name one run")
        for run_dir in runs:
            audit = audit_run(run_dir, options, shell.environment)
            if not options.quiet:
                shell.show(options, audit.as_json(), [*([""] if codes else []), *page(audit)])
            codes.append(audit.exit_code)

    return guarded("pm-audit", shell, work)
