"""Put a finished file under its name in one step: whoever looks sees all of it or nothing."""

import contextlib
import os
from pathlib import Path

from .errors import OutputExists, WriteFailed

_TRIES = 100


def refuse_taken(path: Path | None, *, force: bool) -> None:
    """Raise `OutputExists` now for a name that `publish` would refuse after the work is done."""
    # Not `Path.exists`: for a name that is too long, say, that raises; `publish` tells why.
    if path is not None and not force and os.path.exists(path):
        raise OutputExists(path)


def publish(path: Path, content: bytes, *, force: bool = False) -> None:
    """Write `content` to a temporary neighbour, make it durable, then give it its name.

    Missing parent directories are made. A file of that name is replaced only with `force`.

    Raises:
        OutputExists: the name is taken.
        WriteFailed: the system refused. What stands under the name is whole all the same: what was
            there before, or (if only the name could not be made durable) the new content.

    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary, descriptor = _create_beside(path)
        try:
            try:
                _write_durably(descriptor, content)
            finally:
                os.close(descriptor)
            if force:
                os.replace(temporary, path)
            else:
                _name_exclusively(temporary, path)
        finally:
            with contextlib.suppress(FileNotFoundError):
                temporary.unlink()
        _sync_directory(path.parent)
    except OSError as error:
        raise WriteFailed(path, error) from error


def _create_beside(path: Path) -> tuple[Path, int]:
    flags = os.O_WRONLY | os.O_CREAT | os.O_EXCL | getattr(os, "O_BINARY", 0)
    for number in range(_TRIES):
        temporary = path.with_name(f".{path.name}.{os.getpid()}.{number}.tmp")
        with contextlib.suppress(FileExistsError):
            return temporary, os.open(temporary, flags, 0o666)
    raise OSError(f"{_TRIES} temporary files of an earlier process stand beside it")


def _write_durably(descriptor: int, content: bytes) -> None:
    rest = memoryview(content)
    while rest:
        rest = rest[os.write(descriptor, rest) :]
    os.fsync(descriptor)


def _name_exclusively(temporary: Path, path: Path) -> None:
    try:
        if os.name == "nt":
            os.rename(temporary, path)  # refuses a name that is taken
        else:
            os.link(temporary, path)
    except FileExistsError:
        raise OutputExists(path) from None
    except OSError:
        # A file system without hard links: two steps, and a race that only a second writer loses.
        if path.exists():
            raise OutputExists(path) from None
        os.replace(temporary, path)


def _sync_directory(directory: Path) -> None:
    if os.name == "nt":
        return  # a directory cannot be opened there; the name is as durable as the system makes it
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
