"""The lock of a run: held by the process that writes it, for as long as it lives.

On POSIX systems `flock` on `.lock`; it belongs to the open file, so closing another descriptor of the same
file does not drop it (POSIX record locks would), and the kernel drops it when the process dies. On Windows
a byte lock far behind the end of the file, so that its text stays readable. The file stays when the run
ends: only the lock says that a run is alive.
"""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from pm_frames.errors import RunLocked, WriteFailed
from pm_frames.paths import LOCK

# A reader that looks whether a run is alive holds the lock for some microseconds; a writer that meets it
# must not conclude that the run is taken.
_ATTEMPTS: Final = 40
_PAUSE_SECONDS: Final = 0.005

if sys.platform == "win32":
    import msvcrt

    _BYTE: Final = 1 << 30

    def _try_exclusive(fd: int) -> bool:
        try:
            os.lseek(fd, _BYTE, os.SEEK_SET)
            msvcrt.locking(fd, msvcrt.LK_NBLCK, 1)
        except OSError:
            return False
        return True

    def _unlock(fd: int) -> None:
        os.lseek(fd, _BYTE, os.SEEK_SET)
        msvcrt.locking(fd, msvcrt.LK_UNLCK, 1)

    _try_shared = _try_exclusive
    _LOOKS: Final = 4  # no shared locks here: two readers can be in each other's way

else:
    import fcntl

    def _try(fd: int, kind: int) -> bool:
        try:
            fcntl.flock(fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True

    def _try_exclusive(fd: int) -> bool:
        return _try(fd, fcntl.LOCK_EX)

    def _try_shared(fd: int) -> bool:
        return _try(fd, fcntl.LOCK_SH)

    def _unlock(fd: int) -> None:
        fcntl.flock(fd, fcntl.LOCK_UN)

    _LOOKS: Final = 1


def _file(path: Path) -> Path:
    return path if path.name == LOCK else path / LOCK


class RunLock:
    """The exclusive lock of one run directory; also a context manager."""

    def __init__(self, path: Path) -> None:
        """Name the run directory (or its `.lock`); nothing is opened yet."""
        self.path = _file(path)
        self._fd: int | None = None

    @property
    def held(self) -> bool:
        """Whether this object holds the lock."""
        return self._fd is not None

    def acquire(self) -> None:
        """Take the lock and write the process id into the file.

        Raises `RunLocked` if another holder (in this process too) has it, `WriteFailed` if the file
        cannot be made.
        """
        if self._fd is not None:
            raise RunLocked("this run is locked by this object already", path=self.path)
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        try:
            fd = os.open(self.path, flags, 0o666)
        except OSError as error:
            raise WriteFailed(f"cannot make the lock: {error.strerror}", path=self.path) from error
        for attempt in range(_ATTEMPTS):
            if _try_exclusive(fd):
                break
            if attempt + 1 < _ATTEMPTS:
                time.sleep(_PAUSE_SECONDS)
        else:
            os.close(fd)
            raise RunLocked(f"another process{_holder(self.path)} writes this run", path=self.path)
        self._fd = fd
        try:
            os.ftruncate(fd, 0)
            os.lseek(fd, 0, os.SEEK_SET)
            os.write(fd, b"%d\n" % os.getpid())
        except OSError:
            pass  # the text is for people; the lock is what counts, and it is held

    def release(self) -> None:
        """Give the lock back; nothing happens if it is not held."""
        fd, self._fd = self._fd, None
        if fd is not None:
            try:
                _unlock(fd)
            finally:
                os.close(fd)

    def __enter__(self) -> Self:
        self.acquire()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()


def is_locked(path: Path) -> bool:
    """Return whether a living process holds the run at `path` (the run directory or its `.lock`).

    A run without the file is not locked. The lock is tried, shared, for a moment; readers do not hinder
    each other.
    """
    try:
        fd = os.open(_file(path), os.O_RDONLY | getattr(os, "O_CLOEXEC", 0))
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        for look in range(_LOOKS):
            if look:
                time.sleep(_PAUSE_SECONDS)
            if _try_shared(fd):
                _unlock(fd)
                return False
        return True
    finally:
        os.close(fd)


def _holder(path: Path) -> str:
    try:
        text = path.read_text("ascii").strip()
    except (OSError, ValueError):
        return ""
    return f" (pid {text})" if text.isdecimal() else ""
