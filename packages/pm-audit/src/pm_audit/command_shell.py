"""What the commands of pm-audit do alike: the version, errors as messages, a broken pipe, an interrupt."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple, TextIO

from pm_frames.command import BROKEN_PIPE, ExitCode, severest, wants_json
from pm_frames.errors import BundleError

INTERRUPTED: Final = 130


class Shell(NamedTuple):
    """The process as a command sees it."""

    stdin: TextIO
    stdout: TextIO
    stderr: TextIO
    environment: Mapping[str, str]

    def show(
        self, options: argparse.Namespace, value: Mapping[str, object], page: Iterable[str]
    ) -> None:
        """Print one JSON object for a machine, a page for a person."""
        if wants_json(options, self.stdout):
            self.stdout.write(json.dumps(value) + "\n")
        else:
            self.stdout.writelines(f"{line}\n" for line in page)
        self.stdout.flush()


class ShowVersion(argparse.Action):
    """Look the version up only when it is asked for: the lookup costs more than all of --help."""

    def __init__(self, option_strings: Sequence[str], dest: str, **settings: Any) -> None:
        super().__init__(option_strings, argparse.SUPPRESS, nargs=0, **settings)

    def __call__(self, parser: argparse.ArgumentParser, *_: object) -> None:
        from importlib.metadata import version

        sys.stdout.write(f"{parser.prog.split()[0]} {version('pm-audit')}\n")
        parser.exit()


def make_parser(prog: str, description: str, epilog: str | None = None) -> argparse.ArgumentParser:
    """Return a parser with what every command has."""
    parser = argparse.ArgumentParser(
        prog=prog,
        description=description,
        epilog=epilog,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
    )
    parser.add_argument("--version", action=ShowVersion, help="print the version and exit")
    return parser


def guarded(prog: str, shell: Shell, work: Callable[[list[ExitCode]], None]) -> int:
    """Run a command, which adds its exit codes to the list; return the severest, an error's included."""
    codes: list[ExitCode] = []
    try:
        work(codes)
    except BundleError as error:
        shell.stderr.write(f"{prog}: {error}\n")
        codes.append(ExitCode(error.exit_code))
    except BrokenPipeError:  # who read us has left
        _discard(shell.stdout)
        return BROKEN_PIPE
    except OSError as error:
        if error.filename is None:  # no file of a bundle: standard output
            _discard(shell.stdout)
            shell.stderr.write(f"{prog}: cannot write the output: {error.strerror}\n")
            codes.append(ExitCode.WRITE_ERROR)
        else:  # files that are written say so themselves
            shell.stderr.write(f"{prog}: cannot read {error.filename}: {error.strerror}\n")
            codes.append(ExitCode.USAGE)
    except KeyboardInterrupt:
        return INTERRUPTED
    return severest(codes)


def _discard(stdout: TextIO) -> None:
    """Send what still waits nowhere; without this, Python would complain when it flushes at its end."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), stdout.fileno())
