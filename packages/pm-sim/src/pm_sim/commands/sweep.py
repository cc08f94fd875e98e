"""pm-sim sweep: every combination of a grid over one event file, in as many processes as there are cores."""

import argparse
import json
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from threading import Thread
from typing import TYPE_CHECKING, Any, Final

from pm_frames.command import ExitCode, severest, wants_json
from pm_frames.errors import BundleError, WriteFailed

if TYPE_CHECKING:
    from pm_sim.cells import Stream

EPILOG = """\
A grid is TOML: [always] has flags of pm-sim that are the same in all (without dashes), [grid] lists of values
whose every combination is simulated, [grid.param] lists of parameters of the strategies.

  [always]
  strategy = ["random_taker"]
  [grid]
  seed = [1, 2, 3]
  order-latency-ms = ["50", "200"]
  [grid.param]
  one_in = [4, 8]

Each result is a file DIR/<result id>.json, the line of `pm-sim EVENTS … --print-pnl --stable-json`. The id is of the stream's
digest, the code, all settings and the seed: what is there is not computed again, and a sweep that was
killed goes on where it was. The number of workers changes nothing but the time.

  pm-replay monday --depth --events-out monday.pmev
  pm-sim sweep monday.pmev --grid grid.toml --out results

exit codes: 0 clean; 2 usage, or no such file; 3 a result is not ok, or a worker died (run it again); 4 the
events are corrupt; 5 a result cannot be written; 130 interrupted. Of several results the severest.
"""
COLUMNS: Final = ("ok", "intents", "fills", "total_pnl_e6", "clean_pnl_e6", "fees_paid_e6")


def make_parser() -> argparse.ArgumentParser:
    """Return the command line of pm-sim sweep."""
    parser = argparse.ArgumentParser(
        prog="pm-sim sweep",
        description="Simulate every combination of a grid of parameters on one event file.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("events", metavar="EVENTS", type=Path, help="a finished event file (.pmev)")
    add("--grid", required=True, type=Path, metavar="FILE", help="the grid, as TOML")
    add("--out", required=True, type=Path, metavar="DIR", help="where results are, and will be")
    add("--workers", type=_workers, metavar="N", help="processes (default: one for each core)")
    add("--json", action="store_true", help="print JSON, also on a terminal")
    return parser


def main(arguments: Sequence[str]) -> int:
    """Compute what is not there yet, and show all. Raises BundleError, OSError."""
    options = make_parser().parse_args(arguments)
    from pm_sim.cells import checked_stream, id_of, read_back
    from pm_sim.code_version import code_version
    from pm_sim.grid import read_grid

    begun = time.monotonic()
    grid = read_grid(options.grid)
    stream = checked_stream(options.events)
    ids = [id_of(stream, cell.arguments) for cell in grid]
    _prepare(options.out)
    missing = {
        name: cell.arguments
        for name, cell in zip(ids, grid, strict=True)
        if read_back(options.out, name) is None
    }
    workers = min(options.workers or os.cpu_count() or 1, max(1, len(missing)))
    _compute_all(stream, missing, options.out, workers)
    lines = [read_back(options.out, name) for name in ids]
    table: dict[str, Any] = {
        "ok": all(line is not None and line["ok"] for line in lines),
        "run_id": stream.run_id,
        "stream_sha256": stream.sha256,
        "code": code_version(),
        "results": [
            {"result_id": name, "cell": cell.values, **_row(line)}
            for name, cell, line in zip(ids, grid, lines, strict=True)
        ],
    }
    if wants_json(options, sys.stdout):
        print(json.dumps(table))
    else:
        print(*_page(table), sep="\n")
    sys.stdout.flush()
    print(
        f"pm-sim: {len(grid)} cells, {len(missing)} computed with {workers} workers in "
        f"{time.monotonic() - begun:.1f} s",
        file=sys.stderr,
    )
    return severest([ExitCode(row["exit_code"]) for row in table["results"]])


def _prepare(out: Path) -> None:
    try:
        out.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise WriteFailed(f"cannot be made: {error.strerror}", path=out) from error


def _compute_all(
    stream: "Stream", missing: dict[str, tuple[str, ...]], out: Path, workers: int
) -> None:
    from pm_sim.cells import compute

    if not missing:
        return
    if workers == 1:
        for name, arguments in missing.items():
            compute(stream, arguments, out, name)
        return
    # Spawned on every platform, so that no worker has anything that it was not given.
    context = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, mp_context=context, initializer=_begin_worker)
    try:
        futures = [pool.submit(compute, stream, cell, out, name) for name, cell in missing.items()]
        for future in as_completed(futures):
            future.result()
    except BrokenProcessPool:
        raise WorkerDied(
            "a worker died; what it had not finished is computed by another run"
        ) from None
    finally:
        pool.shutdown(wait=True, cancel_futures=True)


class WorkerDied(BundleError):
    """A process of the sweep was killed."""

    exit_code = 3


def _begin_worker() -> None:
    """Leave Ctrl-C to the parent, and end when the parent is gone."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    assert parent is not None

    def end_with(join: Callable[[], object]) -> None:
        join()
        os._exit(1)

    Thread(target=end_with, args=(parent.join,), daemon=True).start()


def _row(line: dict[str, Any] | None) -> dict[str, Any]:
    assert line is not None, "a result that was just written cannot be read"
    pnl = line["pnl"]
    return {
        "ok": line["ok"],
        "exit_code": line["exit_code"],
        "error": line["error"],
        "intents": line["intents"],
        "fills": line["fills"],
        "final_hash": line["final_hash"],
        "fill_hash": line["fill_hash"],
        "ledger_hash": line["ledger_hash"],
        "total_pnl_e6": pnl["total_pnl_e6"],
        "clean_pnl_e6": pnl["clean_pnl_e6"],
        "fees_paid_e6": pnl["fees_paid_e6"],
        "lenses": {name: one["pnl"]["total_pnl_e6"] for name, one in line["lenses"].items()},
    }


def _page(table: dict[str, Any]) -> Iterator[str]:
    rows = table["results"]
    names = list(rows[0]["cell"])
    cells = [[*names, *COLUMNS, "result"]]
    for row in rows:
        shown = [_shown(name, row[name]) for name in COLUMNS]
        cells.append([*row["cell"].values(), *shown, row["result_id"][:12]])
    widths = [max(len(line[at]) for line in cells) for at in range(len(cells[0]))]
    yield f"run {table['run_id']}, stream {table['stream_sha256'][:12]}, code {table['code']}"
    for line in cells:
        yield "  ".join(text.rjust(width) for text, width in zip(line, widths, strict=True))


def _shown(name: str, value: Any) -> str:
    from pm_sim.fixed import usd_text

    if name.endswith("_e6"):
        return usd_text(value)
    return str(value).lower()


def _workers(text: str) -> int:
    if not (text.isascii() and text.isdecimal() and int(text)):
        raise argparse.ArgumentTypeError(f"not a number of processes: {text!r}")
    return int(text)
