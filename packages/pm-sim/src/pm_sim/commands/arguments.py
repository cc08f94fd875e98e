"""The command line of pm-sim: every flag, and nothing of what it leads to."""

import argparse
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pm_sim.fixed import BPS

EPILOG = """\
Two lenses are simulated in one pass. The headline is the worst one: half of the displayed size, the dearer of
flat fees and the venue's, and no fill on a book that is in doubt.

  pm-sim @last --strategy toy_spread --print-hash --print-pnl --stable-json
  pm-replay @last --depth --events-out - | pm-sim - --strategy toy_spread
  pm-sim monday --strategy ./mine.py:Mine --param edge=0.02 --fills-out fills.jsonl
  pm-sim @last --strategy random_taker --explain 1
  pm-sim --follow @last --strategy ./mine.py --duration-seconds 300
  pm-sim sweep monday.pmev --grid grid.toml --out results

Without a strategy nothing is traded. `pm-sim new FILE` writes a start of one, `pm-sim lint FILE` checks one. Built
in: toy_spread, dutch_book, spread_capture, and the controls round_trip and random_taker, which
must lose.

exit codes: 0 clean; 2 usage, or no such input; 3 the run crashed, is fatal or still going on, the replay was
stopped, there were no events, or a strategy failed; 4 corruption, or a stream without an end; 5 fills cannot
be written; 130 interrupted (SIGINT or SIGTERM).
"""


class ShowVersion(argparse.Action):
    """Look the version up only when it is asked for: the lookup costs more than all of --help."""

    def __init__(self, option_strings: Sequence[str], dest: str, **settings: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **settings)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        print(f"pm-sim {version('pm-sim')}")
        parser.exit()


def make_parser() -> argparse.ArgumentParser:
    """Return the command line of pm-sim."""
    from pm_frames.selection import selection_arguments

    parser = argparse.ArgumentParser(
        prog="pm-sim",
        description="Simulate strategies on order-book events: conservative fills, "
        "a ledger that balances, and no flattery.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--version", action=ShowVersion, help="print the version and exit")
    add(
        "input", nargs="?", metavar="INPUT",
        help="events (a .pmev file, or - for stdin), or a run: directory, id, prefix of one, @last",
    )  # fmt: skip
    add("--run-dir", type=Path, metavar="DIR", help="a run directory, never taken for an id")
    add("--data-dir", type=Path, metavar="DIR", help="where runs/ is (default ./data)")
    add(
        "--follow", action="store_true",
        help="live: follow a run that is being captured, or events that are being written",
    )  # fmt: skip
    add("--mode", choices=("replay", "live"), help="live is --follow")
    add("--execution", choices=("sim",), default="sim", help="there is nothing but simulation")
    add_strategy_arguments(parser.add_argument_group("strategies"))
    add_account_arguments(parser.add_argument_group("account and venue"))
    replay = parser.add_argument_group("what of a run is replayed (not for events that are given)")
    selection_arguments(replay)  # type: ignore[arg-type]
    add = replay.add_argument
    add("--from", dest="start", metavar="TIME", help="first moment: RFC 3339, ns, or +5m")
    add("--to", dest="stop", metavar="TIME", help="first moment not told any more")
    add(
        "--max-seconds", metavar="N",
        help="capture time from the first frame told; with --follow too: of an older run name a --from",
    )  # fmt: skip
    add("--duration-seconds", metavar="N", dest="max_seconds", help="the same")
    add("--max-events", metavar="N", help="stop after exactly N events")
    add("--profile", choices=("full", "book-only"), help="book-only: as the predecessors replayed")
    out = parser.add_argument_group("output").add_argument
    out("--print-hash", action="store_true", help="on a terminal: print the intent hash alone")
    out("--print-pnl", action="store_true", help="add pnl to the line")
    out("--print-summary-json", action="store_true", help="the same as --json")
    out("--stable-json", action="store_true", help="the same bytes each time: elapsed_ms 0, sorted")
    out(
        "--print-callback-stats", action="store_true",
        help="add callback_stats: calls and time of each hook, in microseconds (always with --follow)",
    )  # fmt: skip
    out(
        "--callback-budget-us", type=count, default=1000, metavar="N",
        help="a call of a hook that takes longer is an overrun (default 1000)",
    )  # fmt: skip
    out("--fills-out", type=Path, metavar="FILE", help="write every fill as a line of JSON")
    out("--force", action="store_true", help="write over an output that exists")
    out("--json", action="store_true", help="print JSON, also on a terminal")
    out(
        "--explain", type=count, metavar="FILL_ID",
        help="of a run: tell how this fill came about in each lens, with the raw frames behind it",
    )  # fmt: skip
    live = parser.add_argument_group("live (--follow)").add_argument
    live("--print-latency-report-json", action="store_true", help="a line of stage histograms")
    live("--print-health-summary-json", action="store_true", help="a line on health at the end")
    live("--print-health-heartbeat-json", action="store_true", help="a line every interval")
    live("--health-interval-seconds", default="10", metavar="N", help="(default 10)")
    live(
        "--stall-seconds", default="60", metavar="N",
        help="give up when nothing has come for so long, heartbeats included (default 60)",
    )  # fmt: skip
    return parser


def add_strategy_arguments(group: Any) -> None:
    """Add what names strategies, their parameters and limits."""
    add = group.add_argument
    add(
        "--strategy", action="append", default=[], metavar="[ID=]NAME|FILE.py[:CLASS]",
        help="a strategy that takes part; repeatable",
    )  # fmt: skip
    add(
        "--param", action="append", default=[], metavar="[ID.]NAME=VALUE",
        help="set a parameter, in dollars and shares; those of the built-in strategies are in the README",
    )  # fmt: skip
    add(
        "--params", action="append", default=[], type=Path, metavar="FILE",
        help="parameters as TOML: for all, and in a table for one id",
    )  # fmt: skip
    add(
        "--on-strategy-error", choices=("disable", "fatal", "count"), default="disable",
        help="what becomes of one that raises (default disable)",
    )  # fmt: skip
    add(
        "--max-intents-per-callback", type=count, default=10_000, metavar="N",
        help="that one call of a hook may yield; one more is an error of the strategy (default 10000)",
    )  # fmt: skip
    add(
        "--max-intents-global", type=count, metavar="N",
        help="let through so many of all strategies at one instant and drop the others",
    )  # fmt: skip
    add("--max-intents-per-strategy", type=count, metavar="N", help="the same of each strategy")
    add("--max-order-usd", metavar="USD", help="drop orders that can cost more")
    add("--max-market-usd", metavar="USD", help="most at risk in one market, orders and positions")
    add("--max-total-usd", metavar="USD", help="most at risk in all markets")
    add("--seed", type=count, default=0, metavar="N", help="of all that is drawn (default 0)")


def add_account_arguments(group: Any) -> None:
    """Add what is said of the account and of the venue."""
    add = group.add_argument
    add(
        "--lens",
        choices=("both", "worst", "central"),
        default="both",
        help="which to simulate (default both)",
    )
    add(
        "--cash",
        default="1000",
        metavar="USD",
        help="dollars that the account begins with (default 1000)",
    )
    add(
        "--fee-bps", type=bps, default=100, metavar="N",
        help="flat fee in basis points of the amount, at most 10000; worst lens: where it is dearer than "
        "the venue's; central: only where the venue's is not known (default 100)",
    )  # fmt: skip
    add(
        "--slippage-bps", type=bps, default=0, metavar="N",
        help="basis points that the worst lens pays on top of each price, at most 10000 (default 0)",
    )  # fmt: skip
    add(
        "--order-latency-ms", default="100", metavar="N|FILE",
        help="until an order arrives at the venue: constant, or a JSON histogram of ns to draw from (default 100)",
    )  # fmt: skip
    add(
        "--cancel-latency-ms",
        metavar="N|FILE",
        help="the same of cancels (default: that of orders)",
    )
    add(
        "--taint", choices=("refuse", "label"), default="refuse",
        help="orders on a book that is not live, or masked: no fill, or a fill that is counted apart (default refuse)",
    )  # fmt: skip
    add(
        "--queue", choices=("none", "conservative"), default="none",
        help="resting orders: never filled, or as the last in the queue at their price (default none)",
    )  # fmt: skip
    add(
        "--sell-unheld", choices=("refuse", "complement"), default="refuse",
        help="sales of what is not held: refused, or the other token is bought (default refuse)",
    )  # fmt: skip
    add(
        "--uncounted-sets", choices=("refuse", "accept"), default="refuse",
        help="sets of a neg-risk event of which the run does not say how many markets it has (event_markets): "
        "none, or what is told counts as all (default refuse)",
    )  # fmt: skip
    add(
        "--merge-delay",
        default="60s",
        metavar="TIME",
        help="until a merge or a conversion pays (default 60s)",
    )
    add(
        "--resolutions",
        type=Path,
        metavar="FILE",
        help="how markets ended (pm-universe resolutions)",
    )
    add("--resolutions-uma-only", action="store_true", help="leave out what only prices say")
    add(
        "--mask",
        type=Path,
        metavar="FILE",
        help="suspected freezes (pm-audit freezes), in hindsight",
    )


def bps(text: str) -> int:
    """Read basis points, 10000 at most: more than all of it cannot be taken. ArgumentTypeError."""
    if count(text) > BPS:
        raise argparse.ArgumentTypeError(f"above {BPS}: {text!r}")
    return int(text)


def count(text: str) -> int:
    """Read a count. ArgumentTypeError."""
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"not a count: {text!r}")
    return int(text)
