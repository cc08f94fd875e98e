"""pm-verify: is every byte of a run what was written? The shell around `pm_verify.verify`."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from types import FrameType
from typing import TYPE_CHECKING, TextIO

from pm_frames.command import ExitCode, resolve_run, run_arguments, runs_from_stdin, severest, wants_json

if TYPE_CHECKING:
    from pm_verify.report import Report

STDIN = "-"

EPILOG = """\
A run is a directory, a run id or a unique prefix of one under DATA_DIR/runs, @last, or a line on
standard input; `-` reads the bytes of a .frames file from standard input.

exit codes: 0 every byte is what was written · 2 usage, or nothing there to verify · 3 tolerable
(torn tail, unsealed, running, fatal run, index missing or short) · 4 corruption, or a version that is
not known here. The severest of several runs wins. The finding codes are explained in
docs/spec/findings.md.

  pm-verify @last
  pm-capture --run-id monday | pm-verify
  pm-verify --summary-only data/runs/monday | jq .totals
  pm-verify - < shard_00.frames
"""
