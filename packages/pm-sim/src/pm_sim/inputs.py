"""Where the events come from: a file, standard input, or pm-replay started as a process on a run."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

from pm_frames.command import UsageError
from pm_frames.errors import BundleError
from pm_frames.events import CorruptEvents, EventReader, open_events


class ReplayFailed(BundleError):
    """pm-replay has ended without a whole stream; it has said why itself."""

    def __init__(self, code: int) -> None:
        super().__init__(f"pm-replay has ended with exit code {code} before the stream was whole")
        self.exit_code = code if code in range(2, 8) else 4  # type: ignore[misc]


def replay_program() -> str:
    """Return the pm-replay that stands beside this Python, or else on the path. `UsageError` without one."""
    beside = str(Path(sys.executable).parent)
    program = shutil.which("pm-replay", path=beside) or shutil.which("pm-replay")
    if program is None:
        raise UsageError(
            "a run is replayed by pm-replay, which is not installed: `pip install pm-replay`, "
            "or give a .pmev file"
        )
    return program


@contextmanager
def from_file(path: Path) -> Iterator[EventReader]:
    """Read a finished file. Raises `MissingFile`, `CorruptEvents`."""
    with open_events(path) as reader:
        yield reader


@contextmanager
def from_stream(stream: IO[bytes]) -> Iterator[EventReader]:
    """Read a pipe."""
    yield EventReader(stream)


@contextmanager
def from_run(arguments: Sequence[str], tell: Callable[[str], object]) -> Iterator[EventReader]:
    """Read what `pm-replay ARGUMENTS --depth --events-out -` gives; it is stopped if the reader leaves early.

    What it says about itself goes to `tell`, line by line, but for its summary. Raises `ReplayFailed` if it
    ends before the stream is whole.
    """
    command = [replay_program(), *arguments, "--depth", "--events-out", "-"]
    with TemporaryFile() as words:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=words, bufsize=0
        )
        assert process.stdout is not None
        reader: EventReader | None = None
        try:
            reader = EventReader(process.stdout)
            yield reader
        except CorruptEvents:
            # If pm-replay has failed, that is the reason, and not what it left.
            process.stdout.close()
            code = process.wait()
            if code > 0:
                raise ReplayFailed(code) from None
            raise
        finally:
            process.stdout.close()
            if reader is None or reader.end is None:
                process.terminate()
            process.wait()
            words.seek(0)
            for line in words.read().decode(errors="replace").splitlines():
                if not line.startswith("{"):
                    tell(line)
