"""pm-sim: simulate strategies on order-book events. Which command it is, and what errors become."""

import importlib
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from pm_frames.command import BROKEN_PIPE, ExitCode
from pm_frames.errors import BundleError
from pm_sim.commands import COMMANDS, DEFAULT

INTERRUPTED = 130


def main(argv: list[str] | None = None) -> int:
    """Do what the command line says; return the exit code."""
    arguments = sys.argv[1:] if argv is None else argv
    name = DEFAULT
    if arguments and arguments[0] in COMMANDS:
        name, arguments = arguments[0], arguments[1:]
    try:
        with _sigterm_as_sigint():
            return int(importlib.import_module(COMMANDS[name]).main(arguments))
    except BundleError as error:
        print(f"pm-sim: {error}", file=sys.stderr)
        return error.exit_code
    except BrokenPipeError:
        # Who read us has left; without this, Python would complain when it flushes at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return BROKEN_PIPE
    except OSError as error:
        print(f"pm-sim: cannot write: {error}", file=sys.stderr)
        return ExitCode.WRITE_ERROR
    except KeyboardInterrupt:
        return INTERRUPTED


@contextmanager
def _sigterm_as_sigint() -> Iterator[None]:
    """Let SIGTERM, which service managers send, do what Ctrl-C does."""
    is_ours = threading.current_thread() is threading.main_thread()
    if not is_ours or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)


if __name__ == "__main__":
    sys.exit(main())
