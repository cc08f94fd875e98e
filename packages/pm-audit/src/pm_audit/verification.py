"""What pm-verify says about a run: it is another program, started as a process, or its report is given."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from pm_frames.bundle import read_json
from pm_frames.command import ExitCode, UsageError

NOT_INSTALLED = (
    "pm-verify is not installed, and it is what checks every CRC; `pip install pm-verify`, "
    "or give its report with --verify-report"
)


class Verification(NamedTuple):
    """The report of pm-verify, or why there is none."""

    report: Mapping[str, Any] | None
    problem: str | None = None


def find_verify(search_path: str | None) -> str | None:
    """Return the path of pm-verify: on `search_path`, else beside this Python; None if it is nowhere."""
    for path in (search_path, str(Path(sys.executable).parent)):
        if path and (found := shutil.which("pm-verify", path=path)):
            return found
    return None


def verify(run_dir: Path, environment: Mapping[str, str]) -> Verification:
    """Run pm-verify on a run. Nothing is raised: what went wrong is the problem."""
    program = find_verify(environment.get("PATH"))
    if program is None:
        return Verification(None, NOT_INSTALLED)
    # Which run is meant is resolved already; settings for other programs are none of its business.
    scrubbed = {name: text for name, text in environment.items() if not name.startswith("PM_")}
    done = subprocess.run(
        [program, "--json", "--run-dir", str(run_dir)],
        stdin=subprocess.DEVNULL, capture_output=True, check=False, env=scrubbed,
    )  # fmt: skip
    try:
        report = json.loads(done.stdout)
    except ValueError:
        words = done.stderr.decode("utf-8", "replace").strip()[-300:]
        return Verification(None, f"pm-verify ended with exit code {done.returncode}: {words}")
    return judged(report, None)


def read_report(path: Path, run_id: str) -> Verification:
    """Return a report that `pm-verify --json` or `--summary-only` has printed.

    Raises `MissingFile` or `BundleError` where the file cannot be read, `UsageError` where it is not a
    report of pm-verify at all.
    """
    report = read_json(path)
    if "totals" not in report or "exit_code" not in report:
        raise UsageError("not a report of pm-verify", path=path, expected="totals and exit_code")
    return judged(report, run_id)


def judged(report: Any, run_id: str | None) -> Verification:
    """Return a report if it has what the gate needs, and is about the run `run_id` (None: not asked)."""
    totals = report.get("totals") if isinstance(report, dict) else None
    if not isinstance(totals, dict) or not isinstance(totals.get("crc_mismatch"), int):
        return Verification(None, "the report of pm-verify has no totals.crc_mismatch")
    if report.get("exit_code") not in set(ExitCode):
        return Verification(None, "the report of pm-verify has no exit_code")
    if run_id is not None and report.get("run_id") != run_id:
        return Verification(
            None, f"the report is about run {report.get('run_id')}, expected {run_id}"
        )
    return Verification(report)
