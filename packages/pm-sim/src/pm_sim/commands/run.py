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
from typing import TYPE_CHECKING, Any, NamedTuple

from pm_frames.command import (
    STDIN,
    ExitCode,
    UsageError,
    data_dir_of,
    parse_duration,
    resolve_run,
    wants_json,
)
from pm_frames.errors import BundleError, WriteFailed
from pm_sim.commands.arguments import make_parser

if TYPE_CHECKING:
    from pm_frames.events import Event, EventReader
    from pm_sim.callbacks import CallbackStats
    from pm_sim.engine import Engine
    from pm_sim.explain import Witness
    from pm_sim.inputs import Interrupts
    from pm_sim.lens import Lens
    from pm_sim.live import Live
    from pm_sim.orders import Fill
    from pm_sim.report import Asked, Verdict
    from pm_sim.settings import Settings

EVENTS_ENDING = ".pmev"
INTERRUPTED = 130
# What only a replay can do; with events that are already there it is too late.
OF_THE_REPLAY = (
    ("event", "--event"), ("market", "--market"), ("token", "--token"), ("start", "--from"),
    ("stop", "--to"), ("max_seconds", "--max-seconds"), ("max_events", "--max-events"),
    ("profile", "--profile"),
)  # fmt: skip


def main(arguments: Sequence[str]) -> int:
    """Simulate what the command line names. Raises BundleError, OSError."""
    options = make_parser().parse_args(arguments)
    if options.mode is not None and (options.mode == "live") is not options.follow:
        raise UsageError("--mode live is --follow, and the other way round")
    from pm_sim.callbacks import CallbackStats
    from pm_sim.report import failure, stable, summary

    live, witness = _live(options), _witness(options)
    stats = None
    if live is not None or options.print_callback_stats:
        stats = CallbackStats(time.perf_counter_ns, options.callback_budget_us * 1000)
    begun = time.perf_counter_ns()
    asked, ended = _simulated(options, live, witness, stats)
    engine = ended.engine
    elapsed_ms = (time.perf_counter_ns() - begun) // 1_000_000
    judged = _judged(ended, live)
    if live is not None:
        if options.print_latency_report_json:
            _print_line(live.latency_report())
        if options.print_health_summary_json:
            _print_line(live.health_summary(judged))
    if witness is not None and judged.exit_code <= ExitCode.FINDINGS:
        _show_explanation(witness.explanation(_run_dir(options)), options)
    elif engine is None:
        _show(failure(asked, judged, elapsed_ms=elapsed_ms), options)
    else:
        more = {} if live is None else dict[str, Any](live.counts())
        if stats is not None:
            more["callback_stats"] = stats.as_json()
        line = summary(engine, asked, judged, elapsed_ms=elapsed_ms, more=more)
        _show(stable(line) if options.stable_json else line, options)
    if judged.error is not None:
        print(f"pm-sim: {judged.error}", file=sys.stderr)
    return judged.exit_code


class _Ended(NamedTuple):
    engine: "Engine | None"
    error: Exception | None
    is_interrupted: bool


def _judged(ended: _Ended, live: "Live | None") -> "Verdict":
    from pm_sim.report import verdict

    judged = verdict(ended.engine, ended.error)
    if live is not None:
        judged = live.judged(judged)
    return judged._replace(exit_code=INTERRUPTED) if ended.is_interrupted else judged


def _simulated(
    options: argparse.Namespace,
    live: "Live | None",
    witness: "Witness | None",
    stats: "CallbackStats | None",
) -> "tuple[Asked, _Ended]":
    from pm_frames.events import EndReason
    from pm_sim.inputs import Interrupts

    asked, settings = asked_of(options), settings_of(options)
    engine: Engine | None = None
    error: Exception | None = None
    with ExitStack() as stack:
        tell_fill = _fill_sink(options, stack)
        interrupts = Interrupts()
        source = _source(options, live, interrupts)
        with _first_pressed(options, interrupts):
            if live is not None:
                live.interrupted = lambda: interrupts.is_pressed
            try:
                with source as reader:
                    engine, asked = engine_of(reader, settings, asked, options, tell_fill, stats)
                    blocks: Iterator[bytes | Event] = reader.blocks()
                    for watch in (live, witness):
                        if watch is not None:
                            watch.attach(engine)
                            blocks = watch.blocks(blocks)
                    engine.run(blocks)
                    assert reader.end is not None
                    engine.finish(reader.end)
            except BundleError as raised:
                if isinstance(raised, UsageError):
                    raise
                error = raised
            except _strategy_failed() as raised:
                error = raised
            end = None if engine is None else engine.end
            is_stopped = end is None or end.reason is EndReason.STOPPED
            return asked, _Ended(engine, error, interrupts.is_pressed and is_stopped)


def asked_of(options: argparse.Namespace) -> "Asked":
    """Load the strategies and the resolutions. Raises `UsageError`, `MissingFile`."""
    from pm_sim.code_version import code_version
    from pm_sim.loading import load
    from pm_sim.report import Asked
    from pm_sim.resolutions import read_resolutions

    resolutions = None
    if options.resolutions is not None:
        resolutions = read_resolutions(options.resolutions, uma_only=options.resolutions_uma_only)
    return Asked(
        load(options.strategy, options.param, options.params),
        "live" if options.follow else "replay",
        code_version(),
        resolutions=resolutions,
        print_pnl=options.print_pnl,
    )


def _live(options: argparse.Namespace) -> "Live | None":
    of_live = (
        "print_latency_report_json",
        "print_health_summary_json",
        "print_health_heartbeat_json",
    )
    if not options.follow:
        for name in of_live:
            if getattr(options, name):
                raise UsageError(f"--{name.replace('_', '-')} is for --follow")
        return None
    from pm_sim.live import Live

    return Live(
        time.perf_counter_ns,
        time.time_ns,
        beat=_print_line if options.print_health_heartbeat_json else None,
        interval_ns=_seconds_ns(options.health_interval_seconds, "--health-interval-seconds"),
        stall_ns=_seconds_ns(options.stall_seconds, "--stall-seconds"),
        duration_ns=None
        if options.max_seconds is None
        else _seconds_ns(options.max_seconds, "--duration-seconds"),
    )


def _seconds_ns(text: str, flag: str) -> int:
    try:
        ns = parse_duration(f"{text}s")
    except UsageError:
        raise UsageError(f"{flag} is no number of seconds", found=text) from None
    if ns <= 0:
        raise UsageError(f"{flag} must be above 0", found=text)
    return ns


def _witness(options: argparse.Namespace) -> "Witness | None":
    if options.explain is None:
        return None
    if options.follow or _is_events(options):
        raise UsageError("--explain looks into the bundle: name a run, without --follow")
    from pm_sim.explain import Witness

    return Witness(options.explain)


def _strategy_failed() -> type[Exception]:
    from pm_sim.lens import StrategyFailed

    return StrategyFailed


def engine_of(
    reader: "EventReader",
    settings: "Settings",
    asked: "Asked",
    options: argparse.Namespace,
    tell_fill: Callable[..., object] | None,
    stats: "CallbackStats | None" = None,
) -> "tuple[Engine, Asked]":
    """Make the engine for a stream, with the mask of its run. Raises what reading the mask raises."""
    from pm_frames.events.slots import SLOT_BYTES
    from pm_sim.engine import RUNS_FROM_EVENT, Engine
    from pm_sim.mask import read_mask

    if options.mask is not None:
        run_id = reader.header.facts.get("run_id")
        asked = asked._replace(mask=read_mask(options.mask, run_id))
    path, long_bytes = reader.path, RUNS_FROM_EVENT * SLOT_BYTES
    is_long = path is not None and path.stat().st_size >= long_bytes
    engine = Engine(
        reader.header,
        settings,
        [
            (
                one.strategy_id,
                one.make if stats is None else stats.watched(one.strategy_id, one.make),
            )
            for one in asked.strategies
        ],
        mask=asked.mask,
        resolutions=() if asked.resolutions is None else asked.resolutions.settled,
        tell_fill=tell_fill,
        runs_from_event=0 if is_long else RUNS_FROM_EVENT,
    )
    return engine, asked


def settings_of(options: argparse.Namespace) -> "Settings":
    """Read the settings. Raises `UsageError`, `MissingFile`."""
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
        accepts_uncounted_sets=options.uncounted_sets == "accept",
        merge_delay_ns=_duration(options.merge_delay, "--merge-delay"),
        limits=Limits(
            options.max_intents_global,
            options.max_intents_per_strategy,
            _usd(options.max_order_usd, "--max-order-usd"),
            _usd(options.max_market_usd, "--max-market-usd"),
            _usd(options.max_total_usd, "--max-total-usd"),
        ),
        max_intents_per_callback=options.max_intents_per_callback,
        seed=options.seed,
        on_error=OnError(options.on_strategy_error),
        lenses=(WORST, CENTRAL) if options.lens == "both" else (options.lens,),
    )


def _duration(text: str, flag: str) -> int:
    try:
        return parse_duration(text)
    except UsageError as error:
        error.args = (f"{flag} is {error.args[0]}",)
        raise


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


def _source(
    options: argparse.Namespace, live: "Live | None", interrupts: "Interrupts"
) -> "AbstractContextManager[EventReader]":
    from pm_sim.inputs import from_file, from_growing_file, from_run, from_stream

    if not _is_events(options):
        arguments = [str(_run_dir(options)), *_replay_arguments(options)]
        return from_run(arguments, _tell, live, interrupts)
    given = [flag for name, flag in OF_THE_REPLAY if getattr(options, name)]
    if given:
        raise UsageError(
            f"{', '.join(given)}: the events are made already; give it to pm-replay, or name a run"
        )
    text = options.input
    if text is None or text == STDIN:
        return from_stream(sys.stdin.buffer, live)
    return from_file(Path(text)) if live is None else from_growing_file(Path(text), live)


def _is_events(options: argparse.Namespace) -> bool:
    """Say whether the input is events, and not a run."""
    if options.run_dir is not None:
        if options.input is not None:
            raise UsageError("--run-dir and another input are given: name one")
        return False
    if options.input is None:
        if sys.stdin.isatty():
            raise UsageError("no input: name a .pmev file, a run, or - for events on stdin")
        return True
    return bool(options.input == STDIN or options.input.endswith(EVENTS_ENDING))


def _run_dir(options: argparse.Namespace) -> Path:
    if options.run_dir is not None:
        return Path(options.run_dir)
    return resolve_run(options.input, data_dir_of(options.data_dir, os.environ))


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

    path = options.fills_out
    try:
        # Without a buffer: a fill is there when it is told, and nothing is left for closing to fail at.
        out = stack.enter_context(open(path, "wb" if options.force else "xb", buffering=0))
    except FileExistsError:
        raise UsageError("exists; --force writes over it", path=path) from None
    except OSError as error:
        raise WriteFailed(f"cannot be written: {error.strerror}", path=path) from error

    def tell(lens: "Lens", fill: "Fill") -> None:
        rest = memoryview(fill_json(lens, fill).encode())
        try:
            while rest:
                rest = rest[out.write(rest) :]
        except OSError as error:
            raise WriteFailed(f"cannot be written: {error.strerror}", path=path) from error

    return tell


@contextmanager
def _first_pressed(options: argparse.Namespace, interrupts: "Interrupts") -> Iterator[None]:
    """Leave the first Ctrl-C (or SIGTERM) to whoever writes the events; the second one is ours."""
    is_file = options.input is not None and options.input.endswith(EVENTS_ENDING)
    both = (signal.SIGINT, signal.SIGTERM)
    ours = [one for one in both if signal.getsignal(one) is signal.default_int_handler]
    if is_file and not options.follow:
        ours = []

    def give_back() -> None:
        for one in ours:
            signal.signal(one, signal.default_int_handler)

    def first(number: int, frame: FrameType | None) -> None:
        give_back()
        interrupts.press()

    for one in ours:
        signal.signal(one, first)
    try:
        yield
    finally:
        give_back()


def _print_line(facts: dict[str, Any]) -> None:
    print(json.dumps(facts), flush=True)


def _show_explanation(explanation: dict[str, Any], options: argparse.Namespace) -> None:
    from pm_sim.explain import page

    if wants_json(options, sys.stdout):
        _print_line(explanation)
    else:
        print(*page(explanation), sep="\n", flush=True)


def _show(line: dict[str, Any], options: argparse.Namespace) -> None:
    if options.stable_json or options.print_summary_json or wants_json(options, sys.stdout):
        print(json.dumps(line))
    elif options.print_hash:
        print(line["final_hash"])
    else:
        from pm_sim.report import page

        print(*page(line), sep="\n")
    sys.stdout.flush()
