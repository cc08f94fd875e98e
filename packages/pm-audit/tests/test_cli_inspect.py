"""pm-inspect as other people run it: processes, pipes, exit codes."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pm_frames.lock import RunLock
from pm_frames.watermark import WatermarkWriter
from pm_frames.writer import ShardWriter

Run = Callable[..., subprocess.CompletedProcess[bytes]]
COMMAND = [sys.executable, "-m", "pm_audit.inspect"]


def clean_environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("PM_")}


@pytest.fixture
def inspect() -> Run:
    def start(*arguments: object, data: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            [*COMMAND, *map(str, arguments)],
            input=data, capture_output=True, timeout=60, check=False, env=clean_environment(),
        )  # fmt: skip

    return start


@pytest.fixture
def run_dir(made: Any, tmp_path: Path) -> Path:
    path: Path = made.write_run(tmp_path / "data" / "runs" / "monday", made.clean_run())
    return path


def test_summary_and_exit_codes(inspect: Run, run_dir: Path, tmp_path: Path) -> None:
    done = inspect(run_dir)
    assert (done.returncode, done.stderr) == (0, b"")
    assert json.loads(done.stdout)["shards"]["records"] == 5
    assert inspect(tmp_path / "nowhere").returncode == 2
    assert inspect("--data-dir", tmp_path / "data", "mon").returncode == 0
    assert inspect(data=f"{run_dir}\n".encode()).returncode == 0
    (run_dir / "manifest.json").unlink()
    done = inspect(run_dir)
    assert done.returncode == 2
    assert json.loads(done.stdout)["shards"]["records"] == 5


def test_ls(inspect: Run, run_dir: Path, tmp_path: Path, made: Any) -> None:
    run = made.clean_run()
    run.runlog += [
        made.disconnect(made.T0 + 60, made.T0 + 50),
        made.connect(made.T0 + 90, number=2),
    ]
    made.write_run(run_dir.with_name("tuesday"), run, sealed=False)
    (run_dir.parent / "no-run").mkdir()
    data = tmp_path / "data"
    for arguments in (("--data-dir", data), (data,), (data / "runs",)):
        rows = [json.loads(line) for line in inspect("ls", *arguments).stdout.splitlines()]
        assert [Path(row["run_dir"]).name for row in rows] == ["monday", "tuesday"]
        assert [row["state"] for row in rows] == ["ended", "crashed"]
        assert [(row["frames"], row["gaps"]) for row in rows] == [(5, 0), (5, 1)]
    assert len(inspect("ls", run_dir, run_dir).stdout.splitlines()) == 1
    assert inspect("ls", tmp_path / "nowhere").returncode == 2
    assert inspect("ls", "--data-dir", tmp_path / "nowhere").returncode == 0


def test_cat_in_every_format(inspect: Run, run_dir: Path, made: Any) -> None:
    lines = [json.loads(line) for line in inspect("cat", run_dir).stdout.splitlines()]
    assert [(one["shard"], one["frame"]) for one in lines] == [
        (0, 0),
        (0, 1),
        (1, 0),
        (0, 2),
        (1, 1),
    ]
    assert lines[0]["payload"].encode() == made.book("a")
    assert lines[0]["event_types"] == ["book"]
    assert lines[3]["token_ids"] == ["a", "b"]
    raw = inspect("cat", run_dir, "--format", "raw", "--shard", "1").stdout
    assert raw == made.book("c") + b"\n" + made.change("c") + b"\n"
    dump = inspect("cat", run_dir, "--format", "hex", "--frames", "1:2", "--shard", "1").stdout
    shown = b"".join(
        bytes.fromhex(line[10:58].decode()) for line in dump.splitlines() if line[:1] != b"#"
    )
    assert shown == made.change("c")
    assert inspect("cat", run_dir, "--token", "c").stdout.count(b"\n") == 2
    assert inspect("cat", run_dir, "--to", "+1s").stdout.count(b"\n") == 3
    assert inspect("cat", run_dir, "--frames", "0:1").returncode == 2
    assert inspect("cat", run_dir, "--format", "raw", "--json").returncode == 2


def test_a_payload_that_is_no_text(inspect: Run, tmp_path: Path, made: Any) -> None:
    run = made.clean_run()
    run.frames = {0: [(made.T0 + 5, b"\xff\x00\n")]}
    done = inspect("cat", made.write_run(tmp_path / "odd", run))
    assert json.loads(done.stdout)["payload_base64"] == "/wAK"
    done = inspect("cat", tmp_path / "odd", "--format", "table")
    assert done.stdout.count(b"\n") == 1
    assert b"\xff" not in done.stdout


def test_damage_is_shown_up_to_it(inspect: Run, run_dir: Path) -> None:
    path = run_dir / "capture" / "shard_01.frames"
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    done = inspect("cat", run_dir)
    assert done.returncode == 4
    assert len(done.stdout.splitlines()) >= 3
    assert b"shard_01.frames: offset" in done.stderr


def test_a_reader_that_leaves_is_no_error(run_dir: Path, made: Any) -> None:
    made.write_shard(run_dir, 0, [(made.T0 + n, b"x" * 900) for n in range(2000)])
    with subprocess.Popen(
        [*COMMAND, "cat", str(run_dir)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, env=clean_environment(),
    ) as process:  # fmt: skip
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.read(10)
        process.stdout.close()
        assert process.stderr.read() == b""
    assert process.returncode == 141


def test_tail_follows_a_run_to_its_end(tmp_path: Path, made: Any) -> None:
    run_dir = tmp_path / "live"
    (run_dir / "capture").mkdir(parents=True)
    (run_dir / "manifest.json").write_text("{}", encoding="utf-8")
    with RunLock(run_dir):
        mark = WatermarkWriter(run_dir / "capture" / "watermark")
        writer = ShardWriter(run_dir / "capture", 0)
        process = subprocess.Popen(
            [*COMMAND, "tail", "-f", "-"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.PIPE, env=clean_environment(),
        )  # fmt: skip
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{run_dir}\n".encode())
        process.stdin.flush()  # and stays open: the name is enough
        for n in range(3):
            at = made.T0 + n
            writer.append([(1, b'{"n":%d}' % n)], rx_mono_ns=at, rx_wall_ns_utc=at)
            mark.publish(at)
            line = json.loads(process.stdout.readline())
            assert (line["frame"], line["payload"]) == (n, f'{{"n":{n}}}')
        writer.append([(1, b'{"n":3}')], rx_mono_ns=made.T0 + 9, rx_wall_ns_utc=1)
        writer.close()
        mark.close()
    out, err = process.communicate(timeout=60)
    assert json.loads(out)["payload"] == '{"n":3}'
    assert b"without a seal: crashed" in err
    assert process.returncode == 3


def test_tail_of_a_run_that_is_over(inspect: Run, run_dir: Path) -> None:
    assert inspect("tail", "-n", 2, run_dir).stdout.count(b"\n") == 2
    done = inspect("tail", "--follow", run_dir)
    assert (done.returncode, done.stdout.count(b"\n")) == (0, 5)
    assert inspect("tail", "--shard", "9", run_dir).returncode == 2
    assert inspect("tail", run_dir, run_dir.parent).returncode == 2
