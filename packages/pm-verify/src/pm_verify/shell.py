"""What pm-verify needs of its surroundings: clocks, cores, the terminal. Nothing is decided here."""

import argparse
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

from pm_frames.command import parse_duration
from pm_verify.examine import Task
from pm_verify.live import LiveRun, follow
from pm_verify.modes import Mode
from pm_verify.pool import usable_cores, worthwhile_jobs
from pm_verify.progress import Progress
from pm_verify.repair import Repaired, repair_run
from pm_verify.report import Report
from pm_verify.verify import verify_run


class Shell:
    """Runs what the command line asks for, on the real machine."""

    def __init__(self, options: argparse.Namespace) -> None:
        """Read the options; raise UsageError for a duration that is none."""
        self._mode = Mode(options.mode) if options.mode else None
        self._quick: bool = options.quick
        self._jobs: int | None = options.jobs
        self._seconds = None
        if options.live_for is not None:
            self._seconds = parse_duration(options.live_for) / 1e9
        self._shows = sys.stderr.isatty() and not options.quiet
        self._progress = Progress(0, sys.stderr, clock=time.monotonic)

    def weighed(self, report: Report) -> Report:
        """Return a report in the mode that was asked for."""
        return replace(report, mode=self._mode or Mode.STRICT)

    def verify(self, run_dir: Path) -> Report:
        """Verify a run."""
        try:
            return verify_run(
                run_dir,
                mode=self._mode or Mode.STRICT,
                quick=self._quick,
                jobs=self._how_many,
                watch=self._watch if self._shows else None,
            )
        finally:
            self._progress.end()

    def follow(self, run_dir: Path) -> Report:
        """Follow a run until it ends, or the time is over, or Ctrl-C; then say what is known."""
        run = LiveRun(run_dir, quick=self._quick)
        told = self._tell_live if self._shows else None
        try:
            running = follow(
                run, clock=time.monotonic, pause=time.sleep, seconds=self._seconds, told=told
            )
        except KeyboardInterrupt:
            running = True
        self._progress.end()
        return self.weighed(run.report()) if running else self.verify(run_dir)

    def repair(self, run_dir: Path, out: Path) -> Repaired:
        """Repair a run into `out`."""
        try:
            return repair_run(
                run_dir,
                out,
                now_wall_ns=time.time_ns(),
                mode=self._mode or Mode.SALVAGE,
                version=version("pm-verify"),
                jobs=self._how_many,
                watch=self._watch if self._shows else None,
            )
        finally:
            self._progress.end()

    def _how_many(self, tasks: list[Task]) -> int:
        return self._jobs or worthwhile_jobs(tasks, usable_cores())

    def _watch(self, tasks: list[Task]) -> Callable[[int], None]:
        total = sum(task.size() for task in tasks)
        self._progress = Progress(total, sys.stderr, clock=time.monotonic)
        return self._progress.tell

    def _tell_live(self, records: int) -> None:
        self._progress.say(f"pm-verify: {records:,} frames, all sound")
