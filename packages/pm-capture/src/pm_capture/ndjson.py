"""Append-only JSON Lines that are evidence of nothing: losing them is counted, not fatal.

The runlog is evidence and has a writer of its own in pm_frames.
"""

import hashlib
from pathlib import Path

import msgspec

from pm_frames.files import Files, OsFiles


class NdjsonFile:
    """Append records with one write each, and keep the digest of what the file holds."""

    def __init__(self, path: Path, files: Files | None = None) -> None:
        """Create the file; raise OSError if it exists or cannot be made."""
        self._files: Files = OsFiles() if files is None else files
        self._fd = self._files.open_append(path)
        self._digest = hashlib.sha256()
        self._encoder = msgspec.json.Encoder()
        self._size = 0
        self.errors = 0
        self._broken = False
        self._closed = False

    def append(self, record: object) -> None:
        """Append one line; a refusal is counted, and the file is cut back to whole lines."""
        if self._broken:
            self.errors += 1
            return
        line = self._encoder.encode(record) + b"\n"
        done = 0
        try:
            while done < len(line):
                done += self._files.write(self._fd, line[done:])
        except OSError:
            self.errors += 1
            self._cut()
            return
        self._digest.update(line)
        self._size += len(line)

    def close(self) -> str:
        """Sync and close; return the SHA-256 of the file in hexadecimal. Closing twice does nothing."""
        if not self._closed:
            self._closed = True
            try:
                self._files.sync(self._fd)
            except OSError:
                self.errors += 1
            self._files.close(self._fd)
        return self._digest.hexdigest()

    def _cut(self) -> None:
        try:
            self._files.truncate(self._fd, self._size)
        except OSError:
            # A torn line stays at the end; appending behind it would damage a whole record.
            self._broken = True
