"""`pm-capture bench` as a process."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from pm_capture.offline.fixtures import addressed, read_fixtures, sent_to
from pm_frames import open_bundle

FIXTURES = Path(__file__).parents[3] / "testdata" / "fixtures"
PASSES = 200


def bench(folder: Path, *flags: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    kept = {name: value for name, value in os.environ.items() if not name.startswith("PM_")}
    return subprocess.run(
        [sys.executable, "-m", "pm_capture", "bench", *flags],
        capture_output=True, text=True, cwd=folder, env={**kept, **environ}, timeout=60, check=False,
    )  # fmt: skip


def test_it_measures_the_real_program_and_leaves_the_run(tmp_path: Path) -> None:
    done = bench(
        tmp_path, "--offline", "--fixtures-dir", str(FIXTURES), "--multiplier", str(PASSES),
        "--run-id", "b", "--no-uvloop", PM_DATA_WS_SHARDS="4",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    report = json.loads(done.stdout)
    assert done.stdout.count("\n") == 1
    assert list(report) == [
        "run_id", "run_dir", "frames", "bytes_written", "elapsed_ns", "msgs_per_sec", "bytes_per_sec",
        "write_ns_p99", "ingest_ns_p99", "reads", "connections", "loop", "transport", "python",
    ]  # fmt: skip
    assert (report["run_id"], report["frames"], report["loop"]) == ("b", 10 * PASSES, "asyncio")
    assert report["connections"] == 2
    assert 0 < report["write_ns_p99"] <= report["ingest_ns_p99"]
    assert report["msgs_per_sec"] == pytest.approx(report["frames"] * 1e9 / report["elapsed_ns"])

    bundle = open_bundle(tmp_path / report["run_dir"])
    manifest = bundle.manifest
    assert (manifest["payload_source"], manifest["shards"]["count"]) == ("text", 4)
    assert manifest["config_sources"]["ws_shards"] == "flag"
    assert bundle.seal is not None
    assert bundle.seal["bytes_total"] == report["bytes_written"]
    pairs = addressed(read_fixtures(FIXTURES).messages, manifest["pinned_tokens"])
    for shard in bundle.shards():
        token_ids = manifest["shards"]["assignments"][str(shard.shard_id)]["token_ids"]
        sent = [message.payload for message in sent_to(token_ids, pairs)] * PASSES
        assert [frame.payload for frame in shard.frames()] == sent


def test_it_never_measures_the_venue(tmp_path: Path) -> None:
    done = bench(tmp_path, "--fixtures-dir", str(FIXTURES), "--multiplier", "200")
    assert (done.returncode, done.stdout) == (2, "")
    assert "add --offline" in done.stderr
    assert bench(tmp_path, "--offline", "false").returncode == 2
    assert bench(tmp_path, PM_DATA_OFFLINE="0").returncode == 2
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--multiplier", "0"], "fixtures_multiplier must be at least 1, found 0 (flag)"),
        (["--fixtures-dir", "none"], "none: expected a folder of fixtures, found none"),
        (["--clob-ws-url", "wss://venue/"], "unrecognized arguments: --clob-ws-url"),
    ],
)
def test_usage_errors_are_2(tmp_path: Path, flags: list[str], words: str) -> None:
    done = bench(tmp_path, "--offline", "--fixtures-dir", str(FIXTURES), *flags)
    assert (done.returncode, done.stdout) == (2, "")
    assert words in done.stderr


def test_a_capture_that_does_not_begin_ends_the_bench_with_its_code(tmp_path: Path) -> None:
    (tmp_path / "data" / "runs" / "b").mkdir(parents=True)
    done = bench(tmp_path, "--offline", "--fixtures-dir", str(FIXTURES), "--run-id", "b")
    assert (done.returncode, done.stdout) == (2, "")
    assert "this run exists already" in done.stderr
    assert "pm-capture ended with exit code 2" in done.stderr


def test_its_settings_can_be_shown(tmp_path: Path) -> None:
    done = bench(tmp_path, "--print-config", "--multiplier", "7", "--offline")
    config = json.loads(done.stdout)
    assert config["fixtures_multiplier"] == {"value": 7, "source": "flag"}
    assert config["offline"] == {"value": True, "source": "flag"}
