"""The program as other people run it: processes, pipes, terminals, exit codes."""

import io
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from pm_verify.__main__ import main

BuildRun = Callable[..., Path]
Program = Callable[..., list[str]]


def clean_environment(**more: str) -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if not k.startswith("PM_")} | more


@pytest.fixture
def run(program: Program) -> Callable[..., subprocess.CompletedProcess[bytes]]:
    """Run pm-verify to its end: (arguments…, data=stdin, env=more) → completed process."""

    def start(
        *arguments: str, data: bytes = b"", cwd: Path | None = None, **env: str
    ) -> subprocess.CompletedProcess[bytes]:
        return subprocess.run(
            program(*arguments),
            input=data,
            capture_output=True,
            timeout=60,
            check=False,
            cwd=cwd,
            env=clean_environment(**env),
        )

    return start


Run = Callable[..., subprocess.CompletedProcess[bytes]]


def objects(done: subprocess.CompletedProcess[bytes]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in done.stdout.splitlines()]


def damage(run_dir: Path) -> None:
    path = run_dir / "capture" / "shard_00.frames"
    data = bytearray(path.read_bytes())
    data[36] ^= 1
    path.write_bytes(data)


def test_clean_run(run: Run, sealed_run: Path) -> None:
    done = run(str(sealed_run))
    assert done.returncode == 0
    (report,) = objects(done)
    assert report["ok"] is True
    assert report["totals"]["crc_mismatch"] == 0
    assert done.stderr == b""


def test_exit_codes(run: Run, build_run: BuildRun, tmp_path: Path) -> None:
    clean = build_run(tmp_path / "clean")
    crashed = build_run(tmp_path / "crashed", sealed=False)
    corrupt = build_run(tmp_path / "corrupt")
    damage(corrupt)
    (tmp_path / "empty").mkdir()
    expected = {"clean": 0, "crashed": 3, "corrupt": 4, "empty": 2, "nowhere": 2}
    for name, code in expected.items():
        assert run(str(tmp_path / name)).returncode == code, name
    done = run(str(clean), str(crashed), str(corrupt))
    assert done.returncode == 4
    assert [report["exit_code"] for report in objects(done)] == [0, 3, 4]
    assert run(str(tmp_path / "empty"), str(crashed)).returncode == 3


def test_run_dir_of_nothing_says_what_is_missing(run: Run, tmp_path: Path) -> None:
    done = run("--run-dir", str(tmp_path))
    assert done.returncode == 2
    assert objects(done)[0]["findings"][0]["code"] == "PMV001"
    done = run("--run-dir", str(tmp_path / "nowhere"))
    assert done.returncode == 2
    assert b"nowhere" in done.stderr
    assert done.stdout == b""


def test_runs_by_id_prefix_and_last(run: Run, build_run: BuildRun, tmp_path: Path) -> None:
    home = tmp_path / "data"
    build_run(home / "runs" / "monday")
    for arguments in (["monday"], ["mon"], ["@last"]):
        done = run(*arguments, "--data-dir", str(home))
        assert done.returncode == 0, done.stderr
    assert run("monday", PM_DATA_DATA_DIR=str(home)).returncode == 0
    assert run("monday", cwd=tmp_path).returncode == 0
    assert run("tuesday", cwd=tmp_path).returncode == 2


def test_runs_as_lines_on_stdin(run: Run, build_run: BuildRun, tmp_path: Path) -> None:
    one, two = build_run(tmp_path / "one"), build_run(tmp_path / "two", sealed=False)
    lines = os.fsencode(f"{one}\n\n{two}\n")
    for arguments in ([], ["-"]):
        done = run(*arguments, data=lines)
        assert done.returncode == 3
        assert [report["run_dir"] for report in objects(done)] == [str(one), str(two)]


@pytest.mark.parametrize("arguments", [[], ["-"]])
def test_empty_stdin_is_missing_input(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert done.stdout == b""
    assert b"pm-verify: " in done.stderr


def test_frames_on_stdin(run: Run, sealed_run: Path) -> None:
    frames = (sealed_run / "capture" / "shard_00.frames").read_bytes()
    for arguments in ([], ["-"]):
        done = run(*arguments, data=frames)
        assert done.returncode == 0, done.stderr
        (report,) = objects(done)
        assert (report["state"], report["totals"]["records"]) == ("stream", 6)
    assert run("-", data=frames[:-1]).returncode == 3
    assert run("-", data=frames[:5]).returncode == 3
    assert run("-", data=b"X" + frames[1:]).returncode == 4
    assert run("-", data=frames[:36] + b"X" + frames[37:]).returncode == 4
    assert run("-", str(sealed_run), data=frames).returncode == 2


def test_pair_of_files(run: Run, sealed_run: Path) -> None:
    stem = sealed_run / "capture" / "shard_00"
    arguments = ["--frames", f"{stem}.frames", "--idx", f"{stem}.idx"]
    done = run(*arguments)
    assert done.returncode == 0
    assert objects(done)[0]["summaries"][0]["idx_ok"] is True
    assert run("--frames", f"{stem}.frames").returncode == 0
    assert run("--frames", f"{stem}.none").returncode == 2
    assert run("--idx", f"{stem}.idx").returncode == 2
    assert run(*arguments, str(sealed_run)).returncode == 2


def test_summary_only_is_the_totals(run: Run, unsealed_run: Path) -> None:
    done = run("--run-dir", str(unsealed_run), "--summary-only")
    assert done.returncode == 3
    (summary,) = objects(done)
    assert [*summary] == ["ok", "run_dir", "run_id", "state", "exit_code", "totals"]
    assert summary["totals"]["records"] == 9


def test_quiet_leaves_the_exit_code(run: Run, unsealed_run: Path) -> None:
    done = run("--quiet", str(unsealed_run))
    assert (done.returncode, done.stdout, done.stderr) == (3, b"", b"")


@pytest.mark.parametrize("arguments", [["--jso", "x"], ["--frames"], ["--unknown"]])
def test_usage_errors(run: Run, arguments: list[str]) -> None:
    done = run(*arguments)
    assert done.returncode == 2
    assert b"usage: pm-verify" in done.stderr


def test_help_and_version(run: Run) -> None:
    done = run("--help")
    assert done.returncode == 0
    assert b"exit codes: 0 every byte" in done.stdout
    done = run("--version")
    assert done.returncode == 0
    assert done.stdout.startswith(b"pm-verify ")


def test_help_loads_nothing_heavy() -> None:
    script = (
        "import sys, pm_verify.__main__ as m; m.make_parser().format_help(); print(*sys.modules)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True
    )
    loaded = set(done.stdout.split())
    assert "pm_verify.__main__" in loaded
    assert not loaded & {"numpy", "pm_verify.verify", "importlib.metadata"}


class Scripted(io.RawIOBase):
    """Standard input as a script: each step raises a real SIGINT or gives bytes."""

    def __init__(self, *steps: bytes | None) -> None:
        self._steps = list(steps)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        while self._steps and self._steps[0] is None:
            self._steps.pop(0)
            signal.raise_signal(signal.SIGINT)
        data = self._steps.pop(0) if self._steps else b""
        assert data is not None
        buffer[: len(data)] = data
        return len(data)


def feed(monkeypatch: pytest.MonkeyPatch, *steps: bytes | None) -> None:
    stdin = io.TextIOWrapper(io.BufferedReader(Scripted(*steps)))
    monkeypatch.setattr(sys, "stdin", stdin)


def test_first_interrupt_is_for_the_capture(
    monkeypatch: pytest.MonkeyPatch, sealed_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    line = os.fsencode(f"{sealed_run}\n")
    for steps in ((None, line), (line, None)):
        feed(monkeypatch, *steps)
        assert main([]) == 0
        assert json.loads(capsys.readouterr().out)["ok"] is True


def test_second_interrupt_ends_it(
    monkeypatch: pytest.MonkeyPatch, sealed_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    feed(monkeypatch, os.fsencode(f"{sealed_run}\n"), None, None)
    assert main([]) == 130
    assert capsys.readouterr().out == ""


@pytest.mark.skipif(os.name == "nt", reason="a closed pipe is another error on Windows")
def test_reader_that_leaves_is_no_noise(program: Program, sealed_run: Path) -> None:
    process = subprocess.Popen(
        program(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean_environment(),
    )
    assert process.stdin is not None
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    process.stdin.write(os.fsencode(f"{sealed_run}\n"))
    process.stdin.close()
    noise = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 141
    assert noise == b""


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is of Linux")
@pytest.mark.parametrize("flags", [(), ("--summary-only",), ("--repair", "repaired")])
def test_an_output_that_cannot_be_written_is_code_5(
    program: Program, unsealed_run: Path, tmp_path: Path, flags: tuple[str, ...]
) -> None:
    with open("/dev/full", "wb") as full:
        done = subprocess.run(
            program(str(unsealed_run), *flags), stdin=subprocess.DEVNULL, stdout=full,
            stderr=subprocess.PIPE, env=clean_environment(), cwd=tmp_path, timeout=60, check=False,
        )  # fmt: skip
    assert done.returncode == 5
    assert done.stderr == b"pm-verify: cannot write the output: No space left on device\n"


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals on Windows")
def test_page_on_a_terminal(
    program: Program, on_a_terminal: Callable[..., tuple[int, str]], unsealed_run: Path
) -> None:
    run = str(unsealed_run)
    code, text = on_a_terminal(program(run, run, "--run-dir", f"{run}/."), env=clean_environment())
    assert code == 3
    assert text.count(f"{unsealed_run}: crashed\n") == 1
    assert "PMV004 seal.json: the run was not closed cleanly" in text
    assert "9 frames in 2 shards whole and sound, with a reservation" in text
    code, text = on_a_terminal(program(run, "--json"), env=clean_environment())
    assert json.loads(text)["state"] == "crashed"


@pytest.mark.skipif(os.name == "nt", reason="there are no pseudo-terminals on Windows")
def test_no_run_on_a_terminal_is_a_usage_error(program: Program) -> None:
    ours, theirs = os.openpty()
    done = subprocess.run(
        program(), stdin=theirs, capture_output=True, timeout=60, check=False,
        env=clean_environment(),
    )  # fmt: skip
    os.close(theirs)
    os.close(ours)
    assert done.returncode == 2
    assert b"no run given" in done.stderr


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="coreutils are not installed")
def test_golden_sums_are_those_of_coreutils(sealed_run: Path) -> None:
    subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"], cwd=sealed_run, check=True
    )
