"""The command line: `pm-universe discover`. Only argparse is imported before it is known what to do."""

import argparse
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .discover import Discovery
    from .selection import Wanted
    from .universe_file import UniverseFile

GAMMA_BASE_URL = "https://gamma-api.polymarket.com"

EPILOG = """\
stdout: a table on a terminal, otherwise one line a market: id, status, slug, question (tabs between);
with --json the universe document; with --out one JSON object that reports on the written file.
stderr: words.

exit codes: 0 done; 2 usage, or the output file exists; 5 the file cannot be written;
6 the venue is unreachable, refuses, answers something else, or has no market to select
"""


def main(argv: list[str] | None = None) -> int:
    """Run the program; return its exit code."""
    arguments = _parser().parse_args(argv)
    try:
        return _discover(arguments)
    except BrokenPipeError:
        # Whoever read our output has seen enough. Python would complain once more when it exits.
        sys.stdout = None
        from pm_frames.command import BROKEN_PIPE

        return BROKEN_PIPE
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pm-universe",
        description="Discover the active binary markets of Polymarket.",
        allow_abbrev=False,
    )
    parser.add_argument("--version", action="version", version=f"%(prog)s {version('pm-universe')}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)
    discover = commands.add_parser(
        "discover",
        help="list the universe, or write it to a file",
        description="Read the market listing, select from it, and list it or write it to a file.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = discover.add_argument
    add(
        "--gamma-base-url",
        type=_base_url,
        default=GAMMA_BASE_URL,
        metavar="URL",
        help="where Gamma is (%(default)s)",
    )
    add("--universe", choices=["active-binary"], default="active-binary", help="what to select")
    add(
        "--max-markets", type=_positive_int, default=2000, metavar="N",
        help="cap, applied after the selection; events stay whole, the most traded come first (%(default)s)",
    )  # fmt: skip
    add("--event", action="append", default=[], metavar="SLUG", help="only this event; repeatable")
    add(
        "--market", action="append", default=[], metavar="SLUG|0x...",
        help="only this market, by slug or condition id; repeatable",
    )  # fmt: skip
    add("--out", type=Path, metavar="FILE", help="write the universe file, whole or not at all")
    add("--force", action="store_true", help="replace FILE if it exists")
    form = discover.add_mutually_exclusive_group()
    form.add_argument("--json", action="store_true", help="print the universe document")
    form.add_argument("--tsv", action="store_true", help="print tab-separated lines")
    add(
        "--timeout-seconds", type=_positive_float, default=30.0, metavar="S",
        help="give up on a page, with all its retries, after this long (%(default)s)",
    )  # fmt: skip
    add(
        "--total-timeout-seconds", type=_positive_float, default=600.0, metavar="S",
        help="give up on the whole after this long (%(default)s)",
    )  # fmt: skip
    add("--retries", type=_count, default=4, metavar="N", help="per page (%(default)s)")
    add(
        "--page-limit", type=_positive_int, default=5000, metavar="N",
        help="a listing of more pages is an error (%(default)s)",
    )  # fmt: skip
    return parser


def _discover(arguments: argparse.Namespace) -> int:
    import time

    from .errors import OutputExists, UniverseError
    from .publish import publish
    from .selection import Wanted
    from .universe_file import describe, encode

    out: Path | None = arguments.out
    try:
        if out is not None and out.exists() and not arguments.force:
            raise OutputExists(out)
        wanted = Wanted(
            max_markets=arguments.max_markets,
            events=tuple(dict.fromkeys(arguments.event)),
            markets=tuple(dict.fromkeys(arguments.market)),
        )
        found = _run(arguments, wanted)
        universe = describe(
            found.selection,
            wanted,
            gamma_base_url=arguments.gamma_base_url,
            pages=found.pages,
            created_wall_ns_utc=time.time_ns(),
            # The clock that pm-capture stamps frames with.
            created_mono_ns=time.perf_counter_ns(),
        )
        content = encode(universe)
        if out is not None:
            publish(out, content, force=arguments.force)
    except UniverseError as error:
        _tell(f"pm-universe: {error}")
        return error.exit_code
    for note in found.notes:
        _tell(f"pm-universe: {note}")
    if found.selection.not_found:
        _tell(f"pm-universe: not found or not active: {', '.join(found.selection.not_found)}")
    if out is not None:
        _print(_report(universe, found, content, out))
    else:
        _show(arguments, found, content)
    return 0


def _run(arguments: argparse.Namespace, wanted: "Wanted") -> "Discovery":
    import stamina.instrumentation

    from .discover import discover
    from .http import Patience

    def retrying(details: stamina.instrumentation.RetryDetails) -> None:
        _tell(f"pm-universe: retry in {details.wait_for:.1f} s: {details.caused_by}")

    def progress(pages: int, markets: int) -> None:
        _tell(f"\r{pages} pages, {markets} markets ", end="")

    stamina.instrumentation.set_on_retry_hooks([retrying])
    is_watched = sys.stderr.isatty()
    try:
        return discover(
            arguments.gamma_base_url,
            wanted,
            page_limit=arguments.page_limit,
            patience=Patience(
                page_timeout_seconds=arguments.timeout_seconds,
                total_timeout_seconds=arguments.total_timeout_seconds,
                attempts=arguments.retries + 1,
            ),
            user_agent=f"pm-universe/{version('pm-universe')}",
            progress=progress if is_watched else None,
        )
    finally:
        if is_watched:
            _tell("\r\033[K", end="")


def _show(arguments: argparse.Namespace, found: "Discovery", content: bytes) -> None:
    from . import table

    if arguments.json:
        _print(content.decode())
    elif arguments.tsv or not sys.stdout.isatty():
        _print(table.lines(table.tsv(found.selection)))
    else:
        import shutil

        width = shutil.get_terminal_size().columns
        _print(table.lines(table.table(found.selection.selected, width=width)))
        _tell(table.summary(found.selection, pages=found.pages))


def _report(universe: "UniverseFile", found: "Discovery", content: bytes, out: Path) -> str:
    import hashlib
    import json

    import msgspec

    report = {
        **msgspec.to_builtins(universe.stats),
        "not_found": list(found.selection.not_found),
        "notes": list(found.notes),
        "universe_version": universe.universe_version,
        "file": str(out),
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    return json.dumps(report, ensure_ascii=False) + "\n"


def _print(text: str) -> None:
    # Questions hold letters that the code page of a Windows console does not have.
    rest = memoryview(text.encode())
    while rest:
        # With PYTHONUNBUFFERED this is the bare file, which may take less than all.
        rest = rest[sys.stdout.buffer.write(rest) :]
    sys.stdout.buffer.flush()


def _tell(text: str, end: str = "\n") -> None:
    print(text, end=end, file=sys.stderr, flush=True)


def _base_url(text: str) -> str:
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


def _positive_int(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or not 1 <= (number := int(text)) <= 10_000_000:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1, found {text!r}")
    return number


def _count(text: str) -> int:
    if not (text.isascii() and text.isdigit()) or (number := int(text)) > 1000:
        raise argparse.ArgumentTypeError(f"expected a whole number from 0 to 1000, found {text!r}")
    return number


def _positive_float(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = 0.0
    if not 0 < number < 1e9:
        raise argparse.ArgumentTypeError(f"expected seconds above 0, found {text!r}")
    return number


if __name__ == "__main__":
    sys.exit(main())
