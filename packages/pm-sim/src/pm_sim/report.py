"""What a simulation has found: one JSON object with documented keys, or a page for people.

The keys begin with those of the predecessors, in their order. The headline (`intents`, `final_hash`, `pnl`,
`fills`, …) is that of the first lens, the worst one; `lenses` has them all.
"""

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any, Final, NamedTuple

from pm_frames.command import ExitCode
from pm_frames.errors import BundleError
from pm_frames.events import CorruptEvents, End, EndReason, RunState
from pm_sim.callbacks import TIMES
from pm_sim.engine import Engine
from pm_sim.fixed import E6
from pm_sim.hashing import ledger_hash, result_id
from pm_sim.lens import Lens, StrategyFailed
from pm_sim.loading import Named
from pm_sim.mask import Mask
from pm_sim.orders import Fill
from pm_sim.resolutions import Resolutions
from pm_sim.settings import Settings

NOT_CLEAN: Final = frozenset({RunState.CRASHED, RunState.FATAL})


class Asked(NamedTuple):
    """What was simulated, as far as the engine does not know it."""

    strategies: list[Named]
    mode: str  # replay, live
    code: str  # version of the program
    mask: Mask | None = None
    resolutions: Resolutions | None = None
    print_pnl: bool = False


class Verdict(NamedTuple):
    """Whether the result is what was asked for."""

    exit_code: int  # an ExitCode, or 130
    error: str | None

    @property
    def ok(self) -> bool:
        """Nothing is missing, and nothing went wrong."""
        return self.exit_code == ExitCode.OK


def verdict(engine: Engine | None, error: Exception | None) -> Verdict:
    """Judge a simulation; `engine` is None where not even the header was there."""
    if isinstance(error, CorruptEvents) and error.kind == "no_header" and not error.found:
        where = "the input" if error.path is None else str(error.path)
        return Verdict(ExitCode.USAGE, f"{where} is empty")
    if isinstance(error, BundleError):
        return Verdict(ExitCode(error.exit_code), str(error))
    if isinstance(error, StrategyFailed):
        return Verdict(ExitCode.FINDINGS, str(error))
    assert error is None
    assert engine is not None
    assert engine.end is not None
    return _judged_end(engine.end) or _judged(engine, engine.end)


def _judged_end(end: End) -> Verdict | None:
    if end.reason is EndReason.ERROR:
        return Verdict(ExitCode.CORRUPT, "the replay could not read the run to its end")
    if end.reason is EndReason.STOPPED:
        return Verdict(ExitCode.FINDINGS, "the replay was stopped before its end")
    if end.run_state in NOT_CLEAN:
        return Verdict(ExitCode.FINDINGS, f"the run is {end.run_state.name.lower()}")
    if end.run_state is RunState.RUNNING and end.reason is EndReason.WHOLE:
        return Verdict(ExitCode.FINDINGS, "the run is still going on: this is not all of it")
    return None


def _judged(engine: Engine, end: End) -> Verdict:
    if not engine.books.seq:
        return Verdict(ExitCode.FINDINGS, "the stream has no events")
    if not engine.books.tops and end.reason is EndReason.WHOLE:
        return Verdict(ExitCode.FINDINGS, "the stream tells of no book")
    # With `count` only one that answered itself for ever is disabled.
    broken = [run for lens in engine.lenses for run in lens.runs if run.is_disabled]
    if broken:
        first = broken[0]
        return Verdict(ExitCode.FINDINGS, f"{first.strategy_id} was disabled: {first.first_error}")
    return Verdict(ExitCode.OK, None)


def summary(
    engine: Engine,
    asked: Asked,
    judged: Verdict,
    *,
    elapsed_ms: int,
    more: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the line; every key is there, whatever happened, but `pnl` and `more`, which must be asked for.

    `more` is what stands after `elapsed_ms` (R349): counts of a live simulation, and `callback_stats`.
    """
    end = engine.end
    lenses = {lens.name: _lens(lens) for lens in engine.lenses}
    head = lenses[engine.lenses[0].name]
    settings = settings_facts(engine.settings, asked)
    return {
        "ok": judged.ok,
        "mode": asked.mode,
        "execution": "sim",
        "canonical_events": engine.books.seq,
        "intents": head["intents"],
        "final_hash": head["final_hash"],
        "elapsed_ms": elapsed_ms,
        **(more or {}),
        "submitted_intents": head["submitted_intents"],
        **({"pnl": head["pnl"]} if asked.print_pnl else {}),
        "error": judged.error,
        "exit_code": int(judged.exit_code),
        "run_id": engine.header.facts.get("run_id"),
        "profile": engine.header.facts.get("profile"),
        "run_state": None if end is None else end.run_state.name.lower(),
        "end_reason": None if end is None else end.reason.name.lower(),
        "lens": engine.lenses[0].name,
        **{key: head[key] for key in ("fills", "fill_hash", "ledger_hash", "rejects")},
        "events": {"ignored": engine.ignored, **dict(sorted(engine.counts.items()))},
        "markets": _markets(engine),
        "strategies": _strategies(engine.lenses[0]),
        "lenses": lenses,
        "settings": settings,
        "result_id": None if end is None else result_id(end.sha256.hex(), asked.code, settings),
    }


def settings_facts(settings: Settings, asked: Asked) -> dict[str, Any]:
    """Return all that a result depends on besides the stream and the code."""
    return {
        **settings.as_json(),
        "strategies": {
            one.strategy_id: {"source": one.source, "parameters": dict(one.parameters)}
            for one in asked.strategies
        },
        "mask_sha256": None if asked.mask is None else asked.mask.sha256,
        "resolutions_sha256": None if asked.resolutions is None else asked.resolutions.sha256,
        "resolutions_uma_only": asked.resolutions is not None and asked.resolutions.uma_only,
    }


def _lens(lens: Lens) -> dict[str, Any]:
    ids = lens.facts.markets.ids
    totals = lens.totals()
    marks = lens.marks()
    positions = {ids[token]: size for token, size in lens.ledger.positions_e6().items()}
    days_e6 = lens.ledger.capital_days_e6(lens.books.now_ns)
    return {
        "intents": lens.intents.count,
        "final_hash": lens.intents.hexdigest(),
        "submitted_intents": lens.submitted,
        "dropped_intents": dict(sorted(lens.allocator.dropped.items())),
        "fills": lens.fills.count,
        "fill_hash": lens.fills.hexdigest(),
        "ledger_hash": ledger_hash(totals, positions),
        "rejects": {
            reason.value: count
            for reason, count in sorted(lens.rejects.items(), key=lambda one: one[0].value)
        },
        "counts": dict(sorted(lens.counts.items())),
        "open_orders": len(lens.exchange.open_orders()),
        "pnl": {
            "cash_e6": totals.cash_e6,
            "realized_pnl_e6": totals.realized_pnl_e6,
            "unrealized_pnl_e6": totals.unrealized_pnl_e6,
            "fees_paid_e6": totals.fees_paid_e6,
            "total_pnl_e6": totals.total_pnl_e6,
            "positions_e6": positions,
            "clean_pnl_e6": totals.clean_pnl_e6,
            "tainted_pnl_e6": totals.tainted_pnl_e6,
            "reserved_e6": totals.reserved_e6,
            "in_transit_e6": totals.in_transit_e6,
            "deposits_e6": totals.deposits_e6,
            "capital_days_e6": days_e6,
            "pnl_per_capital_day_e6": totals.total_pnl_e6 * E6 // days_e6 if days_e6 else None,
            "unmarked_positions": sum(mark is None for mark in marks.values()),
        },
    }


def _markets(engine: Engine) -> dict[str, int]:
    markets = {id(one): one for one in engine.markets.by_token.values()}.values()
    return {
        "known": len(markets),
        "fees_unknown": sum(not one.fees.is_known for one in markets),
        "resolved": sum(one.payouts_e6 is not None for one in markets),
    }


def _strategies(lens: Lens) -> dict[str, Any]:
    return {
        run.strategy_id: {
            "errors": run.errors,
            "disabled": run.is_disabled,
            "first_error": run.first_error,
        }
        for run in lens.runs
    }


def failure(asked: Asked, judged: Verdict, *, elapsed_ms: int) -> dict[str, Any]:
    """Return the line of a simulation that had no stream at all."""
    return {
        "ok": False,
        "mode": asked.mode,
        "execution": "sim",
        "canonical_events": 0,
        "intents": 0,
        "final_hash": None,
        "elapsed_ms": elapsed_ms,
        "submitted_intents": 0,
        "error": judged.error,
        "exit_code": int(judged.exit_code),
    }


def stable(line: Mapping[str, Any]) -> dict[str, Any]:
    """Return the same keys in the same order, everything below them sorted, and no time of day."""
    sorted_inside = {
        key: json.loads(json.dumps(value, sort_keys=True)) for key, value in line.items()
    }
    for hooks in sorted_inside.get("callback_stats", {}).values():
        for stats in hooks.values():
            stats.update(dict.fromkeys(TIMES, 0))
    return {**sorted_inside, "elapsed_ms": 0}


def fill_json(lens: Lens, fill: Fill) -> str:
    """Return the JSON line of a fill; `shard` and `frame` lead to the raw frame that its price is from."""
    token_id = lens.facts.markets.ids[fill.token]
    facts = {
        **fill._asdict(),
        "lens": lens.name,
        "order_id": order_name(fill.order_id),
        "token_id": token_id,
        "state": fill.state.name.lower(),
        "slug": lens.facts.tokens[fill.token].market.slug,
        "outcome": lens.facts.tokens[fill.token].outcome,
    }
    return json.dumps(facts) + "\n"


def order_name(order_id: int) -> str:
    """Return how an order is called outside: `sim-00000001`."""
    return f"sim-{order_id:08d}"


def page(line: Mapping[str, Any]) -> Iterator[str]:
    """Yield the lines of the page for people."""
    yield f"{'ok' if line['ok'] else 'NOT OK'}: {line['error'] or 'simulated to the end'}"
    yield (
        f"run {line.get('run_id')}: {line['canonical_events']} events, {line['intents']} intents "
        f"in {line['elapsed_ms']} ms"
    )
    yield f"intent hash {line['final_hash']}"
    for name, lens in line.get("lenses", {}).items():
        pnl = lens["pnl"]
        rate = pnl["pnl_per_capital_day_e6"]
        yield (
            f"{name}: PnL {_usd(pnl['total_pnl_e6'])} "
            f"(clean {_usd(pnl['clean_pnl_e6'])}, tainted {_usd(pnl['tainted_pnl_e6'])}), "
            f"fees {_usd(pnl['fees_paid_e6'])}, {lens['fills']} fills, "
            f"{_usd(pnl['capital_days_e6'])} dollar-days tied up"
            + ("" if rate is None else f", PnL {_usd(rate)} for each")
        )
        rejects = ", ".join(f"{reason} {count}" for reason, count in lens["rejects"].items())
        if rejects:
            yield f"{name}: rejected: {rejects}"
        if pnl["unmarked_positions"]:
            yield f"{name}: {pnl['unmarked_positions']} positions without a bid count as worthless"
    for name, one in line.get("strategies", {}).items():
        if one["errors"]:
            yield f"{name} raised {one['errors']} times: {one['first_error']}"
    for name, hooks in line.get("callback_stats", {}).items():
        for hook, took in hooks.items():
            yield (
                f"{name}.{hook}: {took['count']} calls, mean {took['mean_us']} us, "
                f"longest {took['max_us']} us, {took['overruns']} overruns"
            )


def _usd(amount_e6: int) -> str:
    return f"{Decimal(amount_e6) / E6:f}"
