import json
import multiprocessing
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from pm_verify.examine import Task
from pm_verify.findings import Code
from pm_verify.pool import BYTES_PER_PROCESS_MIN, examine_all, worthwhile_jobs
from pm_verify.verify import verify_run

Record = tuple[int, int, int, bytes]
BuildRun = Callable[..., Path]


def damaged_run(build_run: BuildRun, records: Callable[[int], list[Record]], place: Path) -> Path:
    """Four shards, the third with a hole and the last torn."""
    run = build_run(place, shards={number: records(4 + number) for number in range(4)})
    for shard, at in ((2, 40), (3, None)):
        path = run / "capture" / f"shard_{shard:02}.frames"
        data = bytearray(path.read_bytes())
        if at is None:
            del data[-2:]
        else:
            data[at] ^= 1
        path.write_bytes(data)
    return run


def test_the_report_does_not_depend_on_the_processes(
    build_run: BuildRun, records: Callable[[int], list[Record]], tmp_path: Path
) -> None:
    run = damaged_run(build_run, records, tmp_path / "run")
    told: list[int] = []
    alone = verify_run(run)
    several = verify_run(run, jobs=3, watch=lambda tasks: told.append)
    assert several.as_json() == alone.as_json()
    assert alone.exit_code == 4
    sizes = sum(path.stat().st_size for path in (run / "capture").glob("*.frames"))
    assert sum(told) <= sizes


def test_processes_are_started_only_where_they_help(tmp_path: Path) -> None:
    paths = []
    for number in range(4):
        paths.append(tmp_path / f"shard_{number:02}.frames")
        with paths[-1].open("wb") as file:
            file.truncate(BYTES_PER_PROCESS_MIN)
    tasks = [Task(None, None, str(path), None) for path in paths]
    assert worthwhile_jobs(tasks, 8) == 4
    assert worthwhile_jobs(tasks, 2) == 2
    assert worthwhile_jobs(tasks[:1], 8) == 1
    with paths[0].open("wb") as file:
        file.truncate(10)
    assert worthwhile_jobs(tasks[:2], 8) == 1
    assert worthwhile_jobs([Task(None, None, str(tmp_path / "gone"), None)], 8) == 1


@pytest.mark.skipif(os.name == "nt", reason="there are no named pipes in directories on Windows")
def test_a_killed_process_is_reported_and_the_others_are_not(
    build_run: BuildRun, records: Callable[[int], list[Record]], tmp_path: Path
) -> None:
    """A pipe in place of an index blocks its reader, which is then killed, whenever it tries."""
    run = build_run(tmp_path / "run", shards={number: records(5) for number in range(3)})
    tasks = [
        Task(run, number, f"capture/shard_{number:02}.frames", f"capture/shard_{number:02}.idx")
        for number in range(3)
    ]
    stuck = run / "capture" / "shard_01.idx"
    stuck.unlink()
    os.mkfifo(stuck)
    ended = threading.Event()
    kills: list[int] = []

    def kill_who_opens_the_pipe() -> None:
        while not ended.wait(0.02):
            try:
                fd = os.open(stuck, os.O_WRONLY | os.O_NONBLOCK)
            except OSError:
                continue  # nobody reads
            workers = multiprocessing.active_children()
            for process in workers:
                process.kill()
            for process in workers:
                process.join()
            kills.append(len(workers))
            os.close(fd)

    killer = threading.Thread(target=kill_who_opens_the_pipe)
    killer.start()
    try:
        results = examine_all(tasks, jobs=2)
    finally:
        ended.set()
        killer.join()
    assert len(kills) == 2, "once with the others, once alone"
    assert [list(result.tally.counts) for result in results] == [[], [Code.NOT_EXAMINED], []]
    assert [result.records for result in results] == [5, 0, 5]
    assert results[1].tally.listed[0].shard == 1
    assert results[1].tally.listed[0].exit_code == 4


@pytest.mark.skipif(os.name == "nt", reason="no signal goes to one process alone on Windows")
def test_an_interrupt_ends_the_processes_too(
    build_run: BuildRun, records: Callable[[int], list[Record]], tmp_path: Path
) -> None:
    """Both shards block their readers; the program ends, and what it started with it."""
    run = build_run(tmp_path / "run", shards={number: records(5) for number in range(2)})
    stems = [str(run / "capture" / f"shard_{number:02}") for number in range(2)]
    for stem in stems:
        os.unlink(f"{stem}.idx")
        os.mkfifo(f"{stem}.idx")
    program = (
        "import sys; from pm_verify.examine import Task; from pm_verify.pool import examine_all;"
        "examine_all([Task(None, 0, f'{stem}.frames', f'{stem}.idx') for stem in sys.argv[1:]], jobs=2)"
    )
    command = [sys.executable, "-c", program, *stems]
    with subprocess.Popen(command, stderr=subprocess.PIPE) as process:
        writers = [opened_by_a_reader(f"{stem}.idx", process) for stem in stems]
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=60)
    assert b"KeyboardInterrupt" in errors
    for fd in writers:
        with pytest.raises(BrokenPipeError):
            os.write(fd, b"is anybody there?")
        os.close(fd)


def opened_by_a_reader(pipe: str, process: subprocess.Popen[bytes]) -> int:
    """Return the writing end of a pipe as soon as somebody reads from it."""
    while process.poll() is None:
        try:
            return os.open(pipe, os.O_WRONLY | os.O_NONBLOCK)
        except OSError:
            continue
    raise AssertionError("the program ended by itself")


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_the_program_reads_shards_side_by_side(
    build_run: BuildRun, records: Callable[[int], list[Record]], tmp_path: Path, method: str
) -> None:
    """Forked where it has one thread, spawned where it has more: the same report."""
    if method == "fork" and sys.platform != "linux":
        pytest.skip("processes are forked on Linux only")
    run = damaged_run(build_run, records, tmp_path / "run")
    program = (
        "import sys, threading; from pm_verify.__main__ import main;"
        "from pm_verify.pool import start_method;"
        "stop = threading.Event();"
        "other = threading.Thread(target=stop.wait, daemon=True);"
        f"{'' if method == 'fork' else 'other.start();'}"
        f"assert start_method() == {method!r};"
        "sys.exit(main(sys.argv[1:]))"
    )
    command = [sys.executable, "-c", program, "--jobs", "2", str(run)]
    done = subprocess.run(command, capture_output=True, check=False, timeout=120)
    assert (done.returncode, done.stderr) == (4, b"")
    assert json.loads(done.stdout) == json.loads(json.dumps(verify_run(run).as_json()))
