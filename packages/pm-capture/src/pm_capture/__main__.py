"""The command line: `pm-capture`. Only argparse is imported before it is known what to do."""

import argparse
import contextlib
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING

from pm_capture.descriptors import hold_standard_descriptors
from pm_capture.flags import add_settings
from pm_capture.settings import Resolved, SettingsError, resolve, shown

if TYPE_CHECKING:
    from asyncio import AbstractEventLoop
    from collections.abc import Callable

DESCRIPTION = """\
Record every WebSocket frame of the Polymarket market channel, byte for byte, into a run bundle.

Prints the run directory on stdout as soon as its manifest is written, and nothing else (with --rotate one
line for each run); words go to stderr. Ctrl-C, SIGTERM or --duration-seconds end the run and seal it; a second signal ends the process
at once and leaves the run unsealed.
"""
EPILOG = """\
Every setting can also stand in the TOML file, and in the environment as PM_DATA_<SETTING> (alias
PM_ARB_<SETTING>), with this precedence: default < TOML < flag < environment.

`pm-capture bench --help` tells how to measure this program on this machine.

exit codes: 0 sealed · 2 usage, configuration, or the run exists · 5 the run could not be written at its
beginning · 6 no universe could be had · 7 fatal, see fatal.json · 129, 130, 143 ended by a second signal
(HUP, INT, TERM), or by one before the capture began
"""
PROGRAM = "pm-capture"
# A data directory that cannot be one, as against one that ran out of space.
NO_PLACE = (PermissionError, NotADirectoryError, FileNotFoundError, FileExistsError)


def main(argv: list[str] | None = None) -> int:
    """Run the program; return its exit code."""
    hold_standard_descriptors()
    argv = sys.argv[1:] if argv is None else argv
    try:
        if argv[:1] == ["bench"]:
            return _bench(argv[1:])
        arguments = vars(_parser().parse_args(argv))
        config = arguments.pop("config")
        print_config = arguments.pop("print_config")
        as_json = arguments.pop("json")
        resolved = _resolve(arguments, config)
        if print_config:
            _print_config(resolved, as_json=as_json or not sys.stdout.isatty())
            return 0
        return _capture(resolved)
    except SettingsError as error:
        _say(str(error))
        return 2
    except BrokenPipeError:
        from pm_frames.command import BROKEN_PIPE

        # Whoever read our output has seen enough. Python would complain once more when it exits.
        sys.stdout = None
        return BROKEN_PIPE
    except KeyboardInterrupt:
        return 130


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=PROGRAM,
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--version", action="version", version=f"%(prog)s {version(PROGRAM)}")
    add("--config", type=Path, metavar="FILE.toml", help="read settings from this file")
    add("--print-config", action="store_true", help="show every setting with its source, and end")
    add("--json", action="store_true", help="with --print-config: as JSON even on a terminal")
    add_settings(parser)
    return parser


def _resolve(flags: dict[str, object], config: Path | None) -> Resolved:
    toml: dict[str, object] = {}
    if config is not None:
        import tomllib

        try:
            toml = tomllib.loads(config.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            raise SettingsError(f"{config}: cannot be read: {error}") from error
    resolved = resolve(flags=flags, environ=os.environ, toml=toml, toml_name=str(config))
    for warning in resolved.warnings:
        _say(f"warning: {warning}")
    return resolved


def _print_config(resolved: Resolved, *, as_json: bool) -> None:
    values = shown(resolved.settings)
    if as_json:
        import json

        document = {
            name: {"value": value, "source": resolved.sources[name]}
            for name, value in values.items()
        }
        _show(json.dumps(document, indent=2))
        return
    width = max(map(len, values))
    wide = max(len(str(value)) for value in values.values())
    _show(
        "\n".join(
            f"{name:<{width}}  {value!s:<{wide}}  {resolved.sources[name]}"
            for name, value in values.items()
        )
    )


def _show(text: str) -> None:
    try:
        print(text, flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        from pm_frames.command import ExitCode

        sys.stdout = None  # Python would complain once more when it exits
        _say(f"cannot write the output: {error.strerror}")
        raise SystemExit(ExitCode.WRITE_ERROR) from None


def _capture(resolved: Resolved) -> int:
    import asyncio
    from dataclasses import replace

    from pm_capture.carriers import carrier, check_proxy
    from pm_capture.collector import settle
    from pm_capture.daemon import Interrupted, Shell, capture
    from pm_capture.discovery import DiscoveryFailed, DiscoveryMissing
    from pm_capture.high_res_timer import high_res_timer, winmm
    from pm_capture.offline.fixtures import FixturesError
    from pm_capture.status_line import on_terminal
    from pm_capture.universe import UniverseError
    from pm_frames import BundleError
    from pm_frames.command import ExitCode
    from pm_frames.errors import RunLocked

    transport, opener = carrier(resolved.settings.ws_transport)
    if not resolved.settings.offline:
        check_proxy(resolved.settings.clob_ws_url)
    factory, event_loop = _event_loop(uvloop_wanted=resolved.settings.uvloop)
    shell = Shell(
        say=_say,
        announce=_announce,
        environ=os.environ,
        event_loop=event_loop,
        transport=transport,
        open=opener,
        settle=settle,
    )
    if (line := on_terminal(sys.stderr)) is not None:
        shell = replace(shell, say=line.above(_say), status=line.show)
    settings = resolved.settings
    wanted = (
        settings.capture_windows_high_res_timer_enable
        and settings.runtime_windows_high_res_timer_enable
    )
    try:
        with (
            high_res_timer(winmm() if wanted else None),
            asyncio.Runner(loop_factory=factory) as runner,
        ):
            return runner.run(capture(resolved, shell))
    except DiscoveryFailed as error:
        _say(str(error))
        return error.exit_code
    except (UniverseError, FixturesError, DiscoveryMissing, RunLocked, ValueError) as error:
        _say(str(error))
        return ExitCode.USAGE
    except Interrupted as error:
        _say(str(error))
        return 128 + error.number
    except (BundleError, OSError) as error:
        _say(f"the run could not begin: {error}")
        if isinstance(error, BundleError):
            return error.exit_code
        return ExitCode.USAGE if isinstance(error, NO_PLACE) else ExitCode.WRITE_ERROR


def _bench(argv: list[str]) -> int:
    from pm_capture.bench.command import parser, shown

    arguments = vars(parser().parse_args(argv))
    config = arguments.pop("config")
    print_config = arguments.pop("print_config")
    as_json = arguments.pop("json") or not sys.stdout.isatty()
    resolved = _resolve(arguments, config)
    if print_config:
        _print_config(resolved, as_json=as_json)
        return 0
    if not resolved.settings.offline:
        _say("bench works on fixtures only, and never on the venue: add --offline")
        return 2

    import asyncio
    import signal
    import time

    from pm_capture.bench.measure import BenchFailed, bench
    from pm_capture.offline.fixtures import FixturesError
    from pm_capture.universe import UniverseError

    # Whatever ends this program has to end the two that it starts.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    now = (time.perf_counter_ns(), time.time_ns())
    try:
        report = asyncio.run(bench(resolved, os.environ, now))
    except (FixturesError, UniverseError) as error:
        _say(str(error))
        return 2
    except BenchFailed as error:
        _say(str(error))
        return error.exit_code
    _show(shown(report, as_json=as_json))
    return 0


def _event_loop(*, uvloop_wanted: bool) -> "tuple[Callable[[], AbstractEventLoop] | None, str]":
    """Return the factory of the loop to use and its name."""
    if uvloop_wanted:
        with contextlib.suppress(ImportError):
            import uvloop

            return uvloop.new_event_loop, "uvloop"
    return None, "asyncio"


def _announce(run_dir: Path) -> None:
    # A reader that is gone must not end the capture. stdout stays open to the end, because a tool
    # behind a pipe takes its end for the end of the run.
    try:
        print(run_dir, flush=True)
    except BrokenPipeError:
        pass
    except OSError as error:
        _say(f"{run_dir} cannot be told on standard output: {error.strerror}")


def _say(text: str) -> None:
    if sys.stderr is None:
        return  # `print` would take stdout instead, which carries data
    with contextlib.suppress(OSError, ValueError):
        print(f"{PROGRAM}: {text}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
