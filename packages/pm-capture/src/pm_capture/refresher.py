"""The shell of the refresh: its timer, the discovery process, the files, and what is done to shards.

Every call into the session happens in the event loop. What takes time (a process, a file that has to
be durable, a document to be read) happens beside it, one at a time.
"""

import asyncio
import shutil
from collections.abc import Callable, Coroutine, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from pm_capture import discovery
from pm_capture.actions import Note
from pm_capture.durable import write_file
from pm_capture.fatal import GivenUp
from pm_capture.generation import Head, Step, follow
from pm_capture.reasons import FatalReason
from pm_capture.reassignment import Reassignment
from pm_capture.recorder import Recorder, ShardFiles
from pm_capture.refresh_actions import (
    Change,
    Discover,
    Found,
    Keep,
    RefreshAction,
    Sustained,
    Sweep,
)
from pm_capture.refresh_session import RefreshSession
from pm_capture.universe import UniverseError
from pm_frames import BundleError, paths

NS_PER_S = 1_000_000_000
# A folder of its own, because a discovery that is killed may leave more than its output.
CANDIDATE = ".next"
# pm-universe gives up by itself, and says why, before we would kill it.
GIVE_UP_SHARE = 0.9


class Shards(Protocol):
    """What a refresh does to the run."""

    def add_shard(self, shard_id: int) -> None:
        """Begin a shard, without tokens, whose files have been adopted."""

    def reassign(self, shard_id: int, change: Reassignment) -> None:
        """Give a shard other tokens."""

    def fail(self, error: BaseException) -> None:
        """End the run because of an error."""


@dataclass(frozen=True, slots=True)
class Asking:
    """How the venue is asked for its markets."""

    full: Callable[
        [Path, float], list[str]
    ]  # the command of the first discovery: out, give up after
    environ: Mapping[str, str]

    def command(self, *, since: Path, out: Path, sweep: Sweep, seconds: float) -> list[str]:
        """Return the command line that writes what has changed since the generations in `since`."""
        full = self.full(out, seconds * GIVE_UP_SHARE)
        return [*full, "--since", str(since), "--sweep", str(sweep)]


class Refresher:
    """Own the timer of one `RefreshSession` and perform what it says."""

    def __init__(
        self,
        session: RefreshSession,
        recorder: Recorder,
        shards: Shards,
        asking: Asking | None,
        *,
        say: Callable[[str], None],
    ) -> None:
        """Without `asking` nothing is ever refreshed; the metrics tell that too."""
        self.session = session
        self.digests: dict[str, str] = {}  # of the generations kept here, by relative path
        self._recorder = recorder
        self._stamper = recorder.stamper
        self._shards = shards
        self._asking = asking
        self._say = say
        self._work: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._process: asyncio.Task[dict[str, Any]] | None = None
        self._ended = False
        self._quiet = False
        self._step: Step | None = None

    @property
    def _candidate(self) -> Path:
        return self._recorder.run_dir / paths.UNIVERSE / CANDIDATE

    def start(self) -> None:
        """Begin, unless there is nobody to ask."""
        if self._asking is not None:
            self._follow(self.session.start)

    async def quiet(self) -> None:
        """Begin nothing more, and return when what is under way has ended; `resume` goes on.

        Another run takes over the generation that is in force then. Changes of shards that are still to
        come wait: the other run has the whole generation from its start.
        """
        self._quiet = True
        self._disarm()
        while self._work is not None and not self._work.done():
            await asyncio.wait({self._work})

    def resume(self) -> None:
        """Go on after `quiet`."""
        self._quiet = False
        self._arm()

    async def stop(self) -> None:
        """End. A discovery is killed; a generation that is being made durable is finished."""
        self._ended = True
        self._disarm()
        if self._process is not None:
            self._process.cancel()
        if self._work is not None:
            await asyncio.gather(self._work, return_exceptions=True)
        if self._asking is not None:
            await asyncio.to_thread(shutil.rmtree, self._candidate, ignore_errors=True)

    # Inside.

    def _follow(self, feed: Callable[[int], Iterable[RefreshAction]]) -> None:
        try:
            for action in feed(self._stamper.now()):
                self._perform(action)
            self._arm()
        except Exception as error:
            self._shards.fail(error)

    def _perform(self, action: RefreshAction) -> None:
        match action:
            case Note():
                self._recorder.note(action.record_type, action.fields)
                self._tell(action)
            case Discover():
                self._begin(self._discover(action))
            case Keep():
                self._begin(self._keep(action))
            case Change():
                change = action.change
                self._shards.reassign(
                    change.shard_id,
                    Reassignment(
                        change.added, change.removed, action.from_version, action.to_version
                    ),
                )
            case Sustained():
                self._shards.fail(GivenUp(FatalReason.CHURN_GUARD_SUSTAINED, action.message))

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        self._work = asyncio.get_running_loop().create_task(work)

    async def _discover(self, asked: Discover) -> None:
        began = self._stamper.now()
        try:
            report, step = await self._ask(asked)
        except (discovery.DiscoveryFailed, UniverseError, OSError) as error:
            if not self._ended:
                self._failed(error)
        except Exception as error:
            self._shards.fail(error)
        else:
            if self._ended:
                return
            self._step = step
            found = Found(report, self._stamper.now() - began)
            _, wall = self._stamper.frames()
            self._follow(lambda now: self.session.discovered(step, found, now, wall))

    async def _ask(self, asked: Discover) -> tuple[dict[str, Any], Step | None]:
        asking = self._asking
        if asking is None:
            raise discovery.DiscoveryFailed("there is nobody to ask")
        out = self._candidate / "delta.json"
        await asyncio.to_thread(_clear, self._candidate)
        seconds = asked.timeout_ns / NS_PER_S
        command = asking.command(
            since=self._recorder.run_dir / paths.UNIVERSE,
            out=out,
            sweep=asked.sweep,
            seconds=seconds,
        )
        if self._ended:
            raise discovery.DiscoveryFailed("the run ends")
        self._process = asyncio.get_running_loop().create_task(
            discovery.report(command, asking.environ, timeout_seconds=seconds)
        )
        # Cancelled is the process, by `stop`, and never this task.
        await asyncio.wait({self._process})
        if self._process.cancelled():
            raise discovery.DiscoveryFailed("the run ends")
        report = self._process.result()
        return report, await asyncio.to_thread(_read, self.session.head, out)

    async def _keep(self, keep: Keep) -> None:
        step = self._step
        path = paths.universe_path(self._recorder.run_dir, keep.version)
        made: list[ShardFiles] = []
        try:
            if step is None:
                raise ValueError("there is nothing to keep")
            await asyncio.to_thread(self._make, made, keep, path, step.data)
        except (BundleError, OSError) as error:
            self._adopt(made)
            self._failed(error)
            return
        except Exception as error:
            self._shards.fail(error)
            return
        self._adopt(made)
        name = path.relative_to(self._recorder.run_dir).as_posix()
        self.digests[name] = step.sha256
        self._follow(lambda now: self.session.kept(name, now))

    def _make(self, made: list[ShardFiles], keep: Keep, path: Path, data: bytes) -> None:
        for shard_id in keep.new_shard_ids:
            made.append(self._recorder.make_shard(shard_id))  # noqa: PERF401 - what is made stays
        write_file(path, data)

    def _adopt(self, made: Iterable[ShardFiles]) -> None:
        """Take every shard that has files into the run, used or not: it will be counted and sealed."""
        try:
            for files in made:
                self._recorder.adopt(files)
                self._shards.add_shard(files.writer.shard_id)
                self.session.opened(files.writer.shard_id)
        except Exception as error:
            self._shards.fail(error)

    def _failed(self, error: Exception) -> None:
        kind, words = type(error).__name__, str(error)
        self._follow(lambda now: self.session.failed(kind, words, now))

    def _arm(self) -> None:
        self._disarm()
        due = self.session.deadline()
        if due is not None and not self._ended and not self._quiet:
            delay_ns = max(0, due - self._stamper.now())
            loop = asyncio.get_running_loop()
            self._timer = loop.call_later(delay_ns / NS_PER_S, self._due)

    def _disarm(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _due(self) -> None:
        if not self._ended:
            self._follow(self.session.deadline_reached)

    def _tell(self, note: Note) -> None:
        fields = note.fields
        if note.record_type == "universe_refresh_error":
            self._say(f"universe refresh failed: {fields['message']}; the universe stays as it is")
        elif fields["reason"] == "CHURN_GUARD":
            self._say(
                f"universe refresh held back: {fields['churn_pct']:.1f} % of the tokens would change; "
                f"next in {fields['interval_seconds_next']:g} s"
            )
        elif fields["reason"] == "APPLIED":
            self._say(
                f"universe {fields['universe_version']}: +{fields['added_count']} "
                f"-{fields['removed_count']} tokens on {fields['shards_changed']} shards"
            )


def _clear(folder: Path) -> None:
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()


def _read(head: Head, path: Path) -> Step | None:
    try:
        data = path.read_bytes()
    except FileNotFoundError:
        return None  # nothing has changed
    return follow(head, data, path.name)
