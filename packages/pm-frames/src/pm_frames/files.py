"""The file operations that writers use, behind one protocol so that tests can fail each of them.

Nothing here buffers: a write that has returned is in the kernel, and survives the death of the process.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Protocol


class Files(Protocol):
    """What a writer may ask of the operating system. Every method may raise OSError."""

    def open_append(self, path: Path) -> int:
        """Create a new file for appending and return its descriptor; FileExistsError if it exists."""

    def write(self, fd: int, data: bytes | memoryview) -> int:
        """Append and return how many bytes were taken, which may be fewer than given."""

    def truncate(self, fd: int, size: int) -> None:
        """Cut the file to `size` bytes."""

    def sync(self, fd: int) -> None:
        """Return when the bytes and the size of the file are on the device."""

    def close(self, fd: int) -> None:
        """Close the descriptor."""

    def replace(self, source: Path, target: Path) -> None:
        """Rename atomically, over `target` if it is there."""

    def sync_directory(self, path: Path) -> None:
        """Return when the names in a directory are on the device."""


class RemovingFiles(Files, Protocol):
    """What a tool may ask that also takes files away."""

    def unlink(self, path: Path) -> None:
        """Remove a file."""


_APPEND_NEW = (
    os.O_WRONLY
    | os.O_CREAT
    | os.O_EXCL
    | os.O_APPEND
    | getattr(os, "O_BINARY", 0)
    | getattr(os, "O_CLOEXEC", 0)
)


class OsFiles:
    """The real operating system."""

    def open_append(self, path: Path) -> int:
        return os.open(path, _APPEND_NEW, 0o666)

    def write(self, fd: int, data: bytes | memoryview) -> int:
        return os.write(fd, data)

    def truncate(self, fd: int, size: int) -> None:
        os.ftruncate(fd, size)

    def sync(self, fd: int) -> None:
        if sys.platform == "darwin":
            # fsync on macOS stops at the drive's cache.
            import fcntl

            try:
                fcntl.fcntl(fd, fcntl.F_FULLFSYNC)
            except OSError:
                os.fsync(fd)
        elif sys.platform == "win32":
            os.fsync(fd)
        else:
            os.fdatasync(fd)

    def close(self, fd: int) -> None:
        os.close(fd)

    def replace(self, source: Path, target: Path) -> None:
        os.replace(source, target)

    def unlink(self, path: Path) -> None:
        path.unlink()

    def sync_directory(self, path: Path) -> None:
        if sys.platform == "win32":
            return  # Windows opens no directories; NTFS journals the names
        fd = os.open(path, os.O_RDONLY)
        try:
            os.fsync(fd)
        finally:
            os.close(fd)
