"""A run that grows, with a writer at full speed in another process."""

import json
import signal
import struct
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from pm_frames.lock import RunLock
from pm_verify.__main__ import make_parser
from pm_verify.findings import Code
from pm_verify.live import LiveRun, follow
from pm_verify.shell import Shell

Record = tuple[int, int, int, bytes]
BuildRun = Callable[..., Path]
BuildPair = Callable[..., tuple[bytes, bytes]]

# Two shards, payloads of many sizes, until there is enough; a watermark after every append.
WRITER = """
import sys, time
from pathlib import Path
from pm_frames import ShardWriter
from pm_frames.lock import RunLock
from pm_frames.watermark import WatermarkWriter
run = Path(sys.argv[1])
with RunLock(run):
    mark = WatermarkWriter(run / "capture" / "watermark")
    writers = [ShardWriter(run / "capture", shard) for shard in (0, 1)]
    print("ready", flush=True)
    number = 0
    while number % 64 or not (run / "enough").exists():
        number += 1
        now = time.perf_counter_ns()
        frames = [(1, b"x" * (number * 7 % 3000 + k)) for k in range(10)]
        writers[number % 2].append(frames, rx_mono_ns=now, rx_wall_ns_utc=now)
        mark.publish(time.perf_counter_ns())
    for writer in writers:
        writer.close()
    print(10 * number, flush=True)
"""


@contextmanager
def running(command: list[str]) -> Iterator["subprocess.Popen[bytes]"]:
    """A process that does not outlive the test, whatever becomes of that."""
    with subprocess.Popen(command, stdout=subprocess.PIPE) as process:
        try:
            yield process
        finally:
            process.kill()


def grown(run: Path, shard: int, frames: bytes, idx: bytes) -> None:
    for suffix, data in (("frames", frames), ("idx", idx)):
        with (run / "capture" / f"shard_{shard:02}.{suffix}").open("ab") as file:
            file.write(data)


def empty_run(build_run: BuildRun, place: Path) -> Path:
    run = build_run(place, shards={0: []}, sealed=False)
    for path in (run / "capture").iterdir():
        path.write_bytes(b"" if path.suffix != "" else struct.pack("<Q", 0))
    return run


def test_a_writer_at_full_speed_is_never_blamed(build_run: BuildRun, tmp_path: Path) -> None:
    run = build_run(tmp_path / "run", shards={}, sealed=False)
    (run / "capture" / "watermark").unlink()
    command = [sys.executable, "-c", WRITER, str(run)]
    with running(command) as writer:
        assert writer.stdout is not None
        assert writer.stdout.readline().strip() == b"ready"
        live, growths = LiveRun(run), 0
        while growths < 40:
            before = live.records
            assert live.look(), "the writer still holds the lock"
            growths += live.records > before
            report = live.report()
            assert report.counts == {}, report.verdict()
        (run / "enough").touch()
        written = int(writer.stdout.readline())
        assert writer.wait(timeout=60) == 0
    assert live.look() is False
    report = live.report()
    assert report.counts == {}
    assert report.records == written


def test_every_state_between_two_bytes_is_not_yet(
    build_run: BuildRun, build_pair: BuildPair, records: Callable[[int], list[Record]], tmp_path: Path
) -> None:  # fmt: skip
    """Frames byte by byte, then their entries byte by byte: no look finds anything."""
    run = empty_run(build_run, tmp_path / "run")
    shard = records(4)
    frames, idx = build_pair(shard, 2)
    edges = [len(build_pair(shard[:count], 2)[0]) for count in range(5)]
    live = LiveRun(run)
    with RunLock(run):
        for number in range(4):
            for at in range(edges[number], edges[number + 1]):
                grown(run, 0, frames[at : at + 1], b"")
                assert live.look()
            for at in range(32 * number, 32 * (number + 1)):
                assert live.records == number
                grown(run, 0, b"", idx[at : at + 1])
                assert live.look()
        report = live.report()
    assert report.counts == {}
    assert report.records == 4
    assert report.summaries[0].rx_mono_ns_last == shard[-1][1]


@pytest.mark.parametrize("side", ["frames", "idx"])
def test_damage_is_said_at_the_second_look(
    build_run: BuildRun, build_pair: BuildPair, records: Callable[[int], list[Record]], tmp_path: Path, side: str
) -> None:  # fmt: skip
    run = empty_run(build_run, tmp_path / "run")
    frames, idx = build_pair(records(5), 2)
    damaged = bytearray(frames if side == "frames" else idx)
    damaged[100] ^= 1
    grown(run, 0, *((bytes(damaged), idx) if side == "frames" else (frames, bytes(damaged))))
    live = LiveRun(run)
    with RunLock(run):
        live.look()
        assert live.report().counts == {}, "it is looked at again first"
        live.look()
        report = live.report()
    assert report.exit_code == 4
    assert report.findings[0].ordinal == (1 if side == "frames" else 3)


def test_what_was_a_moment_of_the_writer_is_forgotten(
    build_run: BuildRun, build_pair: BuildPair, records: Callable[[int], list[Record]], tmp_path: Path
) -> None:  # fmt: skip
    run = empty_run(build_run, tmp_path / "run")
    frames, idx = build_pair(records(3), 2)
    live = LiveRun(run)
    with RunLock(run):
        grown(run, 0, frames[:-1], idx)
        live.look()
        grown(run, 0, frames[-1:], b"")
        live.look()
        live.look()
        report = live.report()
    assert report.counts == {}
    assert report.records == 3


def test_a_record_behind_the_watermark_is_a_finding(
    build_run: BuildRun, build_pair: BuildPair, tmp_path: Path
) -> None:
    run = empty_run(build_run, tmp_path / "run")
    shard = [(1, stamp, 5, b"x") for stamp in (100, 200, 300)]
    frames, idx = build_pair(shard, 2)
    size = len(frames) // 3
    watermark = run / "capture" / "watermark"
    live = LiveRun(run)
    with RunLock(run):
        for number, promised in ((0, 150), (1, 301)):  # 301: and the third is stamped 300
            grown(
                run,
                0,
                frames[number * size : (number + 1) * size],
                idx[number * 32 : number * 32 + 32],
            )
            watermark.write_bytes(struct.pack("<Q", promised))
            live.look()
        grown(run, 0, frames[2 * size :], idx[64:])
        live.look()
        report = live.report()
    (finding,) = report.findings
    assert finding.code is Code.WATERMARK_PASSED
    assert (finding.expected, finding.found, finding.ordinal) == (301, 300, 2)


def test_following_ends_with_the_run_or_the_time(unsealed_run: Path) -> None:
    now, pauses = [0.0], []

    def pause(seconds: float) -> None:
        pauses.append(seconds)
        now[0] += seconds

    run = LiveRun(unsealed_run)
    assert follow(run, clock=lambda: now[0], pause=pause) is False
    assert pauses == []
    with RunLock(unsealed_run):
        assert follow(run, clock=lambda: now[0], pause=pause, seconds=1.0) is True
    assert sum(pauses) == pytest.approx(1.0)


def test_the_program_follows_until_the_run_ends(
    program: Callable[..., list[str]], unsealed_run: Path
) -> None:
    with ExitStack() as stack:
        with RunLock(unsealed_run):
            done = subprocess.run(
                program("--live", "--for", "0s", str(unsealed_run)),
                capture_output=True,
                check=False,
            )
            assert (done.returncode, done.stderr) == (0, b"")
            assert json.loads(done.stdout)["totals"]["records"] == 9
            process = stack.enter_context(running(program("--live", str(unsealed_run))))
        out, _ = process.communicate(timeout=60)
        assert process.returncode == 3
    assert [one["code"] for one in json.loads(out)["findings"]] == ["PMV004"]


@pytest.mark.skipif(sys.platform == "win32", reason="there are no interval timers on Windows")
def test_ctrl_c_ends_the_following_with_what_is_known(
    unsealed_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    shell = Shell(make_parser().parse_args(["--live"]))
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with RunLock(unsealed_run):
            signal.setitimer(signal.ITIMER_REAL, 0.5)
            report = shell.follow(unsealed_run)
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
    assert (report.exit_code, report.state, report.records) == (0, "running", 9)
    assert capsys.readouterr() == ("", "")
