"""The capture as a process: signals, the first universe, and one event loop. It decides nothing about time."""

import asyncio
import random
import signal
import time
from collections.abc import Coroutine
from pathlib import Path
from typing import Any

from pm_capture import discovery
from pm_capture.durable import write_file
from pm_capture.masking import masked
from pm_capture.offline.stage import load
from pm_capture.opening import Start, discovery_command, open_run
from pm_capture.run_config import part_of
from pm_capture.rundir import RunDirectory, new_run_id
from pm_capture.settings import Resolved, Settings
from pm_capture.shell import Shell
from pm_capture.signals import StopSignals
from pm_capture.succession import Succession
from pm_capture.universe import (
    Universe,
    UniverseError,
    check_share,
    parse_universe,
    read_universe,
)
from pm_frames import paths

__all__ = ["Interrupted", "Shell", "capture"]


class Interrupted(Exception):
    """A signal came before there was a run to seal; `number` is the signal's."""

    def __init__(self, number: int) -> None:
        super().__init__(f"{signal.Signals(number).name} before the capture began")
        self.number = number


async def capture(resolved: Resolved, shell: Shell) -> int:
    """Record until a signal, the duration or a fatal error; return the exit code.

    Raises `UniverseError`, `FixturesError`, `DiscoveryMissing`, `DiscoveryFailed`, `Interrupted`, `BundleError` or
    OSError for what keeps a run from beginning; then no run directory stays behind.
    """
    settings = resolved.settings
    loop = asyncio.get_running_loop()
    stopping: asyncio.Future[signal.Signals] = loop.create_future()

    def first(number: signal.Signals) -> None:
        if not stopping.done():
            stopping.set_result(number)

    def came(number: signal.Signals) -> None:
        loop.call_soon_threadsafe(first, number)

    signals = StopSignals(came)
    try:
        wall = time.time_ns()
        run_id = settings.run_id or new_run_id(wall, random.Random().getrandbits(32))
        stage = None
        given = _given(settings)
        if settings.offline:
            stage = load(settings, mono_ns=shell.monotonic(), wall_ns_utc=shell.wall())
            given = stage.universe
        directory = RunDirectory(Path(settings.data_dir), run_id)
        try:
            universe = await _or_stop(
                _place_universe(directory.path, given, settings, shell), stopping
            )
            start = Start(run_id=run_id, directory=directory, universe=universe, stage=stage)
            life = await open_run(start, resolved, shell)
        except BaseException:
            directory.discard()
            raise
        succession = Succession(life, resolved, shell)
        del start, life, directory, universe, given, stage  # what lives is the succession's
        shell.settle()
        return await _lived(succession, settings, stopping)
    finally:
        signals.restore()


async def _lived(
    succession: Succession, settings: Settings, stopping: "asyncio.Future[signal.Signals]"
) -> int:
    """Carry the capture to its end, which a signal or the duration may bring."""
    # A signal that came while the files were made ends the run as soon as it lives.
    stopping.add_done_callback(lambda done: succession.end(done.result().name))
    if settings.duration_seconds is None:
        return await succession.last()
    loop = asyncio.get_running_loop()
    timer = loop.call_later(settings.duration_seconds, succession.end, "duration")
    try:
        return await succession.last()
    finally:
        timer.cancel()


def _given(settings: Settings) -> Universe | None:
    """Return what is to be captured of the universe file; None without a file. Raises `UniverseError`."""
    if settings.universe is None:
        return None
    universe = read_universe(Path(settings.universe))
    _check(universe, settings, settings.universe)
    return universe


def _check(universe: Universe, settings: Settings, name: str) -> None:
    part = part_of(settings)
    if part is not None:
        check_share(universe, part, name)


async def _place_universe(
    run_dir: Path, given: Universe | None, settings: Settings, shell: Shell
) -> Universe:
    """Put the universe file in its place, durably, and return it."""
    path = paths.universe_path(run_dir, 0)
    path.parent.mkdir()
    if given is not None:
        write_file(path, given.data)
        return given
    program = discovery.find_program(shell.environ.get("PATH"))
    shell.say(f"asking {masked(settings.gamma_base_url)} for the universe")
    command = discovery_command(settings, program, path, discovery.GIVE_UP_SECONDS)
    await discovery.discover(command, shell.environ)
    try:
        universe = parse_universe(path.read_bytes(), str(path))
    except (OSError, UniverseError) as error:
        raise discovery.DiscoveryFailed(f"pm-universe left no universe: {error}") from error
    _check(universe, settings, "what pm-universe found")
    dropped = universe.document.stats.get("markets_dropped_by_cap")
    if settings.shard_range is not None and dropped:
        shell.say(
            f"warning: {dropped} markets are beyond --capture-max-markets; other processes of this "
            "--ws-shards may draw the line elsewhere, so give all of them a limit that is never reached"
        )
    return universe


async def _or_stop(
    work: Coroutine[None, None, Universe], stopping: "asyncio.Future[signal.Signals]"
) -> Universe:
    """Wait for the work, or for a signal, which ends the work."""
    task = asyncio.ensure_future(work)
    either: set[asyncio.Future[Any]] = {task, stopping}
    await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
    if stopping.done():
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        raise Interrupted(stopping.result())
    return task.result()
