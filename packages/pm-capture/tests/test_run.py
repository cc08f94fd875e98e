"""How a run ends when something in it breaks; the good days are in test_daemon.py."""

import asyncio
import errno
import json
import random
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

import pytest

from pm_capture.actions import Action
from pm_capture.policies.backoff import Backoff
from pm_capture.policies.confirm import Confirm
from pm_capture.policies.data_idle import DataIdle
from pm_capture.policies.keepalive import Keepalive
from pm_capture.policies.snapshot import Snapshot
from pm_capture.reasons import FatalReason
from pm_capture.recorder import Recorder
from pm_capture.refresher import Refresher
from pm_capture.run import SHARDS_AT_ONCE, Run
from pm_capture.shard_link import Dial
from pm_capture.shard_session import Policies, ShardSession
from pm_capture.stamper import Stamper
from pm_capture.subscribe import SubscribeCaps
from pm_frames.files import OsFiles
from pm_frames.paths import shard_metrics_path

S = 1_000_000_000


class Buggy(ShardSession):
    """A session whose policies are broken."""

    def frames_received(self, frames: Sequence[tuple[int, bytes]], now: int) -> list[Action]:
        raise KeyError("a bug")


def session(kind: type[ShardSession] = ShardSession) -> ShardSession:
    policies = Policies(
        keepalive=Keepalive(interval_ns=10 * S, timeout_ns=10 * S),
        confirm=Confirm(timeout_ns=45 * S, events_min=1),
        data_idle=DataIdle(idle_ns=120 * S),
        snapshot=Snapshot(timeout_ns=30 * S),
        backoff=Backoff(base_ns=S, cap_ns=S, heal_ns=S, budget=1, jitter=random.Random(1)),
    )
    return kind(0, ["10", "11"], caps=SubscribeCaps(), policies=policies)


@pytest.fixture
def live(tmp_path: Path, new_venue: Callable[..., Any], answering: Any) -> Callable[..., Any]:
    """Run against a venue until it ends by itself; returns why, having given up or concluded."""

    async def run(
        one: ShardSession,
        files: Any = None,
        *,
        first_beat: Callable[[], None] = lambda: None,
        end: str | None = None,
        then: BaseException | None = None,
    ) -> Any:
        (tmp_path / "r").mkdir()
        clock = asyncio.get_running_loop().time
        stamper = Stamper(lambda: round(clock() * S), lambda: 1)
        recorder = Recorder(tmp_path / "r", "r", shards=1, stamper=stamper, files=files)
        async with new_venue(answering) as venue:
            dial = Dial(venue.url, 5.0, "test")
            words: list[str] = []

            def say(text: str) -> None:
                words.append(text)
                first_beat()

            under_test = Run(recorder, [one], dial, heartbeat_seconds=0.05, say=say)
            if end is not None:
                under_test.end(end)
            ending = await under_test.live()
            if then is not None:
                under_test.fail(then)
            fatal = ending.fatal or await under_test.conclude({})
            assert fatal is not None
            await under_test.give_up(fatal)
            return fatal

    return run


def test_a_bug_in_a_policy_is_fatal_but_the_frame_is_recorded(
    live: Callable[..., Any], tmp_path: Path, left_run: Callable[..., Any]
) -> None:
    fatal = asyncio.run(live(session(Buggy)))
    assert (fatal.reason, fatal.message) == (FatalReason.INTERNAL_ASSERT, "KeyError: 'a bug'")
    left = left_run(tmp_path / "r")
    [frame] = left.frames()
    assert json.loads(frame.payload)[0]["asset_id"] == "10"
    assert left.json("fatal.json")["first_error"]["type"] == "KeyError"
    assert left.records[-1]["fatal_reason"] == "INTERNAL_ASSERT"


def test_a_bug_while_sealing_is_fatal_too(
    live: Callable[..., Any], tmp_path: Path, left_run: Callable[..., Any]
) -> None:
    class Odd(OsFiles):
        """Files of which every close meets what nobody foresaw."""

        def close(self, fd: int) -> None:
            super().close(fd)
            raise KeyError("a bug")

    fatal = asyncio.run(live(session(), Odd(), first_beat=lambda: None, end="duration"))
    assert (fatal.reason, fatal.message) == (FatalReason.INTERNAL_ASSERT, "KeyError: 'a bug'")
    left = left_run(tmp_path / "r")
    assert left.json("fatal.json")["fatal_reason"] == "INTERNAL_ASSERT"
    assert not (tmp_path / "r" / "seal.json").exists()


def test_an_error_while_a_run_ends_takes_the_place_of_its_end(
    live: Callable[..., Any], tmp_path: Path
) -> None:
    full = OSError(errno.ENOSPC, "No space left on device")
    fatal = asyncio.run(live(session(), end="duration", then=full))
    assert (fatal.reason, fatal.error) == (FatalReason.WRITE_FAILED, full)
    assert not (tmp_path / "r" / "seal.json").exists()


def test_a_runlog_that_cannot_be_written_is_fatal(
    live: Callable[..., Any],
    tmp_path: Path,
    full_disk: Callable[..., Any],
    left_run: Callable[..., Any],
) -> None:
    fatal = asyncio.run(live(session(), full_disk(600, "runlog.ndjson")))
    assert fatal.reason is FatalReason.RUNLOG_FAILURE
    left = left_run(tmp_path / "r")
    assert left.json("fatal.json")["fatal_reason"] == "RUNLOG_FAILURE"
    # What could not be put on record was not done: the request follows its record.
    assert {record["record_type"] for record in left.records} <= {"ws_connect", "subscribe_attempt"}
    assert not (tmp_path / "r" / "seal.json").exists()


def test_a_sync_that_fails_is_fatal_and_tells_what_is_durable(
    live: Callable[..., Any], tmp_path: Path, broken_sync: Callable[..., Any]
) -> None:
    files = broken_sync()

    def break_it() -> None:
        files.broken = True

    fatal = asyncio.run(live(session(), files, first_beat=break_it))
    assert fatal.reason in {FatalReason.RUNLOG_FAILURE, FatalReason.FRAME_WRITER_ERROR}
    assert "Input/output error" in fatal.message
    told = json.loads((tmp_path / "r" / "fatal.json").read_text())
    assert told["durable_frames_total"] <= told["frames_total"]
    assert told["first_error"]["errno"] == errno.EIO
    assert not (tmp_path / "r" / "seal.json").exists()


def test_a_sync_of_frames_that_fails_says_how_many_are_durable(
    live: Callable[..., Any], tmp_path: Path, broken_sync: Callable[..., Any]
) -> None:
    files = broken_sync(".frames")

    def break_it() -> None:
        files.broken = True

    fatal = asyncio.run(live(session(), files, first_beat=break_it))
    assert fatal.reason is FatalReason.FRAME_WRITER_ERROR
    assert "sync failed: Input/output error; 0 frames are durable" in fatal.message
    told = json.loads((tmp_path / "r" / "fatal.json").read_text())
    assert told["durable_frames_total"] == 0
    assert told["frames_total"] == 1


def test_metrics_that_are_written_in_turns_are_those_of_one_moment(
    capture_venue: Callable[..., Any], new_venue: Callable[..., Any], tmp_path: Path
) -> None:
    """More shards than are written at once, and frames that arrive between."""
    shards = 2 * SHARDS_AT_ONCE + 20
    markets = [
        {"market_id": str(one), "condition_id": f"0x{one}", "tokens": [{"token_id": str(one)}]}
        for one in range(4 * shards)
    ]
    universe = {"universe_version": 0, "kind": "full", "markets": markets}
    (tmp_path / "many.json").write_text(json.dumps(universe))

    async def script(connection: Any, number: int) -> None:
        tokens = json.loads(await connection.recv())["assets_ids"]
        books = json.dumps([{"asset_id": token, "event_type": "book"} for token in tokens])
        while True:
            await connection.send(books)
            await asyncio.sleep(0.005)

    async def main() -> Any:
        async with new_venue(script) as venue:
            return await capture_venue(
                venue.url, universe=tmp_path / "many.json", ws_shards=shards,
                duration_seconds=2, capture_heartbeat_interval_seconds=0.2,
            )  # fmt: skip

    done = asyncio.run(main())
    assert done.code == 0
    told: dict[int, list[Any]] = {}
    for path in sorted((done.left.path / "metrics").glob("shard_*.ndjson")):
        for line in path.read_text(encoding="utf-8").splitlines():
            record = json.loads(line)
            told.setdefault(record["hb_mono_ns"], []).append(record)
    beats = (done.left.path / "metrics" / "global.ndjson").read_text(encoding="utf-8")
    wholes = [json.loads(line) for line in beats.splitlines()]
    assert [whole["hb_mono_ns"] for whole in wholes] == sorted(told)
    assert len(wholes) > 3
    for whole in wholes:
        parts = told[whole["hb_mono_ns"]]
        assert sorted(part["shard_id"] for part in parts) == list(range(shards))
        assert sum(part["frames"] for part in parts) == whole["frames"]
        counted = whole["histograms"]["write_ns"]["count"]
        assert sum(part["histograms"]["write_ns"]["count"] for part in parts) == counted
    # All reads, each in one interval, and no frame of a later moment.
    for shard_id in range(shards):
        stamps = [frame.rx_mono_ns for frame in done.left.frames(shard_id)]
        for when, parts in told.items():
            [part] = [part for part in parts if part["shard_id"] == shard_id]
            assert part["frames"] == sum(stamp <= when for stamp in stamps)


@pytest.mark.parametrize("end", ["duration", "fatal"])
def test_a_shard_that_is_added_while_metrics_are_written_waits_for_the_next_ones(
    tmp_path: Path, end: str
) -> None:
    """At the end of the run, a clean one or a fatal one, every shard of a beat has been told."""
    shards = 8 * SHARDS_AT_ONCE + 10

    def idle(shard_id: int) -> ShardSession:
        return ShardSession(shard_id, (), caps=SubscribeCaps(), policies=session().policies)

    def lines(shard_id: int) -> list[Any]:
        text = shard_metrics_path(tmp_path, shard_id).read_text(encoding="utf-8")
        return [json.loads(line)["hb_mono_ns"] for line in text.splitlines()]

    async def turns(number: int) -> None:
        """Return between two parts of the metrics of a beat."""
        while not len(lines(0)) == number > len(lines(shards - 1)):  # noqa: ASYNC110 - turns are counted
            await asyncio.sleep(0)

    async def main() -> None:
        clock = asyncio.get_running_loop().time
        stamper = Stamper(lambda: round(clock() * S), lambda: 1)
        recorder = Recorder(tmp_path, "r", shards=shards, stamper=stamper)
        dial = Dial("ws://127.0.0.1:1/", 5.0, "test")
        sessions = [idle(shard_id) for shard_id in range(shards)]
        run = Run(recorder, sessions, dial, heartbeat_seconds=0.05, say=lambda text: None)
        run.refresh_by(cast("Refresher", None), idle)
        living = asyncio.ensure_future(run.live())
        await turns(1)
        recorder.adopt(recorder.make_shard(shards))
        run.add_shard(shards)
        await turns(2)
        if end == "fatal":
            run.fail(OSError(errno.ENOSPC, "No space left on device"))
        else:
            run.end(end)
        ending = await living
        assert ending.reason == end
        if ending.fatal is None:
            assert await run.conclude({}) is None
        else:
            await run.give_up(ending.fatal)

    asyncio.run(asyncio.wait_for(main(), 20))
    first = lines(0)
    # The end writes a last beat of its own; on a busy machine one more may be due before it.
    assert len(first) >= (3 if end == "duration" else 2)
    assert all(lines(shard_id) == first for shard_id in range(shards))
    assert lines(shards) == first[1:]
    text = (tmp_path / "metrics" / "global.ndjson").read_text(encoding="utf-8")
    assert [json.loads(line)["hb_mono_ns"] for line in text.splitlines()] == first
