"""Where the events come from: a file, standard input, or pm-replay started as a process on a run."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from io import FileIO
from pathlib import Path
from threading import Thread
from typing import IO, TYPE_CHECKING, Any, Final

from pm_frames.command import UsageError
from pm_frames.errors import BundleError
from pm_frames.events import CorruptEvents, EventReader, follow_file, open_events
from pm_sim.patient import PatientSource

if TYPE_CHECKING:
    from pm_sim.live import Live

LOOK_AGAIN_S: Final = 0.02  # at a file that grows
ENDING_S: Final = 10  # for a pm-replay whose stream is at an end


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
def from_stream(stream: IO[bytes], live: "Live | None" = None) -> Iterator[EventReader]:
    """Read a pipe; with `live` what is there at once, and as long as that is patient."""
    if live is None:
        yield EventReader(stream)
    else:
        unbuffered = FileIO(stream.fileno(), closefd=False)
        yield EventReader(PatientSource(unbuffered, live.idle))


@contextmanager
def from_growing_file(path: Path, live: "Live") -> Iterator[EventReader]:
    """Read a file that another process still writes, as long as `live` is patient."""

    def wait() -> bool:
        time.sleep(LOOK_AGAIN_S)
        return live.idle()

    with follow_file(path, wait) as reader:
        yield reader


class Interrupts:
    """Ctrl-C, which is first for whoever writes the events: what it ends with is still to be told."""

    def __init__(self) -> None:
        """Nothing is pressed, and nobody is to be asked."""
        self.is_pressed = False
        self.ask: Callable[[], object] | None = None

    def press(self) -> None:
        """Ask the writer to end the events."""
        self.is_pressed = True
        if self.ask is not None:
            self.ask()


@contextmanager
def from_run(
    arguments: Sequence[str],
    tell: Callable[[str], object],
    live: "Live | None" = None,
    interrupts: Interrupts | None = None,
) -> Iterator[EventReader]:
    """Read what `pm-replay ARGUMENTS --depth --events-out -` gives; it is stopped if the reader leaves early.

    What it says about itself goes to `tell`, line by line, and its summary to `live`. Raises `ReplayFailed` if it
    ends before the stream is whole.
    """
    command = [replay_program(), *arguments, "--depth", "--events-out", "-"]
    # A group of its own: it gets one SIGINT, from us, whether a terminal sends that to all or somebody to us alone.
    own_group: Any = {"process_group": 0} if os.name == "posix" else {}
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0,
        **own_group,
    )  # fmt: skip
    if interrupts is not None and own_group:
        interrupts.ask = lambda: _ask_to_end(process)
        if interrupts.is_pressed:
            interrupts.press()
    assert process.stdout is not None
    assert process.stderr is not None
    words = Thread(target=_pass_on, args=(process.stderr, tell, live), daemon=True)
    words.start()
    reader: EventReader | None = None
    try:
        if live is None:
            reader = EventReader(process.stdout)
        else:
            live.stop = lambda: _ask_to_end(process)
            reader = EventReader(PatientSource(process.stdout, live.idle))
        yield reader
    except CorruptEvents:
        # If pm-replay has failed, that is the reason, and not what it left.
        if live is None:
            process.stdout.close()
        code = _code_of(process)
        if code > 0 and (live is None or live.gave_up is None):
            raise ReplayFailed(code) from None
        raise
    finally:
        if reader is None or reader.end is None:
            process.terminate()
        process.wait()
        words.join()
        process.stdout.close()
        process.stderr.close()


def _pass_on(words: Iterable[bytes], tell: Callable[[str], object], live: "Live | None") -> None:
    for line in words:
        if line.startswith(b"{"):
            if live is not None:
                live.replayed(line)
            if wrong := _error_of(line):
                tell(f"pm-replay: {wrong}")
        else:
            tell(line.decode(errors="replace").rstrip())


def _error_of(summary: bytes) -> str | None:
    """Return what stopped a replay: which file, at which offset."""
    try:
        told = json.loads(summary)
    except ValueError:
        return None
    return told.get("error") if isinstance(told, dict) else None


def _code_of(process: subprocess.Popen[bytes]) -> int:
    """Return how a process has ended; 0 if it goes on, though nobody wants what it writes."""
    try:
        return process.wait(timeout=ENDING_S)
    except subprocess.TimeoutExpired:
        return 0


def _ask_to_end(process: subprocess.Popen[bytes]) -> None:
    """Ask for an END where there is a way to ask; else stop it."""
    if os.name == "posix":
        process.send_signal(signal.SIGINT)
    else:
        process.terminate()
