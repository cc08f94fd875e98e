"""pm-sim lint: does a strategy keep the import contract?"""

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path

from pm_frames.command import ExitCode, wants_json
from pm_frames.errors import MissingFile

EPILOG = """\
The file is read, not run. Rules: outside (files, sockets, processes, prints), clock, chance (draws without a seed, hashes
of texts), internals (anything of pm_sim that is not public), dynamic (eval and the like), state (what a hook was
handed is written to), shared (state of the class or of the file: both lenses would share it), hook (a name or a number of
arguments that is never called), syntax.

  pm-sim lint mine.py

exit codes: 0 nothing found; 2 usage, or no such file; 3 findings.
"""


def make_parser() -> argparse.ArgumentParser:
    """Return the command line."""
    parser = argparse.ArgumentParser(
        prog="pm-sim lint",
        description="Check that a strategy decides by what its hooks are handed, and by nothing else.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("files", nargs="+", type=Path, metavar="FILE", help="strategies")
    parser.add_argument("--json", action="store_true", help="print JSON, also on a terminal")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Check files. Raises MissingFile."""
    options = make_parser().parse_args(arguments)
    from pm_sim.lint import lines, lint

    found = {}
    for path in options.files:
        try:
            found[str(path)] = lint(path.read_bytes())
        except OSError as error:
            raise MissingFile(f"no such strategy: {error.strerror}", path=path) from error
    ok = not any(found.values())
    if wants_json(options, sys.stdout):
        findings = [{"path": path, **one._asdict()} for path, of in found.items() for one in of]
        print(json.dumps({"ok": ok, "files": len(found), "findings": findings}))
    else:
        for path, of in found.items():
            print(*lines(path, of), sep="\n", end="\n" if of else "")
        print(
            f"{'ok' if ok else 'NOT OK'}: {len(found)} files, {sum(map(len, found.values()))} findings"
        )
    return ExitCode.OK if ok else ExitCode.FINDINGS
