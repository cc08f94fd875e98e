"""The program as its users run it: processes, streams, exit codes."""

import asyncio
import contextlib
import hashlib
import json
import os
import signal
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from websockets.asyncio.server import ServerConnection

from pm_capture.__main__ import main

PROGRAM = [sys.executable, "-m", "pm_capture"]
WAIT_SECONDS = 30
posix = pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals and limits")


def clean() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if not name.startswith("PM_")}


def call(*arguments: str, **environ: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*PROGRAM, *arguments],
        capture_output=True,
        text=True,
        env={**clean(), **environ},
        timeout=WAIT_SECONDS,
        check=False,
    )


async def start(*arguments: str, program: list[str] = PROGRAM) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        *program,
        *arguments,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=clean(),
    )


async def until_said(process: asyncio.subprocess.Process, words: str) -> None:
    assert process.stderr is not None
    async with asyncio.timeout(WAIT_SECONDS):
        while words.encode() not in (line := await process.stderr.readline()):
            assert line, f"ended before it said {words!r}"


@pytest.fixture
def flags(tmp_path: Path, universe_file: Path) -> Callable[[str], list[str]]:
    def make(url: str) -> list[str]:
        return [
            "--run-id", "r", "--data-dir", str(tmp_path), "--universe", str(universe_file),
            "--clob-ws-url", url, "--ws-shards", "1", "--min-free-disk-gb", "0",
        ]  # fmt: skip

    return make


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    probe = (
        "import sys\nfrom pm_capture.__main__ import main\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        "heavy = {'asyncio', 'websockets', 'msgspec', 'pm_frames', 'uvloop', 'ssl'}\n"
        "sys.exit(f'imported {heavy & set(sys.modules)}' if heavy & set(sys.modules) else 0)"
    )
    done = subprocess.run(
        [sys.executable, "-c", probe], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert "--ws-shards" in done.stdout
    assert "exit codes:" in done.stdout


def test_version() -> None:
    assert call("--version").stdout.startswith("pm-capture 0.")


def test_usage_errors_are_2() -> None:
    assert call("--no-such-flag").returncode == 2
    assert call("--ws-shard", "3").returncode == 2  # no abbreviations
    done = call("--ws-shards", "x")
    assert (done.returncode, done.stdout) == (2, "")
    assert "ws_shards must be int, found 'x'" in done.stderr
    assert call(PM_DATA_WS_SHARDS="1", PM_ARB_WS_SHARDS="2").returncode == 2
    assert "none.toml: cannot be read" in call("--config", "none.toml").stderr


@pytest.mark.parametrize("scheme", ["socks5h", "SOCKS5"])  # of a URL it is the same in capitals
def test_a_socks_proxy_that_cannot_be_spoken_is_2_before_a_run_begins(
    tmp_path: Path, scheme: str
) -> None:
    without_socks = (
        "import sys\nsys.modules['python_socks'] = None\n"
        "from pm_capture.__main__ import main\nsys.exit(main(sys.argv[1:]))"
    )
    done = subprocess.run(
        [
            sys.executable,
            "-c",
            without_socks,
            "--ws-transport",
            "websockets",
            "--data-dir",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        env={**clean(), "socks_proxy": f"{scheme}://me:secret@127.0.0.1:1", "no_proxy": ""},
        timeout=WAIT_SECONDS,
        check=False,
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert "***@127.0.0.1:1; SOCKS needs python-socks" in done.stderr
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("proxy", "reason"),
    [
        ("ftp://me:secret@127.0.0.1:1", "***@127.0.0.1:1; it cannot be used: scheme ftp"),
        ("http://me:secret@127.0.0.1:x1", "it cannot be used: Port"),
        ("http://me:secret@/", "it cannot be used: hostname"),
        ("http://secret@127.0.0.1:1", "it cannot be used: username provided without password"),
    ],
)
def test_a_proxy_that_is_none_is_2_before_a_run_begins(
    tmp_path: Path, proxy: str, reason: str
) -> None:
    done = call("--data-dir", str(tmp_path), https_proxy=proxy, no_proxy="")
    assert (done.returncode, done.stdout) == (2, "")
    assert reason in done.stderr
    assert "secret" not in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_print_config_shows_value_and_source(tmp_path: Path) -> None:
    toml = tmp_path / "c.toml"
    toml.write_text("ws_shards = 3\ncapture_max_markets = 7\nws_shrads = 1\n")
    done = call(
        "--print-config", "--config", str(toml), "--capture-max-markets", "9", "--no-uvloop",
        PM_ARB_CAPTURE_MAX_MARKETS="11",
    )  # fmt: skip
    assert done.returncode == 0
    config = json.loads(done.stdout)
    assert config["ws_shards"] == {"value": 3, "source": f"toml:{toml}"}
    assert config["capture_max_markets"] == {
        "value": 11,
        "source": "env:PM_ARB_CAPTURE_MAX_MARKETS",
    }
    assert config["uvloop"] == {"value": False, "source": "flag"}
    assert "did you mean ws_shards?" in done.stderr
    assert (
        "PM_ARB_CAPTURE_MAX_MARKETS=11 from the environment overrides --capture-max-markets 9"
        in done.stderr
    )


def test_a_run_that_exists_is_refused(tmp_path: Path, flags: Callable[[str], list[str]]) -> None:
    (tmp_path / "runs" / "r").mkdir(parents=True)
    done = call(*flags("ws://127.0.0.1:1/"))
    assert (done.returncode, done.stdout) == (2, "")
    assert "this run exists already" in done.stderr


def test_a_universe_that_is_none_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    done = call("--data-dir", str(tmp_path / "d"), "--universe", str(tmp_path / "none.json"))
    assert done.returncode == 2
    assert "none.json: cannot be read" in done.stderr
    assert not (tmp_path / "d").exists()


def test_a_data_directory_that_is_none_is_usage(
    tmp_path: Path, flags: Callable[[str], list[str]]
) -> None:
    (tmp_path / "file").write_text("")
    done = call(*flags("ws://127.0.0.1:1/"), "--data-dir", str(tmp_path / "file"))
    assert done.returncode == 2
    assert "could not begin" in done.stderr


@posix
def test_a_run_that_cannot_have_its_files_leaves_nothing(
    tmp_path: Path, flags: Callable[[str], list[str]]
) -> None:
    given = [*flags("ws://127.0.0.1:1/"), "--ws-shards", "100"]
    few = ["sh", "-c", 'ulimit -n 64; exec "$@"', "sh", *PROGRAM, *given]
    done = subprocess.run(few, capture_output=True, text=True, env=clean(), timeout=30, check=False)
    assert (done.returncode, done.stdout) == (5, "")
    assert "Too many open files" in done.stderr
    assert list((tmp_path / "runs").iterdir()) == []


@posix
def test_a_closed_stderr_does_not_put_words_on_stdout(
    tmp_path: Path, universe_file: Path, flags: Callable[[str], list[str]]
) -> None:
    """uvloop would abort when it found a socket of its own at descriptor 2; words belong to nobody."""
    command = [*PROGRAM, *flags("ws://127.0.0.1:1/"), "--duration-seconds", "0.3"]
    script = 'exec "$@" 2>&-'
    done = subprocess.run(
        ["sh", "-c", script, "sh", *command],
        stdout=subprocess.PIPE,
        env=clean(),
        timeout=30,
        check=False,
    )
    assert done.returncode == 0
    assert done.stdout.decode() == f"{tmp_path / 'runs' / 'r'}\n"


def test_main_returns_its_code(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--ws-shards", "0"]) == 2
    assert "ws_shards must be at least 1" in capsys.readouterr().err


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_seals_the_run_and_stdout_is_the_run_directory(
    number: signal.Signals,
    tmp_path: Path,
    flags: Callable[[str], list[str]],
    new_venue: Callable[..., Any],
) -> None:
    async def run() -> None:
        async with new_venue() as venue:
            process = await start(*flags(venue.url))
            assert process.stdout is not None
            line = await process.stdout.readline()
            run_dir = Path(line.decode().rstrip("\n"))
            assert run_dir == tmp_path / "runs" / "r"
            assert (run_dir / "manifest.json").is_file()
            await until_said(process, "connected")
            process.send_signal(number)
            rest, _ = await process.communicate()
            assert (process.returncode, rest) == (0, b"")

    asyncio.run(run())
    run_dir = tmp_path / "runs" / "r"
    assert json.loads((run_dir / "seal.json").read_text())["stop_reason"] == number.name
    lines = (run_dir / "SHA256SUMS").read_text().splitlines()
    sums = {name: digest for digest, _, name in (line.partition("  ") for line in lines)}
    unsealed = {".lock", "SHA256SUMS", "seal.json", "capture/watermark"}
    assert sums == {
        name: hashlib.sha256((run_dir / name).read_bytes()).hexdigest()
        for name in {path.relative_to(run_dir).as_posix() for path in run_dir.rglob("*.*")}
        - unsealed
    }


def test_credentials_in_a_url_are_written_nowhere(
    tmp_path: Path, flags: Callable[[str], list[str]], new_venue: Callable[..., Any]
) -> None:
    async def run() -> bytes:
        async with new_venue() as venue:
            url = venue.url.replace("ws://", "ws://alice:SECRET@")
            process = await start(*flags(url), "--duration-seconds", "0.5")
            _, words = await process.communicate()
            assert process.returncode == 0
            return words

    assert b"SECRET" not in asyncio.run(run())
    files = [path for path in (tmp_path / "runs" / "r").rglob("*") if path.is_file()]
    assert any(b"ws_connect" in path.read_bytes() for path in files)
    assert not any(b"SECRET" in path.read_bytes() for path in files)


@posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_second_signal_ends_it_at_once_unsealed(
    number: signal.Signals,
    tmp_path: Path,
    flags: Callable[[str], list[str]],
    bare_venue: Callable[..., Any],
) -> None:
    async def mute(wire: Any, _: int) -> None:
        # Never answers a close, so that stopping takes its time.
        wire.writer.write(wire.response + b"\x81\x02hi")
        while await wire.reader.read(65536):
            pass

    async def run() -> None:
        async with bare_venue(mute) as venue:
            process = await start(*flags(venue.url))
            await until_said(process, "connected")
            process.send_signal(signal.SIGTERM)
            await until_said(process, "stopping")
            process.send_signal(number)
            await process.communicate()
            assert process.returncode == 128 + number
            assert not (tmp_path / "runs" / "r" / "seal.json").exists()
            assert not (tmp_path / "runs" / "r" / "fatal.json").exists()

    asyncio.run(run())


@posix
@pytest.mark.parametrize("loop", ["--uvloop", "--no-uvloop"])
def test_a_process_that_stood_still_reads_before_it_judges(
    loop: str,
    tmp_path: Path,
    flags: Callable[[str], list[str]],
    new_venue: Callable[..., Any],
    left_run: Callable[..., Any],
) -> None:
    """The answer to the PING is in the kernel when the process wakes up, and its deadline is long over."""
    process: asyncio.subprocess.Process
    pings: asyncio.Queue[None] = asyncio.Queue()

    async def script(connection: ServerConnection, _: int) -> None:
        async for text in connection:
            if text != "PING":
                continue
            if pings.empty():
                process.send_signal(signal.SIGSTOP)
                await connection.send("PONG")
                # Only real time makes the deadline of a process pass that stands still.
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(asyncio.Event().wait(), 0.3)
                process.send_signal(signal.SIGCONT)
            else:
                await connection.send("PONG")
            pings.put_nowait(None)
            if pings.qsize() == 3:
                process.send_signal(signal.SIGTERM)

    async def run() -> None:
        nonlocal process
        async with new_venue(script) as venue:
            process = await start(
                *flags(venue.url), loop,
                "--ws-ping-interval-seconds", "0.05", "--ws-ping-timeout-seconds", "0.2",
            )  # fmt: skip
            await process.communicate()
            assert process.returncode == 0

    asyncio.run(run())
    assert left_run(tmp_path / "runs" / "r").of("reconnect") == []


@posix
def test_a_full_disk_is_fatal_and_says_so(
    tmp_path: Path,
    flags: Callable[[str], list[str]],
    new_venue: Callable[..., Any],
    left_run: Callable[..., Any],
) -> None:
    async def flood(connection: ServerConnection, _: int) -> None:
        await connection.recv()
        while True:
            await connection.send("x" * 4000)

    limited = (
        "import resource, sys\nfrom pm_capture.__main__ import main\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))\nsys.exit(main())"
    )

    async def run() -> bytes:
        async with new_venue(flood) as venue:
            process = await start(*flags(venue.url), program=[sys.executable, "-c", limited])
            _, words = await process.communicate()
            assert process.returncode == 7
            return words

    words = asyncio.run(run())
    assert b"fatal: FRAME_WRITER_ERROR: " in words
    left = left_run(tmp_path / "runs" / "r")
    fatal = left.json("fatal.json")
    assert fatal["fatal_reason"] == "FRAME_WRITER_ERROR"
    assert fatal["first_error"]["path"].endswith("shard_00.frames")
    assert fatal["frames_total"] == len(left.frames()) == 300_000 // 4036
    assert left.records[-1]["record_type"] == "fatal"
    assert left.of("capture_stop") == []
    assert not (left.path / "seal.json").exists()


def universe_program(folder: Path, body: str) -> None:
    path = folder / "pm-universe"
    path.write_text(f"#!{sys.executable}\nimport sys, time\n{body}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


@posix
def test_discovery_that_fails_is_6_and_leaves_no_run(tmp_path: Path) -> None:
    universe_program(tmp_path, "print('gamma is down', file=sys.stderr)\nsys.exit(6)")
    done = call("--data-dir", str(tmp_path / "d"), PATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (6, "")
    assert "gamma is down" in done.stderr
    assert list((tmp_path / "d" / "runs").iterdir()) == []


@posix
def test_discovery_that_leaves_nonsense_is_6(tmp_path: Path) -> None:
    universe_program(tmp_path, "open(sys.argv[-1], 'w').write('{}')")
    done = call("--data-dir", str(tmp_path / "d"), PATH=str(tmp_path))
    assert done.returncode == 6
    assert "pm-universe left no universe" in done.stderr
    assert list((tmp_path / "d" / "runs").iterdir()) == []


@posix
def test_a_discovered_universe_is_captured(
    tmp_path: Path, universe_file: Path, new_venue: Callable[..., Any]
) -> None:
    text = universe_file.read_text()
    universe_program(tmp_path, f"open(sys.argv[-1], 'w').write({text!r})")

    async def run() -> None:
        async with new_venue() as venue:
            process = await asyncio.create_subprocess_exec(
                *PROGRAM, "--data-dir", str(tmp_path), "--clob-ws-url", venue.url,
                "--duration-seconds", "0.2",
                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                env={**clean(), "PATH": str(tmp_path)},
            )  # fmt: skip
            out, words = await process.communicate()
            assert process.returncode == 0, words
            run_dir = Path(out.decode().strip())
            assert (run_dir / "universe" / "000000.json").read_text() == text
            assert venue.opened == 1

    asyncio.run(run())


@posix
def test_a_signal_during_discovery_leaves_no_run(tmp_path: Path) -> None:
    universe_program(tmp_path, "print('waiting', file=sys.stderr, flush=True)\ntime.sleep(600)")

    async def run() -> None:
        process = await asyncio.create_subprocess_exec(
            *PROGRAM, "--data-dir", str(tmp_path / "d"),
            stdout=subprocess.PIPE, stderr=subprocess.PIPE, env={**clean(), "PATH": str(tmp_path)},
        )  # fmt: skip
        await until_said(process, "waiting")
        process.send_signal(signal.SIGTERM)
        out, words = await process.communicate()
        assert (process.returncode, out) == (143, b"")
        assert b"SIGTERM before the capture began" in words
        assert list((tmp_path / "d" / "runs").iterdir()) == []

    asyncio.run(run())


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="/dev/full is of Linux")
def test_an_output_that_cannot_be_written_is_code_5() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [*PROGRAM, "--print-config"], stdout=full, stderr=subprocess.PIPE, text=True,
            env=clean(), timeout=WAIT_SECONDS, check=False,
        )  # fmt: skip
    assert done.returncode == 5
    assert done.stderr == "pm-capture: cannot write the output: No space left on device\n"
