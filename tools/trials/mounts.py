"""File systems made for a trial: a small tmpfs, and a disk image that can be cut off like a power cut.

Linux, root, and mounts that are allowed; `why_not` says what is missing.
"""

import ctypes
import fcntl
import os
import struct
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# FS_IOC_SHUTDOWN, _IOR('X', 125, __u32): from now on nothing reaches the device. What xfstests' `godown` does.
FS_IOC_SHUTDOWN = 0x8004587D
NO_LOG_FLUSH = 2  # not even the journal, as when the power fails
MNT_DETACH = 2


def why_not(*programs: str) -> str | None:
    """Return why nothing can be mounted here, or None."""
    if sys.platform != "linux":
        return f"mounts are made on Linux only, this is {sys.platform}"
    if os.geteuid() != 0:
        return "mounting needs root"
    for program in ("mount", *programs):
        if not any((Path(folder) / program).exists() for folder in _PATH):
            return f"{program} is not installed"
    return None


_PATH = [*os.environ.get("PATH", "").split(os.pathsep), "/usr/sbin", "/sbin"]


class CannotMount(Exception):
    """The system does not allow it; the message is its own."""


@contextmanager
def small_tmpfs(point: Path, size_bytes: int) -> Iterator[Path]:
    """Mount an empty tmpfs of so many bytes, whole pages, and take it off at the end."""
    point.mkdir(parents=True, exist_ok=True)
    _run("mount", "-t", "tmpfs", "-o", f"size={size_bytes}", "tmpfs", str(point))
    try:
        yield point
    finally:
        unmount(point)


@contextmanager
def mounted_image(image: Path, point: Path) -> Iterator[Path]:
    """Mount a disk image through a loop device, and take it off at the end."""
    point.mkdir(parents=True, exist_ok=True)
    _run("mount", "-o", "loop", str(image), str(point))
    try:
        yield point
    finally:
        unmount(point)


def make_image(image: Path, kind: str, size_bytes: int) -> None:
    """Make an empty file system of a kind (ext4, xfs) in a sparse file, which is replaced."""
    image.unlink(missing_ok=True)
    with image.open("wb") as file:
        file.truncate(size_bytes)
    _run(f"mkfs.{kind}", "-q", str(image))


def cut_power(point: Path) -> None:
    """Stop a file system at once: what is not on the device by now never will be. Raises OSError."""
    fd = os.open(point, os.O_RDONLY)
    try:
        fcntl.ioctl(fd, FS_IOC_SHUTDOWN, struct.pack("=I", NO_LOG_FLUSH))
    finally:
        os.close(fd)


def unmount(point: Path) -> None:
    """Take a file system off, also one whose last user is still dying."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(os.fsencode(point), 0) and libc.umount2(os.fsencode(point), MNT_DETACH):
        raise CannotMount(f"umount {point}: {os.strerror(ctypes.get_errno())}")


def _run(*command: str) -> None:
    environ = {**os.environ, "PATH": os.pathsep.join(_PATH)}
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environ)
    if done.returncode:
        raise CannotMount(f"{' '.join(command)}: {done.stderr.strip()}")
