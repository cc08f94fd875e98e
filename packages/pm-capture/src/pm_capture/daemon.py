"""The run as a process: clocks, signals, files, and one event loop. It decides nothing about time.

directory and lock → universe → files → manifest → run directory announced → sockets
stop: sockets closed with a handshake → frames synced and closed → capture_stop → SHA256SUMS → seal
fatal: sockets dropped → what can be synced is synced → fatal.json
"""

import asyncio
import functools
import hashlib
import os
import random
import shutil
import signal
import time
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from pm_capture import discovery, environment, manifest, refresh_config, sharding
from pm_capture.durable import write_file
from pm_capture.fatal import Fatal, GivenUp, fatal_of
from pm_capture.generation import head_of
from pm_capture.masking import masked
from pm_capture.offline.stage import STOP_REASON, Stage, load, untimed
from pm_capture.policies.backoff import Backoff
from pm_capture.policies.budget import Budget
from pm_capture.policies.confirm import Confirm
from pm_capture.policies.data_idle import DataIdle
from pm_capture.policies.keepalive import Keepalive
from pm_capture.policies.snapshot import Snapshot
from pm_capture.reasons import FatalReason
from pm_capture.recorder import Recorder
from pm_capture.refresh_session import RefreshSession
from pm_capture.refresher import Asking, Refresher
from pm_capture.reserve import Reserve
from pm_capture.run import Run
from pm_capture.rundir import RunDirectory, new_run_id
from pm_capture.settings import Resolved, Settings, nanoseconds
from pm_capture.shard_link import Dial, Open
from pm_capture.shard_range import ShardRange, parse_range
from pm_capture.shard_session import Policies, ShardSession
from pm_capture.signals import StopSignals
from pm_capture.stamper import Precision, Stamper, precision
from pm_capture.subscribe import SubscribeCaps
from pm_capture.transport import open_connection
from pm_capture.universe import Universe, UniverseError, parse_universe, read_universe, share
from pm_capture.vitals import Guards
from pm_frames import BundleError, paths
from pm_frames.command import ExitCode

CLOCK_SOURCE = "perf_counter_ns"
CLOCK_SAMPLES = 1000
BYTES_PER_GB = 1_000_000_000
BYTES_PER_MIB = 1 << 20


@dataclass(frozen=True, slots=True)
class Shell:
    """What the process lends to a run."""

    say: Callable[[str], None]  # words for people
    status: Callable[[Mapping[str, object], int], None] | None = field(default=None, kw_only=True)
    announce: Callable[[Path], None]  # the run directory, once, when its manifest is written
    environ: Mapping[str, str]
    event_loop: str
    transport: str = field(default="websockets", kw_only=True)
    open: Open = field(default=open_connection, kw_only=True)
    monotonic: Callable[[], int] = time.perf_counter_ns
    wall: Callable[[], int] = time.time_ns
    settle: Callable[[], None] = lambda: (
        None
    )  # called once, when all that lives as long as the run is made


def clock_too_coarse(judged: Precision) -> GivenUp:
    """Return what to raise when the monotonic clock cannot tell frames apart in time."""
    words = f"{CLOCK_SOURCE} moves in steps of {judged.min_delta_ns} ns; less than 1 ms is needed"
    return GivenUp(FatalReason.MONO_TIME_QUANTIZED, words)


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
        except BaseException:
            directory.discard()
            raise
        try:
            return await _capture(
                directory.path, run_id, universe, resolved, shell, stopping, stage
            )
        finally:
            directory.release()
    finally:
        signals.restore()


async def _capture(
    run_dir: Path,
    run_id: str,
    universe: Universe,
    resolved: Resolved,
    shell: Shell,
    stopping: "asyncio.Future[signal.Signals]",
    stage: Stage | None,
) -> int:
    """Everything from the first file of the run to its last."""
    settings = resolved.settings if stage is None else untimed(resolved.settings)
    shards = sharding.assign(universe.markets, shards_min=settings.ws_shards, part=_part(settings))
    recorder = Recorder(
        run_dir,
        run_id,
        shards=len(shards),
        stamper=Stamper(shell.monotonic, shell.wall),
        version=settings.capture_frames_schema_version,
    )
    reserve = Reserve(run_dir, round(settings.capture_reserve_mb * BYTES_PER_MIB))
    active = sum(1 for tokens in shards if tokens)
    dial = _dial(settings, shell)
    if stage is not None:
        dial = stage.dial(connections=active, ended=lambda: run.end(STOP_REASON))
    run = Run(
        recorder,
        [_session(settings, shard_id, tokens) for shard_id, tokens in enumerate(shards)],
        dial,
        heartbeat_seconds=settings.capture_heartbeat_interval_seconds,
        say=shell.say,
        guards=_guards(settings),
        reserve=reserve,
        status=shell.status,
    )
    run.refresh_by(
        _refresher(run, recorder, universe, shards, resolved, shell),
        lambda shard_id: _session(settings, shard_id, ()),
    )
    try:
        source = None if stage is None else stage.manifest()
        digests = _begin(recorder, universe, resolved, shards, shell, source)
        reserved = reserve.hold(shutil.disk_usage(run_dir).free)
    except (BundleError, OSError, GivenUp) as error:
        return await _fatal(run, fatal_of(error), shell)
    if not reserved:
        held = f"{reserve.held_bytes} of {settings.capture_reserve_mb} MiB"
        shell.say(f"warning: only {held} could be reserved for the records of a full disk")
    shell.settle()
    shell.announce(run_dir)
    shell.say(
        f"run {run_id}: {len(universe.token_ids)} tokens on {active} connections to {masked(dial.url)}"
    )
    # A signal that came while the files were made ends the run as soon as it lives.
    stopping.add_done_callback(lambda done: run.end(done.result().name))
    ending = await run.live(settings.duration_seconds)
    if ending.fatal is None:
        shell.say(f"run {run_id}: stopping ({ending.reason})")
    fatal = ending.fatal or await run.conclude(digests)
    if fatal is not None:
        return await _fatal(run, fatal, shell)
    shell.say(f"run {run_id}: sealed, {recorder.frames_total} frames, {recorder.bytes_total} bytes")
    return ExitCode.OK


def _refresher(
    run: Run,
    recorder: Recorder,
    universe: Universe,
    shards: Sequence[Sequence[str]],
    resolved: Resolved,
    shell: Shell,
) -> Refresher:
    settings = resolved.settings
    asking = None
    if refresh_config.is_on(settings):
        program = discovery.find_program(shell.environ.get("PATH"))
        asking = Asking(functools.partial(_command, settings, program), shell.environ)
    elif refresh_config.is_wanted(settings) and not settings.offline:
        shell.say("universe refresh is off: a universe file is captured as it is")
    session = RefreshSession(
        head_of(universe),
        dict(enumerate(shards)),
        hash_shards=sharding.shard_count(len(universe.token_ids), shards_min=settings.ws_shards),
        policies=refresh_config.policies(settings),
        stats=universe.document.stats,
    )
    return Refresher(session, recorder, run, asking, say=shell.say)


async def _fatal(run: Run, fatal: Fatal, shell: Shell) -> int:
    shell.say(f"fatal: {fatal.reason}: {fatal.message}")
    await run.give_up(fatal)
    return ExitCode.FATAL


def _begin(
    recorder: Recorder,
    universe: Universe,
    resolved: Resolved,
    shards: Sequence[Sequence[str]],
    shell: Shell,
    source: Mapping[str, object] | None,
) -> dict[str, str]:
    """Write what is known at the start; return the digests of the files made here.

    Raises `WriteFailed`, OSError, or `GivenUp`.
    """
    mono, wall = recorder.stamper.frames()
    boot_id = environment.boot_id()
    recorder.note(
        "run_start",
        {"monotonic_ns_source": CLOCK_SOURCE, "boot_id": boot_id, "pid": os.getpid()},
    )
    judged = precision([shell.monotonic() for _ in range(CLOCK_SAMPLES)])
    recorder.note(
        "monotonic_precision", {**asdict(judged), "any_non_ms": judged.any_non_ms, "ok": judged.ok}
    )
    if not judged.ok:
        raise clock_too_coarse(judged)
    universe_file = paths.universe_path(Path(), 0).as_posix()
    data = manifest.encode(
        manifest.build(
            manifest.Anchors(
                run_id=recorder.run_id,
                wall_ns_utc=wall,
                mono_ns=mono,
                monotonic_ns_source=CLOCK_SOURCE,
                boot_id=boot_id,
                git_commit=environment.git_commit(Path(__file__)),
            ),
            resolved=resolved,
            environment=environment.machine(
                shell.event_loop, "none" if resolved.settings.offline else shell.transport
            ),
            versions=environment.versions(),
            universe=universe,
            universe_file=universe_file,
            shards=shards,
            source=source,
        )
    )
    write_file(recorder.run_dir / paths.MANIFEST, data)
    recorder.note(
        "capture_start",
        {
            "shards": len(shards),
            "token_count": len(universe.token_ids),
            "universe_version": universe.document.universe_version,
            "universe_file": universe_file,
            "universe_sha256": universe.sha256,
        },
    )
    for shard_id, tokens in enumerate(shards):
        recorder.note("shard_open", {"shard_id": shard_id, "token_count": len(tokens)})
    recorder.sync()
    return {
        paths.MANIFEST: hashlib.sha256(data).hexdigest(),
        universe_file: universe.sha256,
    }


def _command(settings: Settings, program: str, out: Path, give_up_seconds: float) -> list[str]:
    """Return the command line of a discovery, of the first as of those that follow."""
    return discovery.command(
        program,
        gamma_base_url=settings.gamma_base_url,
        markets_max=settings.capture_max_markets,
        out=out,
        give_up_seconds=give_up_seconds,
        market_regex=settings.market_regex if settings.capture_use_market_filters else None,
        page_seconds=settings.rest_timeout,
    )


def _part(settings: Settings) -> ShardRange | None:
    """Return the range of shards that this process captures, if it is not all of them."""
    if settings.shard_range is None:
        return None
    return parse_range(settings.shard_range, settings.ws_shards)


def _given(settings: Settings) -> Universe | None:
    """Return what is to be captured of the universe file; None without a file. Raises `UniverseError`."""
    if settings.universe is None:
        return None
    universe = read_universe(Path(settings.universe))
    part = _part(settings)
    return universe if part is None else share(universe, part, settings.universe)


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
    command = _command(settings, program, path, discovery.GIVE_UP_SECONDS)
    await discovery.discover(command, shell.environ)
    try:
        return parse_universe(path.read_bytes(), str(path))
    except (OSError, UniverseError) as error:
        raise discovery.DiscoveryFailed(f"pm-universe left no universe: {error}") from error


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


def _session(settings: Settings, shard_id: int, token_ids: Sequence[str]) -> ShardSession:
    return ShardSession(
        shard_id,
        token_ids,
        caps=SubscribeCaps(settings.ws_subscribe_max_tokens, settings.ws_subscribe_max_bytes),
        policies=Policies(
            keepalive=Keepalive(
                interval_ns=nanoseconds(settings.ws_ping_interval_seconds),
                timeout_ns=nanoseconds(settings.ws_ping_timeout_seconds),
            ),
            confirm=Confirm(
                timeout_ns=nanoseconds(settings.capture_confirm_timeout_seconds),
                events_min=settings.capture_confirm_min_events,
            ),
            data_idle=DataIdle(idle_ns=nanoseconds(settings.ws_data_idle_reconnect_seconds)),
            snapshot=Snapshot(timeout_ns=nanoseconds(settings.capture_snapshot_timeout_seconds)),
            backoff=Backoff(
                base_ns=nanoseconds(settings.ws_reconnect_backoff_seconds),
                cap_ns=nanoseconds(settings.ws_reconnect_backoff_max_seconds),
                heal_ns=nanoseconds(settings.ws_reconnect_heal_seconds),
                budget=settings.ws_reconnect_max,
                # Shards must not fall into step, and neither must two captures.
                jitter=random.Random(),
            ),
            grace_ns=nanoseconds(settings.capture_universe_refresh_grace_seconds),
            storm=Budget(
                FatalReason.RECONNECT_STORM,
                faults_max=settings.ws_reconnect_storm_max,
                heal_ns=nanoseconds(settings.ws_reconnect_heal_seconds),
            ),
            unconfirmed=Budget(
                FatalReason.SUBSCRIBE_CONFIRM_FAIL,
                faults_max=settings.capture_confirm_max_failures,
                heal_ns=nanoseconds(settings.capture_confirm_heal_seconds),
            ),
        ),
    )


def _guards(settings: Settings) -> Guards:
    return Guards(
        free_bytes_min=round(settings.min_free_disk_gb * BYTES_PER_GB),
        backpressure_ns=nanoseconds(settings.capture_backpressure_fatal_ms / 1000),
        disk_interval_seconds=settings.capture_disk_usage_interval_seconds,
        coverage_interval_ns=nanoseconds(settings.capture_coverage_metrics_interval_seconds),
    )


def _dial(settings: Settings, shell: Shell) -> Dial:
    return Dial(
        url=settings.clob_ws_url,
        open_seconds=settings.ws_connect_timeout_seconds,
        open=shell.open,
        user_agent=settings.ws_user_agent
        or f"pm-capture/{environment.versions().get('pm-capture', 'unknown')}",
    )
