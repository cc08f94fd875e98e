"""Command line of pm-mock."""

import argparse
import json
import os
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any


class OutputFailed(Exception):
    """Standard output cannot be written."""


def main(argv: list[str] | None = None) -> int:
    """Run a command; returns its exit code."""
    options = _parser().parse_args(argv)
    try:
        return _serve(options)
    except BrokenPipeError:
        from pm_frames.command import BROKEN_PIPE

        _discard_output()
        return BROKEN_PIPE
    except OutputFailed as problem:
        from pm_frames.command import ExitCode

        _discard_output()
        return _failed(problem, ExitCode.WRITE_ERROR)


def _discard_output() -> None:
    # Nobody takes our output; the interpreter must not complain about it at exit.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


EPILOG = """\
The README of pm-mock describes the scripts of --plants and --faults, and what of the real venue is not known.

  pm-mock serve --port 8000 --rate 200
  pm-mock serve --bundle @last --speed 10

exit codes: 0 ended as asked; 2 usage, an unusable script or input file, or an address that cannot be had;
4 a damaged bundle or a recording that is not UTF-8; 5 the sent log cannot be written; 130, 143 a second
signal; 141 the reader of the output has gone.
"""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pm-mock", description="A loopback Polymarket.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"pm-mock {version('pm-mock')}")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    serve = commands.add_parser(
        "serve",
        help="serve Gamma, the CLOB's reads and the market channel on one port",
        description="Serve until SIGINT, SIGTERM or --duration-seconds. The first line of output is one JSON\n"
        "object with the URLs, the last one the counts.",
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    where = serve.add_argument_group("where")
    where.add_argument("--host", default="127.0.0.1", help="address to listen on (127.0.0.1)")
    where.add_argument("--port", type=int, default=0, help="port; 0 takes a free one (0)")
    market = serve.add_argument_group("a generated market (the default)")
    market.add_argument("--seed", type=int, default=1, help="seed of everything random (1)")
    market.add_argument("--markets", type=int, default=20, help="tradable markets (20)")
    market.add_argument("--rate", type=float, help="engine events a second, 0 for full speed (50)")
    market.add_argument(
        "--lifecycle-seconds",
        type=float,
        help="one market lists and one resolves each so many seconds, 0 for never (30)",
    )
    market.add_argument(
        "--plants", type=Path, metavar="FILE", help="set arbitrages and mirror artefacts (TOML)"
    )
    recorded = serve.add_argument_group("or what was recorded")
    recorded.add_argument("--recording", type=Path, metavar="FILE", help="frames, one a line")
    recorded.add_argument(
        "--bundle", metavar="RUN", help="a run bundle: directory, run id, prefix or @last"
    )
    recorded.add_argument(
        "--speed", help="factor on the original timing, or max (recording: max, bundle: 1)"
    )
    recorded.add_argument(
        "--hold-seconds",
        type=float,
        help="a bundle begins when all its first tokens are subscribed, or so long after the first subscription (1)",
    )
    recorded.add_argument(
        "--replay-disconnects",
        action="store_true",
        help="close connections where the recording lost its own; else a gap is silence",
    )
    recorded.add_argument("--repeat", type=int, default=1, help="send a recording N times (1)")
    extra = serve.add_argument_group("faults and witness")
    extra.add_argument("--faults", type=Path, metavar="FILE", help="fault script (TOML)")
    extra.add_argument("--sent-log", type=Path, metavar="DIR", help="log every frame that was sent")
    extra.add_argument("--duration-seconds", type=float, help="stop after so many seconds")
    return parser


def _serve(arguments: argparse.Namespace) -> int:
    import asyncio

    import msgspec

    from pm_frames.command import ExitCode, data_dir_of, resolve_run
    from pm_frames.errors import BundleError
    from pm_mock import server
    from pm_mock.compose import BadOption, Options, check, compose, read_ingredients
    from pm_mock.faultplan import BadFaults
    from pm_mock.plantplan import BadPlants
    from pm_mock.sentlog import SentLogFailed
    from pm_mock.sources.recording import BadRecording, MissingRecording
    from pm_mock.venue import Venue

    exit_codes: dict[type[Exception], ExitCode] = {
        BadOption: ExitCode.USAGE,
        BadFaults: ExitCode.USAGE,
        BadPlants: ExitCode.USAGE,
        MissingRecording: ExitCode.USAGE,
        BadRecording: ExitCode.CORRUPT,
        SentLogFailed: ExitCode.WRITE_ERROR,
    }

    def ready(running: server.Running) -> None:
        host = f"[{running.host}]" if ":" in running.host else running.host
        authority = f"{host}:{running.port}"
        _print_line(
            {
                "gamma_base_url": f"http://{authority}",
                "clob_base_url": f"http://{authority}",
                "ws_url": f"ws://{authority}/ws/market",
                "geoblock_url": f"http://{authority}/api/geoblock",
                "pid": os.getpid(),
                "seed": arguments.seed,
            }
        )

    try:
        if arguments.bundle is not None:
            arguments.bundle = resolve_run(arguments.bundle, data_dir_of(None, os.environ))
        options = msgspec.convert(vars(arguments), Options)
        check(options, port=arguments.port)
        ingredients = read_ingredients(options)

        def make_venue(start_ns: int, wall_offset_ns: int) -> Venue:
            return compose(options, ingredients, start_ns=start_ns, wall_offset_ns=wall_offset_ns)

        counts = asyncio.run(
            server.serve(
                make_venue,
                host=arguments.host,
                port=arguments.port,
                sent_log_dir=arguments.sent_log,
                on_ready=ready,
            )
        )
    except tuple(exit_codes) as problem:
        code = next(code for kind, code in exit_codes.items() if isinstance(problem, kind))
        return _failed(problem, code)
    except BundleError as problem:
        return _failed(problem, problem.exit_code)
    except server.Interrupted as problem:
        return _failed(problem, 128 + problem.number)
    except BrokenPipeError:
        raise
    except OSError as problem:
        where = f"{arguments.host}:{arguments.port}"
        return _failed(f"cannot listen on {where}: {problem.strerror}", ExitCode.USAGE)
    _print_line(counts)
    return ExitCode.OK


def _print_line(value: dict[str, Any]) -> None:
    try:
        print(json.dumps(value), flush=True)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise OutputFailed(f"cannot write the output: {error.strerror}") from error


def _failed(problem: object, code: int) -> int:
    print(f"pm-mock: {problem}", file=sys.stderr)
    return code


if __name__ == "__main__":
    sys.exit(main())
