"""Capture under load: 8 connections at full speed, one of them cut by the venue midway.

And frames that are truly lost: the capture is stopped until every buffer on the way is full, and then the
venue drops its connections, or is killed, with what it had sent still under way. `PM_TEST_LOAD_SECONDS` sets
the length of the first (20 when it is not set), `PM_TEST_LOSSES` how often the others are done (1).
"""

import json
import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import witness
from trials.venue_log import lines_of_venue, wait_until

from pm_frames import open_bundle, read_frames

SECONDS = float(os.environ.get("PM_TEST_LOAD_SECONDS", "20"))
LOSSES = int(os.environ.get("PM_TEST_LOSSES", "1"))
CONNECTIONS = 4
DROPPED_AFTER_SECONDS = 5.0


def cpu_of_children() -> float:
    """CPU seconds of the processes that have been waited for; 0 where the system does not tell."""
    times = os.times()
    return times.children_user + times.children_system


def test_what_is_missing_was_sent_inside_a_declared_gap(
    venue: Callable, capture: Callable, verify: Callable, tmp_path: Path
) -> None:
    faults = tmp_path / "faults.toml"
    faults.write_text(
        f'[[fault]]\nkind = "close"\ncode = 1006\nat = {SECONDS / 2}\nconnection = 3\n',
        encoding="utf-8",
    )
    sent_log = tmp_path / "sent"
    served = venue(
        "--seed", "11", "--markets", "160", "--rate", "0", "--faults", str(faults), "--sent-log", str(sent_log)
    )  # fmt: skip
    before = cpu_of_children()
    capturing = capture(served, "load", "--ws-shards", "8", "--duration-seconds", str(SECONDS))
    assert capturing.wait(timeout=SECONDS + 60) == 0
    cpu = cpu_of_children() - before
    served.stop()
    run_dir = tmp_path / "runs" / "load"
    code, report = verify(run_dir)
    assert code == 0, report["findings"]

    verdicts = witness.judge(run_dir, sent_log)
    print("", *map(witness.describe, verdicts), sep="\n")
    assert len({verdict.connection.shard_id for verdict in verdicts}) == 8
    assert len(verdicts) == 9, "one connection was cut and opened again"
    assert all(verdict.first_difference is None for verdict in verdicts)
    assert all(verdict.missing_outside_gap == 0 for verdict in verdicts)
    unplanned = [
        verdict.connection.number for verdict in verdicts if not verdict.connection.ended_planned
    ]
    assert unplanned == [1]
    captured = sum(verdict.captured for verdict in verdicts)
    missing = sum(verdict.missing for verdict in verdicts)
    assert report["totals"]["records"] == captured
    print(f"{captured:,} frames captured; {missing:,} missing, all inside declared gaps")
    way = open_bundle(run_dir).manifest["environment"]
    print(
        f"{captured / SECONDS:,.0f} frames/s, {cpu / captured * 1e6:.1f} µs CPU a frame, discovery and start-up included; "
        f"loop {way['event_loop']}, transport {way['transport']}"
    )


def still(sent_log: Path) -> None:
    """Return when the venue sends no more, because nobody takes what it has sent."""
    sizes = [-1]
    while sizes[-1:] != sizes[-2:-1] or not sizes[-1]:
        time.sleep(0.3)
        sizes.append(sum(path.stat().st_size for path in sent_log.glob("*.frames")))


def lost_under_way(run_dir: Path, sent_log: Path) -> int:
    """Judge every connection; return how many frames were sent and never arrived."""
    verdicts = witness.judge(run_dir, sent_log)
    print("", *map(witness.describe, verdicts), sep="\n")
    assert all(verdict.first_difference is None for verdict in verdicts)
    assert all(verdict.missing_outside_gap == 0 for verdict in verdicts)
    cut = [verdict for verdict in verdicts if not verdict.connection.ended_planned]
    assert len(cut) == CONNECTIONS
    lost = sum(verdict.missing for verdict in cut)
    # The venue waits for its slowest reader, so that the others may have taken all that was sent.
    assert lost > 0, "nothing was under way"
    return lost


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("turn", range(LOSSES))
def test_frames_that_are_lost_under_way_lie_in_declared_gaps(
    turn: int, venue: Callable, capture: Callable, verify: Callable, tmp_path: Path
) -> None:
    faults = tmp_path / "faults.toml"
    # Half of them are dropped, the others are told first and then dropped for not answering.
    faults.write_text(
        "\n".join(
            f'[[fault]]\nkind = "close"\ncode = {code}\nsince = "open"\n'
            f"at = {DROPPED_AFTER_SECONDS}\nconnection = {connections}\n"
            for code, connections in ((1006, [1, 2]), (1001, [3, 4]))
        ),
        encoding="utf-8",
    )
    sent_log = tmp_path / "sent"
    served = venue(
        "--seed", str(turn + 1), "--markets", "60", "--rate", "0", "--faults", str(faults), "--sent-log", str(sent_log)
    )  # fmt: skip
    capturing = capture(served, "lost", "--ws-shards", str(CONNECTIONS))
    run_dir = Path(capturing.stdout.readline().strip())
    wait_until(lambda: everyone_hears(run_dir), "the first frames of every shard")
    capturing.send_signal(signal.SIGSTOP)
    try:
        still(sent_log)
        wait_until(
            lambda: len(lines_of_venue(sent_log)) == CONNECTIONS, "the end of the connections"
        )
    finally:
        capturing.send_signal(signal.SIGCONT)
    wait_until(lambda: len(witness.connections(run_dir)) == 2 * CONNECTIONS, "the next connections")
    before = bytes_of(run_dir)
    wait_until(lambda: bytes_of(run_dir) > before, "frames of the next connections")
    capturing.send_signal(signal.SIGTERM)
    assert capturing.wait(timeout=60) == 0
    served.stop()
    code, report = verify(run_dir)
    assert code == 0, report["findings"]
    lost = lost_under_way(run_dir, sent_log)
    print(f"{lost:,} frames were lost under way, each of them inside a declared gap")


@pytest.mark.skipif(os.name == "nt", reason="POSIX signals")
@pytest.mark.parametrize("turn", range(LOSSES))
def test_a_venue_that_is_killed_takes_frames_with_it(
    turn: int, venue: Callable, capture: Callable, verify: Callable, tmp_path: Path
) -> None:
    sent_log = tmp_path / "sent"
    served = venue(
        "--seed", str(turn + 1), "--markets", "60", "--rate", "0", "--sent-log", str(sent_log)
    )
    capturing = capture(served, "lost", "--ws-shards", str(CONNECTIONS))
    run_dir = Path(capturing.stdout.readline().strip())
    wait_until(lambda: everyone_hears(run_dir), "the first frames of every shard")
    capturing.send_signal(signal.SIGSTOP)
    try:
        still(sent_log)
        served.process.kill()
        served.process.wait()
    finally:
        capturing.send_signal(signal.SIGCONT)
    wait_until(lambda: ended(run_dir) == CONNECTIONS, "the end of the connections")
    capturing.send_signal(signal.SIGTERM)
    assert capturing.wait(timeout=60) == 0
    code, report = verify(run_dir)
    assert code == 0, report["findings"]
    complete_log(run_dir, sent_log)
    lost = lost_under_way(run_dir, sent_log)
    print(f"{lost:,} frames were lost with the venue, each of them inside a declared gap")


def everyone_hears(run_dir: Path) -> bool:
    files = list((run_dir / "capture").glob("shard_*.frames"))
    return len(files) == CONNECTIONS and all(path.stat().st_size for path in files)


def bytes_of(run_dir: Path) -> int:
    return sum(path.stat().st_size for path in (run_dir / "capture").glob("*.frames"))


def ended(run_dir: Path) -> int:
    return sum(one.trigger != "" for one in witness.connections(run_dir))


def complete_log(run_dir: Path, sent_log: Path) -> None:
    """Write the lines that a killed venue could not: which connection was whose tells the first frame."""
    first = {
        next(iter(read_frames(path))).payload: int(path.stem.removeprefix("connection_"))
        for path in sent_log.glob("*.frames")
    }
    lines = [
        {
            "connection": first[next(read_frames(shard_path)).payload],
            "remote": connection.local_address,
            "opened_mono_ns": connection.opened_mono_ns,
            "closed_mono_ns": connection.ended_mono_ns,
            "how": "killed",
        }
        for connection, shard_path in first_frames(run_dir)
    ]
    text = "".join(json.dumps(line) + "\n" for line in lines)
    (sent_log / "connections.ndjson").write_text(text, encoding="utf-8")


def first_frames(run_dir: Path) -> Iterator[tuple[witness.Connection, Path]]:
    for connection in witness.connections(run_dir):
        yield connection, run_dir / "capture" / f"shard_{connection.shard_id:02d}.frames"
