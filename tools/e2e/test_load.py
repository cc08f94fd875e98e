"""Capture under load: 8 connections at full speed, one of them closed by the venue midway.

`PM_TEST_LOAD_SECONDS` sets the length (20 when it is not set).
"""

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import witness

SECONDS = float(os.environ.get("PM_TEST_LOAD_SECONDS", "20"))


def test_what_is_missing_was_sent_inside_a_declared_gap(
    venue: Callable, program: Callable[[str], str], tmp_path: Path
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
    done = subprocess.run(
        [
            program("pm-capture"),
            "--run-id",
            "load",
            "--data-dir",
            str(tmp_path),
            *served.flags,
            "--ws-shards",
            "8",
            "--duration-seconds",
            str(SECONDS),
        ],
        capture_output=True,
        timeout=SECONDS + 60,
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    served.stop()
    run_dir = tmp_path / "runs" / "load"

    verified = subprocess.run(
        [program("pm-verify"), str(run_dir), "--json"], capture_output=True, check=False
    )
    assert verified.returncode == 0, verified.stdout

    verdicts = witness.judge(run_dir, sent_log)
    for verdict in verdicts:
        print(witness.describe(verdict))
    assert len({verdict.connection.shard_id for verdict in verdicts}) == 8
    assert len(verdicts) == 9, "one connection was closed and opened again"
    assert all(verdict.first_difference is None for verdict in verdicts)
    assert all(verdict.missing_outside_gap == 0 for verdict in verdicts)
    [dropped] = [
        v
        for v in verdicts
        if v.connection.ended_mono_ns < witness.FOREVER and not v.connection.ended_planned
    ]
    assert dropped.connection.number == 1
    captured = sum(verdict.captured for verdict in verdicts)
    assert json.loads(verified.stdout)["totals"]["records"] == captured
    print(
        f"{captured:,} frames captured, {sum(v.missing for v in verdicts):,} missing inside declared gaps"
    )
