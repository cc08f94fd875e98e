"""One run, from its directory to its end: its files, its manifest, its sockets, its seal.

directory and lock, universe ─► files ─► manifest ─► run directory announced ─► sockets
stop: sockets closed with a handshake ─► frames synced and closed ─► capture_stop ─► SHA256SUMS ─► seal
fatal: sockets dropped ─► what can be synced is synced ─► fatal.json

Nothing here is shared with another run of the process: each has files, stamps, sessions and threads of
its own, and what waits for the disk does so in a thread, so that a run that begins or ends holds up no
other.
"""

import asyncio
import functools
import hashlib
import os
import shutil
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pm_capture import discovery, environment, manifest, refresh_config, run_config, sharding
from pm_capture.durable import write_file
from pm_capture.fatal import Fatal, GivenUp, fatal_of
from pm_capture.generation import Head, head_of
from pm_capture.masking import masked
from pm_capture.offline.stage import STOP_REASON, Stage, untimed
from pm_capture.reasons import FatalReason
from pm_capture.recorder import Recorder
from pm_capture.refresh_session import RefreshPolicies, RefreshSession
from pm_capture.refresher import Asking, Refresher
from pm_capture.reserve import Reserve
from pm_capture.run import Run
from pm_capture.rundir import RunDirectory
from pm_capture.settings import Resolved, Settings
from pm_capture.shard_session import ShardSession
from pm_capture.shell import Shell
from pm_capture.stamper import Precision, Stamper, precision
from pm_capture.takeover import Origin
from pm_capture.universe import Universe, share
from pm_frames import BundleError, paths

CLOCK_SOURCE = "perf_counter_ns"
CLOCK_SAMPLES = 1000
BYTES_PER_MIB = 1 << 20


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """What a run begins with; its universe file is in place."""

    run_id: str
    directory: RunDirectory
    universe: Universe  # that of all processes
    origin: Origin | None = None
    refresh: RefreshPolicies | None = None  # those of the run before
    stage: Stage | None = None


class Life:
    """A run whose files are made, and the task that carries it to its end."""

    def __init__(
        self,
        start: Start,
        run: Run,
        recorder: Recorder,
        shell: Shell,
        begun: "dict[str, str] | Fatal",
    ) -> None:
        """`begun` are the digests of the files made so far, or why the run cannot live."""
        self.run_id = start.run_id
        self.run = run
        self.run_dir = recorder.run_dir
        self._directory = start.directory
        self._recorder = recorder
        self._shell = shell
        self._begun = begun
        self.task = asyncio.get_running_loop().create_task(self._lived())

    @property
    def bytes_written(self) -> int:
        """Bytes of the `.frames` and `.idx` files of all shards."""
        return sum(shard.frames_bytes + shard.idx_bytes for shard in self._recorder.shards)

    @property
    def refresher(self) -> Refresher:
        """What follows the universe for this run."""
        assert self.run.refresher is not None
        return self.run.refresher

    async def _lived(self) -> Fatal | None:
        run, say = self.run, self._shell.say
        try:
            if isinstance(self._begun, Fatal):
                fatal: Fatal | None = self._begun
            else:
                ending = await run.live()
                if ending.fatal is None:
                    say(f"run {self.run_id}: stopping ({ending.reason})")
                fatal = ending.fatal or await run.conclude(self._begun)
            if fatal is not None:
                say(f"fatal: {fatal.reason}: {fatal.message}")
                await run.give_up(fatal)
                return fatal
            recorder = self._recorder
            say(
                f"run {self.run_id}: sealed, {recorder.frames_total} frames, "
                f"{recorder.bytes_total} bytes"
            )
            return None
        finally:
            self._directory.release()


async def open_run(start: Start, resolved: Resolved, shell: Shell) -> Life:
    """Make the files of a run and announce it; the task of what is returned begins it.

    Raises `DiscoveryMissing`, `BundleError` or OSError when it, or its first files, cannot be made; later
    troubles make it fatal.
    """
    stage, run_dir = start.stage, start.directory.path
    settings = resolved.settings if stage is None else untimed(resolved.settings)
    asking = _asking(start, settings, shell)
    # Seconds for a universe of the whole venue, in which another run goes on reading.
    mine, head, sessions = await asyncio.to_thread(_planned, start.universe, settings)
    shards = [session.token_ids for session in sessions]
    # First of all, so that whatever fails from here on can be told.
    reserve = Reserve(run_dir, round(settings.capture_reserve_mb * BYTES_PER_MIB))
    reserved = await asyncio.to_thread(reserve.hold, shutil.disk_usage(run_dir).free)
    recorder = await asyncio.to_thread(
        Recorder,
        run_dir,
        start.run_id,
        shards=len(shards),
        stamper=Stamper(shell.monotonic, shell.wall),
        version=settings.capture_frames_schema_version,
    )
    active = sum(1 for tokens in shards if tokens)
    dial = run_config.dial(settings, shell.open)
    if stage is not None:
        dial = stage.dial(connections=active, ended=lambda: run.end(STOP_REASON))
    run = Run(
        recorder,
        sessions,
        dial,
        heartbeat_seconds=settings.capture_heartbeat_interval_seconds,
        say=shell.say,
        guards=run_config.guards(settings),
        reserve=reserve,
    )
    run.refresh_by(
        _refresher(run, recorder, start, head, shards, settings, asking, shell),
        lambda shard_id: run_config.session(settings, shard_id, ()),
    )
    source = None if stage is None else stage.manifest()
    try:
        digests = await asyncio.to_thread(
            _begin, recorder, mine, resolved, shards, shell, start.origin, source
        )
    except (BundleError, OSError, GivenUp) as error:
        return Life(start, run, recorder, shell, fatal_of(error))
    if not reserved:
        held = f"{reserve.held_bytes} of {settings.capture_reserve_mb} MiB"
        shell.say(f"warning: only {held} could be reserved for the records of a full disk")
    shell.announce(run_dir)
    shell.say(
        f"run {start.run_id}: {len(mine.token_ids)} tokens on {active} connections to "
        f"{masked(dial.url)}"
    )
    return Life(start, run, recorder, shell, digests)


def _planned(universe: Universe, settings: Settings) -> tuple[Universe, Head, list[ShardSession]]:
    """Return what of a universe is this process's, the head that the whole is, and every shard."""
    part = run_config.part_of(settings)
    mine = universe if part is None else share(universe, part)
    shards = sharding.assign(mine.markets, shards_min=settings.ws_shards, part=part)
    sessions = [
        run_config.session(settings, shard_id, tokens) for shard_id, tokens in enumerate(shards)
    ]
    return mine, head_of(universe), sessions


def _asking(start: Start, settings: Settings, shell: Shell) -> Asking | None:
    """Return how the venue is asked again; None if it is not. Raises `DiscoveryMissing`."""
    if refresh_config.is_on(settings):
        program = discovery.find_program(shell.environ.get("PATH"))
        return Asking(functools.partial(discovery_command, settings, program), shell.environ)
    if refresh_config.is_wanted(settings) and not settings.offline and start.origin is None:
        shell.say("universe refresh is off: a universe file is captured as it is")
    return None


def _refresher(
    run: Run,
    recorder: Recorder,
    start: Start,
    head: Head,
    shards: Sequence[Sequence[str]],
    settings: Settings,
    asking: Asking | None,
    shell: Shell,
) -> Refresher:
    universe = start.universe
    part = run_config.part_of(settings)
    hash_shards = sharding.shard_count(len(universe.token_ids), shards_min=settings.ws_shards)
    session = RefreshSession(
        head,
        dict(enumerate(shards)),
        hash_shards=hash_shards if part is None else part.stop - part.start,
        policies=(
            refresh_config.policies(settings)
            if start.refresh is None
            else refresh_config.continued(start.refresh, settings)
        ),
        stats=universe.document.stats,
        part=part,
        continued=start.refresh is not None,
    )
    return Refresher(session, recorder, run, asking, say=shell.say)


def _begin(
    recorder: Recorder,
    universe: Universe,
    resolved: Resolved,
    shards: Sequence[Sequence[str]],
    shell: Shell,
    origin: Origin | None,
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
                origin=origin,
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


def clock_too_coarse(judged: Precision) -> GivenUp:
    """Return what to raise when the monotonic clock cannot tell frames apart in time."""
    words = f"{CLOCK_SOURCE} moves in steps of {judged.min_delta_ns} ns; less than 1 ms is needed"
    return GivenUp(FatalReason.MONO_TIME_QUANTIZED, words)


def discovery_command(
    settings: Settings, program: str, out: Path, give_up_seconds: float
) -> list[str]:
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
