"""The command lines of pm-inspect: one for each thing that it does."""

import argparse
from pathlib import Path

from pm_audit.command_shell import make_parser
from pm_frames.command import DATA_DIR, DATA_DIR_VARIABLES, run_arguments
from pm_frames.selection import selection_arguments

COMMANDS = ("ls", "cat", "tail")
DESCRIPTION = "Look inside a run bundle: its state, sizes, stamps and last metrics, without decoding a payload."
EPILOG = """\
  pm-inspect RUN                 what is there, and how it is; works on torn, fatal and running bundles
  pm-inspect ls [RUN|DIR …]      the runs of a data directory, one line each
  pm-inspect cat RUN             the frames, in merge order: --format ndjson|raw|hex|table, --shard, --token,
                                 --market, --event, --from, --to, --frames
  pm-inspect tail [-f|--follow] RUN
                                 the last frames (-n, --lines), then those that come, until the run ends

Each has a --help of its own. A run that is called ls, cat or tail is named by --run-dir or ./ls.
JSON on stdout when it is not a terminal, a table otherwise.

exit codes: 0 shown, whatever the state of the run; 2 usage, or no run, or no manifest; 3 tail --follow: the
run ended without a seal; 4 something is damaged; 130 interrupted; 141 the reader of the output has left
"""


def summary_parser() -> argparse.ArgumentParser:
    """Return the command line of `pm-inspect RUN`."""
    parser = make_parser("pm-inspect", DESCRIPTION, EPILOG)
    run_arguments(parser)
    _json(parser)
    return parser


def ls_parser() -> argparse.ArgumentParser:
    """Return the command line of `pm-inspect ls`."""
    parser = make_parser(
        "pm-inspect ls",
        "List runs: state, length, whole frames in the idx, bytes of the frames, connections lost by a fault.",
    )
    parser.add_argument(
        "names", nargs="*", metavar="RUN|DIR", help="a run, or a directory of runs; all by default"
    )
    parser.add_argument(
        "--data-dir",
        type=Path,
        metavar="DIR",
        help=f"where runs/ is (default {DATA_DIR}; {DATA_DIR_VARIABLES[0]} in the environment wins)",
    )
    _json(parser)
    return parser


def cat_parser() -> argparse.ArgumentParser:
    """Return the command line of `pm-inspect cat`."""
    parser = make_parser(
        "pm-inspect cat",
        "Print frames in merge order, up to the last that is whole. Selectors narrow one another.",
    )
    run_arguments(parser)
    _frame_arguments(parser)
    parser.add_argument(
        "--from", dest="since", metavar="TIME", help="first time that counts: RFC 3339, ns, or +5m"
    )
    parser.add_argument(
        "--to", dest="before", metavar="TIME", help="first time that does not count any more"
    )
    parser.add_argument("--frames", metavar="A:B", help="ordinals from A to before B, of one shard")
    return parser


def tail_parser() -> argparse.ArgumentParser:
    """Return the command line of `pm-inspect tail`."""
    parser = make_parser(
        "pm-inspect tail",
        "Print the last frames of a run; with -f go on with those that come, whole and in merge order.",
    )
    run_arguments(parser)
    _frame_arguments(parser)
    parser.add_argument("-f", "--follow", action="store_true", help="go on until the run ends")
    parser.add_argument(
        "-n",
        "--lines",
        type=_count,
        default=10,
        metavar="N",
        help="how many frames to begin with, counted before tokens choose among them (default 10)",
    )
    return parser


def _json(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, also on a terminal")


def _frame_arguments(parser: argparse.ArgumentParser) -> None:
    selection_arguments(parser)
    parser.add_argument(
        "--shard", action="append", type=_count, metavar="N", help="one shard; repeatable"
    )
    parser.add_argument(
        "--format",
        choices=("ndjson", "raw", "hex", "table"),
        help="ndjson (the default where stdout is not a terminal), raw payloads with a newline after "
        "each, a hex dump, or a table (the default on a terminal)",
    )
    _json(parser)


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"not a number of at least 0: {text!r}")
    return int(text)
