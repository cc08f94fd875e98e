"""pm-latency-report as other people run it."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., subprocess.CompletedProcess[bytes]]


@pytest.fixture
def report() -> Run:
    def start(*arguments: object) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [sys.executable, "-m", "pm_audit.latency", *map(str, arguments)],
            input=b"", capture_output=True, timeout=60, check=False,
            env={k: v for k, v in os.environ.items() if not k.startswith("PM_")},
        )  # fmt: skip

    return start


def test_it_writes_two_files_and_says_so(report: Run, made: Any, tmp_path: Path) -> None:
    run_dir = made.write_run(tmp_path / "run", made.clean_run())
    before = {path.name for path in run_dir.iterdir()}
    done = report("--run-dir", run_dir)
    assert done.returncode == 0, done.stderr
    after = {path.name for path in run_dir.iterdir()}
    assert after - before == {"latency_report.json", "latency_report.txt"}
    written = json.loads((run_dir / "latency_report.json").read_text(encoding="utf-8"))
    assert written == json.loads(done.stdout)
    text = (run_dir / "latency_report.txt").read_text(encoding="utf-8")
    assert text.startswith("Latency report of golden (ended)\n")
    assert report(run_dir).returncode == 2
    assert report(run_dir, "--force").returncode == 0


def test_a_gate_that_fails_is_code_3_with_the_report_written(
    report: Run, made: Any, tmp_path: Path
) -> None:
    run = made.clean_run()
    run.metrics[2]["loop_lag_ms_max_last_interval"] = 250.0
    run_dir = made.write_run(tmp_path / "run", run)
    done = report(run_dir, "--out", tmp_path / "out", "--html", tmp_path / "page.html")
    assert done.returncode == 3
    assert (tmp_path / "out" / "latency_report.json").is_file()
    assert (tmp_path / "page.html").read_text(encoding="utf-8").startswith("<!doctype html>")
    assert not (run_dir / "latency_report.json").exists()
    arguments = ("--out", tmp_path / "out", "--force", "--profile", "data-loss")
    assert report(run_dir, *arguments).returncode == 0


def test_usage(report: Run, made: Any, tmp_path: Path) -> None:
    run_dir = made.write_run(tmp_path / "run", made.clean_run())
    other = made.write_run(tmp_path / "other", made.clean_run())
    assert report(tmp_path / "nowhere").returncode == 2
    assert report(tmp_path).returncode == 2  # where runs are, and not a run
    assert not (tmp_path / "latency_report.json").exists()
    assert report(run_dir, other, "--html", tmp_path / "x.html").returncode == 2
    assert report(run_dir, "--html", run_dir / "x.html").returncode == 2
    assert not (run_dir / "latency_report.json").exists()
