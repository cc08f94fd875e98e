"""Every fatal reason that a capture can meet from outside, made to happen; bugs are in test_run.py."""

import asyncio
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from pm_frames import FrameDecoder, read_frames

PROGRAM = [sys.executable, "-m", "pm_capture"]
SOON = {"ws_reconnect_backoff_seconds": 0.001, "ws_reconnect_backoff_max_seconds": 0.001}
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX limits")


def book(token: str) -> str:
    return json.dumps([{"asset_id": token, "event_type": "book"}])


def last_frames(path: Path) -> list[bytes]:
    decoder = FrameDecoder()
    frames = decoder.feed((path / "last_frames_shard_00.bin").read_bytes())
    decoder.close()
    return [frame.payload for frame in frames]


def assert_fatal(done: Any, reason: str) -> dict[str, Any]:
    """The run ended itself for this reason, and says so everywhere."""
    assert done.code == 7
    fatal: dict[str, Any] = done.left.json("fatal.json")
    assert fatal["fatal_reason"] == done.left.records[-1]["fatal_reason"] == reason
    assert done.left.json("missing_tokens.json")["reason"] == reason
    assert done.left.of("capture_stop") == []
    names = {path.name for path in done.left.path.iterdir()}
    assert not names & {"seal.json", "SHA256SUMS", ".reserve"}
    return fatal


@pytest.fixture
def capture(
    run_in_loop: Callable[..., Any],
    new_venue: Callable[..., Any],
    capture_venue: Callable[..., Any],
) -> Callable[..., Any]:
    """Capture a venue with a script until the run ends by itself."""

    def run(script: Any, **flags: Any) -> Any:
        async def main() -> Any:
            async with new_venue(script) as venue:
                return await capture_venue(venue.url, **{"duration_seconds": 20, **flags})

        return run_in_loop(main())

    return run


def test_low_disk(capture: Callable[..., Any], answering: Any) -> None:
    done = capture(answering, min_free_disk_gb=1e9, capture_reserve_mb=1)
    fatal = assert_fatal(done, "LOW_DISK")
    assert "min_free_disk_gb demands 1000000000000000000" in fatal["fatal_message"]
    assert fatal["first_error"] is None


def test_a_disk_that_fills_up_is_warned_about(
    run_in_loop: Callable[..., Any],
    new_venue: Callable[..., Any],
    answering: Any,
    capture_venue: Callable[..., Any],
    tmp_path: Path,
) -> None:
    gb = shutil.disk_usage(tmp_path).free / 1e9

    async def main() -> Any:
        async with new_venue(answering) as venue:
            return await capture_venue(
                venue.url, until_said="disk_warning", min_free_disk_gb=gb * 0.75
            )

    done = run_in_loop(main())
    assert done.code == 0
    [warning] = done.left.of("disk_warning")
    assert warning["disk_free_bytes"] >= warning["fatal_below_bytes"]


def test_backpressure_stall(capture: Callable[..., Any]) -> None:
    async def chatter(connection: ServerConnection, number: int) -> None:
        async for _ in connection:
            await connection.send(book("10"))

    # No disk is as fast as this limit of 2 ns.
    done = capture(
        chatter,
        capture_backpressure_fatal_ms=0.000002,
        capture_heartbeat_interval_seconds=0.05,
        ws_ping_interval_seconds=0.01,
    )
    fatal = assert_fatal(done, "BACKPRESSURE_STALL")
    assert len(fatal["recent_heartbeats"]) >= 3
    assert done.left.json("missing_tokens.json")["global_missing"] == {"count": 1, "sample": ["11"]}
    frames = [frame.payload for frame in done.left.frames()]
    last = last_frames(done.left.path)
    assert 0 < len(last) <= 4096
    assert frames[-len(last) :] == last


def test_reconnect_storm(capture: Callable[..., Any]) -> None:
    async def close(connection: ServerConnection, _: int) -> None:
        await connection.recv()
        await connection.close()

    done = capture(close, ws_reconnect_storm_max=3, **SOON)
    fatal = assert_fatal(done, "RECONNECT_STORM")
    assert fatal["fatal_message"].startswith("shard 0: connection lost: 4 times")
    assert len(done.left.of("reconnect")) == 4
    assert done.left.json("missing_tokens.json")["per_shard"]["0"]["reconnects"] == 4


def test_subscribe_confirm_fail(capture: Callable[..., Any]) -> None:
    async def mute(connection: ServerConnection, number: int) -> None:
        async for _ in connection:
            await connection.send("PONG")

    done = capture(
        mute, capture_confirm_max_failures=2, capture_confirm_timeout_seconds=0.02, **SOON
    )
    assert_fatal(done, "SUBSCRIBE_CONFIRM_FAIL")
    assert len(done.left.of("subscribe_confirm_fail")) == 3


def test_mono_time_quantized(capture: Callable[..., Any], answering: Any) -> None:
    def coarse() -> int:
        return time.perf_counter_ns() // 15_600_000 * 15_600_000

    done = capture(answering, clocks={"monotonic": coarse})
    fatal = assert_fatal(done, "MONO_TIME_QUANTIZED")
    assert "less than 1 ms is needed" in fatal["fatal_message"]
    assert done.left.of("ws_connect") == []
    assert not (done.left.path / "manifest.json").exists()


def test_write_failed(capture: Callable[..., Any], tmp_path: Path) -> None:
    async def script(connection: ServerConnection, _: int) -> None:
        await connection.recv()
        await connection.send(book("10"))
        # What is in the way of the seal.
        (tmp_path / "runs" / "r" / ".SHA256SUMS.tmp").touch()
        await connection.wait_closed()

    done = capture(script, duration_seconds=0.3)
    assert done.code == 7
    assert done.left.json("fatal.json")["fatal_reason"] == "WRITE_FAILED"
    assert last_frames(done.left.path) == [book("10").encode()]
    assert not (done.left.path / "seal.json").exists()


def test_a_clock_that_steps_is_recorded_and_nothing_else_happens(
    run_in_loop: Callable[..., Any],
    new_venue: Callable[..., Any],
    capture_venue: Callable[..., Any],
) -> None:
    ahead = [0]

    async def script(connection: ServerConnection, number: int) -> None:
        await connection.recv()
        await connection.send(book("10"))
        async for _ in connection:  # a PING: the clocks have been read before
            ahead[0] = 3_600_000_000_000

    async def main() -> Any:
        async with new_venue(script) as venue:
            return await capture_venue(
                venue.url,
                until_said="clock_step",
                clocks={"wall": lambda: time.time_ns() + ahead[0]},
                ws_ping_interval_seconds=0.05,
            )

    done = run_in_loop(main())
    assert done.code == 0
    [step] = done.left.of("clock_step")
    assert abs(step["step_ns"] - 3_600_000_000_000) < 50_000_000
    assert step["since_mono_ns"] < step["ts_mono_ns"]
    assert len(done.left.frames()) == 1
    assert done.left.of("disconnect")[0]["planned"] is True


async def flooded(
    new_venue: Callable[..., Any], universe: Path, data_dir: Path, program: list[str], *more: str
) -> tuple[int | None, bytes]:
    async def flood(connection: ServerConnection, _: int) -> None:
        await connection.recv()
        while True:
            await connection.send("x" * 4000)

    async with new_venue(flood) as venue:
        process = await asyncio.create_subprocess_exec(
            *program, "--run-id", "r", "--data-dir", str(data_dir), "--universe", str(universe),
            "--clob-ws-url", venue.url, "--ws-shards", "1", "--min-free-disk-gb", "0", *more,
            stdout=subprocess.PIPE, stderr=subprocess.PIPE,
            env={name: value for name, value in os.environ.items() if not name.startswith("PM_")},
        )  # fmt: skip
        _, words = await process.communicate()
        return process.returncode, words


def assert_everything_is_left(path: Path, left: Any) -> None:
    fatal = left.json("fatal.json")
    missing = left.json("missing_tokens.json")
    assert missing["global_missing"]["sample"] == ["10", "11"]
    assert fatal["fatal_reason"] in {"FRAME_WRITER_ERROR", "RUNLOG_FAILURE"}
    assert not (path / ".reserve").exists()
    # Frames are kept even when no entry of theirs could be written, so the idx is not asked.
    stored = read_frames(path / "capture" / "shard_00.frames")
    frames = [frame.payload for frame in stored]
    assert fatal["frames_total"] == len(frames) > 0
    last = last_frames(path)
    assert last == frames[-len(last) :]
    assert last
    assert missing["per_shard"]["0"]["recent_headers"][-1]["payload_len"] == 4000


@posix
def test_a_file_size_limit(
    tmp_path: Path,
    universe_file: Path,
    new_venue: Callable[..., Any],
    left_run: Callable[..., Any],
) -> None:
    limited = (
        "import resource, sys\nfrom pm_capture.__main__ import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (500_000, 500_000))\nsys.exit(main())"
    )
    program = [sys.executable, "-c", limited]
    code, words = asyncio.run(flooded(new_venue, universe_file, tmp_path, program))
    assert code == 7
    assert b"0.25 of 16.0 MiB" in words or b"262144" in words
    path = tmp_path / "runs" / "r"
    assert_everything_is_left(path, left_run(path))


@pytest.fixture(params=["1m", "3m"])
def small_disk(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    """A real file system that is nearly full."""
    path = tmp_path / "disk"
    path.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={request.param}", "tmpfs", str(path)]
    if sys.platform != "linux" or os.geteuid() != 0 or subprocess.run(mount).returncode:
        pytest.skip("a tmpfs can be mounted only by root of Linux")
    yield path
    subprocess.run(["umount", "--lazy", str(path)], check=True)


def test_a_full_disk(
    small_disk: Path,
    universe_file: Path,
    new_venue: Callable[..., Any],
    left_run: Callable[..., Any],
) -> None:
    code, words = asyncio.run(flooded(new_venue, universe_file, small_disk, PROGRAM))
    assert code == 7, words
    assert b"could be reserved" in words
    assert b"could not be written" not in words
    path = small_disk / "runs" / "r"
    left = left_run(path)
    assert_everything_is_left(path, left)
    assert left.json("fatal.json")["first_error"]["errno"] == 28
    assert left.records[-1]["record_type"] in {"fatal", "heartbeat", "subscribe_attempt"}
