"""The reserve: space that a run holds from its start, so that on a full disk it can still say what happened.

`.reserve` is given back before anything is written about a fatal error, and at a clean stop, so that the
seal has room as well. It belongs to no bundle: it is in no list of digests and readers ignore it.
"""

import contextlib
import errno
import os
from pathlib import Path

from pm_frames import paths
from pm_frames.files import Files, OsFiles

# A reserve must not be what fills the disk, but with less than one block nothing can be told in the end.
SHARE_OF_FREE = 4
BLOCK_BYTES = 1 << 16
FULL = {errno.ENOSPC, errno.EDQUOT}


class Reserve:
    """A file of real blocks, or of as many as could be had."""

    def __init__(self, run_dir: Path, size_bytes: int, files: Files | None = None) -> None:
        """Nothing is made yet."""
        self._path = run_dir / paths.RESERVE
        self._size_bytes = size_bytes
        self._files: Files = OsFiles() if files is None else files
        self.held_bytes = 0

    def hold(self, free_bytes: int | None = None) -> bool:
        """Make the file; return whether it is as large as was asked for.

        At most a quarter of `free_bytes` is taken, if that is given, but one block of 64 KiB at least;
        and where a size is refused half of it is tried, down to that block. Raises OSError if there is no
        room for it: a run that begins on such a disk could not even say how it ended.
        """
        wanted = self._size_bytes
        if not wanted:
            return True
        least = min(wanted, BLOCK_BYTES)
        size = wanted if free_bytes is None else min(wanted, free_bytes // SHARE_OF_FREE)
        size = max(size, least)
        while (refusal := self._fill(size)) is not None:
            if size == least:
                if refusal.errno not in FULL:
                    return False  # no file system for reserves; its disk may have room enough
                words = f"no room for a reserve of {least} bytes: {refusal.strerror}"
                raise OSError(refusal.errno, words, str(self._path)) from refusal
            size = max(size // 2, least)
        self.held_bytes = size
        return size == wanted

    def release(self) -> None:
        """Give the space back; releasing twice, or what was never held, does nothing. Nothing raises."""
        if not self.held_bytes:
            return
        self.held_bytes = 0
        with contextlib.suppress(OSError):
            self._path.unlink(missing_ok=True)
            # Some file systems hand freed blocks out only when the removal itself is on the device.
            self._files.sync_directory(self._path.parent)

    def _fill(self, size: int) -> OSError | None:
        """Make the file, or return why it could not be made."""
        try:
            fd = self._files.open_append(self._path)
            try:
                if hasattr(os, "posix_fallocate"):
                    os.posix_fallocate(fd, 0, size)
                else:
                    block = bytes(BLOCK_BYTES)
                    for _ in range(0, size, BLOCK_BYTES):
                        self._files.write(fd, block)
            finally:
                self._files.close(fd)
        except OSError as error:
            with contextlib.suppress(OSError):
                self._path.unlink(missing_ok=True)
            return error
        return None
