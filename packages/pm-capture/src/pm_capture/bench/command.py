"""`pm-capture bench`: its arguments, and how its report is shown."""

import argparse
import json
from collections.abc import Mapping
from importlib.metadata import version
from pathlib import Path

from pm_capture.flags import add_settings

DESCRIPTION = """\
Measure how fast frames get from a loopback socket to the disk: a venue in a process of its own sends the
fixtures, pm-capture records them with its usual settings, and the run stays under DATA_DIR/runs.

Prints one JSON object; on a terminal, without --json, a table.
"""
EPILOG = """\
Settings are those of pm-capture, from the same places; what is decided here has no flag.

exit codes: 0 measured · 2 usage, without --offline, or fixtures that cannot be used · 3 what was recorded
is not what was sent · 7 the capture was fatal · 130 interrupted
"""
# `--multiplier` is the name that this one has here.
WITHOUT = frozenset(
    {"universe", "shard_range", "clob_ws_url", "gamma_base_url", "rest_timeout", "duration_seconds",
     "ws_ping_interval_seconds", "fixtures_multiplier"}
)  # fmt: skip


def parser() -> argparse.ArgumentParser:
    """Return the parser; settings appear in what it parses only when they were given."""
    made = argparse.ArgumentParser(
        prog="pm-capture bench",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = made.add_argument
    add("--version", action="version", version=f"pm-capture {version('pm-capture')}")
    add("--config", type=Path, metavar="FILE.toml", help="read settings from this file")
    add("--print-config", action="store_true", help="show every setting with its source, and end")
    add("--json", action="store_true", help="print JSON even on a terminal")
    add(
        "--multiplier", "--fixtures-multiplier", dest="fixtures_multiplier", metavar="N",
        default=argparse.SUPPRESS, help="how often the fixtures are sent, 1 or more (1)",
    )  # fmt: skip
    add_settings(made, without=WITHOUT)
    return made


def shown(report: Mapping[str, object], *, as_json: bool) -> str:
    """Return the text of a report."""
    if as_json:
        return json.dumps(report)
    width = max(map(len, report))
    return "\n".join(f"{name:<{width}}  {_worded(value)}" for name, value in report.items())


def _worded(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.0f}"
    return f"{value:,}" if isinstance(value, int) else str(value)
