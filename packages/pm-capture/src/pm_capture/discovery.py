"""Discovery as a process: `pm-universe discover --out FILE`, because siblings are not imported.

It runs in a process group of its own, so that a Ctrl-C meant for the capture does not reach it; without
our stdout, which belongs to whoever reads the run directory from it; and without `PM_*` variables,
because what they say has been resolved here already and is passed on as flags.

It does not outlive us, whatever ends us: its stdin is a pipe whose other end only we have, and with
`--end-with-stdin` the end of that pipe, which the kernel brings about when we die, is its end.
"""

import asyncio
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pm_frames.command import ExitCode

# pm-universe gives up by itself before we would kill it.
PAGE_SECONDS = 30.0
GIVE_UP_SECONDS = 600.0
TIMEOUT_SECONDS = GIVE_UP_SECONDS + 30.0
WORDS_MAX = 500


class DiscoveryMissing(Exception):
    """pm-universe is not installed. Exit code 2."""


class DiscoveryFailed(Exception):
    """pm-universe could not make a universe. Exit code 6, or 2 where asking again cannot help."""

    def __init__(self, problem: str, *, exit_code: ExitCode = ExitCode.REMOTE) -> None:
        super().__init__(problem)
        self.exit_code = exit_code


def find_program(search_path: str | None) -> str:
    """Return the path of pm-universe: on `search_path`, else beside this Python. Raises `DiscoveryMissing`."""
    beside = str(Path(sys.executable).parent)
    for path in (search_path, beside):
        found = shutil.which("pm-universe", path=path) if path else None
        if found:
            return found
    raise DiscoveryMissing(
        "pm-universe is not installed, and it is what finds the markets to capture; "
        "`pip install pm-universe`, or name a universe file with --universe"
    )


def scrubbed(environ: Mapping[str, str]) -> dict[str, str]:
    """Return an environment without settings of ours."""
    return {name: value for name, value in environ.items() if not name.startswith("PM_")}


def command(
    program: str,
    *,
    gamma_base_url: str,
    markets_max: int,
    out: Path,
    give_up_seconds: float = GIVE_UP_SECONDS,
    market_regex: str | None = None,
    page_seconds: float = PAGE_SECONDS,
) -> list[str]:
    """Return the command line that writes a full universe to `out`.

    With a `market_regex` only of the markets that it finds; without one the filters are off.
    """
    filters = ["--capture-use-market-filters", f"--market-regex={market_regex}"]
    return [
        program,
        "discover",
        "--end-with-stdin",
        "--gamma-base-url",
        gamma_base_url,
        "--max-markets",
        str(markets_max),
        *(filters if market_regex is not None else []),
        "--timeout-seconds",
        f"{page_seconds:g}",
        "--total-timeout-seconds",
        f"{give_up_seconds:g}",
        "--out",
        str(out),
    ]


async def discover(
    arguments: list[str],
    environ: Mapping[str, str],
    *,
    timeout_seconds: float = TIMEOUT_SECONDS,
) -> None:
    """Run discovery to its end; killed with all its children at the timeout or when cancelled.

    Its words go to our stderr. Raises `DiscoveryFailed`.
    """
    code, _, _ = await _run(arguments, environ, timeout_seconds, captured=False)
    if code != 0:
        raise DiscoveryFailed(
            f"pm-universe discover ended with exit code {code}; see above",
            # A service that is not to be started again after 2 would otherwise ask for ever.
            exit_code=ExitCode.USAGE if code == ExitCode.USAGE else ExitCode.REMOTE,
        )


async def report(
    arguments: list[str], environ: Mapping[str, str], *, timeout_seconds: float
) -> dict[str, Any]:
    """Run discovery like `discover` and return what it reports of itself on stdout.

    Its words are kept back, and the last of them is in the message when it fails: a refresh every
    minute must not fill anybody's screen. Raises `DiscoveryFailed`.
    """
    code, out, err = await _run(arguments, environ, timeout_seconds, captured=True)
    if code != 0:
        lines = err.decode("utf-8", "replace").strip().splitlines()
        words = f": {lines[-1][:WORDS_MAX]}" if lines else ""
        raise DiscoveryFailed(f"pm-universe discover ended with exit code {code}{words}")
    try:
        told = json.loads(out)
    except ValueError as error:
        raise DiscoveryFailed(f"pm-universe discover reported no JSON: {error}") from error
    if not isinstance(told, dict):
        raise DiscoveryFailed(f"pm-universe discover reported {type(told).__name__}, no object")
    return told


async def _run(
    arguments: list[str], environ: Mapping[str, str], timeout_seconds: float, *, captured: bool
) -> tuple[int | None, bytes, bytes]:
    group: dict[str, Any] = {"start_new_session": True}
    if sys.platform == "win32":
        group = {"creationflags": subprocess.CREATE_NEW_PROCESS_GROUP}
    theirs, ours = os.pipe()  # neither is inherited but as its stdin
    try:
        process = await asyncio.create_subprocess_exec(
            *arguments,
            stdin=theirs,
            stdout=subprocess.PIPE if captured else subprocess.DEVNULL,
            stderr=subprocess.PIPE if captured else None,
            env=scrubbed(environ),
            **group,
        )
    except BaseException as error:
        os.close(ours)
        if isinstance(error, OSError):
            words = f"{arguments[0]} could not be started: {error.strerror}"
            raise DiscoveryFailed(words) from error
        raise
    finally:
        os.close(theirs)
    try:
        out, err = await asyncio.wait_for(process.communicate(), timeout_seconds)
    except TimeoutError:
        raise DiscoveryFailed(
            f"pm-universe discover did not end within {timeout_seconds:g} s"
        ) from None
    finally:
        if process.returncode is None:
            _kill_group(process.pid)
            await process.wait()
        os.close(ours)
    return process.returncode, out or b"", err or b""


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        if sys.platform == "win32":
            os.kill(pid, signal.SIGTERM)  # TerminateProcess; Windows has no groups to kill
        else:
            os.killpg(pid, signal.SIGKILL)
