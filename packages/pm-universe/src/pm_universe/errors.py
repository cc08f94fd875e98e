"""What can go wrong in a discovery. Each error carries the exit code of the program it ends."""

from pathlib import Path
from typing import ClassVar

from pm_frames.command import ExitCode

EXCERPT_BYTES = 120


def excerpt(body: bytes) -> str:
    """Return the first bytes of an answer, fit for a message on one line."""
    if not body:
        return "an empty body"
    more = f" (first {EXCERPT_BYTES} of {len(body)} bytes)" if len(body) > EXCERPT_BYTES else ""
    return f"{body[:EXCERPT_BYTES]!r}{more}"


class UniverseError(Exception):
    """Root of the errors of this package."""

    exit_code: ClassVar[int] = ExitCode.REMOTE


class RemoteError(UniverseError):
    """The other side: `url` asked for, `status` (None: no answer came), first bytes of the answer."""

    def __init__(
        self, problem: str, *, url: str, status: int | None = None, body: bytes = b""
    ) -> None:
        super().__init__(problem)
        self.url = url
        self.status = status
        self.body = body

    def __str__(self) -> str:
        if self.status is None:
            return f"{self.args[0]}: GET {self.url}"
        return f"{self.args[0]}: GET {self.url} answered {self.status}, {excerpt(self.body)}"


class Unreachable(RemoteError):
    """No answer, or none in time."""


class Refused(RemoteError):
    """An answer with a status that no repetition will change, or that did not change in time."""


class WrongShape(RemoteError):
    """An answer that is not a page of markets."""


class EndlessListing(RemoteError):
    """The pages repeat, or there are more of them than the page limit."""


class BadProxy(UniverseError):
    """The environment names a proxy that cannot be spoken to: SOCKS without its package, or no proxy at all."""

    exit_code = ExitCode.USAGE

    def __init__(self, problem: str) -> None:
        super().__init__(f"the proxy of the environment cannot be used: {problem}")


class NothingSelected(UniverseError):
    """The listing was read to its end and no market of it qualifies."""


class BrokenChain(UniverseError):
    """Generations that do not follow one another; `universe_version` is where it shows."""

    exit_code = ExitCode.CORRUPT

    def __init__(self, universe_version: int, problem: str) -> None:
        super().__init__(f"generation {universe_version}: {problem}")
        self.universe_version = universe_version


class BadGeneration(UniverseError):
    """A file that should hold a generation of the universe does not."""

    exit_code = ExitCode.CORRUPT

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path} {problem}")
        self.path = path


class MissingGeneration(UniverseError):
    """A generation of the universe that was asked for is not there, or cannot be read."""

    exit_code = ExitCode.USAGE

    def __init__(self, path: Path, problem: str) -> None:
        super().__init__(f"{path} {problem}")
        self.path = path


class OutputExists(UniverseError):
    """The output file is there already; nothing was changed."""

    exit_code = ExitCode.USAGE

    def __init__(self, path: Path) -> None:
        super().__init__(f"{path} exists; choose another name or pass --force")
        self.path = path


class WriteFailed(UniverseError):
    """The output could not be written; no part of it stands under its name."""

    exit_code = ExitCode.WRITE_ERROR

    def __init__(self, path: Path, cause: OSError) -> None:
        super().__init__(f"cannot write {path}: {cause.strerror or cause}")
        self.path = path
