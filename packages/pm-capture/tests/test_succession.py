"""One run after the other in one process: who follows, who stays, and what is left of whom."""

import asyncio
import gc
import itertools
import json
import signal
import sys
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from pm_capture.daemon import capture
from pm_capture.run import Run
from pm_capture.settings import resolve
from pm_capture.shell import Shell

Script = Callable[[ServerConnection, int], Awaitable[None]]


@dataclass
class Rotated:
    """A capture that rotates: its exit code, its runs in order, its words, and how many runs were alive.

    `shown` has the run that each status was about.
    """

    code: int = -1
    runs: list[Any] = field(default_factory=list)
    words: list[str] = field(default_factory=list)
    alive: list[int] = field(default_factory=list)
    shown: list[str] = field(default_factory=list)


@pytest.fixture
def rotate(
    tmp_path: Path, universe_file: Path, new_venue: Callable[..., Any], left_run: Callable[..., Any]
) -> Callable[..., Rotated]:
    """Capture a venue that behaves as its script says, until certain words were said so many times."""

    def run(
        script: Script,
        *,
        until: str,
        times: int = 1,
        heard: Callable[[str], None] = lambda _: None,
        **flags: object,
    ) -> Rotated:
        done = Rotated()

        def say(text: str) -> None:
            done.words.append(text)
            heard(text)
            if sum(until in words for words in done.words) == times and until in text:
                signal.raise_signal(signal.SIGTERM)

        def settle() -> None:
            gc.collect()
            done.alive.append(sum(isinstance(each, Run) for each in gc.get_objects()))

        given = {
            "run_id": "r", "data_dir": tmp_path, "universe": universe_file, "ws_shards": 1,
            "capture_reserve_mb": 0, "min_free_disk_gb": 0, "capture_rotate": "1s",
            "capture_heartbeat_interval_seconds": 0.2, "ws_reconnect_backoff_seconds": 0.001,
            "duration_seconds": 30, **flags,
        }  # fmt: skip

        async def main() -> int:
            async with new_venue(script) as venue:
                texts = {name: str(value) for name, value in given.items()}
                resolved = resolve(flags={**texts, "clob_ws_url": venue.url}, environ={})
                shell = Shell(
                    say=say,
                    status=lambda record, _: done.shown.append(str(record["run_id"])),
                    announce=lambda path: done.runs.append(left_run(path)),
                    environ={},
                    event_loop="x",
                    settle=settle,
                )
                return await capture(resolved, shell)

        done.code = asyncio.run(main())
        return done

    return run


def test_runs_follow_and_nothing_of_the_older_ones_is_kept(
    rotate: Callable[..., Rotated], answering: Script, tmp_path: Path
) -> None:
    (tmp_path / "runs" / "r-0003").mkdir(parents=True)  # of some other time: never entered
    done = rotate(answering, until="sealed", times=3)
    assert done.code == 0
    assert [run.path.name for run in done.runs] == ["r", "r-0002", "r-0004", "r-0005"]
    assert list((tmp_path / "runs" / "r-0003").iterdir()) == []
    assert [run.json("seal.json")["stop_reason"] for run in done.runs] == [
        "rotate", "rotate", "rotate", "SIGTERM",
    ]  # fmt: skip
    told = [run.of("capture_stop")[0]["next_run_id"] for run in done.runs]
    assert told == ["r-0002", "r-0004", "r-0005", None]
    # After the first start, and after each run that was closed: the one in force alone is alive.
    assert done.alive[:3] == [1, 1, 1]
    for run in done.runs:
        assert {frame.payload for frame in run.frames()} != set()
        assert run.json("universe/000000.json") == done.runs[0].json("universe/000000.json")


def test_a_follower_that_dies_before_it_is_in_force_is_the_only_one_to_die(
    rotate: Callable[..., Rotated], answering: Script
) -> None:
    async def script(connection: ServerConnection, number: int) -> None:
        if number == 1:
            await answering(connection, number)
        await connection.wait_closed()  # others are connected, and get nothing

    done = rotate(
        script, until="goes on", capture_confirm_timeout_seconds=0.1,
        capture_confirm_max_failures=1, ws_data_idle_reconnect_seconds=0,
    )  # fmt: skip
    assert done.code == 0
    first, second = done.runs
    assert second.json("fatal.json")["fatal_reason"] == "SUBSCRIBE_CONFIRM_FAIL"
    [failed] = first.of("rotate_failed")
    assert (failed["reason"], failed["next_run_id"]) == ("fatal", "r-0002")
    assert failed["message"].startswith("SUBSCRIBE_CONFIRM_FAIL")
    assert first.json("seal.json")["stop_reason"] == "SIGTERM"
    assert first.of("disconnect")[0]["planned"], "the connection of the run in force was touched"


def test_a_fatal_error_of_the_run_in_force_ends_the_capture_and_seals_the_follower(
    rotate: Callable[..., Rotated], answering: Script
) -> None:
    first: list[ServerConnection] = []

    async def script(connection: ServerConnection, number: int) -> None:
        if number == 1:
            first.append(connection)
            await answering(connection, number)
        elif number == 2:  # the follower's: it never gets a book, so it never is in force
            await first[0].close()
            await connection.wait_closed()

    done = rotate(script, until="nothing says this", ws_reconnect_storm_max=1)
    assert done.code == 7
    older, follower = done.runs
    assert older.json("fatal.json")["fatal_reason"] == "RECONNECT_STORM"
    assert follower.json("seal.json")["stop_reason"] == "predecessor_ended"
    assert not (follower.path / "fatal.json").exists()


def test_a_signal_while_the_next_run_is_begun_seals_both(
    rotate: Callable[..., Rotated], answering: Script
) -> None:
    done = rotate(answering, until="is to follow")
    assert done.code == 0
    assert [run.json("seal.json")["stop_reason"] for run in done.runs] == ["SIGTERM", "SIGTERM"]
    assert done.runs[0].of("rotate_done", "rotate_failed") == []


def test_a_universe_that_was_touched_is_not_taken_over(
    rotate: Callable[..., Rotated], answering: Script, tmp_path: Path
) -> None:
    universe = tmp_path / "runs" / "r" / "universe" / "000000.json"

    def heard(text: str) -> None:
        if "is to follow" in text:
            universe.write_text(universe.read_text().replace('"10"', '"99"'))

    done = rotate(answering, until="goes on", heard=heard)
    assert done.code == 0
    [first] = done.runs
    [failed] = first.of("rotate_failed")
    assert failed["reason"] == "error"
    assert failed["message"].endswith("its generations are not what is in force")
    assert [path.name for path in (tmp_path / "runs").iterdir()] == ["r"]


def test_an_older_run_that_cannot_be_sealed_is_waited_for_and_told_by_the_exit_code(
    rotate: Callable[..., Rotated], answering: Script, tmp_path: Path
) -> None:
    mute: list[ServerConnection] = []

    async def script(connection: ServerConnection, number: int) -> None:
        if number == 1:  # does not even answer the end of the connection, so that takes a while
            await connection.send(json.dumps([{"asset_id": "10", "event_type": "book"}]))
            connection.transport.pause_reading()
            mute.append(connection)
            await connection.wait_closed()
        await answering(connection, number)

    def heard(text: str) -> None:
        if "stopping (rotate)" in text:
            (tmp_path / "runs" / "r" / "SHA256SUMS").mkdir()
        if "fatal" in text:
            mute[0].transport.abort()

    done = rotate(script, until="stopping (rotate)", heard=heard)
    assert done.code == 7
    first, second = done.runs
    assert second.json("seal.json")["stop_reason"] == "SIGTERM"
    told = first.json("fatal.json")
    assert told["fatal_reason"] == "WRITE_FAILED"
    assert told["ts_mono_ns"] > second.json("seal.json")["closed_mono_ns"]


@pytest.mark.parametrize("ever", [True, False])
def test_a_book_that_does_not_come_again_is_named_and_one_that_never_came_is_not_waited_for(
    rotate: Callable[..., Rotated], *, ever: bool
) -> None:
    async def script(connection: ServerConnection, number: int) -> None:
        async for text in connection:
            if text != "PING":
                tokens = ["10", "11"] if ever and number == 1 else ["10"]
                books = [{"asset_id": token, "event_type": "book"} for token in tokens]
                await connection.send(json.dumps(books))

    done = rotate(script, until="sealed", capture_rotate_timeout_seconds=0.3)
    assert done.code == 0
    [told] = done.runs[0].of("rotate_done")
    assert (told["reason"], told["missing_sample"]) == (
        ("timeout", ["11"]) if ever else ("complete", [])
    )


def test_a_market_that_is_over_is_not_waited_for(rotate: Callable[..., Rotated]) -> None:
    """Its books came once; the overlap would last the whole minute if they were awaited again."""

    async def script(connection: ServerConnection, number: int) -> None:
        async for text in connection:
            if text == "PING":
                await connection.send("PONG")
                continue
            tokens = ["10", "11"] if number == 1 else ["10"]
            books = [{"asset_id": token, "event_type": "book"} for token in tokens]
            await connection.send(json.dumps(books))
            over = {"event_type": "market_resolved", "assets_ids": ["11"]}
            await connection.send(json.dumps(over))

    done = rotate(script, until="sealed")
    assert done.code == 0
    first = done.runs[0]
    assert any(b'"11"' in frame.payload and b'"book"' in frame.payload for frame in first.frames())
    [told] = first.of("rotate_done")
    assert (told["reason"], told["missing_count"]) == ("complete", 0)
    assert first.json("seal.json")["stop_reason"] == "rotate"


@pytest.mark.parametrize("backoff_seconds", [0.001, 20])  # connected again, or not yet
def test_a_shard_that_the_older_run_hears_nothing_of_either_holds_nothing_up(
    rotate: Callable[..., Rotated], tmp_path: Path, backoff_seconds: float
) -> None:
    """Also when it had its books once: those of a market that is over do not come again."""
    two = json.dumps({"universe_version": 0, "kind": "full", "markets": [
        {"market_id": "1", "condition_id": "0xa", "tokens": [{"token_id": "10"}]},
        {"market_id": "2", "condition_id": "0xd", "tokens": [{"token_id": "20"}]},
    ]})  # fmt: skip
    (tmp_path / "two.json").write_text(two)
    over = asyncio.Event()

    async def script(connection: ServerConnection, _: int) -> None:
        async for text in connection:
            if text == "PING":
                continue
            token = json.loads(text)["assets_ids"][0]
            if token == "10" or not over.is_set():
                await connection.send(json.dumps([{"asset_id": token, "event_type": "book"}]))
            if token == "20" and not over.is_set():
                over.set()
                await connection.close()

    done = rotate(
        script, until="sealed", universe=tmp_path / "two.json", ws_shards=2,
        ws_reconnect_backoff_seconds=backoff_seconds, capture_rotate_timeout_seconds=2,
    )  # fmt: skip
    assert done.code == 0
    first = done.runs[0]
    assert {each["token_ids"][0] for each in first.of("subscribe_attempt")} == {"10", "20"}
    assert [each["trigger"] for each in first.of("reconnect")] == ["peer_closed"]
    [told] = first.of("rotate_done")
    assert (told["reason"], told["missing_count"]) == ("complete", 0)


def test_the_status_is_that_of_the_run_in_force(
    rotate: Callable[..., Rotated], answering: Script
) -> None:
    done = rotate(answering, until="is to follow", times=2, capture_heartbeat_interval_seconds=0.05)
    shown = [run_id for run_id, _ in itertools.groupby(done.shown)]
    assert shown == ["r", "r-0002"]


def test_a_size_is_a_limit_too(rotate: Callable[..., Rotated], answering: Script) -> None:
    async def script(connection: ServerConnection, number: int) -> None:
        if number == 1:
            await connection.recv()
            book = {"asset_id": "10", "event_type": "book", "filler": "x" * 500_000}
            for _ in range(3):
                await connection.send(json.dumps([book, {**book, "asset_id": "11"}]))
        await answering(connection, number)

    done = rotate(script, until="sealed", capture_rotate="24h,1MB")
    assert done.code == 0
    assert done.runs[0].of("rotate_begin")[0]["reason"] == "size"
    assert [run.path.name for run in done.runs] == ["r", "r-0002"]


def test_the_duration_is_that_of_all_runs_together(
    rotate: Callable[..., Rotated], answering: Script
) -> None:
    done = rotate(answering, until="nothing says this", duration_seconds=1.7)
    assert done.code == 0
    assert [run.json("seal.json")["stop_reason"] for run in done.runs] == ["rotate", "duration"]


@pytest.mark.skipif(sys.platform == "win32", reason="pm-universe is a script here")
def test_nobody_asks_while_two_runs_live_and_then_the_older_one_goes_on(
    new_venue: Callable[..., Any],
    answering: Any,
    follow_venue: Callable[..., Any],
    listing: Any,
) -> None:
    listing.full(listing.row("1", "a", "b"))
    asked: list[int] = []

    async def script(connection: ServerConnection, number: int) -> None:
        if number == 1:
            await answering(connection, number)
        await connection.wait_closed()  # the run that is to follow gets nothing

    def heard(text: str) -> None:
        if "is to follow" in text or "goes on" in text:
            asked.append(len(listing.asked()))
        if "goes on" in text:
            listing.delta([listing.row("2", "c", "d")])

    async def main() -> Any:
        async with new_venue(script) as venue:
            return await follow_venue(
                venue.url, heard=heard, until_said="universe 1: +2", duration_seconds=15,
                capture_rotate="1s", capture_rotate_timeout_seconds=0.5, min_free_disk_gb=0,
            )  # fmt: skip

    done = asyncio.run(main())
    assert done.code == 0
    assert asked[0] == asked[1]
    assert done.left.of("universe_refresh")[-1]["reason"] == "APPLIED"


@pytest.mark.skipif(sys.platform == "win32", reason="pm-universe is a script here")
def test_runs_that_are_shorter_than_the_interval_do_not_put_a_refresh_off(
    new_venue: Callable[..., Any],
    answering: Any,
    follow_venue: Callable[..., Any],
    listing: Any,
) -> None:
    listing.full(listing.row("1", "a", "b"))
    listing.delta([listing.row("2", "c", "d")])

    async def main() -> Any:
        async with new_venue(answering) as venue:
            return await follow_venue(
                venue.url, until_said="universe 1: +2", duration_seconds=6, capture_rotate="1s",
                capture_universe_refresh_interval_seconds=1.5, min_free_disk_gb=0,
            )  # fmt: skip

    done = asyncio.run(main())
    assert done.words[-1].startswith("run r-0002: sealed")
