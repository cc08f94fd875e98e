"""The runs of one capture, one after the other: always one in force, and at times one that is to follow it.

    IN FORCE ──due──► quiet ──► the other begins ──► OVERLAP ──► the other is in force, this one is sealed
       ▲  ▲                           │ error          │ refused, or fatal
       │  └───────────────────────────┴────────────────┘ wait, then try again with another id
       └─ the universe is not refreshed from `quiet` until one of the two is in force alone

Nothing of the run in force is touched before the other delivers all that it does. Which end means what:

- a fatal error of the run in force ends the capture; a run that was to follow is sealed;
- a fatal error of a run that is not in force yet is that run's alone: the one in force goes on;
- a fatal error of a run that is being closed is that run's alone too, and makes the exit code that of a
  fatal run when the capture ends;
- a signal, or the end of the duration, ends and seals every run that there is.

What is due, and when a run may follow, is decided by `Rotation` and `Handover`.
"""

import asyncio
from pathlib import Path

from pm_capture.durable import write_file
from pm_capture.fatal import Fatal
from pm_capture.generation import head_of
from pm_capture.opening import Life, Start, open_run
from pm_capture.policies.handover import Handover, Verdict
from pm_capture.policies.rotation import Rotation
from pm_capture.rotate_limits import parse_limits
from pm_capture.rundir import RunDirectory, next_run_id
from pm_capture.settings import Resolved, nanoseconds
from pm_capture.shell import Shell
from pm_capture.takeover import take_over
from pm_capture.universe import UniverseError
from pm_frames import BundleError, paths
from pm_frames.command import ExitCode
from pm_frames.errors import RunLocked

TICK_SECONDS = 0.05
SETTLE_SECONDS = 0.2
SAMPLE_MAX = 200
ROTATE = "rotate"


class Succession:
    """Carry a capture from its first run to the end of its last."""

    def __init__(self, first: Life, resolved: Resolved, shell: Shell) -> None:
        """The first run has been opened; its task is under way."""
        settings = resolved.settings
        self._resolved = resolved
        self._shell = shell
        self._now = shell.monotonic
        self._in_force = first
        self._follower: Life | None = None
        self._first_run_id = first.run_id
        self._number = 1
        limits = None
        if settings.capture_rotate is not None:
            limits = parse_limits(settings.capture_rotate)
        self._rotates = limits is not None
        self._rotation = Rotation(limits)
        self._closing: set[asyncio.Task[Fatal | None]] = set()
        self._stop_reason: str | None = None
        self._code = ExitCode.OK
        self._reason = ""  # why the rotation that is under way is due

    def end(self, reason: str) -> None:
        """End and seal every run; the first reason counts."""
        self._stop_reason = self._stop_reason or reason
        for life in (self._in_force, self._follower):
            if life is not None:
                life.run.end(self._stop_reason)

    async def last(self) -> int:
        """Return the exit code when the last run has ended."""
        self._in_force.run.come_into_force(self._shell.status)
        self._rotation.began(self._now())
        while not await self._ended():
            await self._rotated()
        if self._in_force.task.result() is not None:
            self._code = ExitCode.FATAL
        if self._closing:
            await asyncio.wait(self._closing)
        return self._code

    async def _ended(self) -> bool:
        """Wait until the run in force has ended (True), or is to be followed by another (False)."""
        life = self._in_force
        if not self._rotates:
            await asyncio.wait({life.task})
        while not life.task.done():
            reason = self._rotation.due(self._now(), life.bytes_written)
            if reason is not None:
                self._reason = reason
                return False
            await asyncio.wait({life.task}, timeout=TICK_SECONDS)
        return True

    async def _rotated(self) -> None:
        """Let another run take the place of the one in force, or do not; nothing raises."""
        life = self._in_force
        quiet = asyncio.ensure_future(life.refresher.quiet())
        await asyncio.wait({quiet, life.task}, return_when=asyncio.FIRST_COMPLETED)
        if life.run.ends():
            # Its own end stops what the refresh still does, and then it is quiet.
            await asyncio.wait({quiet, life.task})
            return
        began = self._now()
        directory = await self._directory()
        if isinstance(directory, OSError | BundleError):
            self._gave_up(self._next_run_id(), "error", str(directory))
            return
        run_id = directory.path.name
        life.run.note("rotate_begin", {"next_run_id": run_id, "reason": self._reason})
        self._shell.say(f"run {life.run_id}: {self._reason}; run {run_id} is to follow")
        try:
            follower = await self._open(directory)
        except Exception as error:  # the run in force survives whatever another is missing
            self._gave_up(run_id, "error", f"{type(error).__name__}: {error}")
            return
        self._follower = follower
        if self._stop_reason is not None:
            follower.run.end(self._stop_reason)
        handover = Handover(
            timeout_ns=nanoseconds(self._resolved.settings.capture_rotate_timeout_seconds),
            now=self._now(),
        )
        verdict = await self._overlapped(handover)
        self._follower = None
        if verdict in {Verdict.COMPLETE, Verdict.INCOMPLETE}:
            self._hand_over(follower, handover, verdict, began)
            return
        if not follower.run.ends():
            follower.run.end("rotate_failed" if not life.run.ends() else "predecessor_ended")
        await asyncio.wait({follower.task})
        if life.run.ends():
            return
        if (bug := follower.task.exception()) is not None:
            self._gave_up(run_id, "error", f"{type(bug).__name__}: {bug}")
        elif (fatal := follower.task.result()) is not None:
            self._gave_up(run_id, "fatal", f"{fatal.reason}: {fatal.message}")
        else:
            self._gave_up(run_id, "refused", "not every shard was connected in time")

    async def _overlapped(self, handover: Handover) -> Verdict:
        """Wait until the follower may take over, or one of the two runs ends."""
        life, follower = self._in_force, self._follower
        assert follower is not None
        answers = life.run.answers()
        while not (life.run.ends() or follower.run.ends() or follower.task.done()):
            verdict = handover.judged(follower.run.readiness(), answers, self._now())
            if verdict is not Verdict.WAITING:
                return verdict
            await asyncio.wait({life.task, follower.task}, timeout=TICK_SECONDS)
        return Verdict.REFUSED

    def _hand_over(self, follower: Life, handover: Handover, verdict: Verdict, began: int) -> None:
        life = self._in_force
        missing = handover.missing
        life.run.note(
            "rotate_done",
            {
                "next_run_id": follower.run_id,
                "reason": "complete" if verdict is Verdict.COMPLETE else "timeout",
                "overlap_ns": self._now() - began,
                "missing_count": len(missing),
                "missing_sample": list(missing[:SAMPLE_MAX]),
            },
        )
        life.run.end(ROTATE, next_run_id=follower.run_id)
        self._in_force = follower
        self._closing.add(life.task)
        life.task.add_done_callback(self._closed)
        self._rotation.began(began)
        follower.run.come_into_force(self._shell.status)

    def _closed(self, task: "asyncio.Task[Fatal | None]") -> None:
        """Take note of how a run ended that is no longer in force; nothing of it is kept."""
        self._closing.discard(task)
        if task.cancelled() or task.exception() is not None or task.result() is not None:
            self._code = ExitCode.FATAL
        # A thread that has sealed it may not have let go of it yet.
        asyncio.get_running_loop().call_later(SETTLE_SECONDS, self._shell.settle)

    def _gave_up(self, run_id: str, reason: str, message: str) -> None:
        """Stay with the run in force; another one is tried later, with another id."""
        life = self._in_force
        backoff_ns = self._rotation.failed(self._now())
        life.run.note(
            "rotate_failed",
            {
                "next_run_id": run_id,
                "reason": reason,
                "message": message,
                "backoff_ns": backoff_ns,
            },
        )
        self._shell.say(
            f"run {life.run_id} goes on, {run_id} could not follow: {message}; "
            f"again in {backoff_ns // 1_000_000_000} s"
        )
        life.refresher.resume()

    def _next_run_id(self) -> str:
        return next_run_id(self._first_run_id, self._number)

    async def _directory(self) -> RunDirectory | OSError | BundleError:
        """Make the directory of the next run; an id that is taken is passed over."""
        data_dir = Path(self._resolved.settings.data_dir)
        while True:
            self._number += 1
            try:
                return await asyncio.to_thread(RunDirectory, data_dir, self._next_run_id())
            except RunLocked:
                continue
            except (OSError, BundleError) as error:
                return error

    async def _open(self, directory: RunDirectory) -> Life:
        """Begin the run that is to follow, with the universe that is in force.

        Raises what `open_run` and `take_over` raise.
        """
        life = self._in_force
        session = life.refresher.session

        def placed() -> Start:
            generation = len(life.refresher.digests)
            universe, origin = take_over(life.run_dir, life.run_id, generation)
            if head_of(universe).markets.keys() != session.head.markets.keys():
                raise UniverseError(f"{life.run_dir}: its generations are not what is in force")
            path = paths.universe_path(directory.path, 0)
            path.parent.mkdir()
            write_file(path, universe.data)
            return Start(
                run_id=directory.path.name,
                directory=directory,
                universe=universe,
                origin=origin,
                refresh=session.policies,
            )

        try:
            start = await asyncio.to_thread(placed)
            return await open_run(start, self._resolved, self._shell)
        except BaseException:
            directory.discard()
            raise
