"""One run from its first socket to its seal: the links of all shards, the syncer, the heartbeat.

Nothing here reads a clock but through the `Stamper`, and nothing compares a time with a duration: timers
of the event loop say when, policies say whether.
"""

import asyncio
import contextlib
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from pm_capture import families, last_words, quality
from pm_capture.actions import Action, GiveUp, Note
from pm_capture.collector import GcPauses
from pm_capture.disk_watch import DiskFigures, DiskWatch
from pm_capture.fatal import Fatal, GivenUp, fatal_of
from pm_capture.metrics import Beat, Durations, ShardFacts, merged, quantiles
from pm_capture.policies.handover import Readiness
from pm_capture.reassignment import Reassignment
from pm_capture.recorder import Recorder
from pm_capture.refresher import Refresher
from pm_capture.reserve import Reserve
from pm_capture.seal import seal
from pm_capture.shard_link import Dial, ShardLink
from pm_capture.shard_session import ShardSession, State
from pm_capture.syncer import Syncer
from pm_capture.vitals import Guards, Vitals
from pm_frames import BundleError

WATERMARK_SECONDS = 0.02
VITALS_NS = 100_000_000
HEARTBEATS_KEPT = 10
SHARDS_AT_ONCE = 50
NS_PER_S = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Ending:
    """Why a run ends: a word for the records, and the fatal error if there is one."""

    reason: str
    fatal: Fatal | None = None


class Run:
    """A run whose files and manifest exist."""

    def __init__(
        self,
        recorder: Recorder,
        sessions: Sequence[ShardSession],
        dial: Dial,
        *,
        heartbeat_seconds: float,
        say: Callable[[str], None],
        guards: Guards | None = None,
        reserve: Reserve | None = None,
    ) -> None:
        """Make the links; must be called in the event loop that will carry them.

        `reserve` is held by the caller and released here, whatever the end; no `guards` judge nothing.
        """
        self._loop = asyncio.get_running_loop()
        self._recorder = recorder
        self._stamper = recorder.stamper
        self._say = say
        self._status: Callable[[Mapping[str, object], int], None] | None = None
        self._next_run_id: str | None = None
        self._heartbeat_seconds = heartbeat_seconds
        self._ending: asyncio.Future[Ending] = self._loop.create_future()
        self._dial = dial
        self._links = [self._link(session) for session in sessions]
        self.refresher: Refresher | None = None
        self._syncer = Syncer(recorder.sync, self._sync_failed)
        self._timers: dict[Callable[[], None], asyncio.Handle] = {}
        self._guards = Guards() if guards is None else guards
        self._vitals = Vitals(self._guards)
        self._vitals_due = 0
        self._reserve = Reserve(recorder.run_dir, 0) if reserve is None else reserve
        self._pauses = GcPauses(self._stamper.now)
        self._disk_watch = DiskWatch(
            recorder.run_dir,
            self._disk_measured,
            now=self._stamper.now,
            interval_seconds=self._guards.disk_interval_seconds,
        )
        self._heartbeats: deque[dict[str, int]] = deque(maxlen=HEARTBEATS_KEPT)
        self._beat_at = self._stamper.now()
        self._facts = [self._facts_of(link, 0) for link in self._links]
        self._telling: Iterator[bool] | None = None  # metrics that are being written
        self._tell_work_ns = 0

    def refresh_by(self, refresher: Refresher, new_session: Callable[[int], ShardSession]) -> None:
        """Follow the universe; `new_session` makes the session, without tokens, of one more shard."""
        self.refresher = refresher
        self._new_session = new_session

    def add_shard(self, shard_id: int) -> None:
        """Begin a shard whose files have been adopted by the recorder; it has no tokens yet."""
        link = self._link(self._new_session(shard_id))
        self._links.append(link)
        self._facts.append(self._facts_of(link, 0))
        link.start()

    def reassign(self, shard_id: int, change: Reassignment) -> None:
        """Give a shard other tokens."""
        for link in self._links:
            if link.session.shard_id == shard_id:
                link.reassign(change)

    def come_into_force(
        self, status: Callable[[Mapping[str, object], int], None] | None = None
    ) -> None:
        """Show how this run goes, from now on, and follow the universe with it."""
        self._status = status
        if self.refresher is not None:
            self.refresher.start()

    def end(self, reason: str, *, next_run_id: str | None = None) -> None:
        """Ask the run to end and be sealed; the first reason counts."""
        if not self._ending.done():
            if next_run_id is not None:
                self._next_run_id = next_run_id
                self._status = None  # from now on that run's is shown
            self._ending.set_result(Ending(reason))

    def fail(self, error: BaseException) -> None:
        """End the run because of an error that it cannot survive; the first one counts.

        An error during a clean end takes its place: what could not be closed must not be sealed.
        """
        if not self._ending.done():
            self._ending.set_result(Ending("fatal", fatal_of(error)))
        elif self._ending.result().fatal is None:
            self._ending = self._loop.create_future()
            self._ending.set_result(Ending("fatal", fatal_of(error)))

    def ends(self) -> bool:
        """Whether something has ended it; its files may not be closed yet."""
        return self._ending.done()

    def answers(self) -> Callable[[str], bool]:
        """Return what tells of a token whether this run holds it live: nothing else is worth waiting for.

        Its book has come on the connection that there is now, and its market is not known to be over.
        It holds for as long as no shard is reassigned.
        """
        sessions = [link.session for link in self._links]
        owner = {token_id: each for each in sessions for token_id in each.token_ids}

        def answered(token_id: str) -> bool:
            session = owner.get(token_id)
            return (
                session is not None
                and session.state is State.OPEN
                and token_id not in session.unanswered
                and token_id not in session.resolved
            )

        return answered

    def readiness(self) -> list[Readiness]:
        """Return how far every shard with tokens is."""
        sessions = [link.session for link in self._links]
        return [
            Readiness(each.state is State.OPEN, each.policies.confirm.confirmed, each.unanswered)
            for each in sessions
            if each.token_ids
        ]

    def note(self, record_type: str, fields: Mapping[str, object]) -> None:
        """Append a runlog record, unless the run is ending; a refusal ends it."""
        if not self._ending.done():
            try:
                self._recorder.note(record_type, fields)
            except Exception as error:
                self.fail(error)

    async def live(self) -> Ending:
        """Record until something ends it. `conclude` or `give_up` has to follow."""
        for link in self._links:
            link.start()
        self._syncer.start()
        self._disk_watch.start()
        self._pauses.start()
        self._watermark_tick()
        self._vitals_due = self._stamper.now()
        self._vitals_tick()
        self._timers[self._beat] = self._loop.call_later(self._heartbeat_seconds, self._beat)
        return await self._ending

    async def conclude(self, others: Mapping[str, str]) -> Fatal | None:
        """Close, sync and seal; `others` are the digests of files that the recorder did not write.

        Returns the fatal error that came in the way, if one did; then nothing is sealed. Whatever waits
        for the disk does so in a thread: another run may be recording in this event loop.
        """
        reason = self._ending.result().reason
        if self.refresher is not None:
            await self.refresher.stop()
            others = {**others, **self.refresher.digests}
        for link in self._links:
            link.stop()
        await asyncio.gather(*(link.wait_closed() for link in self._links))
        await self._stop_watching()
        if (fatal := self._ending.result().fatal) is not None:
            return fatal
        if self._syncer.failure is not None:
            # It failed while the end was under way: its message to the event loop comes too late.
            return fatal_of(self._syncer.failure)
        try:
            await asyncio.to_thread(self._close_frames)
            self._measure(last=True)
            await asyncio.to_thread(self._seal, reason, others)
        except Exception as error:  # also a mistake of ours leaves a fatal.json
            return fatal_of(error)
        return None

    def _close_frames(self) -> None:
        self._reserve.release()
        self._recorder.close_frames()

    def _seal(self, reason: str, others: Mapping[str, str]) -> None:
        recorder = self._recorder
        losses = families.losses(metrics_errors=recorder.metrics_errors)
        told = {"reason": reason, "next_run_id": self._next_run_id, **self._counts(), **losses}
        recorder.note("capture_stop", {**told, **quality.judged(self._facts, losses)})
        digests = {**others, **recorder.close()}
        seal(
            recorder.run_dir,
            run_id=recorder.run_id,
            stop_reason=reason,
            closed=self._stamper.frames(),
            digests=digests,
            shards=recorder.shards,
        )

    async def give_up(self, fatal: Fatal) -> None:
        """Drop everything, keep what can be kept, and leave `fatal.json` and its companions."""
        if self.refresher is not None:
            await self.refresher.stop()
        for link in self._links:
            link.abandon()
        self._stop_timers()
        await asyncio.gather(*(link.wait_closed() for link in self._links))
        await self._stop_watching()
        await asyncio.to_thread(self._leave, fatal)

    def _leave(self, fatal: Fatal) -> None:
        recorder = self._recorder
        held_bytes = self._reserve.held_bytes
        self._reserve.release()
        with contextlib.suppress(Exception):  # whatever the error is, it may be in these too
            self._tell_rest()
        with contextlib.suppress(BundleError, ValueError):
            recorder.note("fatal", {"fatal_reason": fatal.reason, "fatal_message": fatal.message})
        recorder.abandon()
        last_words.leave(
            recorder,
            [link.session for link in self._links],
            fatal,
            counts=self._counts(),
            recent_heartbeats=list(self._heartbeats),
            backpressure_ns_p99=self._vitals.backpressure_ns_p99,
            tail_bytes_max=last_words.bytes_for_each(held_bytes, len(self._links)),
            say=self._say,
        )

    # The heartbeat.

    def _watermark_tick(self) -> None:
        self._timers[self._watermark_tick] = self._loop.call_later(
            WATERMARK_SECONDS, self._watermark_tick
        )
        try:
            self._recorder.publish_watermark()
        except Exception as error:
            self.fail(error)

    def _vitals_tick(self) -> None:
        """Take the lateness of this very timer as the lag of the event loop."""
        now = self._stamper.now()
        late_ns = max(0, now - self._vitals_due)
        self._vitals_due = now + VITALS_NS
        self._timers[self._vitals_tick] = self._loop.call_later(
            VITALS_NS / NS_PER_S, self._vitals_tick
        )
        self._react(self._vitals.ticked(late_ns, self._stamper.clocks()))

    def _disk_measured(self, figures: DiskFigures) -> None:
        # Called in the thread of the disk watch; the loop may be gone.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self._judge_disk, figures)

    def _judge_disk(self, figures: DiskFigures) -> None:
        if not self._ending.done():
            self._react(self._vitals.disk_measured(figures))

    def _react(self, actions: Iterable[Action]) -> None:
        try:
            for action in actions:
                match action:
                    case Note():
                        self._recorder.note(action.record_type, action.fields)
                        self._say(f"{action.record_type}: {_words(action.fields)}")
                    case GiveUp():
                        self.fail(GivenUp(action.reason, action.message))
        except Exception as error:
            self.fail(error)

    def _beat(self) -> None:
        self._timers[self._beat] = self._loop.call_later(self._heartbeat_seconds, self._beat)
        try:
            mono, wall = self._stamper.frames()
            beat = {"hb_wall_ns_utc": wall, "hb_mono_ns": mono, **self._counts()}
            connected = sum(link.session.state is State.OPEN for link in self._links)
            beat["shards_connected"] = connected
            self._recorder.note("heartbeat", beat)
            self._heartbeats.append(beat)
            self._measure()
        except Exception as error:
            self.fail(error)

    def _measure(self, *, last: bool = False) -> None:
        """Take what the interval that ends now has measured, and write it.

        That takes a tenth of a millisecond a shard, so between a number of shards there is time to read;
        what is written is what it was at this moment.
        """
        self._tell_rest()  # a stall has held up that of the beat before
        mono, wall = self._stamper.frames()
        beat = Beat(
            run_id=self._recorder.run_id,
            wall_ns_utc=wall,
            mono_ns=mono,
            previous_mono_ns=self._beat_at,
        )
        self._telling = self._told(beat, last=last)
        self._tell_work_ns = 0
        self._tell_some()
        if last:
            self._tell_rest()

    def _tell_rest(self) -> None:
        while self._telling is not None:
            self._tell_some()

    def _tell_later(self) -> None:
        try:
            self._tell_some()
        except Exception as error:
            self.fail(error)

    def _tell_some(self) -> None:
        if self._telling is None:
            return
        began = self._stamper.now()
        more = next(self._telling, False)
        self._tell_work_ns += self._stamper.now() - began
        if more:
            self._timers[self._tell_later] = self._loop.call_soon(self._tell_later)
        else:
            self._telling = None
            self._vitals.tick_done(self._tell_work_ns)

    def _told(self, beat: Beat, *, last: bool) -> Iterator[bool]:
        """Write the metrics of a beat; the first step takes all that they tell."""
        recorder = self._recorder
        every_ns = 0 if last else self._guards.coverage_interval_ns
        before, facts = self._facts, [self._facts_of(link, every_ns) for link in self._links]
        self._facts = facts.copy()  # a shard may be added while these are told
        self._beat_at = beat.mono_ns
        meters, reactions = recorder.meters_taken(), recorder.reactions_taken()
        extra = {
            "durable_frames": recorder.durable_frames,
            "metrics_writer_errors": recorder.metrics_errors,
            **self._vitals.told(self._pauses.taken()),
            **families.queues(),
            **families.losses(metrics_errors=recorder.metrics_errors),
            **({} if self.refresher is None else self.refresher.session.metrics()),
        }
        told: list[Durations] = []
        for one in zip(facts, before, meters, strict=True):
            if told and not len(told) % SHARDS_AT_ONCE:
                yield True
            told.append(recorder.shard_metrics(beat, *one))
        durations = merged(told)
        extra.update(families.latencies(durations, reactions, quantiles))
        record = recorder.global_metrics(beat, facts, before, durations, extra)
        if self._status is not None:
            self._status(record, sum(1 for one in facts if one.tokens_assigned))
        actions = self._vitals.beaten(
            ingest_ns_p99=quantiles(durations["ingest_ns"], [99])[0],
            backpressure_ns_p99=quantiles(durations["backpressure_ns"], [99])[0],
            reads=durations["ingest_ns"]["count"],
            metrics_errors=recorder.metrics_errors,
        )
        if not last:  # a run that is being sealed can no longer be given up
            self._react(actions)

    def _facts_of(self, link: ShardLink, every_ns: int) -> ShardFacts:
        session = link.session
        policies = session.policies
        now = self._stamper.now()
        shard = self._recorder.shards[session.shard_id]
        covered = session.coverage.counted(now, every_ns=every_ns)
        return ShardFacts(
            shard_id=session.shard_id,
            frames=shard.frames,
            bytes_written=shard.frames_bytes,
            tokens_assigned=covered.assigned,
            tokens_seen=covered.seen,
            tokens_eligible=covered.eligible,
            tokens_overdue=len(policies.snapshot.overdue),
            connected=session.state is State.OPEN,
            confirmed=policies.confirm.confirmed,
            confirm_events_seen=policies.confirm.events_seen,
            confirm_failures=policies.confirm.failures,
            confirm_deadline_ns=policies.confirm.deadline(),
            reconnects=session.reconnects,
            reconnect_budget_remaining=policies.backoff.remaining(now),
            down_ns=session.down_ns(now),
            down_incidents=session.down_incidents,
            down_durations=session.down_durations.to_dict(),
            decode_errors=session.census.decode_errors,
            msg_type_counts=session.census.counts(),
            startup_connect_ns=session.startup_connect_ns,
            last_frame_ns=shard.rx_mono_ns_last,
        )

    def _link(self, session: ShardSession) -> ShardLink:
        return ShardLink(session, self._recorder, self._dial, failed=self.fail, say=self._say)

    def _counts(self) -> dict[str, int]:
        return {
            "frames_total": self._recorder.frames_total,
            "bytes_total": self._recorder.bytes_total,
            "durable_frames_total": self._recorder.durable_frames,
        }

    async def _stop_watching(self) -> None:
        self._stop_timers()
        self._pauses.stop()
        # A sync under way is waited for, and so is a file system that does not answer.
        await asyncio.to_thread(self._syncer.stop)
        await asyncio.to_thread(self._disk_watch.stop)

    def _stop_timers(self) -> None:
        for timer in self._timers.values():
            timer.cancel()

    def _sync_failed(self, error: Exception) -> None:
        # Called in the syncer's thread; the loop may be gone when a sync fails at the very end.
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(self.fail, error)


def _words(fields: Mapping[str, object]) -> str:
    return ", ".join(f"{name} {value}" for name, value in fields.items())
