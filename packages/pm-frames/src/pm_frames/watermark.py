"""The watermark of a growing bundle: 8 bytes, an unsigned little-endian count of `rx_mono_ns`.

The writer publishes W at a moment when nothing that it has stamped is still unwritten, so that everything
stamped at or before W can be read. A reader reads W first and lists and reads the files after. Once the
lock of the run is gone W means nothing: the reader drains the files to their last whole record.
"""

from __future__ import annotations

import os
import struct
from pathlib import Path
from typing import Final

from pm_frames.errors import BundleError, WriteFailed

_U64: Final = struct.Struct("<Q")
_READS_MAX: Final = 1000


class WatermarkWriter:
    """The writing side: one descriptor, one 8-byte write at offset 0 for each change."""

    def __init__(self, path: Path) -> None:
        """Create the file with W = 0; raise `WriteFailed` if it is there already or cannot be made."""
        self.path = path
        self.value_ns = 0
        flags = os.O_RDWR | os.O_CREAT | os.O_EXCL
        flags |= getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        try:
            self._fd = os.open(path, flags, 0o666)
        except OSError as error:
            raise WriteFailed(f"cannot make the watermark: {error.strerror}", path=path) from error
        self._write(0)

    def publish(self, mono_ns: int) -> None:
        """Publish a clock read in nanoseconds; an equal or smaller one changes nothing.

        Raises `WriteFailed`.
        """
        if mono_ns > self.value_ns:
            self._write(mono_ns)
            self.value_ns = mono_ns

    def close(self) -> None:
        """Close the file; the last value stays."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def _write(self, value: int) -> None:
        data = _U64.pack(value)
        try:
            if hasattr(os, "pwrite"):
                written = os.pwrite(self._fd, data, 0)
            else:
                os.lseek(self._fd, 0, os.SEEK_SET)
                written = os.write(self._fd, data)
        except OSError as error:
            raise WriteFailed(
                f"cannot write the watermark: {error.strerror}", path=self.path
            ) from error
        if written != _U64.size:
            raise WriteFailed(
                "the watermark was written in part",
                path=self.path,
                expected=_U64.size,
                found=written,
            )


def read_watermark(path: Path) -> int | None:
    """Return W in nanoseconds, or None where there is none yet (no file, or fewer than 8 bytes).

    Reads until two reads agree, so that a value is never mixed from two writes; raises `BundleError` if
    that does not happen in 1000 reads.
    """
    try:
        fd = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
    except FileNotFoundError:
        return None
    try:
        before = _read(fd)
        for _ in range(_READS_MAX):
            now = _read(fd)
            if now == before:
                return _U64.unpack(now)[0] if len(now) == _U64.size else None
            before = now
    finally:
        os.close(fd)
    raise BundleError(f"the watermark changed during each of {_READS_MAX} reads", path=path)


def _read(fd: int) -> bytes:
    os.lseek(fd, 0, os.SEEK_SET)
    return os.read(fd, _U64.size)
