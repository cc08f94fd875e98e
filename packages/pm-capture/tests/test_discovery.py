"""Discovery as a process of its own."""

import asyncio
import contextlib
import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from pm_capture.discovery import (
    DiscoveryFailed,
    DiscoveryMissing,
    command,
    discover,
    find_program,
    report,
    scrubbed,
)
from pm_frames.command import ExitCode

posix = pytest.mark.skipif(sys.platform == "win32", reason="scripts and process groups of POSIX")


def program(folder: Path, body: str) -> Path:
    """An executable `pm-universe` that runs `body`."""
    path = folder / "pm-universe"
    path.write_text(f"#!{sys.executable}\nimport json, os, sys, time, signal, subprocess\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return path


def test_the_command_line_is_the_documented_one() -> None:
    assert command("pm-universe", gamma_base_url="http://g", markets_max=5, out=Path("u.json")) == [
        "pm-universe", "discover", "--end-with-stdin", "--gamma-base-url", "http://g", "--max-markets", "5",
        "--timeout-seconds", "30", "--total-timeout-seconds", "600", "--out", "u.json",
    ]  # fmt: skip


def test_the_filters_go_together() -> None:
    filtered = command(
        "pm-universe", gamma_base_url="http://g", markets_max=5, out=Path("u.json"),
        market_regex="-x|y z", page_seconds=2.5,
    )  # fmt: skip
    assert filtered[7:11] == [
        "--capture-use-market-filters", "--market-regex=-x|y z", "--timeout-seconds", "2.5",
    ]  # fmt: skip


def test_settings_of_ours_do_not_reach_it() -> None:
    assert scrubbed({"PM_DATA_DATA_DIR": "x", "PM_ARB_X": "y", "PATH": "z"}) == {"PATH": "z"}


def test_a_missing_sibling_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "executable", str(tmp_path / "python"))
    with pytest.raises(DiscoveryMissing, match="pip install pm-universe"):
        find_program(str(tmp_path))
    with pytest.raises(DiscoveryMissing):
        find_program(None)


@posix
def test_found_on_the_path_before_beside_python(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    beside = program(tmp_path / "b", "")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "b" / "python"))
    assert find_program(str(tmp_path / "a")) == str(beside)
    on_path = program(tmp_path / "a", "")
    assert find_program(str(tmp_path / "a")) == str(on_path)


@posix
def test_it_runs_apart(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out.json"
    script = program(
        tmp_path,
        "print('not for our stdout')\n"
        "told = {'group': os.getpgid(0), 'pid': os.getpid(), 'stdin': os.isatty(0),\n"
        "        'pm': [name for name in os.environ if name.startswith('PM_')]}\n"
        "open(sys.argv[1], 'w').write(json.dumps(told))",
    )
    environ = {**os.environ, "PM_DATA_WS_SHARDS": "1"}
    asyncio.run(discover([str(script), str(out)], environ))
    told = json.loads(out.read_text())
    assert told["group"] == told["pid"] != os.getpgid(0)
    assert (told["stdin"], told["pm"]) == (False, [])
    assert capfd.readouterr().out == ""


@posix
def test_its_failure_is_ours(tmp_path: Path) -> None:
    for code in (ExitCode.REMOTE, ExitCode.USAGE):
        script = program(tmp_path, f"sys.exit({code})")
        with pytest.raises(DiscoveryFailed, match=f"ended with exit code {code}") as failed:
            asyncio.run(discover([str(script)], os.environ))
        assert failed.value.exit_code == code
    with pytest.raises(DiscoveryFailed, match="could not be started"):
        asyncio.run(discover([str(tmp_path / "nothing")], os.environ))


@posix
def test_it_is_killed_with_its_children_at_the_timeout(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reading = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    script = program(
        tmp_path,
        "held = open(sys.argv[1], 'w')\nsubprocess.Popen(['sleep', '600'], stdout=held)\n"
        "time.sleep(600)",
    )
    with pytest.raises(DiscoveryFailed, match=r"did not end within 1 s"):
        asyncio.run(discover([str(script), str(fifo)], os.environ, timeout_seconds=1.0))
    # The end of the file comes when the last process that holds it is gone.
    os.set_blocking(reading, True)
    assert os.read(reading, 1) == b""
    os.close(reading)


@posix
def test_what_it_reports_is_returned_and_its_words_are_kept_back(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    script = program(
        tmp_path,
        "print(sys.argv[1]); print('words', file=sys.stderr); sys.exit(int(sys.argv[2]))",
    )

    def ask(out: str, code: int = 0) -> dict[str, object]:
        arguments = [str(script), out, str(code)]
        return asyncio.run(report(arguments, os.environ, timeout_seconds=60))

    assert ask('{"markets_seen": 3}') == {"markets_seen": 3}
    with pytest.raises(DiscoveryFailed, match=r"ended with exit code 6: words$"):
        ask("{}", 6)
    with pytest.raises(DiscoveryFailed, match="reported no JSON"):
        ask("{")
    with pytest.raises(DiscoveryFailed, match="reported list, no object"):
        ask("[]")
    assert capfd.readouterr() == ("", "")


@posix
def test_its_stdin_ends_when_we_are_killed(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    script = program(
        tmp_path,
        "import stat; is_pipe = stat.S_ISFIFO(os.fstat(0).st_mode)\n"
        "held = open(sys.argv[1], 'w'); held.write('ready' if is_pipe else 'other'); held.flush()\n"
        "sys.stdin.read(); held.write('over')",
    )
    starter = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import asyncio, os, sys; from pm_capture.discovery import discover\n"
            "asyncio.run(discover(sys.argv[1:], os.environ))",
            str(script),
            str(fifo),
        ]
    )
    with fifo.open("rb", buffering=0) as reading:
        assert reading.read(5) == b"ready"
        starter.kill()
        starter.wait()
        assert reading.read() == b"over"


@posix
def test_no_descriptor_is_left_whatever_becomes_of_it(tmp_path: Path) -> None:
    script = program(tmp_path, "sys.exit(int(sys.argv[1]))")

    def descriptors() -> set[str]:
        return set(os.listdir("/dev/fd"))

    async def main() -> None:
        await discover([str(script), "0"], os.environ)
        before = descriptors()
        for arguments in ([str(script), "0"], [str(script), "6"], [str(tmp_path / "nothing")]):
            with contextlib.suppress(DiscoveryFailed):
                await discover(arguments, os.environ)
        assert descriptors() == before

    asyncio.run(main())
