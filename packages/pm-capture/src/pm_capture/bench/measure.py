"""One bench: a venue in a process of its own, pm-capture as anybody runs it, and what they left.

The clock belongs to the venue, outside of what is measured: from before its first byte until a proof that
the last frame is written. The percentiles are those of the run's own metrics.
"""

import asyncio
import contextlib
import json
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pm_capture.discovery import scrubbed
from pm_capture.metrics import merged, quantiles
from pm_capture.offline.stage import Stage, load
from pm_capture.settings import FIELDS, Resolved, kind_of
from pm_frames import paths

# What a bench decides for the capture that it measures.
DECIDED = frozenset(
    {
        "offline",
        "fixtures_dir",
        "fixtures_multiplier",
        "universe",
        "clob_ws_url",
        "duration_seconds",
        "ws_ping_interval_seconds",
        "capture_max_markets",
        "capture_use_market_filters",
        "market_regex",
    }
)
NS_PER_S = 1_000_000_000


class BenchFailed(Exception):
    """No figures could be had; `exit_code` is that of the program that failed."""

    def __init__(self, message: str, exit_code: int) -> None:
        super().__init__(message)
        self.exit_code = exit_code


@dataclass(frozen=True, slots=True)
class Sent:
    """What the venue tells of itself; both moments by `perf_counter_ns`."""

    connections: int
    frames: int
    began_ns: int
    ended_ns: int


async def bench(
    resolved: Resolved, environ: Mapping[str, str], now: tuple[int, int]
) -> dict[str, Any]:
    """Measure, and return the report; `now` is both clocks, (monotonic, wall) in ns.

    The run stays where `data_dir` says. Raises `FixturesError`, `UniverseError` or `BenchFailed`.
    """
    mono, wall = now
    stage = load(resolved.settings, mono_ns=mono, wall_ns_utc=wall)
    with tempfile.TemporaryDirectory() as folder:
        universe = Path(folder) / "universe.json"
        universe.write_bytes(stage.universe.data)
        run_dir, sent = await _run(stage, universe, resolved, scrubbed(environ))
    return report(run_dir, sent)


async def _run(
    stage: Stage, universe: Path, resolved: Resolved, environ: dict[str, str]
) -> tuple[Path, Sent]:
    """Let venue and capture work; both have ended when this returns or raises."""
    venue = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "pm_capture.bench.server"),
        *(str(stage.fixtures.directory), str(stage.passes), *stage.universe.token_ids),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        env=environ,
    )
    capture = None
    try:
        port = (await _line(venue))["port"]
        capture = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "pm_capture"),
            *flags(resolved),
            f"--universe={universe}",
            f"--clob-ws-url=ws://127.0.0.1:{port}/ws/market",
            "--ws-ping-interval-seconds=0",
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=environ,
            creationflags=getattr(subprocess, "CREATE_NEW_PROCESS_GROUP", 0),
        )
        told = asyncio.ensure_future(_line(venue))
        ended = asyncio.ensure_future(capture.wait())
        await asyncio.wait({told, ended}, return_when=asyncio.FIRST_COMPLETED)
        if told.done():
            with contextlib.suppress(ProcessLookupError):
                capture.send_signal(getattr(signal, "CTRL_BREAK_EVENT", signal.SIGINT))
        else:
            told.cancel()
        assert capture.stdout is not None
        run_dir = (await capture.stdout.read()).decode().rstrip("\r\n")
        code = await ended
        [sent] = await asyncio.gather(told, return_exceptions=True)
        if code > 0 or isinstance(sent, asyncio.CancelledError):
            raise BenchFailed(
                f"pm-capture ended with exit code {code}; see above", code if code > 0 else 3
            )
        if isinstance(sent, BaseException):
            raise sent
        return Path(run_dir), Sent(**sent)
    finally:
        for process in (capture, venue):
            if process is not None and process.returncode is None:
                process.kill()
                await process.wait()


def flags(resolved: Resolved) -> list[str]:
    """Return the command line that gives pm-capture every setting which somebody has set."""
    given = []
    for name in FIELDS:
        if name in DECIDED or resolved.sources[name] == "default":
            continue
        value = getattr(resolved.settings, name)
        flag = name.replace("_", "-")
        if kind_of(name)[0] is bool:
            given.append(f"--{flag}" if value else f"--no-{flag}")
        else:
            given.append(f"--{flag}={'none' if value is None else value}")
    return given


def report(run_dir: Path, sent: Sent) -> dict[str, Any]:
    """Return the figures of a run that has ended. Raises `BenchFailed` if it is not what was sent."""
    seal = json.loads((run_dir / paths.SEAL).read_bytes())
    manifest = json.loads((run_dir / paths.MANIFEST).read_bytes())
    if seal["frames_total"] != sent.frames:
        raise BenchFailed(
            f"{run_dir}: expected the {sent.frames} frames that were sent, found {seal['frames_total']}",
            3,
        )
    lines = (run_dir / paths.METRICS_GLOBAL).read_bytes().splitlines()
    durations = merged(json.loads(line)["histograms"] for line in lines)
    elapsed_ns = sent.ended_ns - sent.began_ns
    versions, transport = manifest["versions"], manifest["environment"]["transport"]
    return {
        "run_id": seal["run_id"],
        "run_dir": str(run_dir),
        "frames": seal["frames_total"],
        "bytes_written": seal["bytes_total"],
        "elapsed_ns": elapsed_ns,
        "msgs_per_sec": seal["frames_total"] * NS_PER_S / elapsed_ns,
        "bytes_per_sec": seal["bytes_total"] * NS_PER_S / elapsed_ns,
        "write_ns_p99": quantiles(durations["write_ns"], [99])[0],
        "ingest_ns_p99": quantiles(durations["ingest_ns"], [99])[0],
        "reads": durations["write_ns"]["count"],
        "connections": sent.connections,
        "loop": manifest["environment"]["event_loop"],
        "transport": f"{transport} {versions.get(transport, 'unknown')}",
        "python": manifest["environment"]["python"],
    }


async def _line(process: asyncio.subprocess.Process) -> dict[str, int]:
    assert process.stdout is not None
    line = await process.stdout.readline()
    if not line:
        raise BenchFailed("the venue of the bench ended before everything was sent", 3)
    told: dict[str, int] = json.loads(line)
    return told
