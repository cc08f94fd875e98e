"""pm-sim run, the command without a name: one simulation, one line."""

import argparse
import json
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path
from types import FrameType
from typing import IO, TYPE_CHECKING, Any

from pm_frames.command import (
    STDIN,
    UsageError,
    data_dir_of,
    parse_duration,
    resolve_run,
    wants_json,
)
from pm_frames.errors import BundleError, WriteFailed

if TYPE_CHECKING:
    from pm_frames.events import EventReader
    from pm_sim.engine import Engine
    from pm_sim.report import Asked
    from pm_sim.settings import Settings

EVENTS_ENDING = ".pmev"
# What only a replay can do; with events that are already there it is too late.
OF_THE_REPLAY = (
    ("event", "--event"), ("market", "--market"), ("token", "--token"), ("start", "--from"),
    ("stop", "--to"), ("max_seconds", "--max-seconds"), ("max_events", "--max-events"),
    ("profile", "--profile"),
)  # fmt: skip
EPILOG = """\
Two lenses are simulated in one pass. The headline is the worst one: half of the displayed size, the dearer of
flat fees and the venue's, and no fill on a book that is in doubt.

  pm-sim @last --strategy toy_spread --print-hash --print-pnl --stable-json
  pm-replay @last --depth --events-out - | pm-sim - --strategy toy_spread
  pm-sim monday --strategy ./mine.py:Mine --param edge=0.02 --fills-out fills.jsonl
  pm-sim --follow @last --strategy ./mine.py --duration-seconds 300

Without a strategy nothing is traded. Built in: toy_spread, dutch_book, spread_capture, and the controls round_trip
and random_taker, which must lose. `pm-sim new FILE` writes a start of a strategy, `pm-sim lint FILE` checks one.

exit codes: 0 clean; 2 usage, or no such input; 3 the run crashed, is fatal or still going on, the replay was
stopped, there were no events, or a strategy failed; 4 corruption, or a stream without an end; 5 fills cannot
be written; 130 interrupted.
"""


class ShowVersion(argparse.Action):
    """Look the version up only when it is asked for: the lookup costs more than all of --help."""

    def __init__(self, option_strings: Sequence[str], dest: str, **settings: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **settings)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        print(f"pm-sim {_version()}")
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
    add("--follow", action="store_true", help="live: follow a run that is being captured")
    add("--mode", choices=("replay", "live"), help="live is --follow")
    add("--execution", choices=("sim",), default="sim", help="there is nothing but simulation")
    _add_strategy_arguments(parser.add_argument_group("strategies"))
    _add_account_arguments(parser.add_argument_group("account and venue"))
    replay = parser.add_argument_group("what of a run is replayed (not for events that are given)")
    selection_arguments(replay)  # type: ignore[arg-type]
    add = replay.add_argument
    add("--from", dest="start", metavar="TIME", help="first moment: RFC 3339, ns, or +5m")
    add("--to", dest="stop", metavar="TIME", help="first moment not any more")
    add("--max-seconds", metavar="N", help="capture time from the first frame")
    add("--duration-seconds", metavar="N", dest="max_seconds", help="the same")
    add("--max-events", metavar="N", help="stop after exactly N events")
    add("--profile", choices=("full", "book-only"), help="book-only: as the predecessors replayed")
    out = parser.add_argument_group("output").add_argument
    out("--print-hash", action="store_true", help="on a terminal: print the intent hash alone")
    out("--print-pnl", action="store_true", help="add pnl to the line")
    out("--print-summary-json", action="store_true", help="the same as --json")
    out("--stable-json", action="store_true", help="the same bytes each time: elapsed_ms 0, sorted")
    out("--fills-out", type=Path, metavar="FILE", help="write every fill as a line of JSON")
    out("--force", action="store_true", help="write over an output that exists")
    out("--json", action="store_true", help="print JSON, also on a terminal")
    return parser


def _add_strategy_arguments(group: Any) -> None:
    add = group.add_argument
    add(
        "--strategy", action="append", default=[], metavar="[ID=]NAME|FILE.py[:CLASS]",
        help="a strategy that takes part; repeatable",
    )  # fmt: skip
    add("--param", action="append", default=[], metavar="[ID.]NAME=VALUE", help="set a parameter")
    add(
        "--params", action="append", default=[], type=Path, metavar="FILE",
        help="parameters as TOML: for all, and in a table for one id",
    )  # fmt: skip
    add(
        "--on-strategy-error", choices=("disable", "fatal", "count"), default="disable",
        help="what becomes of one that raises (default disable)",
    )  # fmt: skip
    add("--max-intents-global", type=_count, metavar="N", help="of all strategies, at one instant")
    add("--max-intents-per-strategy", type=_count, metavar="N", help="of each, at one instant")
    add("--max-order-usd", metavar="USD", help="what one order can cost")
    add("--max-market-usd", metavar="USD", help="at risk in one market, orders and positions")
    add("--max-total-usd", metavar="USD", help="at risk in all markets")
    add("--seed", type=_count, default=0, metavar="N", help="of all that is drawn (default 0)")


def _add_account_arguments(group: Any) -> None:
    add = group.add_argument
    add("--lens", choices=("both", "worst", "central"), default="both", help="(default both)")
    add("--cash", default="1000", metavar="USD", help="of the account (default 1000)")
    add("--fee-bps", type=_count, default=100, metavar="N", help="flat fee (default 100)")
    add("--slippage-bps", type=_count, default=0, metavar="N", help="worst lens (default 0)")
    add(
        "--order-latency-ms", default="100", metavar="N|FILE",
        help="until an order arrives: constant, or a histogram to draw from (default 100)",
    )  # fmt: skip
    add("--cancel-latency-ms", metavar="N|FILE", help="the same of cancels (default: of orders)")
    add(
        "--taint", choices=("refuse", "label"), default="refuse",
        help="fills on a book that is not live, or masked (default refuse)",
    )  # fmt: skip
    add(
        "--queue", choices=("none", "conservative"), default="none",
        help="maker fills: none, or last in the queue (default none)",
    )  # fmt: skip
    add(
        "--sell-unheld", choices=("refuse", "complement"), default="refuse",
        help="sales of what is not held: refused, or the other token is bought (default refuse)",
    )  # fmt: skip
    add("--merge-delay", default="60s", metavar="TIME", help="until a merge pays (default 60s)")
    add("--resolutions", type=Path, metavar="FILE", help="how markets ended (pm-universe)")
    add("--resolutions-uma-only", action="store_true", help="leave out what only prices say")
    add("--mask", type=Path, metavar="FILE", help="suspected freezes (pm-audit), in hindsight")


def main(arguments: Sequence[str]) -> int:
    """Simulate what the command line names. Raises BundleError, OSError."""
    options = make_parser().parse_args(arguments)
    if options.mode is not None and (options.mode == "live") is not options.follow:
        raise UsageError("--mode live is --follow, and the other way round")
    from pm_sim.loading import load
    from pm_sim.report import Asked, failure, stable, summary, verdict
    from pm_sim.resolutions import read_resolutions

    named = load(options.strategy, options.param, options.params)
    resolutions = None
    if options.resolutions is not None:
        resolutions = read_resolutions(options.resolutions, uma_only=options.resolutions_uma_only)
    asked = Asked(
        named, "live" if options.follow else "replay", _version(),
        resolutions=resolutions, print_pnl=options.print_pnl,
    )  # fmt: skip
    settings = _settings(options)
    begun = time.perf_counter_ns()
    engine: Engine | None = None
    error: Exception | None = None
    interrupted = False
    with ExitStack() as stack:
        tell_fill = _fill_sink(options, stack)
        source = _source(options)
        with _interrupts(options) as was_interrupted:
            try:
                with source as reader:
                    engine, asked = _engine(reader, settings, asked, options, tell_fill)
                    engine.run(reader.blocks())
                    assert reader.end is not None
                    engine.finish(reader.end)
            except BundleError as raised:
                if isinstance(raised, UsageError):
                    raise
                error = raised
            except _strategy_failed() as raised:
                error = raised
            interrupted = was_interrupted()
    elapsed_ms = (time.perf_counter_ns() - begun) // 1_000_000
    judged = verdict(engine, error)
    if engine is None:
        line = failure(asked, judged, elapsed_ms=elapsed_ms)
    else:
        line = summary(engine, asked, judged, elapsed_ms=elapsed_ms)
    _show(stable(line) if options.stable_json else line, options)
    if judged.error is not None:
        print(f"pm-sim: {judged.error}", file=sys.stderr)
    return 130 if interrupted else judged.exit_code


def _strategy_failed() -> type[Exception]:
    from pm_sim.lens import StrategyFailed

    return StrategyFailed


def _engine(
    reader: "EventReader",
    settings: "Settings",
    asked: "Asked",
    options: argparse.Namespace,
    tell_fill: Callable[..., object] | None,
) -> "tuple[Engine, Asked]":
    from pm_sim.engine import Engine
    from pm_sim.mask import read_mask

    if options.mask is not None:
        run_id = reader.header.facts.get("run_id")
        asked = asked._replace(mask=read_mask(options.mask, run_id))
    engine = Engine(
        reader.header,
        settings,
        [(one.strategy_id, one.make) for one in asked.strategies],
        mask=asked.mask,
        resolutions=() if asked.resolutions is None else asked.resolutions.settled,
        tell_fill=tell_fill,
    )
    return engine, asked


def _settings(options: argparse.Namespace) -> "Settings":
    from pm_sim.allocator import Limits
    from pm_sim.exchange import QueueModel, Taint
    from pm_sim.latency import latency_of
    from pm_sim.settings import CENTRAL, WORST, OnError, Settings, Unheld

    cash = _usd(options.cash, "--cash")
    assert cash is not None
    return Settings(
        cash_e6=cash,
        fee_bps=options.fee_bps,
        slippage_bps=options.slippage_bps,
        order_latency=latency_of(options.order_latency_ms, seed=options.seed, what="order"),
        cancel_latency=latency_of(
            options.cancel_latency_ms or options.order_latency_ms, seed=options.seed, what="cancel"
        ),
        taint=Taint(options.taint),
        queue=QueueModel(options.queue),
        unheld=Unheld(options.sell_unheld),
        merge_delay_ns=parse_duration(options.merge_delay),
        limits=Limits(
            options.max_intents_global,
            options.max_intents_per_strategy,
            _usd(options.max_order_usd, "--max-order-usd"),
            _usd(options.max_market_usd, "--max-market-usd"),
            _usd(options.max_total_usd, "--max-total-usd"),
        ),
        seed=options.seed,
        on_error=OnError(options.on_strategy_error),
        lenses=(WORST, CENTRAL) if options.lens == "both" else (options.lens,),
    )


def _usd(text: str | None, flag: str) -> Any:
    from pm_sim.fixed import CashE6, usd

    if text is None:
        return None
    try:
        value = CashE6(int(usd(text)))
    except ValueError as error:
        raise UsageError(f"{flag}: {error}") from None
    if value < 0:
        raise UsageError(f"{flag} is negative", found=text)
    return value


def _count(text: str) -> int:
    if not (text.isascii() and text.isdecimal()):
        raise argparse.ArgumentTypeError(f"not a count: {text!r}")
    return int(text)


def _source(options: argparse.Namespace) -> "AbstractContextManager[EventReader]":
    from pm_sim.inputs import from_file, from_run, from_stream

    text = options.input
    if text is not None and options.run_dir is not None:
        raise UsageError("--run-dir and another input are given: name one")
    if options.run_dir is None and text is None:
        if sys.stdin.isatty():
            raise UsageError("no input: name a .pmev file, a run, or - for events on stdin")
        text = STDIN
    is_events = text is not None and (text == STDIN or text.endswith(EVENTS_ENDING))
    if is_events:
        given = [flag for name, flag in OF_THE_REPLAY if getattr(options, name)]
        given += ["--follow"] if options.follow else []
        if given:
            raise UsageError(
                f"{', '.join(given)}: the events are made already; give it to pm-replay, or name a run"
            )
        return from_stream(sys.stdin.buffer) if text == STDIN else from_file(Path(text))
    if options.run_dir is not None:
        run = options.run_dir
    else:
        run = resolve_run(text, data_dir_of(options.data_dir, os.environ))
    return from_run([str(run), *_replay_arguments(options)], _tell)


def _replay_arguments(options: argparse.Namespace) -> Iterator[str]:
    for name, flag in OF_THE_REPLAY:
        value = getattr(options, name)
        for one in value if isinstance(value, list) else [value] if value is not None else []:
            yield from (flag, one)
    if options.follow:
        yield "--follow"


def _tell(line: str) -> None:
    print(line, file=sys.stderr)


def _fill_sink(options: argparse.Namespace, stack: ExitStack) -> Callable[..., object] | None:
    if options.fills_out is None:
        return None
    from pm_sim.report import fill_json

    try:
        mode = "w" if options.force else "x"
        out: IO[str] = stack.enter_context(open(options.fills_out, mode, encoding="utf-8"))
    except FileExistsError:
        raise UsageError("exists; --force writes over it", path=options.fills_out) from None
    except OSError as error:
        raise WriteFailed(f"cannot be written: {error.strerror}", path=options.fills_out) from error
    return lambda lens, fill: out.write(fill_json(lens, fill))


@contextmanager
def _interrupts(options: argparse.Namespace) -> Iterator[Callable[[], bool]]:
    """Leave the first Ctrl-C to whoever writes the events: what it ends with is still to be told."""
    pressed: list[int] = []
    before = signal.getsignal(signal.SIGINT)
    is_file = options.input is not None and options.input.endswith(EVENTS_ENDING)
    if is_file or before is not signal.default_int_handler:
        yield lambda: False
        return

    def first(number: int, frame: FrameType | None) -> None:
        pressed.append(number)
        signal.signal(signal.SIGINT, before)

    signal.signal(signal.SIGINT, first)
    try:
        yield lambda: bool(pressed)
    finally:
        signal.signal(signal.SIGINT, before)


def _show(line: dict[str, Any], options: argparse.Namespace) -> None:
    if options.stable_json or options.print_summary_json or wants_json(options, sys.stdout):
        print(json.dumps(line))
    elif options.print_hash:
        print(line["final_hash"])
    else:
        from pm_sim.report import page

        print(*page(line), sep="\n")
    sys.stdout.flush()


def _version() -> str:
    from importlib.metadata import version

    return version("pm-sim")
