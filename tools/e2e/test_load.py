"""Capture under load: 8 connections at full speed, one of them cut by the venue midway.

`PM_TEST_LOAD_SECONDS` sets the length (20 when it is not set).
"""

import os
from collections.abc import Callable
from pathlib import Path

import witness

SECONDS = float(os.environ.get("PM_TEST_LOAD_SECONDS", "20"))


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
    print(
        f"{captured / SECONDS:,.0f} frames/s, {cpu / captured * 1e6:.1f} µs CPU a frame, discovery and start-up included"
    )
