r"""`runlog.ndjson`: what happened to a run, one JSON object a line, append-only.

A record is whole when its newline is there: the writer hands each line to the operating system in one
write, so a process that dies leaves at most one line without its newline, at the end. Anything else that
is not a record is damage.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Final, NoReturn, Self

from pm_frames.errors import BundleError, MissingFile, RunLocked, WriteFailed
from pm_frames.files import Files, OsFiles
from pm_frames.records import CONTINUITY, ENVELOPE, RECORDS, RecordType, missing_fields

__all__ = [
    "CONTINUITY",
    "LINE_MAX",
    "RECORDS",
    "RecordType",
    "RunlogReader",
    "RunlogWriter",
    "missing_fields",
    "read_runlog",
]

LINE_MAX: Final = 1 << 20  # bytes of a line, its newline included


class RunlogWriter:
    """Appends records to a new runlog; the caller gives both stamps of each."""

    def __init__(self, path: Path, run_id: str, files: Files | None = None) -> None:
        """Create the file; raise `RunLocked` if it exists, `WriteFailed` if it cannot be made."""
        self.path = path
        self.run_id = run_id
        self.size_bytes = 0
        self.records = 0
        self._files: Files = OsFiles() if files is None else files
        self._sha256 = hashlib.sha256()
        self._failed: OSError | None = None
        try:
            self._fd: int | None = self._files.open_append(path)
        except FileExistsError as error:
            raise RunLocked("a runlog exists already", path=path) from error
        except OSError as error:
            raise WriteFailed(f"cannot make the runlog: {error.strerror}", path=path) from error

    def append(
        self,
        record_type: str,
        fields: Mapping[str, Any],
        *,
        ts_mono_ns: int,
        ts_wall_ns_utc: int,
    ) -> None:
        """Append one record; when this returns, it is in the kernel.

        Raises ValueError if `fields` names a key of the envelope, holds NaN, or makes the line longer than
        `LINE_MAX`; `WriteFailed` if the operating system refuses: the file is then cut back to its last
        whole line and takes no more.
        """
        for name in ENVELOPE:
            if name in fields:
                raise ValueError(f"{record_type}: field {name!r} belongs to the envelope")
        record = {
            "record_type": record_type,
            "run_id": self.run_id,
            "ts_mono_ns": ts_mono_ns,
            "ts_wall_ns_utc": ts_wall_ns_utc,
            **fields,
        }
        text = json.dumps(record, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
        # A lone surrogate (from a close reason, say) has no UTF-8, but \udXXX is right in JSON.
        line = text.encode("utf-8", "backslashreplace") + b"\n"
        if len(line) > LINE_MAX:
            raise ValueError(
                f"{record_type}: expected a line of at most {LINE_MAX} bytes, found {len(line)}"
            )
        self._write(line)

    def sync(self) -> None:
        """Return when every record appended before the call is on the device; from any thread.

        Raises `WriteFailed`; after a failed sync the file takes no more, because the kernel may have
        thrown the bytes away.
        """
        fd = self._open_fd()
        try:
            self._files.sync(fd)
        except OSError as error:
            self._failed = error
            raise WriteFailed(f"cannot sync: {error.strerror}", path=self.path) from error

    def digest(self) -> str:
        """Return the SHA-256 of all that was written, in hexadecimal; the file is not read again."""
        return self._sha256.hexdigest()

    def close(self) -> None:
        """Close the file without a sync; nothing happens the second time."""
        fd, self._fd = self._fd, None
        if fd is not None:
            self._files.close(fd)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _open_fd(self) -> int:
        if self._failed is not None:
            raise WriteFailed(
                f"takes no more after: {self._failed.strerror}", path=self.path
            ) from self._failed
        if self._fd is None:
            raise ValueError(f"{self.path}: the runlog is closed")
        return self._fd

    def _write(self, line: bytes) -> None:
        fd = self._open_fd()
        taken = 0
        try:
            while taken < len(line):
                # Only a nearly full disk takes less than all; the rest follows or fails.
                taken += self._files.write(fd, line[taken:] if taken else line)
        except OSError as error:
            self._failed = error
            self._cut(fd)
            raise WriteFailed(
                f"cannot write: {error.strerror}",
                path=self.path,
                offset=self.size_bytes,
                expected=len(line),
                found=taken,
            ) from error
        self._sha256.update(line)
        self.size_bytes += len(line)
        self.records += 1

    def _cut(self, fd: int) -> None:
        try:
            self._files.truncate(fd, self.size_bytes)
        except OSError:
            pass  # a torn last line is what readers tolerate


class RunlogReader(Iterator[dict[str, Any]]):
    """Iterates over the records of a runlog in one pass, holding one line at a time.

    `torn_offset` is set at the end if the last line has no newline (its bytes are not a record).
    `offset` is where the record given last begins, `ordinal` its number from 0. After a `BundleError`
    for a damaged line the iteration can go on: it continues with the next line.
    """

    def __init__(self, path: Path, *, offset: int = 0, line: int = 0) -> None:
        """Open the file; raise `MissingFile` if it is not there.

        `offset` is where line number `line` (from 0) begins: `next_offset` of an earlier reading.
        """
        self.path = path
        self.offset = offset
        self.ordinal = line - 1
        self.torn_offset: int | None = None
        self.torn_bytes = 0
        self.next_offset = offset  # where the line after the last one given begins
        self._file: IO[bytes] | None = None
        try:
            self._file = open(path, "rb")
        except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
            raise MissingFile("no runlog", path=path) from error
        if offset:
            self._file.seek(offset)

    def __iter__(self) -> Self:
        return self

    def __next__(self) -> dict[str, Any]:
        if self._file is None:
            raise StopIteration
        start = self.next_offset
        line = self._file.readline(LINE_MAX)
        self.next_offset += len(line)
        if not line.endswith(b"\n"):
            self._end_or_too_long(self._file, start, line)
        self.offset = start
        self.ordinal += 1
        return self._parsed(start, line)

    def close(self) -> None:
        """Close the file before the end of the iteration."""
        file, self._file = self._file, None
        if file is not None:
            file.close()

    # An iteration that is left early must not leave a file open, as a generator would not.
    __del__ = close

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def _end_or_too_long(self, file: IO[bytes], start: int, line: bytes) -> NoReturn:
        length = len(line)
        while line and not line.endswith(b"\n"):
            line = file.readline(LINE_MAX)
            length += len(line)
            self.next_offset += len(line)
        if line:
            self.ordinal += 1
            raise BundleError(
                "a runlog line is too long",
                path=self.path,
                offset=start,
                expected=f"at most {LINE_MAX} bytes",
                found=length,
            )
        self.close()
        if length:
            self.torn_offset = start
            self.torn_bytes = length
        raise StopIteration

    def _parsed(self, start: int, line: bytes) -> dict[str, Any]:
        try:
            record = json.loads(line[:-1].decode("utf-8"))
        except UnicodeDecodeError as error:
            raise self._damage(start + error.start, "a runlog line is not UTF-8", line) from error
        except json.JSONDecodeError as error:
            at = start + len(error.doc[: error.pos].encode())
            raise self._damage(at, f"a runlog line is not JSON: {error.msg}", line) from error
        except (ValueError, RecursionError) as error:
            raise self._damage(start, f"a runlog line cannot be read: {error}", line) from error
        if not isinstance(record, dict):
            raise self._damage(start, "a runlog line is not a JSON object", line)
        return record

    def _damage(self, offset: int, message: str, line: bytes) -> BundleError:
        return BundleError(
            f"{message} (line {self.ordinal + 1})",
            path=self.path,
            offset=offset,
            expected="one JSON object",
            found=line[:40],
        )


def read_runlog(path: Path) -> RunlogReader:
    """Return an iterator over the records of a runlog.

    Unknown record types are given like all others. A torn last line ends the iteration and is told by
    `torn_offset`; damage before the end raises `BundleError` with its byte offset. Raises `MissingFile`.
    """
    return RunlogReader(path)
