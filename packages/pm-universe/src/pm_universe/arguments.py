"""The arguments of the program: what there is, what it means, what it may be.

Imported before anything is known about what to do, so it imports nothing that takes time.
"""

import argparse
from importlib.metadata import version
from pathlib import Path

GAMMA_BASE_URL = "https://gamma-api.polymarket.com"

DISCOVER_EPILOG = """\
stdout: a table on a terminal, otherwise one line a market: id, status, slug, question (tabs between);
with --json the universe document; with --out one JSON object that reports on what was found, on one
line. With --since all of them are about what changed, and --out writes a delta, or nothing at all
when nothing changed ("changed": false in the report).
stderr: words.

exit codes: 0 done, also when nothing changed; 2 usage, the output file exists, --since is not there, or
the proxy of the environment cannot be used; 4 --since is no universe; 5 the file cannot be written; 6 the
venue is unreachable, refuses, answers something else, or has no market to select
"""

RESOLUTIONS_EPILOG = """\
stdout: the document, or with --out one JSON object that reports on it, on one line.
stderr: words.

exit codes: 0 done, however many markets are still open (the report counts them); 2 usage, no such run,
a run without a universe, the output file exists, or the proxy of the environment cannot be used; 4 its
universe is damaged; 5 the file cannot be written; 6 the venue is unreachable, refuses, or answers
something else
"""


def parser() -> argparse.ArgumentParser:
    """Return the parser of the whole program; `command` in what it parses is the command's name."""
    program = argparse.ArgumentParser(
        prog="pm-universe",
        description="Discover the active binary markets of Polymarket, and later how they ended.",
        allow_abbrev=False,
    )
    program.add_argument(
        "--version", action="version", version=f"%(prog)s {version('pm-universe')}"
    )
    commands = program.add_subparsers(metavar="COMMAND", required=True, dest="command")
    _discover(
        commands.add_parser(
            "discover",
            help="list the universe, or write it, or what changed in it, to a file",
            description="Read the market listing, select from it, and list it or write it to a file.",
            epilog=DISCOVER_EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
    )
    _resolutions(
        commands.add_parser(
            "resolutions",
            help="ask how the markets of a run ended",
            description="Ask Gamma how every market that a run ever had in its universe ended.",
            epilog=RESOLUTIONS_EPILOG,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
    )
    return program


def _discover(discover: argparse.ArgumentParser) -> None:
    add = discover.add_argument
    add("--universe", choices=["active-binary"], default="active-binary", help="what to select")
    add(
        "--max-markets", type=positive_int, default=2000, metavar="N",
        help="cap, applied after the selection: markets of --since stay, then the most traded events "
        "come first and whole (%(default)s)",
    )  # fmt: skip
    add(
        "--event",
        type=name,
        action="append",
        default=[],
        metavar="SLUG",
        help="only this event; repeatable",
    )
    add(
        "--market", type=name, action="append", default=[], metavar="SLUG|0x...",
        help="only this market, by slug or condition id; repeatable",
    )  # fmt: skip
    add(
        "--capture-use-market-filters", action=argparse.BooleanOptionalAction, default=False,
        help="apply --market-regex (%(default)s)",
    )  # fmt: skip
    add(
        "--market-regex", type=name, metavar="REGEX",
        help="only markets with this in their slug or question, in any case; ignored without "
        "--capture-use-market-filters",
    )  # fmt: skip
    add(
        "--since", type=Path, metavar="FILE|DIR",
        help="the universe so far: a full file, or a directory of generations (universe/ of a run)",
    )  # fmt: skip
    add(
        "--sweep", choices=["whole", "recent"], default="whole",
        help="recent, with --since: ask for the markets of --since by name and list only what started "
        "after it, instead of listing the whole venue; finds no market that started earlier (%(default)s)",
    )  # fmt: skip
    add("--out", type=Path, metavar="FILE", help="write the universe file, whole or not at all")
    add(
        "--end-with-stdin", action="store_true",
        help="end at once when stdin ends, for a program that starts this one and may be killed",
    )  # fmt: skip
    add("--force", action="store_true", help="replace FILE if it exists")
    form = discover.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the universe document")
    form.add_argument("--tsv", action="store_true", help="print tab-separated lines")
    _asking(discover)


def _resolutions(resolutions: argparse.ArgumentParser) -> None:
    add = resolutions.add_argument
    add("run", metavar="RUN", help="run directory, run id or unique prefix of one, or @last")
    add(
        "--data-dir", type=Path, metavar="DIR",
        help="where runs/ is (default ./data; PM_DATA_DATA_DIR in the environment wins)",
    )  # fmt: skip
    add("--out", type=Path, metavar="FILE", help="write the document, whole or not at all")
    add("--force", action="store_true", help="replace FILE if it exists")
    _asking(resolutions)


def _asking(command: argparse.ArgumentParser) -> None:
    add = command.add_argument
    add(
        "--gamma-base-url", type=base_url, default=GAMMA_BASE_URL, metavar="URL",
        help="where Gamma is (%(default)s)",
    )  # fmt: skip
    add(
        "--timeout-seconds", type=positive_float, default=30.0, metavar="S",
        help="give up on a page, with all its retries, after this long (%(default)s)",
    )  # fmt: skip
    add(
        "--total-timeout-seconds", type=positive_float, default=600.0, metavar="S",
        help="give up on a reading of many pages after this long (%(default)s)",
    )  # fmt: skip
    add("--retries", type=count, default=4, metavar="N", help="per page (%(default)s)")
    add(
        "--page-limit", type=positive_int, default=5000, metavar="N",
        help="a reading of more pages is an error (%(default)s)",
    )  # fmt: skip


def base_url(text: str) -> str:
    """Read a base URL; it comes back without a slash at its end."""
    from urllib.parse import urlsplit

    try:
        parts = urlsplit(text)
        is_usable = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        is_usable = False
    if not is_usable or parts.query or parts.fragment or parts.username is not None:
        raise argparse.ArgumentTypeError(
            f"expected http(s)://HOST[:PORT][/PATH] without a name or password, found {text!r}"
        )
    return text.rstrip("/")


def name(text: str) -> str:
    """Read a text that can stand in a file and in a URL."""
    if any("\ud800" <= letter <= "\udfff" for letter in text):
        raise argparse.ArgumentTypeError(f"expected UTF-8, found {text!r}")
    return text


def positive_int(text: str) -> int:
    """Read a whole number from 1."""
    if not (text.isascii() and text.isdigit()) or not 1 <= (number := int(text)) <= 10_000_000:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, found {text!r}")
    return number


def count(text: str) -> int:
    """Read a whole number from 0 to 1000."""
    if not (text.isascii() and text.isdigit()) or (number := int(text)) > 1000:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to 1000, found {text!r}")
    return number


def positive_float(text: str) -> float:
    """Read a number of seconds."""
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e9:
        raise argparse.ArgumentTypeError(f"expected seconds above 0, found {text!r}")
    return number
